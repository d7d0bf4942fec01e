//! A given length: `alpha v / |v|`.

use super::norm::norm;

/// Writes `alpha v / |v|` to `out`; `false`, and zeros, when `v` is the zero vector and has no direction.
pub fn rescale_into(v: &[f32], alpha: f64, out: &mut [f32]) -> bool {
    let length = norm(v);
    if length == 0.0 {
        out.fill(0.0);
        return false;
    }
    for (o, &x) in out.iter_mut().zip(v) {
        *o = (alpha * f64::from(x) / length) as f32;
    }
    true
}
