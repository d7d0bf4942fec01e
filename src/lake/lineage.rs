//! What a translated file says of its origin, in its footer. That is the state of a job: there is no other.

use object_store::ObjectMeta;
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
    /// What the file was made of.
    pub source: Origin,
    /// Rows in the file.
    pub rows: u64,
    /// Rows among them whose embedding could not be used and is NULL now.
    pub bad_rows: u64,
    /// What was done.
    #[serde(flatten)]
    pub work: Work,
    /// What had been done to the source before, the first step first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Translation>,
}

/// A source file: its content, and where it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Path relative to the input folder, or the file's name.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Blake3 of the bytes that were read.
    pub digest: String,
    /// What the store called this version; equal ones spare reading the file again, different ones say nothing.
    pub hint: String,
}

/// What a job does to every file: the same for all files of an output folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The columns translated.
    pub columns: Vec<Translation>,
    /// How the outputs are written, where it is not the default.
    pub output: Value,
}

/// A column and what it was translated with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Translation {
    /// The column.
    pub column: String,
    /// The column that the vectors went to, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
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
}

impl Translation {
    /// Of `column` by `translator`, into another column where that is named.
    pub fn new(translator: &Translator, column: &str, into: Option<&str>) -> Self {
        Self {
            column: column.to_owned(),
            into: into.map(str::to_owned),
            translator: translator.digest.clone(),
            source_encoder: translator.source_encoder.clone(),
            target_encoder: translator.target_encoder.clone(),
            method: translator.method.clone(),
            settings: serde_json::from_str(&translator.settings).unwrap_or_default(),
        }
    }
}

impl Translation {
    /// The column that holds the vectors.
    pub fn result(&self) -> &str {
        self.into.as_deref().unwrap_or(&self.column)
    }
}

impl Work {
    /// Whether `other` is the same work. A column that is found file by file has no name here and equals any.
    pub fn is(&self, other: &Self) -> bool {
        let same = |(a, b): (&Translation, &Translation)| {
            a.translator == b.translator && (a.column.is_empty() || b.column.is_empty() || a.column == b.column)
        };
        self.output == other.output
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
    }
}

impl Lineage {
    /// Of a file made of `source` by `work`.
    pub fn new(source: Origin, work: Work, rows: u64, bad_rows: u64, chain: Vec<Translation>) -> Self {
        Self { format: FORMAT, tool_version: TOOL_VERSION.to_owned(), source, rows, bad_rows, work, chain }
    }

    /// What was done to a file that is the source of another translation.
    pub fn steps(self) -> Vec<Translation> {
        self.chain.into_iter().chain(self.work.columns).collect()
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

/// What a store calls this version of an object: the entity tag, or else the time of its last change.
pub fn hint(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339())
}
