//! From relative coordinates back to vectors: `y = s (r H) + mu`, equation (5) collapsed into one matrix.

use super::block::{Factor, Scratch, multiply};
use super::translate::{NotFinite, restore};

/// A decoder's numbers, borrowed from wherever they are.
#[derive(Debug, Clone, Copy)]
pub struct Decoding<'a> {
    /// H, K x d row-major.
    pub matrix: &'a [f32],
    /// Number of anchors, K.
    pub anchors: usize,
    /// mu, d.
    pub mean: &'a [f32],
    /// s.
    pub scale: f64,
    /// Whether the result is brought to unit length at the end.
    pub unit_output: bool,
}

impl Decoding<'_> {
    /// Decodes `count` codes of K numbers to `out` (count x d). `row(i)` gives code i, or `None` for a NULL one, whose
    /// output is zeros.
    pub fn apply<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NotFinite> {
        let scale = self.scale as f32;
        multiply(
            count,
            (self.anchors, self.mean.len()),
            Factor::Plain(self.matrix),
            scratch,
            out,
            |i, input| {
                if let Some(code) = row(i) {
                    if !code.iter().all(|x| x.is_finite()) {
                        return Err(NotFinite { row: i });
                    }
                    input.copy_from_slice(code);
                } else {
                    input.fill(0.0);
                }
                Ok(())
            },
            |i, output| {
                if row(i).is_none() {
                    output.fill(0.0);
                } else {
                    restore(output, scale, self.mean, self.unit_output);
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(codes: &[Option<&[f32]>], unit_output: bool) -> Result<Vec<f32>, NotFinite> {
        let matrix = [1.0, 0.0, 0.0, 2.0, 3.0, 0.0];
        let decoding = Decoding { matrix: &matrix, anchors: 3, mean: &[3.0, 4.0], scale: 2.0, unit_output };
        let mut out = vec![f32::NAN; 2 * codes.len()];
        decoding.apply(codes.len(), |i| codes[i], &mut Scratch::default(), &mut out).map(|()| out)
    }

    #[test]
    fn codes_become_vectors() {
        let code = [1.0, 0.5, -1.0];
        let codes = [Some(code.as_slice()), None, Some(&[0.0; 3])];
        assert_eq!(decode(&codes, false).unwrap(), [-1.0, 6.0, 0.0, 0.0, 3.0, 4.0]);
        assert_eq!(decode(&codes, true).unwrap()[2..], [0.0, 0.0, 0.6, 0.8]);
    }

    #[test]
    fn a_code_that_is_not_finite_is_named() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(decode(&[None, Some(&[0.0, 0.0, bad])], false), Err(NotFinite { row: 1 }));
        }
    }
}
