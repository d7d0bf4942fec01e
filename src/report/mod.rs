//! Figures of what was measured, as SVG.

pub mod hub;
mod plot;
#[cfg(feature = "encode")]
pub mod scale_study;
pub mod sensitivity;
pub mod stitch;
pub mod svg;
