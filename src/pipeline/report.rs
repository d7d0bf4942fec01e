//! What a run leaves for machines.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::json::writer::{JsonArray, WriterBuilder};
use datafusion::common::Result as EngineResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;
use serde::Serialize;
use serde_json::Value;

/// The report of a run, filled in as the run goes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The script, as the user named it.
    pub file: String,
    /// Every parameter of the script; `null` where the script's own default was used.
    pub parameters: BTreeMap<String, Option<String>>,
    /// How many statements the script has.
    pub total: usize,
    /// The statements that were started.
    pub statements: Vec<StatementReport>,
}

/// The report of one statement.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StatementReport {
    /// The line it starts at in the file, counted from 1.
    pub line: usize,
    /// Its first words.
    pub statement: String,
    /// Rows read, written or stored; `null` where a statement has none, or did not end.
    pub rows: Option<u64>,
    /// How long it took; `null` when it was interrupted.
    pub seconds: Option<f64>,
    /// Files it has written; `null` where it writes none.
    pub files: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its rows as objects, where they are few and small.
    pub result: Option<Value>,
}

impl Report {
    /// How many statements have ended well.
    pub fn done(&self) -> usize {
        self.statements.iter().filter(|statement| statement.seconds.is_some() && statement.error.is_none()).count()
    }

    /// How many have failed: one or none.
    pub fn failed(&self) -> usize {
        self.statements.iter().filter(|statement| statement.error.is_some()).count()
    }
}

/// Rows of a result that is kept, at most.
const KEPT_ROWS: usize = 100;
/// Bytes that it may take in memory: a hundred rows of a dozen numbers do, and no table of embeddings.
const KEPT_BYTES: usize = 64 << 10;

/// The rows of a small result, kept while somebody else reads them.
#[derive(Debug, Clone, Default)]
pub struct Small(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// The stream was read to its end.
    whole: bool,
}

impl Small {
    /// The same rows, kept as they are read.
    pub fn of(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Tee { rows, kept: self.clone() })
    }

    /// The rows as a JSON array of objects; `None` where they are many, large, not read to their end, or of a type that
    /// JSON cannot hold.
    pub fn to_json(&self) -> Option<Value> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.whole || kept.is_too_much() {
            return None;
        }
        let mut json = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut json);
        kept.batches.iter().try_for_each(|batch| writer.write(batch)).ok()?;
        writer.finish().ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn see(&self, next: Option<&EngineResult<RecordBatch>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            None => kept.whole = true,
            Some(Ok(batch)) if !kept.is_too_much() => {
                kept.rows += batch.num_rows();
                kept.bytes += batch.columns().iter().map(|column| size(column.as_ref())).sum::<usize>();
                kept.batches.push(batch.clone());
                if kept.is_too_much() {
                    kept.batches.clear();
                }
            }
            Some(_) => {}
        }
    }
}

impl Kept {
    fn is_too_much(&self) -> bool {
        self.rows > KEPT_ROWS || self.bytes > KEPT_BYTES
    }
}

/// What the rows of an array take, and not the buffers they are a part of.
fn size(array: &dyn Array) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or(KEPT_BYTES + 1)
}

struct Tee {
    rows: SendableRecordBatchStream,
    kept: Small,
}

impl Stream for Tee {
    type Item = EngineResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.rows.as_mut().poll_next(context));
        self.kept.see(next.as_ref());
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Tee {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
