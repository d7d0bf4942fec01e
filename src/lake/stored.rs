//! Spaces, decoders, translators and heads in files: one row, one column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListViewArray, RecordBatch, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::Page;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::serialized_reader::SerializedPageReader;

use super::Place;
use super::file::{File, caught};
use super::output::Output;
use crate::column::stored::Kind;
use crate::column::{Decoder, Head, Space, Translator};
use crate::{Error, Result};

/// The name of the one column of a translator's file.
const COLUMN: &str = "t";

/// The columns of a file that hold stored values: their places and kinds.
pub fn stored_columns(file: &File) -> Vec<(usize, Kind)> {
    let fields = file.schema().fields().iter().enumerate();
    fields.filter_map(|(index, field)| Some((index, Kind::of(field.data_type())?))).collect()
}

/// The one stored value in column `index` of a file of one row.
pub fn read_value(file: &File, index: usize) -> Result<StructArray> {
    if file.rows() != 1 {
        return Err(Error::file(
            file.shown(),
            format!("has {} rows: a stored value is in a file of one row", file.rows()),
        ));
    }
    // The readers need four times a matrix to read one, and a matrix can be a quarter of what a job may take.
    let parquet = file.metadata().file_metadata().schema_descr();
    let leaves = (0..parquet.num_columns()).filter(|&leaf| parquet.get_column_root_idx(leaf) == index);
    let (matrix, others): (Vec<usize>, Vec<usize>) =
        leaves.partition(|&leaf| parquet.column(leaf).path().parts().get(1).is_some_and(|name| name == MATRIX));
    let values = match matrix.as_slice() {
        [leaf] => caught(|| plain_values(file, *leaf)).ok().flatten(),
        _ => None,
    };
    let read = |mask| {
        let batch = file.read_leaves(mask, 1, None)?.next().transpose()?;
        let value = batch.and_then(|batch| batch.column(0).as_struct_opt().cloned());
        value.filter(|value| value.len() == 1).ok_or_else(|| Error::file(file.shown(), "has no row"))
    };
    if let (Some(values), DataType::Struct(fields)) = (values, file.schema().field(index).data_type())
        && let Ok(value) = with_matrix(&read(ProjectionMask::leaves(parquet, others))?, fields, values)
    {
        return Ok(value);
    }
    read(ProjectionMask::roots(parquet, [index]))
}

/// The field of a decoder and of a translator that holds nearly all of it.
const MATRIX: &str = "matrix";

