//! What things are in Arrow: an embedding column, keys, and the stored values (space, decoder, translator).
//!
//! Stored values are structs that outlive versions. Their big parts are `ListView<FixedSizeList<Float32, d>>`: the engine
//! repeats a scalar per row in places, and a view is then repeated, not its numbers. Widths are in the types.

pub mod best;
pub mod bridge;
pub mod buffers;
pub mod calibration;
pub mod decoder;
pub mod describe;
pub mod embedding;
pub mod head;
pub mod item;
pub mod keys;
pub mod page_writer;
pub mod pages;
mod pair;
pub mod queries;
pub mod settings;
pub mod space;
pub(crate) mod stored;
pub mod suspects;
pub mod sweep;
pub mod translator;
pub mod vector_reader;

pub use decoder::Decoder;
pub use describe::describe;
pub use embedding::{Embeddings, Flaw, Width};
pub use head::Head;
pub use keys::{KeyKind, Keys};
pub use queries::Queries;
pub use settings::{BEST, Best, By, Choice, Map, Method, MethodOptions};
pub use space::{KeyedAnchors, Space};
pub use stored::Kind;
pub use translator::{Side, Translator};
