//! Figures of what was measured, as SVG.

pub mod hub;
mod plot;
pub mod sensitivity;
pub mod stitch;
pub mod svg;
