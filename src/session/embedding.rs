//! How embeddings are best written to Parquet.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::config::{ParquetOptions, TableParquetOptions};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type};

/// The options with defaults for the embedding columns of `schema` filled in.
///
/// The leaves of lists of floats get no dictionary (their values do not repeat) and no statistics (nobody asks for
/// vectors by the range of their numbers), and the row group is made as long as its vectors are about
/// [`ROW_GROUP_BYTES`]. What the statement (`given`, the names of its options) or the session sets is left alone.
pub fn writer_options(
    options: &TableParquetOptions,
    schema: &Schema,
    given: &HashSet<String>,
) -> Result<TableParquetOptions> {
    let mut options = options.clone();
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    for leaf in parquet.columns() {
        let is_float = matches!(leaf.physical_type(), Type::FLOAT | Type::DOUBLE)
            || matches!(leaf.logical_type_ref(), Some(LogicalType::Float16));
        if !is_float || leaf.max_rep_level() == 0 {
            continue;
        }
        let column = options.column_specific_options.entry(leaf.path().string()).or_default();
        if !given.contains("format.dictionary_enabled") {
            column.dictionary_enabled.get_or_insert(false);
        }
        if !given.contains("format.statistics_enabled") {
            column.statistics_enabled.get_or_insert_with(|| "none".to_owned());
        }
    }

    let engine_default = ParquetOptions::default().max_row_group_size;
    let untouched = options.global.max_row_group_size == engine_default;
    let row: usize = schema.fields().iter().map(|field| vector_bytes(field.data_type())).sum();
    if untouched && row > 0 && !given.contains("format.max_row_group_size") {
        options.global.max_row_group_size = (ROW_GROUP_BYTES / row).clamp(1, engine_default);
    }
    Ok(options)
}

/// Small enough to be held a few times in memory, large enough to be read at full speed.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A list whose type does not tell its length is taken for a vector of this many numbers.
const UNKNOWN_LENGTH: usize = 1024;

/// Bytes of the vectors in one value of this type; 0 where there are none.
fn vector_bytes(data_type: &DataType) -> usize {
    fn items(item: &DataType, length: usize) -> usize {
        match item {
            DataType::Float16 => length.saturating_mul(2),
            DataType::Float32 => length.saturating_mul(4),
            DataType::Float64 => length.saturating_mul(8),
            nested => length.saturating_mul(vector_bytes(nested)),
        }
    }
    match data_type {
        DataType::FixedSizeList(item, length) => items(item.data_type(), usize::try_from(*length).unwrap_or(0)),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            items(item.data_type(), UNKNOWN_LENGTH)
        }
        DataType::Struct(fields) => fields.iter().map(|field| vector_bytes(field.data_type())).sum(),
        _ => 0,
    }
}
