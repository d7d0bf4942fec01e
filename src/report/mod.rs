//! Figures of what was measured, as SVG.

mod plot;
pub mod sensitivity;
