//! How far work is that can be counted beforehand.

use std::sync::atomic::AtomicUsize;

/// Things to do, as the work counts them.
#[derive(Debug, Default)]
pub struct Progress {
    /// All of them; 0 before they are counted.
    pub total: AtomicUsize,
    /// Those done.
    pub done: AtomicUsize,
}
