//! Centring: `v - mean`.

/// Writes `v - mean` to `out`.
pub fn center_into(v: &[f32], mean: &[f32], out: &mut [f32]) {
    for ((o, &x), &m) in out.iter_mut().zip(v).zip(mean) {
        *o = x - m;
    }
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
