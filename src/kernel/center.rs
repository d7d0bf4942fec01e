//! Centring: `v - mean`.

/// Writes `v - mean` to `out`.
#[inline(always)]
pub fn center_into(v: &[f32], mean: &[f32], out: &mut [f32]) {
    for ((o, &x), &m) in out.iter_mut().zip(v).zip(mean) {
        *o = x - m;
    }
}

/// `|v - mean|`.
#[inline(always)]
pub fn centered_norm(v: &[f32], mean: &[f32]) -> f64 {
    v.iter().zip(mean).map(|(&x, &m)| f64::from(x - m).powi(2)).sum::<f64>().sqrt()
}

/// Below this length a centred row is rounding noise: its entries are differences of `f32` numbers as large as the
/// mean's, each off by up to half a unit in the last place. Such a row *equals the mean*.
pub fn noise_floor(mean_norm: f64) -> f64 {
    f64::from(f32::EPSILON) * mean_norm
}

/// Writes `nu(v - mean)` to `out`: `true`; or zeros and `false` where `v` equals the mean (see [`noise_floor`]).
///
/// The squared length is returned with it: it is not finite exactly when an item of `v` is not, which spares callers a
/// check of every item.
#[inline(always)]
pub fn center_normalize_into(v: &[f32], mean: &[f32], noise_floor: f64, out: &mut [f32]) -> Centered {
    center_into(v, mean, out);
    let length = super::norm::norm(out);
    if !length.is_finite() {
        return Centered::NotFinite;
    }
    if length <= noise_floor {
        out.fill(0.0);
        return Centered::Mean;
    }
    let inverse = (1.0 / length) as f32;
    if inverse.is_finite() && inverse > f32::MIN_POSITIVE {
        for x in out {
            *x *= inverse;
        }
    } else {
        for x in out {
            *x = (f64::from(*x) / length) as f32;
        }
    }
    Centered::Direction
}

/// [`center_normalize_into`] of a row that may be NULL, which becomes zeros as one does that equals the mean.
#[inline(always)]
pub fn center_normalize_row(row: Option<&[f32]>, mean: &[f32], noise_floor: f64, out: &mut [f32]) -> Centered {
    match row {
        Some(row) => center_normalize_into(row, mean, noise_floor, out),
        None => {
            out.fill(0.0);
            Centered::Mean
        }
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centered {
    /// It has a direction.
    Direction,
    /// It equals the mean.
    Mean,
    /// An item is NaN or infinite, or the difference to the mean overflows.
    NotFinite,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::norm::norm;

    fn direction(v: &[f32], mean: &[f32]) -> (Centered, Vec<f32>) {
        let mut out = vec![f32::NAN; v.len()];
        (center_normalize_into(v, mean, noise_floor(norm(mean)), &mut out), out)
    }

    #[test]
    fn rows_of_every_size_come_to_unit_length() {
        for scale in [1e-44f32, 1e-40, 1e-38, 1e-32, 1e-10, 1.0, 1e20, 1e38] {
            let (found, out) = direction(&[3.0 * scale, 0.0, 0.0], &[0.0; 3]);
            assert_eq!(found, Centered::Direction, "{scale}");
            assert!((out[0] - 1.0).abs() <= f32::EPSILON && out[1..] == [0.0; 2], "{scale}: {out:?}");
        }
        let (_, out) = direction(&[1.5, -2.0, 1e-32], &[0.5, -2.0, 0.0]);
        assert_eq!(out, [1.0, 0.0, 1e-32]);
    }

    #[test]
    fn the_mean_has_no_direction() {
        let mean = [1.0f32, -2.0, 4.0];
        assert_eq!(direction(&mean, &mean), (Centered::Mean, vec![0.0; 3]));
        // One step of rounding away is still the mean, many steps are not.
        assert_eq!(direction(&[1.0f32.next_up(), -2.0, 4.0], &mean).0, Centered::Mean);
        assert_eq!(direction(&[1.0001, -2.0, 4.0], &mean).0, Centered::Direction);
        assert_eq!(direction(&[0.0; 3], &[0.0; 3]).0, Centered::Mean);
    }

    #[test]
    fn what_is_not_finite_is_told() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(direction(&[0.0, bad], &[1.0, 1.0]).0, Centered::NotFinite);
        }
        assert_eq!(direction(&[f32::MAX, 0.0], &[-f32::MAX, 0.0]).0, Centered::NotFinite);
        // Large, but the difference and its length are numbers.
        assert_eq!(direction(&[f32::MAX; 9], &[0.0; 9]).0, Centered::Direction);
    }
}
