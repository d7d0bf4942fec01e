//! Translating a lake file by file: the same layout out, other columns and the row order kept.
//!
//! A file is read in order, in chunks of about 32 MB of vectors. Each chunk is translated and encoded as one row group by the
//! worker that read it, and written when its turn has come. What a chunk holds depends on the file alone, so the bytes
//! written are the same whatever the number of threads; and memory is a few chunks a thread, whatever the file.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::file::{Batches, File, VectorColumn, said};
use super::lineage::{KEY, Lineage};
use super::output::Output;
use super::place::Found;
use super::stored::read_translator;
use super::{Place, Source};
use crate::column::describe::encoder_name;
use crate::column::{Embeddings, Flaw, Translator, Width, embedding};
use crate::kernel::block::{BLOCK_ROWS, Scratch};
use crate::{Error, Result};

/// Vectors of a chunk in bytes, counted on the wider side: the size of an output's row groups.
const CHUNK_BYTES: usize = 32 << 20;
/// A chunk ends before it holds more than that, all columns counted.
const CHUNK_LIMIT: usize = 64 << 20;
/// Chunks that a thread may hold, in work or waiting for their turn to be written.
const CHUNKS_A_THREAD: usize = 2;
/// Outputs that exist and are named in an error.
const NAMED: usize = 5;

/// What to translate.
#[derive(Debug, Clone)]
pub struct Request {
    /// A Parquet file or a folder of them.
    pub input: Place,
    /// A file for a file, a folder for a folder.
    pub output: Place,
    /// The file of the translator.
    pub translator: Place,
    /// The embedding column; found where absent.
    pub column: Option<String>,
    /// Whether outputs that exist are replaced.
    pub overwrite: bool,
    /// Threads; as many as there are cores where absent.
    pub threads: Option<NonZero<usize>>,
}

/// A job whose inputs and outputs have been checked; nothing is written yet.
#[derive(Debug)]
pub struct Plan {
    translator: Translator,
    column: Option<String>,
    threads: usize,
    tasks: Vec<Task>,
}

/// One file of a plan.
#[derive(Debug)]
struct Task {
    source: Source,
    output: Place,
    rows: u64,
}

/// How far a job is; shared with whoever watches it, or stops it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows written.
    pub rows: AtomicU64,
    /// Files whose output is complete.
    pub files: AtomicUsize,
    /// Bytes of these outputs.
    pub bytes: AtomicU64,
    /// Set to stop the job: files in work are given up, finished ones stay.
    pub stop: AtomicBool,
}

impl Progress {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// Files whose output is complete.
    pub files: usize,
    /// Files of the plan.
    pub planned: usize,
    /// Rows of the complete outputs.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What stopped the job before its end, unless it was told to.
    pub error: Option<Error>,
}

impl Plan {
    /// Checks everything that can be checked before a row is translated: that there is input, that every file has the
    /// column with vectors of the translator's width and is no translation itself, and that no output is in the way.
    pub fn new(request: &Request) -> Result<Self> {
        let translator = read_translator(&request.translator)?;
        let Found { files: sources, single } = request.input.find()?;
        if !single && request.output.is_within(&request.input) {
            return Err(Error::Exists {
                path: request.output.shown().to_owned(),
                message: format!("is in the input folder {}: name a folder outside of it", request.input.shown()),
            });
        }
        let into_folder = !single || request.output.is_folder();
        if into_folder && request.output.look()?.is_some() {
            return Err(Error::Exists {
                path: request.output.shown().to_owned(),
                message: "is a file, and the input is a folder: name a folder".into(),
            });
        }
        let outputs = sources
            .iter()
            .map(
                |source| if into_folder { request.output.below(source.relative()) } else { Ok(request.output.clone()) },
            )
            .collect::<Result<Vec<_>>>()?;
        check_outputs(request, &sources, &outputs)?;

        let threads = request.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let rows = check_inputs(request, &translator, &sources, threads)?;
        let tasks = sources.into_iter().zip(outputs).zip(rows);
        Ok(Self {
            translator,
            column: request.column.clone(),
            threads,
            tasks: tasks.map(|((source, output), rows)| Task { source, output, rows }).collect(),
        })
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.tasks.len()
    }

    /// How many rows the inputs have.
    pub fn rows(&self) -> u64 {
        self.tasks.iter().map(|task| task.rows).sum()
    }

