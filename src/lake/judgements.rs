//! Judgements of relevance (qrels): which documents answer which queries, and how well.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::table::{KeyIndex, Table, read_keys};
use crate::column::Keys;
use crate::{Error, Result};

/// One side of the judgements: a table, the column of its key, and the keys that count.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    pub table: &'a Table,
    pub key: &'a [String],
    pub keys: &'a Keys,
}

/// What was judged.
pub struct Judgements {
    /// For each query its relevant documents, by their places among the keys, ascending, with their grades above 0.
    pub relevant: Vec<Vec<(usize, f64)>>,
    /// Judgements above 0.
    pub found: usize,
    /// Of these, those whose query and document are both there.
    pub counted: usize,
}

/// Reads judgements from a table with the `columns` query, document and grade. A grade of 0 or less is not relevant; what
/// is not judged is not, either.
pub fn judgements(qrels: &Table, columns: [&str; 3], queries: Judged<'_>, documents: Judged<'_>) -> Result<Judgements> {
    for (side, column) in [(queries, columns[0]), (documents, columns[1])] {
        let mut kinds = None;
        side.table.check_keys(side.key, &mut kinds)?;
        qrels.check_keys(&[column.to_owned()], &mut kinds)?;
    }
    let (of_query, of_document) = (KeyIndex::new(queries.keys, |_, _| ()), KeyIndex::new(documents.keys, |_, _| ()));
    let mut found = 0;
    let mut relevant: Vec<Vec<(usize, f64)>> = vec![Vec::new(); queries.keys.len()];
    qrels.columns(&columns, |file, first, parts| {
        let grade = columns[2];
        let numbers = cast(&parts[2], &DataType::Float64).map_err(|_| {
            let data_type = parts[2].data_type();
            Error::file(
                file.shown(),
                format!("column `{grade}`: {data_type} is no grade: a number above 0 is relevant"),
            )
        })?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let all: Vec<usize> = (0..numbers.len()).collect();
        let keys = |part: usize| read_keys(file, &[columns[part].to_owned()], &parts[part..=part], first, &all);
        let (query_keys, document_keys) = (keys(0)?, keys(1)?);
        for row in all {
            if numbers.is_null(row) || !numbers.value(row).is_finite() {
                let message = "is NULL or not finite: a grade is a number, above 0 where the document is relevant";
                return Err(file.row_error(grade, first + row as u64, message));
            }
            if numbers.value(row) <= 0.0 {
                continue;
            }
            found += 1;
            if let (Some(query), Some(document)) =
                (of_query.get(&query_keys, row), of_document.get(&document_keys, row))
            {
                relevant[query].push((document, numbers.value(row)));
            }
        }
        Ok(())
    })?;
    for (query, relevant) in relevant.iter_mut().enumerate() {
        relevant.sort_by_key(|(document, _)| *document);
        if let Some(pair) = relevant.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::file(
                qrels.shown(),
                format!(
                    "document {} is judged twice for query {}: keep one of the two",
                    documents.keys.display(pair[0].0),
                    queries.keys.display(query)
                ),
            ));
        }
    }
    let counted = relevant.iter().map(Vec::len).sum();
    Ok(Judgements { relevant, found, counted })
}
