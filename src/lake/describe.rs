//! What a file is: a stored value, a translation, or any other Parquet.

use std::fmt::Write;

use super::Place;
use super::file::File;
use super::lineage::Lineage;
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
    let direction = format!("{} -> {}", encoder_name(&lineage.source_encoder), encoder_name(&lineage.target_encoder));
    line(text, "direction", &direction);
    line(text, "column translated", &lineage.column);
    line(text, "method", &lineage.method);
    line(text, "settings", &lineage.settings.to_string());
    line(text, "translator digest", &lineage.translator);
    line(text, "source file", &lineage.source);
    line(text, "source rows", &lineage.rows.to_string());
    line(text, "lineage format", &lineage.format.to_string());
    line(text, "written by", &format!("babelake {}", lineage.tool_version));
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