    /// How many bytes the inputs have.
    pub fn bytes(&self) -> u64 {
        self.tasks.iter().map(|task| task.source.size()).sum()
    }

    /// Does the job. Outputs appear one by one, each whole; after an error or a stop those that are complete stay.
    pub fn run(&self, progress: &Progress) -> Outcome {
        let board = Board { plan: self, progress, state: Mutex::default(), changed: Condvar::new() };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| board.work());
            }
        });
        let state = board.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome {
            files: state.done,
            planned: self.tasks.len(),
            rows: state.rows,
            bytes: progress.bytes.load(Ordering::Relaxed),
            error: state.error,
        }
    }
}

/// Refuses outputs that are inputs, and those that exist unless they may be replaced.
fn check_outputs(request: &Request, sources: &[Source], outputs: &[Place]) -> Result<()> {
    let inputs: HashSet<_> =
        sources.iter().map(|source| source.place()).chain([&request.translator]).map(Place::identity).collect();
    if let Some(output) = outputs.iter().find(|output| inputs.contains(&output.identity())) {
        return Err(Error::Exists {
            path: output.shown().to_owned(),
            message: "is an input of this job: an input is never overwritten, name another output".into(),
        });
    }
    if request.overwrite {
        return outputs.iter().try_for_each(|output| output.check_writable(true));
    }
    let mut there = Vec::new();
    for output in outputs {
        if output.is_folder() || output.look()?.is_some() {
            there.push(output.shown());
        }
    }
    match there.as_slice() {
        [] => Ok(()),
        [only] => {
            Err(Error::Exists { path: (*only).to_owned(), message: "exists: give --overwrite to replace it".into() })
        }
        several => {
            let more = several.len().saturating_sub(NAMED);
            let names = several.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let names = if more > 0 { format!("{names} and {more} more") } else { names };
            Err(Error::Exists {
                path: request.output.shown().to_owned(),
                message: format!(
                    "{} of {} outputs exist ({names}): give --overwrite to replace them",
                    several.len(),
                    outputs.len()
                ),
            })
        }
    }
}

/// Opens every input and checks it; the rows of each. Of several bad ones the first in order is reported.
fn check_inputs(request: &Request, translator: &Translator, sources: &[Source], threads: usize) -> Result<Vec<u64>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let checked = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(sources.len()) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(source) = sources.get(index) else { return };
                    let rows = check_input(request, translator, source);
                    failed.fetch_or(rows.is_err(), Ordering::Relaxed);
                    checked.lock().unwrap_or_else(PoisonError::into_inner).insert(index, rows);
                }
            });
        }
    });
    checked.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn check_input(request: &Request, translator: &Translator, source: &Source) -> Result<u64> {
    let file = File::open(source.clone())?;
    if let Some(lineage) = Lineage::of(file.metadata().file_metadata().key_value_metadata()) {
        let by = lineage.map_or_else(|_| String::new(), |lineage| format!(" (to '{}')", lineage.target_encoder));
        return Err(Error::file(
            file.shown(),
            format!("is itself a translation{by}: translate from the original, errors add up"),
        ));
    }
    let column = file.vector_column(request.column.as_deref())?;
    match file.width(&column)? {
        Some(width) if width != translator.source_width => {
            Err(Error::file(file.shown(), other_width(translator, &column, width)))
        }
        _ => Ok(file.rows()),
    }
}

/// What to say where a file's vectors are not the translator's source vectors.
fn other_width(translator: &Translator, column: &VectorColumn, found: usize) -> String {
    let (from, to) = (encoder_name(&translator.source_encoder), encoder_name(&translator.target_encoder));
    let (d_x, d_y) = (translator.source_width, translator.target_width);
    let advice = if found == d_y {
        format!("these look like vectors of '{to}', the other direction: fit a translator '{to}' -> '{from}'")
    } else {
        "take the translator of this file's encoder".to_owned()
    };
    format!(
        "column `{}` has vectors of {found} numbers, and the translator is for '{from}' ({d_x} numbers) -> '{to}' ({d_y} \
         numbers): {advice}",
        column.name
    )
}

/// What the workers share.
struct Board<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next task that nobody has begun.
    next: usize,
    /// Files begun and not finished, the oldest first.
    flights: Vec<Arc<Flight>>,
    /// Files that are being opened.
    opening: usize,
    /// Files finished.
    done: usize,
    /// Their rows.
    rows: u64,
    error: Option<Error>,
}

