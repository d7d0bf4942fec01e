//! The `.slt` files: every function's contract in SQL.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use babelake::session::{self, Settings};
use datafusion::prelude::SessionContext;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

struct Database {
    context: SessionContext,
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = babelake::Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Self::Error> {
        let frame = self.context.sql(sql).await?;
        let types = vec![DefaultColumnType::Any; frame.schema().fields().len()];
        let mut rows = Vec::new();
        for batch in frame.collect().await? {
            for row in 0..batch.num_rows() {
                rows.push(batch.columns().iter().map(|column| cell(column, row)).collect());
            }
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "babelake"
    }
}

/// A value as the files write it: numbers to 5 decimals, lists as [a,b].
fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    let list = |items: ArrayRef| {
        let items: Vec<String> = (0..items.len()).map(|i| cell(&items, i)).collect();
        format!("[{}]", items.join(","))
    };
    match column.data_type() {
        DataType::List(_) => list(column.as_list::<i32>().value(row)),
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row)),
        DataType::Float32 | DataType::Float64 => {
            let number = arrow::compute::cast(&column.slice(row, 1), &DataType::Float64).unwrap();
            let text = format!("{:.5}", number.as_primitive::<Float64Type>().value(0));
            let text = text.trim_end_matches('0').trim_end_matches('.');
            if text == "-0" { "0".into() } else { text.to_owned() }
        }
        _ => {
            let formatter = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
            let text = formatter.value(row).to_string();
            if text.is_empty() { "(empty)".into() } else { text }
        }
    }
}

#[test]
fn every_file_holds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let failures: Vec<String> = runtime.block_on(async {
        let mut failures = Vec::new();
        for file in files {
            let settings = Settings { partitions: Some(2), ..Settings::default() };
            let mut runner = Runner::new(|| async { Ok(Database { context: session::context(&settings)? }) });
            if let Err(error) = runner.run_file_async(&file).await {
                failures.push(format!("{}\n{}", file.display(), error.display(false)));
            }
        }
        failures
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
