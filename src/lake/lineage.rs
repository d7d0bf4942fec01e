//! What a translated file says of its origin, in its footer.

use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::column::{Translator, stored::TOOL_VERSION};

/// The key in a Parquet footer.
pub const KEY: &str = "babelake";

/// The newest layout of [`Lineage`].
const FORMAT: u32 = 1;

/// Where a translated file comes from. Never a time, a host or an output path: the same input gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Layout of these fields.
    pub format: u32,
    /// The version that wrote the file.
    pub tool_version: String,
    /// The translator's digest.
    pub translator: String,
    /// The encoder translated from; may be empty.
    pub source_encoder: String,
    /// The encoder translated to; may be empty.
    pub target_encoder: String,
    /// The translator's method.
    pub method: String,
    /// Its settings.
    pub settings: Value,
    /// The column translated.
    pub column: String,
    /// The source file's path relative to the input folder, or its name.
    pub source: String,
    /// Rows in the file.
    pub rows: u64,
}

impl Lineage {
    /// Of the file at `source` translated by `translator`.
    pub fn new(translator: &Translator, column: &str, source: &str, rows: u64) -> Self {
        Self {
            format: FORMAT,
            tool_version: TOOL_VERSION.to_owned(),
            translator: translator.digest.clone(),
            source_encoder: translator.source_encoder.clone(),
            target_encoder: translator.target_encoder.clone(),
            method: translator.method.clone(),
            settings: serde_json::from_str(&translator.settings).unwrap_or_default(),
            column: column.to_owned(),
            source: source.to_owned(),
            rows,
        }
    }

    /// As an entry of a footer.
    pub fn to_entry(&self) -> KeyValue {
        KeyValue::new(KEY.to_owned(), serde_json::to_string(self).ok())
    }

    /// What is under our key in a footer: `None` where nothing is, an error text where it cannot be read.
    pub fn of(entries: Option<&Vec<KeyValue>>) -> Option<Result<Self, String>> {
        let entry = entries?.iter().find(|entry| entry.key == KEY)?;
        let text = entry.value.as_deref().unwrap_or_default();
        Some(serde_json::from_str(text).map_err(|error| error.to_string()))
    }
}
