//! Embeddings in other formats to one Parquet table: arrays of numpy, the files of search benchmarks, word vectors, tensors, JSON lines.
//!
//! Files are read through windows and written as COPY writes: memory does not grow with the file, and what is written is visible when
//! it is complete.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Result as EngineResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use tokio::sync::mpsc::Sender;

use self::input::Input;
use self::keys::Keys;
use self::lines::{Lines, Parse};
use self::matrix::Matrix;
use self::npz::Member;
pub(super) use self::safetensors::floats;
use super::Place;
use crate::session::file::write_file;
use crate::{Error, Result};

mod input;
mod json;
mod keys;
mod lines;
mod matrix;
mod npy;
mod npz;
mod safetensors;
mod vecs;
mod words;

/// The name of the vectors' column.
const COLUMN: &str = "embedding";
/// The name of the column of row numbers, and of keys that have none of their own.
const ID: &str = "id";
/// Bad rows and lines that are told.
const TOLD: usize = 5;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An array of numpy.
    Npy,
    /// Arrays of numpy in an archive.
    Npz,
    /// Rows that each begin with their width: of `f32`, or of `u8`.
    Vecs(matrix::Item),
    /// Rows after their number and their width.
    Bin(matrix::Item),
    /// A word and its vector on every line: word2vec's text, fastText, GloVe.
    Words,
    /// Tensors by name.
    Safetensors,
    /// A JSON object on every line.
    Json,
}

impl Format {
    /// Every format by its name, which is the extension of its files.
    const ALL: [(&str, Self); 11] = [
        ("npy", Self::Npy),
        ("npz", Self::Npz),
        ("fvecs", Self::Vecs(matrix::Item::F32)),
        ("bvecs", Self::Vecs(matrix::Item::U8)),
        ("fbin", Self::Bin(matrix::Item::F32)),
        ("f16bin", Self::Bin(matrix::Item::F16)),
        ("u8bin", Self::Bin(matrix::Item::U8)),
        ("i8bin", Self::Bin(matrix::Item::I8)),
        ("vec", Self::Words),
        ("safetensors", Self::Safetensors),
        ("jsonl", Self::Json),
    ];

    /// The names of all of them.
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// The format of a file that is called so.
    fn of(place: &Place) -> Result<Self> {
        let name = place.name().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz");
        let extension = plain.unwrap_or(&name).rsplit_once('.').map_or("", |(_, extension)| extension);
        let wrong = |message: String| Err(Error::file(place.shown(), message));
        match extension {
            "parquet" => wrong("is Parquet already, by its name".to_owned()),
            "bin" => wrong(
                "is word2vec's binary format, by its name, which is not read: save it as text with gensim's \
                 save_word2vec_format(binary=False), or name its --format"
                    .to_owned(),
            ),
            _ => match extension.parse() {
                Ok(format @ (Self::Words | Self::Json)) => Ok(format),
                Ok(_) if plain.is_some() => wrong("is compressed, by its name: decompress it first".to_owned()),
                Ok(format) => Ok(format),
                Err(()) => {
                    wrong(format!("its name does not tell its format: name it with --format, {}", Self::names()))
                }
            },
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = if ["ndjson", "json"].contains(&text) { "jsonl" } else { text };
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or(())
    }
}

/// What to import.
#[derive(Debug)]
pub struct Request {
    /// The file.
    pub file: Place,
    /// What it is; as its name says where absent.
    pub format: Option<Format>,
    /// The array of an archive, or the tensor of a file of several.
    pub array: Option<String>,
    /// A file of a key for every row, and its column.
    pub keys: Option<(Place, Option<String>)>,
    /// What the column of keys or row numbers is called.
    pub id_column: Option<String>,
    /// The member of JSON lines that holds the vector.
    pub column: Option<String>,
    /// Whether bad rows and lines are left out.
    pub skip_bad: bool,
}

/// A file that is ready to be read.
#[derive(Debug)]
pub struct Import {
    schema: SchemaRef,
    width: usize,
    work: Work,
    skip_bad: bool,
    left_out: Vec<String>,
    progress: Arc<Progress>,
}

/// Where rows come from.
#[derive(Debug, Clone)]
enum Work {
    Matrix(Input, Matrix, Keys),
    Member(Input, Member, Keys),
    Lines(Lines, Arc<dyn Parse>),
}

/// How far an import is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read.
    pub bytes: Arc<AtomicU64>,
    /// Bytes there are to read.
    pub total: AtomicU64,
    /// Rows imported.
    pub rows: AtomicU64,
    bad: Mutex<Bad>,
}

/// Rows or lines that were left out.
#[derive(Debug, Clone, Default)]
pub struct Bad {
    /// How many.
    pub count: u64,
    /// The first of them, and what is wrong with each.
    pub first: Vec<String>,
}

