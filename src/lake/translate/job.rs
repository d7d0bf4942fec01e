//! The workers of a job, and what they share.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parquet::file::writer::SerializedFileWriter;

use super::rewrite::{Encoded, Reading, Rewrite};
use super::{Complete, Plan, Progress, Task};
use crate::kernel::block::Scratch;
use crate::lake::file::{File, said};
use crate::lake::output::Output;
use crate::{Error, Result};

/// Chunks that a thread may hold, in work or waiting for their turn to be written.
const CHUNKS_A_THREAD: usize = 2;

/// What the workers share.
pub struct Board<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    state: Mutex<State>,
    changed: Condvar,
}

/// How a job ended.
#[derive(Default)]
pub struct Done {
    /// Files finished.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
    /// What stopped it.
    pub error: Option<Error>,
}

#[derive(Default)]
struct State {
    /// The next task that nobody has begun.
    next: usize,
    /// Files begun and not finished, the oldest first.
    flights: Vec<Arc<Flight>>,
    /// Files that are being opened.
    opening: usize,
    done: Done,
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
    rewrite: Rewrite,
    /// Taken by the worker that reads the next chunk.
    reading: Mutex<Option<Box<Reading>>>,
    /// Chunks read and not yet written.
    ahead: AtomicUsize,
    writing: Mutex<Option<Writing>>,
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

impl<'a> Board<'a> {
    /// Nothing is done yet.
    pub fn new(plan: &'a Plan, progress: &'a Progress) -> Self {
        Self { plan, progress, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Works on `threads` threads until all is done, or something stops it.
    pub fn run(self, threads: usize) -> Done {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work());
            }
        });
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).done
    }

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
                state.done.error.get_or_insert(error);
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
            if state.done.error.is_some() || self.progress.stopped() {
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
            if state.done.files == self.plan.tasks.len() {
                return Step::Leave;
            }
            // A time limit, for a stop wakes nobody.
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn open(&self, task: usize) -> Result<()> {
        let opened = self.plan.tasks.get(task).map(|planned| self.begin(task, planned)).transpose();
        let mut state = lock(&self.state);
        state.opening -= 1;
        if let Some(flight) = opened? {
            state.flights.push(Arc::new(flight));
        }
        Ok(())
    }

    /// Opens an input and begins its output.
    fn begin(&self, number: usize, task: &Task) -> Result<Flight> {
        let file = File::open(task.source.clone())?;
        let (rewrite, file) = Rewrite::new(file, &self.plan.translator, self.plan.column.as_deref(), &task.output)?;
        Ok(Flight {
            task: number,
            reading: Mutex::new(Some(Box::new(rewrite.read()?))),
            rewrite,
            ahead: AtomicUsize::new(0),
            writing: Mutex::new(Some(Writing { file, next: 0, waiting: BTreeMap::new(), last: None, rows: 0 })),
        })
    }

    /// Reads the next chunk of a file, lets others read on, and translates, encodes and writes it.
    fn advance(&self, flight: &Arc<Flight>, mut reading: Box<Reading>, scratch: &mut Scratch) -> Result<()> {
        let stop = || self.progress.stopped();
        let (chunk, last) = flight.rewrite.next(&mut reading, &stop)?;
        let chunks = reading.chunks();
        flight.ahead.fetch_add(1, Ordering::Relaxed);
        if !last {
            *lock(&flight.reading) = Some(reading);
        }
        self.changed.notify_all();
        let (number, encoded) = match chunk {
            Some(chunk) => {
                let number = chunk.number();
                let Some(encoded) = flight.rewrite.encode(chunk, scratch, &stop)? else { return Ok(()) };
                (number, Some(encoded))
            }
            None => (chunks, None),
        };
        self.write(flight, number, encoded, last.then_some(chunks))
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
            let rows = encoded.append_to(&mut writing.file)?;
            writing.next += 1;
            writing.rows += rows;
            flight.ahead.fetch_sub(1, Ordering::Relaxed);
            self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        }
        if writing.last != Some(writing.next) || self.progress.stopped() {
            return Ok(());
        }
        let Some(writing) = guard.take() else { return Ok(()) };
        let bytes = writing.file.into_inner()?.complete()?;
        let mut state = lock(&self.state);
        state.flights.retain(|other| other.task != flight.task);
        state.done.files += 1;
        state.done.rows += writing.rows;
        drop(state);
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.complete_rows.fetch_add(writing.rows, Ordering::Relaxed);
        if let Some(task) = self.plan.tasks.get(flight.task) {
            self.progress.read.fetch_add(task.source.size(), Ordering::Relaxed);
            if let Some(listener) = self.progress.listener.get() {
                let file = task.output.shown().to_owned();
                // Where nobody listens any more, nothing is lost.
                listener.send(Complete { file, rows: writing.rows, bytes }).ok();
            }
        }
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
}
