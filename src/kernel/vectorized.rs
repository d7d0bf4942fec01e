//! Loops that use the vector instructions of the processor they run on.

use pulp::{Arch, NullaryFnOnce};

struct Loop<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// Runs `work`, compiled once more for processors with more instructions than all have. Only what is inlined has them: the
/// closure, and what it calls, say `#[inline(always)]`. Sums keep their order, so that the bits are the same with any.
pub fn vectorized<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Loop(work))
}