/// What a worker does next.
enum Step {
    Open(usize),
    Read(Arc<Flight>, Box<Reading>),
    Leave,
}

/// A file in work.
struct Flight {
    task: usize,
    file: File,
    column: VectorColumn,
    schema: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
    /// Taken by the worker that reads the next chunk.
    reading: Mutex<Option<Box<Reading>>>,
    /// Chunks read and not yet written.
    ahead: AtomicUsize,
    writing: Mutex<Option<Writing>>,
}

struct Reading {
    batches: Batches,
    /// Chunks read so far.
    chunks: usize,
    /// Rows read so far.
    rows: u64,
}

struct Chunk {
    number: usize,
    first_row: u64,
    batches: Vec<RecordBatch>,
}

/// A chunk as it goes to the file.
struct Encoded {
    columns: Vec<ArrowColumnChunk>,
    rows: u64,
}

struct Writing {
    file: SerializedFileWriter<Output>,
    /// The chunk whose turn it is.
    next: usize,
    /// Encoded chunks that wait for their turn.
    waiting: BTreeMap<usize, Encoded>,
    /// How many chunks there are, once the last one was read.
    last: Option<usize>,
    rows: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board<'_> {
    fn work(&self) {
        let mut scratch = Scratch::default();
        loop {
            let step = self.step();
            let task = match &step {
                Step::Leave => return,
                Step::Open(task) => *task,
                Step::Read(flight, _) => flight.task,
            };
            // The others wait for this file: a panic must end the job like any error.
            let stepped = catch_unwind(AssertUnwindSafe(|| match step {
                Step::Leave => Ok(()),
                Step::Open(task) => self.open(task),
                Step::Read(flight, reading) => self.advance(&flight, reading, &mut scratch),
            }));
            let failed = match stepped {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(self.plan.named(task, error)),
                Err(panic) => Some(self.plan.panicked(task, said(panic.as_ref()))),
            };
            if let Some(error) = failed {
                let mut state = lock(&self.state);
                state.error.get_or_insert(error);
                // Dropped without completion: nothing of these outputs remains.
                let given_up = std::mem::take(&mut state.flights);
                drop(state);
                drop(given_up);
            }
            self.changed.notify_all();
        }
    }

