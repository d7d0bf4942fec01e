//! The batch jobs over files: fitting a translator from two tables, comparing methods on them, translating a lake,
//! describing a file.
//!
//! Files are reached through an object store, read by plain threads in windows (never a whole column chunk), and written so
//! that an output appears whole or not at all. Functions that read or write block on the store's runtime: call them from
//! plain threads, never from inside the runtime.

pub mod anchors;
mod classes;
mod condition;
pub mod describe;
pub mod eval;
mod file;
pub mod fit;
mod folder;
pub mod gate;
mod guard;
pub mod hub;
mod iceberg;
pub mod import;
pub mod import_head;
pub mod inputs;
pub mod inspect;
mod judgements;
mod lineage;
mod matched;
pub mod nearest;
mod output;
mod partitions;
pub mod place;
mod progress;
mod quality;
#[cfg(feature = "encode")]
pub mod scale_study;
pub mod stitch;
pub mod storage;
pub mod stored;
pub mod sweep;
mod table;
pub mod translate;
mod vectors;
mod window;

pub use file::is_caught;
pub use inputs::{Inputs, Selection};
pub use output::{Output, write_text};
pub use place::{Place, Source};
pub use progress::Progress;
