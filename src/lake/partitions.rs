//! Hive partitions: folders named `column=value`, and conditions over them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use percent_encoding::percent_decode_str;

use super::Source;
use super::condition::{Compiled, Condition};
use crate::{Error, Result, session};

/// What writers put for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Values of a column that are named in an error.
const NAMED: usize = 8;

/// Of the files found in `folder`, those for whose partitions `sql` is true.
///
/// The columns are those that the folders below `folder` name, values decoded (`a%2Fb` is a/b); NULL where a file is in no
/// folder of the column, or in `__HIVE_DEFAULT_PARTITION__`. A column whose every value is an integer is one of integers, so
/// that `month >= 9` counts and `month = '09'` is the ninth as well; others are strings.
pub fn filter(files: Vec<Source>, sql: &str, folder: &str) -> Result<Vec<Source>> {
    let mut rows = HashMap::new();
    let row_of = files.iter().map(|file| {
        let folder = file.relative().rsplit_once('/').map_or("", |(folder, _)| folder);
        let next = rows.len();
        *rows.entry(folder).or_insert(next)
    });
    let row_of: Vec<usize> = row_of.collect();
    let columns = columns(&rows);
    if columns.is_empty() {
        let message = format!("--filter {sql}: {folder} has no folders named `column=value`, so there is no column");
        return Err(Error::Invalid(message));
    }
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, values)| (name, array(values), true)))?;

    let session = session::context(&session::Settings::default())?;
    let condition = Condition { option: "--filter", sql, session: &session };
    let of = format!("the partitions in {folder}");
    let compiled = Compiled::parse(condition, &batch.schema(), &of)?;
    let asked: Vec<_> = columns.iter().enumerate().filter(|(column, _)| compiled.columns.contains(column)).collect();
    let holds = compiled.plan(&batch.schema())?.rows(&batch)?;
    if !holds.contains(&true) {
        let there: String = asked.iter().map(|(_, (name, values))| format!("; {name} is {}", told(values))).collect();
        return Err(Error::Invalid(format!("--filter {sql}: none of {} files in {folder} fits{there}", files.len())));
    }
    let chosen = files.into_iter().zip(row_of).filter(|(_, row)| holds.get(*row) == Some(&true));
    Ok(chosen.map(|(file, _)| file).collect())
}

/// The partition columns of folders, each folder a row.
fn columns(rows: &HashMap<&str, usize>) -> BTreeMap<String, Vec<Option<String>>> {
    let mut columns = BTreeMap::new();
    for (folder, &row) in rows {
        for (name, value) in folder.split('/').filter_map(|part| part.split_once('=')) {
            let values: &mut Vec<_> = columns.entry(decoded(name)).or_insert_with(|| vec![None; rows.len()]);
            values[row] = (value != NULL).then(|| decoded(value));
        }
    }
    columns
}

/// The text that was encoded to be a name; one that was not encoded is taken as it is.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into)
}

fn array(values: &[Option<String>]) -> ArrayRef {
    let number = |value: &Option<String>| value.as_ref().map(|value| value.parse::<i64>()).transpose();
    match values.iter().map(number).collect::<Result<Int64Array, _>>() {
        Ok(numbers) if values.iter().any(Option::is_some) => Arc::new(numbers),
        _ => Arc::new(StringArray::from_iter(values)),
    }
}

/// The values of a column, for a person.
fn told(values: &[Option<String>]) -> String {
    let distinct: BTreeSet<_> = values.iter().collect();
    let one = |value: &&Option<String>| value.as_ref().map_or("NULL".to_owned(), |value| format!("'{value}'"));
    let more = if distinct.len() > NAMED { ", ..." } else { "" };
    distinct.iter().take(NAMED).map(one).collect::<Vec<_>>().join(", ") + more
}
