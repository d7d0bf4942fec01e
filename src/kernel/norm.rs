//! Euclidean length. Accumulates in `f64`, so no square of an `f32` overflows or is lost.

/// `|v|`.
#[inline(always)]
pub fn norm(v: &[f32]) -> f64 {
    dot(v, v).sqrt()
}

/// Whether every item is a finite number.
pub fn is_finite(v: &[f32]) -> bool {
    // Without a branch an item, so that the compiler can look at many at a time.
    v.iter().fold(true, |finite, x| finite & x.is_finite())
}

/// `a . b` over the common length, in eight interleaved `f64` sums that are added in a fixed order: the same bits on
/// every run, and a shape the compiler turns into vector instructions.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 =
        a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_all_remainders_agree_with_the_plain_sum() {
        for n in 0..40u8 {
            let v: Vec<f32> = (0..n).map(|i| f32::from(i) - 7.5).collect();
            let plain: f64 = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((norm(&v) - plain.sqrt()).abs() <= 1e-12 * plain.sqrt().max(1.0));
        }
    }

    #[test]
    fn squares_that_overflow_or_vanish_in_f32_are_kept() {
        assert!((norm(&[3e38, 3.2e38]) / 4.386e38 - 1.0).abs() < 1e-3);
        assert!((norm(&[3e-32, 4e-32]) / 5e-32 - 1.0).abs() < 1e-6);
    }
}
