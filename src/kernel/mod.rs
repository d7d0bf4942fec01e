//! The mathematics, on slices and matrix views: no Arrow, no engine, no files, no logging.
//!
//! Everything is fitted in `f64` and applied in `f32`. Fits run sequentially in the order of their rows (sorted by key
//! by the caller), so that the same anchors give the same bits whatever the partitions and threads.

pub mod alignment;
pub mod block;
pub mod bootstrap;
pub mod center;
pub mod cka;
pub mod class_means;
pub mod classifier;
pub mod confidence;
pub mod cosine;
pub mod decode;
pub mod decoder;
pub mod eigen;
pub mod fingerprint;
pub mod grid;
pub mod head;
pub mod inverse;
pub mod keyed;
pub mod knn_overlap;
pub mod mean;
pub mod mixed;
pub mod moments;
pub mod nearest;
pub mod norm;
pub mod normalize;
pub mod prune;
pub mod quality;
pub mod quantize;
pub mod ranking;
pub mod relative;
pub mod rescale;
pub mod retrieval;
pub mod rows;
pub mod scale;
pub mod search;
pub mod space;
pub mod svcca;
pub mod svd;
pub mod translate;
pub mod translator;
pub mod vectorized;

#[cfg(test)]
pub(crate) mod golden;

pub use rows::Rows;

/// What the mathematics refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fit needs at least two anchors that differ.
    #[error("{usable} usable anchor(s) of {given}: at least two different ones are needed")]
    TooFewAnchors {
        /// How many anchors came in.
        given: usize,
        /// How many of them differ from their mean.
        usable: usize,
    },

    /// A singular value decomposition did not converge.
    #[error("the singular value decomposition of a {rows} x {columns} matrix did not converge")]
    NoConvergence {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },

    /// A head could not be trained.
    #[error("training came to nothing: {0}")]
    Training(String),
}
