//! The mathematics, on slices and matrix views: no Arrow, no engine, no files.

/// What the mathematics refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fit needs at least two anchors that differ.
    #[error("{usable} usable anchor(s): at least two different ones are needed")]
    TooFewAnchors {
        /// How many anchors differ from the mean.
        usable: usize,
    },
}
