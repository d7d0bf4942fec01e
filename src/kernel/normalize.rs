//! Unit length: `nu(v) = v / |v|`.

use super::norm::norm;

/// Writes `v / |v|` to `out`; `false`, and zeros, when `v` is the zero vector and has no direction.
pub fn normalize_into(v: &[f32], out: &mut [f32]) -> bool {
    super::rescale::rescale_into(v, 1.0, out)
}

/// Divides `v` by its length in place; the zero vector stays what it is.
#[inline(always)]
pub fn normalize_in_place(v: &mut [f32]) {
    let length = norm(v);
    if length > 0.0 {
        for x in v {
            *x = (f64::from(*x) / length) as f32;
        }
    }
}