    /// Waits for something to do: read on in a file that nobody reads, or else begin another file.
    fn step(&self) -> Step {
        let mut state = lock(&self.state);
        loop {
            if state.error.is_some() || self.progress.stopped() {
                return Step::Leave;
            }
            let ahead: usize = state.flights.iter().map(|flight| flight.ahead.load(Ordering::Relaxed)).sum();
            if ahead < CHUNKS_A_THREAD * self.plan.threads {
                for flight in &state.flights {
                    if let Some(reading) = lock(&flight.reading).take() {
                        return Step::Read(Arc::clone(flight), reading);
                    }
                }
            }
            if state.next < self.plan.tasks.len() && state.flights.len() + state.opening < self.plan.threads {
                state.next += 1;
                state.opening += 1;
                return Step::Open(state.next - 1);
            }
            if state.done == self.plan.tasks.len() {
                return Step::Leave;
            }
            // A time limit, for a stop wakes nobody.
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn open(&self, task: usize) -> Result<()> {
        let opened = self.plan.tasks.get(task).map(|planned| self.plan.begin(task, planned)).transpose();
        let mut state = lock(&self.state);
        state.opening -= 1;
        if let Some(flight) = opened? {
            state.flights.push(Arc::new(flight));
        }
        Ok(())
    }

    /// Reads the next chunk of a file, lets others read on, and translates, encodes and writes it.
    fn advance(&self, flight: &Arc<Flight>, mut reading: Box<Reading>, scratch: &mut Scratch) -> Result<()> {
        let (chunk, last) = self.read(flight, &mut reading)?;
        let chunks = reading.chunks;
        flight.ahead.fetch_add(1, Ordering::Relaxed);
        if !last {
            *lock(&flight.reading) = Some(reading);
        }
        self.changed.notify_all();
        let (number, encoded) = match chunk {
            Some(chunk) => {
                let number = chunk.number;
                let Some(encoded) = self.encode(flight, chunk, scratch)? else { return Ok(()) };
                (number, Some(encoded))
            }
            None => (chunks, None),
        };
        self.write(flight, number, encoded, last.then_some(chunks))
    }

    /// The next chunk, `None` where no row is left; and whether it was the last.
    fn read(&self, flight: &Flight, reading: &mut Reading) -> Result<(Option<Chunk>, bool)> {
        let (first_row, mut batches, mut bytes, mut last) = (reading.rows, Vec::new(), 0, false);
        let rows = self.plan.chunk_rows() as u64;
        while reading.rows - first_row < rows && bytes < CHUNK_LIMIT && !self.progress.stopped() {
            let Some(batch) = reading.batches.next().transpose()? else {
                last = true;
                break;
            };
            reading.rows += batch.num_rows() as u64;
            bytes += batch.get_array_memory_size();
            batches.push(batch);
        }
        if last && reading.rows != flight.file.rows() {
            return Err(Error::file(
                flight.file.shown(),
                format!("has {} rows, and its footer says {}: it is damaged", reading.rows, flight.file.rows()),
            ));
        }
        let chunk = (!batches.is_empty()).then(|| {
            reading.chunks += 1;
            Chunk { number: reading.chunks - 1, first_row, batches }
        });
        Ok((chunk, last))
    }

    /// Translates a chunk and encodes all of its columns. `None` where the job is to stop.
    fn encode(&self, flight: &Flight, chunk: Chunk, scratch: &mut Scratch) -> Result<Option<Encoded>> {
        let mut writers = flight.factory.create_column_writers(chunk.number)?;
        let mut row = chunk.first_row;
        for batch in chunk.batches {
            if self.progress.stopped() {
                return Ok(None);
            }
            let mut leaf = writers.iter_mut();
            for (index, field) in flight.schema.fields().iter().enumerate() {
                let column = if index == flight.column.index {
                    self.plan.translate(flight, batch.column(index), row, scratch)?
                } else {
                    Arc::clone(batch.column(index))
                };
                for (levels, writer) in compute_leaves(field, &column)?.iter().zip(leaf.by_ref()) {
                    writer.write(levels)?;
                }
            }
            row += batch.num_rows() as u64;
        }
        let columns = writers.into_iter().map(|writer| writer.close()).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Encoded { columns, rows: row - chunk.first_row }))
    }

