//! Iceberg tables: which files are a table's rows now, as its metadata say. Rows themselves are read from the files.

use std::io::{Cursor, Read};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use arrow_avro::reader::{ReaderBuilder, read_header_info};
use arrow_avro::schema::AvroSchema;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

use super::Place;
use crate::{Error, Result};

/// How the name of a metadata file ends; the last two are compressed.
const METADATA: [&str; 3] = [".metadata.json", ".gz.metadata.json", ".metadata.json.gz"];

/// A metadata file, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    format_version: u32,
    location: String,
    current_snapshot_id: Option<i64>,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Snapshot {
    snapshot_id: i64,
    manifest_list: Option<String>,
}

/// Whether a file of this name is an Iceberg table's metadata.
pub fn is_metadata(name: &str) -> bool {
    METADATA.iter().any(|end| name.ends_with(end))
}

/// The data files of the current snapshot of the table in `folder`, as its metadata file says. A table with delete files, or with
/// files that are no Parquet, is an error. Where the table was moved, the files are where they are in its folder now.
pub fn current_files(metadata: &Place, folder: &Place) -> Result<Vec<Place>> {
    let wrong = |message: String| Error::file(metadata.shown(), message);
    let mut bytes = metadata.file()?.read()?;
    if METADATA[1..].iter().any(|end| metadata.name().ends_with(end)) {
        let mut unzipped = Vec::new();
        GzDecoder::new(&bytes[..])
            .read_to_end(&mut unzipped)
            .map_err(|error| wrong(format!("cannot be unzipped: {error}")))?;
        bytes = unzipped.into();
    }
    let table: Metadata = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("is no metadata of an Iceberg table: {error}")))?;
    if table.format_version > 2 {
        return Err(wrong(format!(
            "is of version {} of Iceberg's format, and versions 1 and 2 are read: export the table as plain Parquet",
            table.format_version
        )));
    }
    let current = table.snapshots.iter().find(|snapshot| Some(snapshot.snapshot_id) == table.current_snapshot_id);
    let list = current.ok_or_else(|| wrong("the table has no rows: it has no current snapshot".to_owned()))?;
    let list = list.manifest_list.as_deref().ok_or_else(|| {
        wrong(
            "its snapshot names its manifests in the way of the first tables: rewrite the table's manifests".to_owned(),
        )
    })?;
    let within = |path: &str| place(&table, folder, path);

    let mut files = Vec::new();
    let list = within(list)?;
    for batch in avro(&list, "manifest_path")? {
        let paths = text(&list, &batch, "manifest_path")?;
        let contents = integers(&batch, "content");
        for row in 0..batch.num_rows() {
            let (manifest, of_deletes) = (within(&paths(row))?, contents(row) != 0);
            for entries in avro(&manifest, "data_file")? {
                let status = integers(&entries, "status");
                let data = entries.column_by_name("data_file").and_then(|column| column.as_struct_opt()).cloned();
                let data = data.ok_or_else(|| unreadable(&manifest, "has no `data_file`"))?;
                let data = RecordBatch::from(data);
                let (paths, formats) = (text(&manifest, &data, "file_path")?, text(&manifest, &data, "file_format")?);
                let contents = integers(&data, "content");
                for entry in (0..entries.num_rows()).filter(|entry| status(*entry) != DELETED) {
                    if of_deletes || contents(entry) != 0 {
                        return Err(has_deletes(folder, &paths(entry)));
                    }
                    if !formats(entry).eq_ignore_ascii_case("parquet") {
                        let message =
                            format!("is a {} file of an Iceberg table: rewrite the table as Parquet", formats(entry));
                        return Err(Error::file(paths(entry), message));
                    }
                    files.push(within(&paths(entry))?);
                }
            }
        }
    }
    if files.is_empty() {
        return Err(wrong("the table has no rows: its current snapshot has no data files".to_owned()));
    }
    Ok(files)
}

