//! `wikimatrix('path')`: the sentence pairs of a WikiMatrix file (Schwenk et al. 2021), as a table `margin, left, right`, in the order of
//! the file: best first, as published.
//!
//! The file has a pair a line, `margin TAB sentence TAB sentence`, no header, usually compressed by gzip (which is found by its bytes,
//! not by its name). Sentences are taken as they stand: quotes and backslashes are plain characters. The languages are in the
//! file's name, `WikiMatrix.de-en.tsv.gz`, in alphabetical order, the left one first. A line that is not three columns, or whose margin
//! is no finite number, or that is no UTF-8, or has an empty sentence, or is longer than a megabyte is broken: it is counted and left
//! out. A file that is not there, has no pair at all, or whose compression is damaged is an error. One pass, memory of some thousand lines.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Error;

/// The name in SQL.
pub const NAME: &str = "wikimatrix";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("margin", DataType::Float64, false),
        Field::new("left", DataType::Utf8, false),
        Field::new("right", DataType::Utf8, false),
    ]))
});

/// Pairs of a batch.
const BATCH_PAIRS: usize = 4096;
/// A longer line is broken: sentences are a few hundred bytes.
const MAX_LINE: u64 = 1 << 20;
/// Parts of the file that wait to be read.
const PARTS: usize = 4;
/// Bytes at the beginning of what gzip made.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Lines of WikiMatrix files read in a session, by file.
#[derive(Debug, Default)]
pub struct Lines(Mutex<BTreeMap<String, Count>>);

/// Lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines read.
    pub read: u64,
    /// Those among them that were left out, being broken.
    pub broken: u64,
    /// The first of these, from 1.
    pub first_broken: Option<u64>,
}

impl Lines {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines read so far.
    pub fn read(&self) -> u64 {
        self.counts().values().map(|count| count.read).sum()
    }

    /// What was read since the last time, and forgets it.
    pub fn take(&self) -> BTreeMap<String, Count> {
        std::mem::take(&mut *self.counts())
    }

    fn add(&self, path: &str, count: &mut Count) {
        let mut counts = self.counts();
        let Count { read, broken, first_broken } = std::mem::take(count);
        let sum = counts.entry(path.to_owned()).or_default();
        sum.read += read;
        sum.broken += broken;
        sum.first_broken = [sum.first_broken, first_broken].into_iter().flatten().min();
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct WikiMatrix;

impl TableFunctionImpl for WikiMatrix {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let path = match args.exprs() {
            [
                Expr::Literal(
                    ScalarValue::Utf8(Some(path))
                    | ScalarValue::LargeUtf8(Some(path))
                    | ScalarValue::Utf8View(Some(path)),
                    _,
                ),
            ] => path.clone(),
            _ => {
                return plan_err!(
                    "{NAME}: call it as {NAME}('WikiMatrix.de-en.tsv.gz'): one path or URL, as a literal"
                );
            }
        };
        let url = ListingTableUrl::parse(&path)?;
        if url.is_collection() || path.contains(['*', '?', '[']) {
            return plan_err!("{NAME}: {path} is no single file: UNION ALL the files of one pair of languages");
        }
        Ok(Arc::new(StreamingTable::try_new(Arc::clone(&SCHEMA), vec![Arc::new(Pairs { path, url })])?))
    }
}

/// The pairs of a file.
#[derive(Debug)]
struct Pairs {
    path: String,
    url: ListingTableUrl,
}

impl PartitionStream for Pairs {
    fn schema(&self) -> &SchemaRef {
        &SCHEMA
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&SCHEMA), 2);
        let (parts, bytes) = channel(PARTS);
        let (path, url) = (self.path.clone(), self.url.clone());
        let store = context.runtime_env().object_store(url.object_store());
        stream.spawn(async move {
            let refused = |what, error: &object_store::Error| Error::store(&path, what, error);
            let found = store?.get(url.prefix()).await.map_err(|error| refused("cannot be read", &error))?;
            let mut bytes = found.into_stream();
            while let Some(part) = bytes.next().await {
                let part = part.map_err(|error| refused("cannot be read", &error))?;
                // Nobody listens where all that was wanted has been read.
                if parts.send(Part::Bytes(part)).await.is_err() {
                    return Ok(());
                }
            }
            parts.send(Part::End).await.ok();
            Ok(())
        });
        let (path, batches) = (self.path.clone(), stream.tx());
        let lines = context.session_config().get_extension::<Lines>().unwrap_or_default();
        stream.spawn_blocking(move || {
            let cut = AtomicBool::new(false);
            let mut reader = BufReader::new(Parts { bytes, part: Bytes::new(), ended: false, cut: &cut });
            let done = begin(&mut reader, &path).and_then(|begin| {
                let reader = Read::chain(begin.as_slice(), reader);
                if begin == GZIP {
                    let reader = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader));
                    read(reader, &path, &lines, &batches)
                } else {
                    read(reader, &path, &lines, &batches)
                }
            });
            // What came is not all there is: either nobody wants more, or the one who fetched it says why.
            if cut.load(Ordering::Relaxed) { Ok(()) } else { done }
        });
        stream.build()
    }
}

/// The first bytes of a file: as many as tell gzip from text, or all where it has fewer.
fn begin(reader: &mut impl Read, path: &str) -> Result<Vec<u8>> {
    let mut begin = Vec::new();
    let read = reader.take(GZIP.len() as u64).read_to_end(&mut begin);
    read.map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    Ok(begin)
}