    /// Writes a chunk when its turn has come, and those that waited for it; completes the file after the last.
    fn write(&self, flight: &Arc<Flight>, number: usize, encoded: Option<Encoded>, last: Option<usize>) -> Result<()> {
        let mut guard = lock(&flight.writing);
        let Some(writing) = guard.as_mut() else { return Ok(()) };
        match encoded {
            Some(encoded) => drop(writing.waiting.insert(number, encoded)),
            None => drop(flight.ahead.fetch_sub(1, Ordering::Relaxed)),
        }
        writing.last = writing.last.or(last);
        while let Some(encoded) = writing.waiting.remove(&writing.next) {
            let mut group = writing.file.next_row_group()?;
            for column in encoded.columns {
                column.append_to_row_group(&mut group)?;
            }
            group.close()?;
            writing.next += 1;
            writing.rows += encoded.rows;
            flight.ahead.fetch_sub(1, Ordering::Relaxed);
            self.progress.rows.fetch_add(encoded.rows, Ordering::Relaxed);
        }
        if writing.last != Some(writing.next) || self.progress.stopped() {
            return Ok(());
        }
        let Some(writing) = guard.take() else { return Ok(()) };
        let bytes = writing.file.into_inner()?.complete()?;
        let mut state = lock(&self.state);
        state.flights.retain(|other| other.task != flight.task);
        state.done += 1;
        state.rows += writing.rows;
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Plan {
    /// An error that says no file, with the output's name.
    fn named(&self, task: usize, error: Error) -> Error {
        match (error, self.tasks.get(task)) {
            (error @ (Error::Arrow(_) | Error::Parquet(_)), Some(task)) => {
                Error::file(task.output.shown(), format!("cannot be written: {error}"))
            }
            (error, _) => error,
        }
    }

    fn panicked(&self, task: usize, reason: &str) -> Error {
        let source = self.tasks.get(task).map_or("", |task| task.source.shown());
        Error::file(source, format!("cannot be translated, please report this: {reason}"))
    }

    /// Rows of a chunk at most.
    fn chunk_rows(&self) -> usize {
        let row = self.translator.source_width.max(self.translator.target_width) * size_of::<f32>();
        (CHUNK_BYTES / row.max(1) / BLOCK_ROWS).max(1) * BLOCK_ROWS
    }

    /// Opens an input and begins its output.
    fn begin(&self, number: usize, task: &Task) -> Result<Flight> {
        let file = File::open(task.source.clone())?;
        let column = file.vector_column(self.column.as_deref())?;
        let schema = self.output_schema(&file, &column);
        let properties = self.properties(&file, &column, &schema, task)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_schema_root(file.metadata().file_metadata().schema_descr().root_schema().name().to_owned());
        let writer = ArrowWriter::try_new_with_options(Output::new(&task.output), Arc::clone(&schema), options)?;
        let (writer, factory) = writer.into_serialized_writer()?;
        let all: Vec<usize> = (0..file.schema().fields().len()).collect();
        let widest = self.translator.source_width.max(self.translator.target_width);
        let batches = file.read(&all, file.batch_rows(&all, Some((&column, widest))), None)?;
        Ok(Flight {
            task: number,
            file,
            column,
            schema,
            factory,
            reading: Mutex::new(Some(Box::new(Reading { batches, chunks: 0, rows: 0 }))),
            ahead: AtomicUsize::new(0),
            writing: Mutex::new(Some(Writing { file: writer, next: 0, waiting: BTreeMap::new(), last: None, rows: 0 })),
        })
    }

    /// The input's columns with the embedding column's new type in its place.
    fn output_schema(&self, file: &File, column: &VectorColumn) -> SchemaRef {
        let fields = file.schema().fields().iter().enumerate().map(|(index, field)| {
            if index == column.index {
                let data_type = Width::Fixed(self.translator.target_width).data_type();
                let field =
                    Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone());
                Arc::new(field)
            } else {
                Arc::clone(field)
            }
        });
        // The footer's entries are carried over as entries; in the schema they would be there twice.
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Every column compressed as in the input; the vectors plain, without dictionary and statistics; the input's footer
    /// entries kept and our lineage added.
    fn properties(&self, file: &File, column: &VectorColumn, schema: &Schema, task: &Task) -> Result<WriterProperties> {
        let mut entries: Vec<_> = file.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        entries.retain(|entry| entry.key != ARROW_SCHEMA_META_KEY && entry.key != KEY);
        let lineage = Lineage::new(&self.translator, &column.name, task.source.relative(), file.rows());
        entries.push(lineage.to_entry());

        let input = file.metadata().file_metadata().schema_descr();
        let compression = |index: usize| {
            let leaf = (0..input.num_columns()).find(|&leaf| input.get_column_root_idx(leaf) == index);
            let chunk = leaf.and_then(|leaf| Some(file.metadata().row_groups().first()?.column(leaf)));
            match chunk.map(|chunk| chunk.compression()) {
                // Codecs that are read and not written.
                Some(Compression::LZ4 | Compression::LZ4_RAW) => Compression::LZ4_RAW,
                Some(Compression::LZO) | None => Compression::ZSTD(ZstdLevel::default()),
                Some(codec) => codec,
            }
        };
        let mut properties = WriterProperties::builder().set_key_value_metadata(Some(entries));
        let output = ArrowSchemaConverter::new().convert(schema)?;
        for leaf in 0..output.num_columns() {
            let root = output.get_column_root_idx(leaf);
            let path: ColumnPath = output.column(leaf).path().clone();
            properties = properties.set_column_compression(path.clone(), compression(root));
            if root == column.index {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                    .set_column_encoding(path, Encoding::PLAIN);
            }
        }
        Ok(properties.build())
    }

    /// The embedding column of a batch that begins at `first_row`, translated. NULL rows stay NULL.
    fn translate(&self, flight: &Flight, column: &ArrayRef, first_row: u64, scratch: &mut Scratch) -> Result<ArrayRef> {
        let translator = &self.translator;
        let flaw = |flaw: Flaw| flight.file.flaw(&flight.column, first_row, &flaw);
        let view = Embeddings::of(column).map_err(flaw)?;
        view.check_width(translator.source_width).map_err(flaw)?;
        let mut translated = vec![0.0; view.len() * translator.target_width];
        translator
            .translation()
            .apply(view.len(), |row| view.row(row), scratch, &mut translated)
            .map_err(|bad| flaw(Flaw::NotFinite { row: bad.row }))?;
        Ok(Arc::new(embedding::fixed(translated, translator.target_width, view.nulls(), view.len())?))
    }
}
