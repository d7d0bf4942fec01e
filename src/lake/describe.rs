//! What a file is: a stored value, a translation, or any other Parquet.

use std::fmt::Write;

use super::Place;
use super::file::File;
use super::lineage::{Lineage, Translation};
use super::stored::{of_file, read_value, stored_columns};
use crate::Result;
use crate::column::Width;
use crate::column::describe::{describe as describe_value, encoder_name};

/// Readable lines `name: value` about the file at `place`.
pub fn describe(place: &Place) -> Result<String> {
    let file = File::open(place.file()?)?;
    let stored = stored_columns(&file);
    let mut text = String::new();
    for (index, kind) in &stored {
        if stored.len() > 1 {
            line(&mut text, "column", file.schema().field(*index).name());
        }
        let value = read_value(&file, *index)?;
        let described = describe_value(*kind, &value, 0).map_err(|error| of_file(&file, error))?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{described}");
    }
    if stored.is_empty() {
        match Lineage::of(file.metadata().file_metadata().key_value_metadata()) {
            Some(Ok(lineage)) => translation(&mut text, &lineage),
            Some(Err(message)) => {
                line(&mut text, "kind", &format!("Parquet with unreadable babelake lineage ({message})"))
            }
            None => line(&mut text, "kind", "Parquet, no babelake lineage: not a translation"),
        }
        table(&mut text, &file)?;
    }
    Ok(text)
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name}: {value}");
}

fn translation(text: &mut String, lineage: &Lineage) {
    line(text, "kind", "translated embeddings");
    for column in &lineage.work.columns {
        step(text, column);
    }
    for column in &lineage.chain {
        line(text, "after", "a translation before");
        step(text, column);
    }
    line(text, "source file", &lineage.source.path);
    line(text, "source bytes", &lineage.source.bytes.to_string());
    line(text, "source digest", &lineage.source.digest);
    line(text, "source rows", &lineage.rows.to_string());
    line(text, "bad rows", &lineage.bad_rows.to_string());
    line(text, "output settings", &lineage.work.output.to_string());
    line(text, "lineage format", &lineage.format.to_string());
    line(text, "written by", &format!("babelake {}", lineage.tool_version));
}

fn step(text: &mut String, step: &Translation) {
    let direction = format!("{} -> {}", encoder_name(&step.source_encoder), encoder_name(&step.target_encoder));
    line(text, "direction", &direction);
    line(text, "column translated", &step.column);
    line(text, "method", &step.method);
    line(text, "settings", &step.settings.to_string());
    line(text, "translator digest", &step.translator);
}

fn table(text: &mut String, file: &File) -> Result<()> {
    line(text, "rows", &file.rows().to_string());
    line(text, "row groups", &file.metadata().num_row_groups().to_string());
    line(text, "bytes", &file.source().size().to_string());
    let mut columns = file.embedding_columns();
    let usual = file.vector_column(None).ok().filter(|column| !columns.contains(column));
    columns.extend(usual);
    for column in &columns {
        let width = match (column.width, file.width(column)?) {
            (Width::Fixed(width), _) => format!("{width} numbers"),
            (Width::Open, Some(width)) => format!("{width} numbers in the first row (the type says no width)"),
            (Width::Open, None) => "every row is NULL".to_owned(),
        };
        line(text, "embedding column", &format!("`{}`, {width}", column.name));
    }
    if columns.is_empty() {
        line(text, "embedding column", "none");
    }
    Ok(())
}
