//! The rows to embed natively: those whose confidence is low, by their keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::Request;
use crate::column::{KeyKind, Keys};
use crate::lake::Place;
use crate::lake::file::File;
use crate::lake::output::Output;
use crate::{Error, Result};

/// The list of the rows to embed natively.
#[derive(Debug, Clone)]
pub struct Reembed {
    /// Where it is written.
    pub list: Place,
    /// Rows of a confidence below that are on it.
    pub below: f64,
    /// The columns that name a row.
    pub key: Vec<String>,
}

/// A list that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Where.
    pub list: String,
    /// Rows on it.
    pub rows: u64,
    /// Rows that it was chosen from.
    pub of: u64,
    /// The confidence that they are below.
    pub below: f64,
}

/// What the list says beside the keys.
const FILE: &str = "file";
const CONFIDENCE: &str = "confidence";

/// The entry in the footer of a list, by which a later run knows what it may replace.
const KEY: &str = "babelake_reembed";

/// A list to be written, and the outputs it is of.
#[derive(Debug)]
pub(super) struct List {
    reembed: Reembed,
    /// The column of confidences in the outputs.
    column: String,
    /// Outputs by their path in the folder.
    outputs: Vec<(String, Place)>,
}

impl List {
    /// An error where the list cannot be had, or must not be written there.
    pub fn new(reembed: &Reembed, request: &Request) -> Result<Self> {
        let Some(column) = request.settings.confidence_column.clone() else {
            return Err(Error::Invalid(
                "--reembed-list is made of the confidences: give --confidence-column, too".into(),
            ));
        };
        if let Some(taken) = reembed.key.iter().find(|key| [FILE, CONFIDENCE].contains(&key.as_str())) {
            return Err(Error::Invalid(format!(
                "--key {taken}: the list has a column of its own of this name: give the key another name"
            )));
        }
        let list = &reembed.list;
        let in_the_way = |message: &str| Err(Error::Exists { path: list.shown().to_owned(), message: message.into() });
        if request.input.covers(list) || list.is_within(&request.output) {
            return in_the_way("is among the files of this job: name a place for the list beside them");
        }
        if request.translators().any(|translator| translator.identity() == list.identity()) {
            return in_the_way("is a translator of this job: name another file for the list");
        }
        match list.check_writable(request.overwrite) {
            // The list of an earlier run.
            Err(Error::Exists { .. }) if is_list(list) => {}
            other => other?,
        }
        Ok(Self { reembed: reembed.clone(), column, outputs: Vec::new() })
    }

    /// An error where an input has not the key.
    pub fn check(&self, file: &File) -> Result<()> {
        for key in &self.reembed.key {
            let data_type = file.schema().field(file.column(key)?).data_type();
            if KeyKind::of(data_type).is_none() {
                let message = format!("column `{key}` is {data_type}: a key is an integer or a string");
                return Err(Error::file(file.shown(), message));
            }
        }
        Ok(())
    }

    /// Adds the output at `path` in the folder.
    pub fn add(&mut self, path: &str, output: Place) {
        self.outputs.push((path.to_owned(), output));
    }

    /// Reads the confidences of the outputs and writes the list; `None` where the job is to stop.
    pub fn write(mut self, stop: &dyn Fn() -> bool) -> Result<Option<Listed>> {
        self.outputs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let Reembed { list, below, key } = &self.reembed;
        let mut listed = Listed { list: list.shown().to_owned(), rows: 0, of: 0, below: *below };
        let mut writer: Option<(SchemaRef, ArrowWriter<Output>)> = None;
        for (path, output) in &self.outputs {
            let file = File::open(output.file()?)?;
            let names = key.iter().chain([&self.column]);
            let columns = names.map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
            for batch in file.read(&columns, file.batch_rows(&columns, None), None)? {
                if stop() {
                    return Ok(None);
                }
                let batch = self.of_batch(&file, path, &batch?)?;
                let confidences = batch.column(key.len() + 1).as_primitive::<Float32Type>();
                let low: BooleanArray = confidences.iter().map(|x| x.map(|x| f64::from(x) < *below)).collect();
                listed.of += batch.num_rows() as u64;
                let low = filter_record_batch(&batch, &low)?;
                listed.rows += low.num_rows() as u64;
                let (schema, writer) = match &mut writer {
                    Some(writer) => writer,
                    none => {
                        let schema = batch.schema();
                        let output = Output::new(list);
                        let new = ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties()))?;
                        none.insert((schema, new))
                    }
                };
                if *schema != batch.schema() {
                    let message = "its keys are of another kind than those of the files before: CAST them to one kind";
                    return Err(Error::file(file.shown(), message));
                }
                writer.write(&low)?;
            }
        }
        let Some((_, writer)) = writer else { return Ok(None) };
        writer.into_inner()?.complete()?;
        Ok(Some(listed))
    }

    /// The rows of a batch as the list has them.
    fn of_batch(&self, file: &File, path: &str, batch: &RecordBatch) -> Result<RecordBatch> {
        let missing = |name: &str| Error::file(file.shown(), format!("there is no column `{name}`"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for key in &self.reembed.key {
            let values = Keys::normalize(column(key)?)
                .map_err(|flaw| Error::file(file.shown(), format!("column `{key}`: {flaw}")))?;
            fields.push(Field::new(key, values.data_type().clone(), true));
            columns.push(values);
        }
        fields.push(Field::new(FILE, DataType::Utf8, false));
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(path, batch.num_rows()))));
        fields.push(Field::new(CONFIDENCE, DataType::Float32, true));
        columns.push(cast(column(&self.column)?, &DataType::Float32)?);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), "1".to_owned())]))
        .build()
}

/// Whether there is a list at this place.
fn is_list(place: &Place) -> bool {
    let file = place.file().and_then(File::open);
    file.is_ok_and(|file| {
        let entries = file.metadata().file_metadata().key_value_metadata();
        entries.is_some_and(|entries| entries.iter().any(|entry| entry.key == KEY))
    })
}