/// What a manifest says of a file that is no longer in the table.
const DELETED: i32 = 2;

fn has_deletes(folder: &Place, path: &str) -> Error {
    let message = format!(
        "is an Iceberg table with delete files ({path}), which say that rows of its data files are gone: rewrite them into its data files (in \
         Spark `rewrite_data_files` with the options delete-file-threshold 1 and remove-dangling-deletes true) and give its new \
         metadata file"
    );
    Error::file(folder.shown(), message)
}

/// Where a file of the table is: in the folder, as it was in the table's location when it was written.
fn place(table: &Metadata, folder: &Place, path: &str) -> Result<Place> {
    let (location, path) = (&spelled(table.location.trim_end_matches('/')), &spelled(path));
    if let Some(relative) = path.strip_prefix(location.as_str()).and_then(|rest| rest.strip_prefix('/')) {
        return folder.below(relative);
    }
    folder.named(path)?.ok_or_else(|| {
        Error::file(
            path,
            format!("is a file of the Iceberg table, and not in {}: name the folder that it is in", folder.shown()),
        )
    })
}

/// A location as everybody spells it: engines have names of their own for the same stores.
fn spelled(location: &str) -> String {
    for (other, usual) in [("s3a://", "s3://"), ("s3n://", "s3://"), ("file:///", "file:///"), ("file:/", "file:///")] {
        if let Some(rest) = location.strip_prefix(other) {
            return format!("{usual}{rest}");
        }
    }
    location.to_owned()
}

fn unreadable(file: &Place, what: &str) -> Error {
    Error::file(file.shown(), format!("is no manifest of an Iceberg table: {what}"))
}

/// What is read of manifests and their lists. A record without fields, which the partition of an unpartitioned table is, cannot be.
const READ: [&str; 6] = ["manifest_path", "content", "status", "data_file", "file_path", "file_format"];

/// An Avro schema with the fields of records left that are read.
fn pruned(mut schema: Value) -> Value {
    if let Some(fields) = schema.get_mut("fields").and_then(Value::as_array_mut) {
        fields.retain(|field| READ.iter().any(|name| field["name"] == *name));
        fields.iter_mut().for_each(|field| field["type"] = pruned(field["type"].take()));
    }
    schema
}

/// The rows of an Avro file with a column of this name.
fn avro(file: &Place, column: &str) -> Result<Vec<RecordBatch>> {
    let there = file.file().map_err(|error| match error {
        Error::File { path, message } => Error::file(
            path,
            format!("{message}: the input has to be the Iceberg table's own folder, in which `metadata/` is"),
        ),
        error => error,
    });
    let bytes = there?.read()?;
    let wrong = |error: &dyn std::fmt::Display| unreadable(file, &error.to_string());
    let written = read_header_info(Cursor::new(bytes.clone())).and_then(|header| header.writer_schema());
    let written = serde_json::from_str(&written.map_err(|error| wrong(&error))?.json_string);
    let schema = AvroSchema::new(pruned(written.map_err(|error| wrong(&error))?).to_string());
    let reader = ReaderBuilder::new().with_reader_schema(schema).build(Cursor::new(bytes));
    let reader = reader.map_err(|error| wrong(&error))?;
    if reader.schema().column_with_name(column).is_none() {
        return Err(unreadable(file, &format!("has no `{column}`")));
    }
    reader.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))
}

/// A column of texts that are all there, by row.
fn text(file: &Place, batch: &RecordBatch, name: &str) -> Result<impl Fn(usize) -> String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).cloned();
    let column = column.ok_or_else(|| unreadable(file, &format!("has no `{name}`")))?;
    Ok(move |row| column.value(row).to_owned())
}

/// A column of integers, by row; 0 where it is not there, as in the first version of the format.
fn integers(batch: &RecordBatch, name: &str) -> impl Fn(usize) -> i32 + use<> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>()).cloned();
    move |row| column.as_ref().filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row))
}
