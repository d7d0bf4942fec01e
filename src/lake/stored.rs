//! Spaces, decoders and translators in files: one row, one column.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::Place;
use super::file::File;
use super::output::Output;
use crate::column::Translator;
use crate::column::stored::Kind;
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
    let batch = file.read(&[index], 1, None)?.next().transpose()?;
    let value = batch.as_ref().and_then(|batch| batch.column(0).as_struct_opt()).cloned();
    let value = value.filter(|value| value.len() == 1);
    value.ok_or_else(|| Error::file(file.shown(), "has no row"))
}

/// The translator in the file at `place`, its digest checked.
pub fn read_translator(place: &Place) -> Result<Translator> {
    let file = File::open(place.file()?)?;
    let columns = stored_columns(&file);
    let translators: Vec<usize> =
        columns.iter().filter(|(_, kind)| *kind == Kind::Translator).map(|(index, _)| *index).collect();
    let index = match (translators.as_slice(), columns.first()) {
        ([index], _) => *index,
        ([], Some((_, kind))) => {
            let message = format!("is a {}, not a translator: `babelake fit` makes one", kind.name());
            return Err(Error::file(file.shown(), message));
        }
        ([], None) => return Err(Error::file(file.shown(), "holds no translator: `babelake fit` makes one")),
        _ => return Err(Error::file(file.shown(), "holds several translators: keep one in a file")),
    };
    let value = read_value(&file, index)?;
    Translator::widths_of(value.data_type()).map_err(|message| Error::file(file.shown(), message))?;
    let translator = Translator::read(&value, 0).map_err(|error| of_file(&file, error))?;
    translator.ok_or_else(|| Error::file(file.shown(), "the translator is NULL: fit it again"))
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
    let value = translator.to_array()?;
    let schema = Arc::new(Schema::new(vec![Field::new(COLUMN, value.data_type().clone(), false)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(value)])?;
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
