//! Queries: keyed vectors to search a table with, as one value.

use arrow::array::StructArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;

use super::keys::{KeyKind, Keys};
use super::stored::{self, Builder, Digest, Kind, Stored, field};
use crate::kernel::Rows;
use crate::{Error, Result};

/// Vectors to search with, as they are stored.
#[derive(Debug, Clone)]
pub struct Queries {
    /// Their keys, n, ascending.
    pub keys: Keys,
    /// Numbers in a vector, d.
    pub width: usize,
    /// n x d.
    pub vectors: ScalarBuffer<f32>,
    /// Blake3 of keys and numbers: equal values have equal digests.
    pub digest: String,
}

impl Queries {
    /// Sorts rows by key. Duplicate keys are errors.
    pub fn new(keys: &Keys, rows: Rows<'_>) -> Result<Self> {
        let order = keys.unique_order("a query's key must be unique")?;
        let (keys, vectors) = (keys.select(&order), rows.select(&order).into());
        let mut queries = Self { keys, width: rows.width(), vectors, digest: String::new() };
        queries.digest = queries.compute_digest();
        Ok(queries)
    }

    /// The vectors, n x d.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.vectors, self.width)
    }

    fn compute_digest(&self) -> String {
        let mut digest = Digest::new(Kind::Queries);
        digest.text(&self.keys.digest()).floats(&self.vectors);
        digest.hex()
    }

    /// The type of queries of width d with keys of a kind.
    pub fn data_type(kind: KeyKind, width: usize) -> DataType {
        let mut fields = stored::head_fields();
        fields.extend([
            field("digest", DataType::Utf8, false),
            field("keys", stored::keys_type(kind), false),
            field("queries", stored::vectors_type(width), false),
        ]);
        stored::struct_type(fields)
    }

    /// Width and kind of keys of a type of queries; the error says why it is none.
    pub fn shape(data_type: &DataType) -> Result<(KeyKind, usize), String> {
        stored::keyed_shape(Kind::Queries, data_type, ("keys", "queries"))
            .ok_or_else(|| "a set of queries (made by emb_queries, in a scalar subquery)".to_owned())?
    }

    /// As a struct of one row.
    pub fn to_array(&self) -> Result<StructArray> {
        Builder::default()
            .integer("format", Kind::Queries.format())
            .text("tool_version", stored::TOOL_VERSION)
            .text("digest", &self.digest)
            .keys("keys", &self.keys)?
            .vectors("queries", self.width, &self.vectors)?
            .build()
    }

    /// Row `row` of a column of queries, `None` where it is NULL. Numbers are shared, not copied; the digest is checked.
    pub fn read(array: &StructArray, row: usize) -> Result<Option<Self>> {
        let Some(stored) = Stored::new(Kind::Queries, array, row)? else { return Ok(None) };
        let (width, vectors) = stored.vectors("queries")?;
        let queries = Self { keys: stored.keys("keys")?, width, vectors, digest: stored.text("digest")? };
        if queries.rows().len() != queries.keys.len() {
            return Err(Error::Invalid(
                "the queries' parts do not fit together: make them again with emb_queries".into(),
            ));
        }
        stored.check_digest(&queries.compute_digest())?;
        Ok(Some(queries))
    }
}