/// What comes of a file.
enum Part {
    Bytes(Bytes),
    End,
}

/// The parts of a file as they come, one after the other.
struct Parts<'a> {
    bytes: Receiver<Part>,
    part: Bytes,
    ended: bool,
    /// Set where they stop coming before the end.
    cut: &'a AtomicBool,
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() && !self.ended {
            match self.bytes.blocking_recv() {
                Some(Part::Bytes(part)) => self.part = part,
                Some(Part::End) => self.ended = true,
                None => {
                    self.cut.store(true, Ordering::Relaxed);
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the rest of it did not come"));
                }
            }
        }
        let length = self.part.len().min(out.len());
        self.part.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

/// Reads all lines and sends on what they hold.
fn read(mut reader: impl BufRead, path: &str, lines: &Lines, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
    let damaged = |number: u64, error: io::Error| {
        let message = format!("cannot be read after line {number}: {error}; fetch the file again");
        DataFusionError::from(Error::file(path, message))
    };
    let (mut count, mut number, mut broken, mut line) = (Count::default(), 0, 0, Vec::new());
    loop {
        let mut batch = Batch::default();
        while batch.pairs < BATCH_PAIRS {
            line.clear();
            let length = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            if length.map_err(|error| damaged(number, error))? == 0 {
                break;
            }
            number += 1;
            count.read += 1;
            let whole = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE;
            if !whole {
                skip_line(&mut reader).map_err(|error| damaged(number, error))?;
            }
            match pair(&line).filter(|_| whole) {
                Some(pair) => batch.push(pair),
                None => {
                    count.broken += 1;
                    count.first_broken.get_or_insert(number);
                }
            }
        }
        // Lines that nobody waits for any more belong to no statement.
        if batches.is_closed() {
            return Ok(());
        }
        broken += count.broken;
        lines.add(path, &mut count);
        if batch.pairs == 0 {
            return if broken < number {
                Ok(())
            } else {
                let found =
                    if number == 0 { "is empty".to_owned() } else { format!("has {number} lines, and all are broken") };
                let message = format!("{found}: a line is margin, tab, sentence, tab, sentence");
                Err(Error::file(path, message).into())
            };
        }
        if batches.blocking_send(batch.finish()).is_err() {
            return Ok(());
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

/// What a line holds; `None` where it is broken.
fn pair(line: &[u8]) -> Option<(f64, &str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut columns = line.strip_suffix('\r').unwrap_or(line).split('\t');
    let (margin, left, right) = (columns.next()?, columns.next()?, columns.next()?);
    let margin: f64 = margin.parse().ok().filter(|margin: &f64| margin.is_finite())?;
    (columns.next().is_none() && !left.is_empty() && !right.is_empty()).then_some((margin, left, right))
}

#[derive(Default)]
struct Batch {
    pairs: usize,
    margin: Float64Builder,
    left: StringBuilder,
    right: StringBuilder,
}

impl Batch {
    fn push(&mut self, (margin, left, right): (f64, &str, &str)) {
        self.pairs += 1;
        self.margin.append_value(margin);
        self.left.append_value(left);
        self.right.append_value(right);
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.margin.finish()), Arc::new(self.left.finish()), Arc::new(self.right.finish())];
        Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> (Vec<RecordBatch>, Count) {
        let (sender, mut receiver) = channel(8);
        let lines = Lines::default();
        read(text, "a.tsv", &lines, &sender).unwrap();
        drop(sender);
        let mut batches = Vec::new();
        while let Some(batch) = receiver.blocking_recv() {
            batches.push(batch.unwrap());
        }
        (batches, lines.take().remove("a.tsv").unwrap_or_default())
    }

    #[test]
    fn a_line_is_a_margin_and_two_sentences_as_they_stand() {
        assert_eq!(
            pair(b"1.25\tSie sagt \"nein\"\tC:\\temp, 'q'\n"),
            Some((1.25, "Sie sagt \"nein\"", "C:\\temp, 'q'"))
        );
        assert_eq!(pair("1e0\tä\té\r\n".as_bytes()), Some((1.0, "ä", "é")));
        for broken in
            [&b"1.1\ta\n"[..], b"x\ta\tb\n", b"1.1\ta\tb\tc\n", b"NaN\ta\tb\n", b"1.1\t\tb\n", b"\n", b"1\t\xff\tb\n"]
        {
            assert_eq!(pair(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn broken_lines_are_counted_and_the_others_read() {
        let mut text = b"1.3\ta\tb\nbroken\n".to_vec();
        text.extend(vec![b'x'; 3 << 20]);
        text.extend(b"\n1.2\tc\td\nbroken\n1.1\te\tf");
        let (batches, count) = all(&text);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        assert_eq!(count, Count { read: 6, broken: 3, first_broken: Some(2) });
    }

    #[test]
    fn a_file_without_a_pair_is_an_error() {
        for (text, message) in
            [("", "a.tsv: is empty"), ("margin,left,right\n1.2,a,b\n", "has 2 lines, and all are broken")]
        {
            let (sender, _receiver) = channel(8);
            let error = read(text.as_bytes(), "a.tsv", &Lines::default(), &sender).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_long_file_comes_in_batches() {
        let text = "1.5\tone\tuno\n".repeat(10_000);
        let (batches, count) = all(text.as_bytes());
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [4096, 4096, 1808]);
        assert_eq!(count, Count { read: 10_000, broken: 0, first_broken: None });
    }
}
