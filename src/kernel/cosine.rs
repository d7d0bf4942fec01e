//! Cosine similarity, accumulated in `f64`.

use super::norm::{dot, norm};

/// `a . b / (|a| |b|)` in [-1, 1]; `None` when one of them is the zero vector.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let lengths = norm(a) * norm(b);
    (lengths > 0.0).then(|| (dot(a, b) / lengths).clamp(-1.0, 1.0))
}
