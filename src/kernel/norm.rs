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
    let [dot] = dots(a, [b]);
    dot
}

/// The [`dot`]s of `a` with vectors as long as it, bit for bit: a processor adds to several sums in the time it takes to add to
/// one.
#[inline(always)]
pub fn dots<const N: usize>(a: &[f32], others: [&[f32]; N]) -> [f64; N] {
    const LANES: usize = 8;
    let length = others.iter().fold(a.len(), |length, other| length.min(other.len()));
    let (a_blocks, a_rest) = a[..length].as_chunks::<LANES>();
    let blocks = others.map(|other| other[..length].as_chunks::<LANES>());
    let mut sums = [[0.0f64; LANES]; N];
    for (i, x) in a_blocks.iter().enumerate() {
        let x = x.map(f64::from);
        for (sums, (b_blocks, _)) in sums.iter_mut().zip(&blocks) {
            let y = b_blocks[i];
            for lane in 0..LANES {
                sums[lane] += x[lane] * f64::from(y[lane]);
            }
        }
    }
    std::array::from_fn(|n| {
        let (sums, (_, b_rest)) = (&sums[n], blocks[n]);
        let rest: f64 = a_rest.iter().zip(b_rest).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
    })
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
    fn several_dots_are_those_of_one_at_a_time() {
        let number = |i: usize| ((i * 7919) % 1000) as f32 / 313.0 - 1.0;
        for length in [0, 1, 7, 8, 9, 64, 100] {
            let rows: Vec<Vec<f32>> = (0..4).map(|row| (0..length).map(|i| number(101 * row + i)).collect()).collect();
            let all = dots(&rows[0], [0, 1, 2, 3].map(|row| &rows[row][..]));
            let one =
                |row: usize| rows[0].iter().zip(&rows[row]).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
            for (row, found) in all.into_iter().enumerate() {
                assert_eq!(found.to_bits(), dot(&rows[0], &rows[row]).to_bits());
                assert!((found - one(row)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn squares_that_overflow_or_vanish_in_f32_are_kept() {
        assert!((norm(&[3e38, 3.2e38]) / 4.386e38 - 1.0).abs() < 1e-3);
        assert!((norm(&[3e-32, 4e-32]) / 5e-32 - 1.0).abs() < 1e-6);
    }
}