impl Progress {
    /// What was left out so far.
    pub fn bad(&self) -> Bad {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Bad> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Import {
    /// Opens the file and looks at its beginning: what it is, how many rows of which width, and whether all of them are there.
    pub fn open(request: &Request, progress: &Arc<Progress>) -> Result<Self> {
        let format = request.format.map_or_else(|| Format::of(&request.file), Ok)?;
        let input = Input::open(&request.file, progress)?;
        let wrong = |message: String| Err(Error::file(request.file.shown(), message));
        let is = |formats: &[Format]| formats.contains(&format);
        let (array, member) = (request.array.as_deref(), request.column.as_deref());
        if array.is_some() && !is(&[Format::Npz, Format::Safetensors]) {
            return wrong("--array names an array of an npz or safetensors file: drop it".to_owned());
        }
        if member.is_some() && !is(&[Format::Json]) {
            return wrong("--column names a member of JSON lines: drop it".to_owned());
        }
        if request.keys.is_some() && is(&[Format::Words, Format::Json]) {
            return wrong("--keys is for rows that nothing names, and every line here has its own: drop it".to_owned());
        }
        let id = request.id_column.as_deref();
        let keys = |matrix: &Matrix| Keys::open(request.keys.as_ref(), id, matrix.rows);
        let mut left_out = Vec::new();
        let (columns, width, work) = match format {
            Format::Words => {
                let (lines, words) = words::open(input, id)?;
                (words.columns(), words.width(), Work::Lines(lines, Arc::new(words)))
            }
            Format::Json => {
                let (lines, objects) = json::open(input, member, id)?;
                left_out = objects.left_out().to_vec();
                (objects.columns(), objects.width(), Work::Lines(lines, Arc::new(objects)))
            }
            Format::Npz => {
                let member = npz::open(&input, array)?;
                let keys = keys(&member.matrix)?;
                let columns = vec![keys.field(), member.matrix.field()];
                (columns, member.matrix.width, Work::Member(input, member, keys))
            }
            Format::Npy | Format::Vecs(_) | Format::Bin(_) | Format::Safetensors => {
                let matrix = match format {
                    Format::Vecs(item) => vecs::with_widths(&input, item)?,
                    Format::Bin(item) => vecs::with_header(&input, item)?,
                    Format::Safetensors => safetensors::open(&input, array)?,
                    _ => npy::open(&input)?,
                };
                let keys = keys(&matrix)?;
                (vec![keys.field(), matrix.field()], matrix.width, Work::Matrix(input, matrix, keys))
            }
        };
        let same = |field: &&FieldRef| columns.iter().filter(|other| other.name() == field.name()).count() > 1;
        if let Some(field) = columns.iter().find(same) {
            return wrong(format!("two columns would be called `{}`: name another --id-column", field.name()));
        }
        progress.total.store(work.bytes(), Ordering::Relaxed);
        progress.bytes.store(0, Ordering::Relaxed);
        let (schema, skip_bad, progress) = (Arc::new(Schema::new(columns)), request.skip_bad, Arc::clone(progress));
        Ok(Self { schema, width, work, skip_bad, left_out, progress })
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Members of JSON lines that are no column, being lists or objects.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Writes all rows as one Parquet file; see [`Place::check_writable`] for what is not replaced. Dropped before it is done, nothing
    /// of it remains once the session has settled.
    pub async fn write(self, context: &SessionContext, output: &Place, overwrite: bool) -> Result<()> {
        write_file(context, Arc::new(self), output.url()?, output.shown(), overwrite).await
    }
}

impl PartitionStream for Import {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let (work, schema) = (self.work.clone(), Arc::clone(&self.schema));
        let (to, progress, skip_bad) = (stream.tx(), Arc::clone(&self.progress), self.skip_bad);
        stream.spawn_blocking(move || {
            let out = Out { schema, to, progress: &progress, skip_bad };
            Ok(work.run(&out).and_then(|()| out.end(work.input()))?)
        });
        stream.build()
    }
}

impl Work {
    fn input(&self) -> &Input {
        match self {
            Self::Matrix(input, ..) | Self::Member(input, ..) => input,
            Self::Lines(lines, _) => lines.input(),
        }
    }

    /// Bytes that will be read.
    fn bytes(&self) -> u64 {
        match self {
            Self::Matrix(_, matrix, _) => matrix.bytes(),
            Self::Member(_, member, _) => member.bytes(),
            Self::Lines(lines, _) => lines.input().size(),
        }
    }

    fn run(&self, out: &Out<'_>) -> Result<()> {
        match self {
            Self::Matrix(input, matrix, keys) => matrix.read(input, keys, out),
            Self::Member(input, member, keys) => member.read(input, keys, out),
            Self::Lines(lines, parse) => lines.read(parse.as_ref(), out),
        }
    }
}

/// Where rows go.
struct Out<'a> {
    schema: SchemaRef,
    to: Sender<EngineResult<RecordBatch>>,
    progress: &'a Progress,
    skip_bad: bool,
}

impl Out<'_> {
    /// Rows go on. An error where nobody waits for them any more, which then nobody reads.
    fn send(&self, columns: Vec<ArrayRef>) -> Result<()> {
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.progress.rows.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        self.to.blocking_send(Ok(rows)).map_err(|_| Error::Invalid("the import was stopped".to_owned()))
    }

    /// A row or a line is bad: it is left out where that is wanted.
    fn bad(&self, error: Error) -> Result<()> {
        if !self.skip_bad {
            return Err(error);
        }
        let mut bad = self.progress.lock();
        bad.count += 1;
        if bad.first.len() < TOLD {
            bad.first.push(error.to_string());
        }
        Ok(())
    }

    /// An error where nothing was good.
    fn end(&self, input: &Input) -> Result<()> {
        if self.progress.rows.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let bad = self.progress.bad();
        Err(match bad.first.first() {
            Some(first) => input.wrong(format!("all its {} rows are bad, the first one: {first}", bad.count)),
            None => input.wrong("has no rows"),
        })
    }
}

/// The column of vectors.
fn vectors(item: DataType, width: usize) -> FieldRef {
    let items = Arc::new(Field::new_list_field(item, false));
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    Arc::new(Field::new(COLUMN, DataType::FixedSizeList(items, width), false))
}

/// A number of `width`s that occurs most often, the least of several; none where there are none.
fn most_common(widths: impl IntoIterator<Item = usize>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    widths.into_iter().for_each(|width| *counts.entry(width).or_insert(0) += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(width, _)| width)
}