/// The values of a leaf of `f32` as they lie in plain pages; `None` where they lie otherwise. That they are all there and none is
/// absent is not looked at: a stored value's digest tells.
fn plain_values(file: &File, leaf: usize) -> Option<Vec<f32>> {
    let chunk = file.metadata().row_group(0).column(leaf);
    let (start, length) = chunk.byte_range();
    let windows = Arc::new(file.windows(std::iter::once(start..start.checked_add(length)?).collect(), 1));
    let count = usize::try_from(chunk.num_values()).ok()?;
    if chunk.column_type() != Type::FLOAT || chunk.uncompressed_size() / 4 < chunk.num_values() {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for page in SerializedPageReader::new(windows, chunk, 1, None).ok()? {
        let page = page.ok()?;
        let (buffer, here) = match &page {
            Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, .. }
            | Page::DataPageV2 { buf, num_values, encoding: Encoding::PLAIN, .. } => (buf, *num_values as usize),
            _ => return None,
        };
        // Before the values are the levels.
        let begin = buffer.len().checked_sub(here.checked_mul(size_of::<f32>())?)?;
        let (bytes, _) = buffer.get(begin..)?.as_chunks();
        values.extend(bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    }
    (values.len() == count).then_some(values)
}

/// The value with these numbers as its matrix, which its other fields were read without.
fn with_matrix(value: &StructArray, fields: &Fields, values: Vec<f32>) -> Result<StructArray, ArrowError> {
    let rest = || ArrowError::SchemaError("a stored value was read without one of its fields".to_owned());
    let (types, mut columns, nulls) = value.clone().into_parts();
    let Some((at, field)) = fields.find(MATRIX) else { return Err(rest()) };
    let DataType::ListView(row) = field.data_type() else { return Err(rest()) };
    let DataType::FixedSizeList(item, width) = row.data_type() else { return Err(rest()) };
    let rows = FixedSizeListArray::try_new(Arc::clone(item), *width, Arc::new(Float32Array::from(values)), None)?;
    let sizes = vec![i32::try_from(rows.len()).map_err(|error| ArrowError::ComputeError(error.to_string()))?];
    let list = ListViewArray::try_new(Arc::clone(row), vec![0].into(), sizes.into(), Arc::new(rows), None)?;
    let mut types: Vec<FieldRef> = types.iter().cloned().collect();
    types.insert(at, Arc::clone(field));
    columns.insert(at, Arc::new(list));
    StructArray::try_new(types.into(), columns, nulls)
}

/// The one value of a kind in a file; `maker` makes one.
fn read_only(file: &File, wanted: Kind, maker: &str) -> Result<StructArray> {
    let columns = stored_columns(file);
    let found: Vec<usize> = columns.iter().filter(|(_, kind)| *kind == wanted).map(|(index, _)| *index).collect();
    let name = wanted.name();
    let message = match (found.as_slice(), columns.first()) {
        ([index], _) => return read_value(file, *index),
        ([], Some((_, kind))) => format!("is a {}, not a {name}: {maker} makes one", kind.name()),
        ([], None) => format!("holds no {name}: {maker} makes one"),
        _ => format!("holds several {name}s: keep one in a file"),
    };
    Err(Error::file(file.shown(), message))
}

/// The head in the file at `place`, its digest checked.
pub fn read_head(place: &Place) -> Result<Head> {
    let file = File::open(place.file()?)?;
    let value = read_only(&file, Kind::Head, "emb_head or `babelake import-head`")?;
    let head = Head::read(&value, 0).map_err(|error| of_file(&file, error))?;
    head.ok_or_else(|| Error::file(file.shown(), "the head is NULL: train it again"))
}

/// The translator in the file at `place`, its digest checked.
pub fn read_translator(place: &Place) -> Result<Translator> {
    let file = File::open(place.file()?)?;
    let value = read_only(&file, Kind::Translator, "`babelake fit`")?;
    Translator::widths_of(value.data_type()).map_err(|message| Error::file(file.shown(), message))?;
    let translator = Translator::read(&value, 0).map_err(|error| of_file(&file, error))?;
    translator.ok_or_else(|| Error::file(file.shown(), "the translator is NULL: fit it again"))
}

/// The space and the decoder in the file at `place`, their digests checked.
pub fn read_space(place: &Place) -> Result<(Space, Decoder)> {
    let file = File::open(place.file()?)?;
    let value = |wanted: Kind| {
        let columns = stored_columns(&file);
        let column = columns.iter().find(|(_, kind)| *kind == wanted);
        let (index, _) = column.ok_or_else(|| Error::file(file.shown(), format!("holds no {}", wanted.name())))?;
        read_value(&file, *index)
    };
    let null = || Error::file(file.shown(), "holds a NULL: add the space again");
    let space = Space::read(&value(Kind::Space)?, 0).map_err(|error| of_file(&file, error))?.ok_or_else(null)?;
    let decoder = Decoder::read(&value(Kind::Decoder)?, 0).map_err(|error| of_file(&file, error))?.ok_or_else(null)?;
    Ok((space, decoder))
}

/// An error about a stored value as one of its file.
pub fn of_file(file: &File, error: Error) -> Error {
    match error {
        error @ (Error::Invalid(_) | Error::Format { .. }) => Error::file(file.shown(), error.to_string()),
        other => other,
    }
}

/// Writes a translator as a file of one row and one column.
pub fn write_translator(translator: &Translator, place: &Place) -> Result<()> {
    write_values(place, vec![(COLUMN, translator.to_array()?)])
}

/// Writes stored values as a file of one row, each with the name of its column.
pub fn write_values(place: &Place, values: Vec<(&str, StructArray)>) -> Result<()> {
    let field = |(name, value): &(&str, StructArray)| Field::new(*name, value.data_type().clone(), false);
    let schema = Arc::new(Schema::new(values.iter().map(field).collect::<Vec<_>>()));
    let columns = values.into_iter().map(|(_, value)| Arc::new(value) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = ArrowWriter::try_new(Output::new(place), schema, Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()?.complete()?;
    Ok(())
}
