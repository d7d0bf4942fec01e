//! The workers of a job, and what they share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::plan::Task;
use super::rewrite::{Encoded, Failure, Reading, Rewrite, Writer};
use super::{BadRow, Event, OnBad, Plan, Progress, Why};
use crate::kernel::block::Scratch;
use crate::lake::file::{File, caught};
use crate::lake::folder::Equal;
use crate::lake::lineage::{Lineage, Origin, hint};
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

/// How a job ended; files by their number in the plan.
#[derive(Default)]
pub struct Done {
    /// Outputs written.
    pub written: Vec<(usize, Equal)>,
    /// Outputs that turned out to be current.
    pub same: Vec<(usize, Equal)>,
    /// Inputs that cannot be translated.
    pub failed: Vec<(usize, Error)>,
    /// Rows that are NULL now.
    pub bad: Vec<BadRow>,
    /// What stopped the job.
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
    /// Rows that are left out or NULL.
    bad_rows: u64,
    done: Done,
}

/// What a worker does next.
enum Step {
    Open(usize),
    Read(Arc<Flight>, Box<Reading>),
    Hash(Arc<Flight>),
    Leave,
}

/// A file in work.
struct Flight {
    task: usize,
    rewrite: Rewrite,
    digest: Mutex<Digest>,
    /// Taken by the worker that reads the next chunk.
    reading: Mutex<Option<Box<Reading>>>,
    /// Chunks read and not yet written.
    ahead: AtomicUsize,
    writing: Mutex<Option<Writing>>,
}

/// The digest of an input, which is needed when its output is completed.
enum Digest {
    Wanted,
    Computed(Option<String>),
}

struct Writing {
    file: Writer,
    /// The chunk whose turn it is.
    next: usize,
    /// Encoded chunks that wait for their turn.
    waiting: BTreeMap<usize, Encoded>,
    /// How many chunks there are, once the last one was read.
    last: Option<usize>,
    rows: u64,
    bad_rows: u64,
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
            let opens = matches!(step, Step::Open(_));
            let (task, flight) = match &step {
                Step::Leave => return,
                Step::Open(task) => (*task, None),
                Step::Read(flight, _) | Step::Hash(flight) => (flight.task, Some(Arc::clone(flight))),
            };
            // The others wait for this file: a panic must end its work like any error.
            let stepped = caught(|| match step {
                Step::Leave => Ok(()),
                Step::Open(task) => self.open(task),
                Step::Read(flight, reading) => self.advance(&flight, reading, &mut scratch),
                Step::Hash(flight) => self.hash(&flight),
            });
            let failure = match stepped {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure),
                Err(reason) => Some(Failure::Input(self.plan.panicked(task, &reason))),
            };
            let mut state = lock(&self.state);
            state.opening -= usize::from(opens);
            let given_up = match failure {
                None => Vec::new(),
                Some(Failure::Input(error)) if !error.is_passing() => {
                    state.flights.retain(|other| other.task != task);
                    // Of two workers on a file both may fail: the first row is named, whoever came first.
                    let known = state.done.failed.iter_mut().find(|(other, _)| *other == task);
                    if let Some((_, known)) = known {
                        if let (Error::Row { row, .. }, Error::Row { row: first, .. }) = (&error, &*known)
                            && row < first
                        {
                            *known = error;
                        }
                    } else {
                        self.progress.done(|tally| tally.failed += 1);
                        self.progress.tell(|| Event::Failed { file: self.plan.input(task), error: error.to_string() });
                        state.done.failed.push((task, error));
                        let rows = self.plan.tasks.get(task).map_or(0, |task| task.rows);
                        self.count_bad(&mut state, if self.plan.on_bad == OnBad::SkipFile { rows } else { 0 });
                    }
                    flight.into_iter().collect()
                }
                Some(Failure::Input(error) | Failure::Job(error)) => {
                    state.done.error.get_or_insert(self.plan.named(task, error));
                    std::mem::take(&mut state.flights)
                }
            };
            drop(state);
            for flight in given_up {
                // Dropped without completion: nothing of the output remains.
                drop(lock(&flight.writing).take());
                drop(lock(&flight.reading).take());
            }
            self.changed.notify_all();
        }
    }

    /// Counts rows that are bad; too many of them end the job.
    fn count_bad(&self, state: &mut State, rows: u64) {
        state.bad_rows += rows;
        let error = self.plan.too_many_bad(state.bad_rows);
        state.done.error = state.done.error.take().or(error);
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
            for flight in &state.flights {
                let mut digest = lock(&flight.digest);
                if matches!(*digest, Digest::Wanted) {
                    *digest = Digest::Computed(None);
                    return Step::Hash(Arc::clone(flight));
                }
            }
            if state.next < self.plan.tasks.len() && state.flights.len() + state.opening < self.plan.threads {
                state.next += 1;
                state.opening += 1;
                return Step::Open(state.next - 1);
            }
            let finished = state.done.written.len() + state.done.same.len() + state.done.failed.len();
            if finished == self.plan.tasks.len() {
                return Step::Leave;
            }
            // A time limit, for a stop wakes nobody.
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens an input and begins its output, unless that turns out to be current.
    fn open(&self, number: usize) -> Result<(), Failure> {
        let Some(task) = self.plan.tasks.get(number) else { return Ok(()) };
        let digest = match &task.why {
            Why::Unsure(equal) => {
                let digest = task.source.digest(&|| self.progress.stopped()).map_err(Failure::Input)?;
                let Some(digest) = digest else { return Ok(()) };
                if digest == equal.source.digest {
                    // The version found is another one, and is noted.
                    let equal = Equal { source: origin(task, digest), ..equal.clone() };
                    lock(&self.state).done.same.push((number, equal));
                    self.progress.rows.fetch_add(task.rows, Ordering::Relaxed);
                    self.progress.done(|tally| tally.current += 1);
                    return Ok(());
                }
                Digest::Computed(Some(digest))
            }
            _ => Digest::Wanted,
        };
        let file = File::open(task.source.clone()).map_err(Failure::Input)?;
        let (rewrite, file) = Rewrite::new(file, &self.plan.recipe, &task.output).map_err(Failure::Input)?;
        let flight = Flight {
            task: number,
            digest: Mutex::new(digest),
            reading: Mutex::new(Some(Box::new(rewrite.read()))),
            rewrite,
            ahead: AtomicUsize::new(0),
            writing: Mutex::new(Some(Writing {
                file,
                next: 0,
                waiting: BTreeMap::new(),
                last: None,
                rows: 0,
                bad_rows: 0,
            })),
        };
        lock(&self.state).flights.push(Arc::new(flight));
        Ok(())
    }

    /// Computes the digest of an input; completes the output if that was what it waited for.
    fn hash(&self, flight: &Flight) -> Result<(), Failure> {
        let digest = flight.rewrite.digest(&|| self.progress.stopped()).map_err(Failure::Input)?;
        let Some(digest) = digest else { return Ok(()) };
        let mut writing = lock(&flight.writing);
        *lock(&flight.digest) = Digest::Computed(Some(digest));
        self.complete(flight, &mut writing).map_err(Failure::Job)
    }

    /// Reads the next chunk of a file, lets others read on, and translates, encodes and writes it.
    fn advance(&self, flight: &Flight, mut reading: Box<Reading>, scratch: &mut Scratch) -> Result<(), Failure> {
        let stop = || self.progress.stopped();
        let (chunk, last) = flight.rewrite.next(&mut reading, &stop).map_err(Failure::Input)?;
        let chunks = reading.chunks();
        flight.ahead.fetch_add(1, Ordering::Relaxed);
        if !last {
            *lock(&flight.reading) = Some(reading);
        }
        self.changed.notify_all();
        let (number, encoded) = match chunk {
            Some(chunk) => {
                let number = chunk.number();
                let encoded = flight.rewrite.encode(chunk, scratch, &stop).map_err(|error| match error {
                    // A file of another encoder says that the lake, or the translator, is not what the job takes it for.
                    Error::Guard(_) if self.plan.on_bad != OnBad::SkipFile => Failure::Job(error),
                    error => Failure::Input(error),
                })?;
                let Some(encoded) = encoded else { return Ok(()) };
                (number, Some(encoded))
            }
            None => (chunks, None),
        };
        self.note_bad(flight, encoded.as_ref());
        self.write(flight, number, encoded, last.then_some(chunks))
    }

    /// Lists and counts the rows of a chunk that are NULL now.
    fn note_bad(&self, flight: &Flight, encoded: Option<&Encoded>) {
        let bad = encoded.map(Encoded::bad).unwrap_or_default();
        if bad.is_empty() {
            return;
        }
        let file = self.plan.tasks.get(flight.task).map_or("", |task| task.source.shown());
        let bad = bad.iter().map(|bad| BadRow {
            file: file.to_owned(),
            row_group: bad.group,
            row: bad.row,
            reason: bad.flaw.to_string(),
        });
        let mut state = lock(&self.state);
        let count = state.done.bad.len();
        state.done.bad.extend(bad);
        let count = (state.done.bad.len() - count) as u64;
        self.count_bad(&mut state, count);
    }

    /// Writes a chunk when its turn has come, and those that waited for it; completes the file after the last.
    fn write(
        &self,
        flight: &Flight,
        number: usize,
        encoded: Option<Encoded>,
        last: Option<usize>,
    ) -> Result<(), Failure> {
        let mut guard = lock(&flight.writing);
        let Some(writing) = guard.as_mut() else { return Ok(()) };
        match encoded {
            Some(encoded) => drop(writing.waiting.insert(number, encoded)),
            None => drop(flight.ahead.fetch_sub(1, Ordering::Relaxed)),
        }
        writing.last = writing.last.or(last);
        while let Some(encoded) = writing.waiting.remove(&writing.next) {
            let bad_rows = encoded.bad().len() as u64;
            let appended = writing.file.append(&flight.rewrite, encoded, &|| self.progress.stopped())?;
            let Some(rows) = appended else { return Ok(()) };
            writing.next += 1;
            writing.bad_rows += bad_rows;
            writing.rows += rows;
            flight.ahead.fetch_sub(1, Ordering::Relaxed);
            self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        }
        self.complete(flight, &mut guard).map_err(Failure::Job)
    }

    /// Completes an output whose chunks are all written and whose input's digest is known.
    fn complete(&self, flight: &Flight, guard: &mut Option<Writing>) -> Result<()> {
        let written = guard.as_ref().is_some_and(|writing| writing.last == Some(writing.next));
        let digest = match &*lock(&flight.digest) {
            Digest::Computed(Some(digest)) => digest.clone(),
            Digest::Wanted | Digest::Computed(None) => return Ok(()),
        };
        let (true, false, Some(task)) = (written, self.progress.stopped(), self.plan.tasks.get(flight.task)) else {
            return Ok(());
        };
        let Some(writing) = guard.take() else { return Ok(()) };
        let source = origin(task, digest);
        let mut work = self.plan.work.clone();
        for (column, name) in work.columns.iter_mut().zip(flight.rewrite.columns()) {
            name.clone_into(&mut column.column);
        }
        let lineage = Lineage::new(source.clone(), work, writing.rows, writing.bad_rows, task.chain.clone());
        let written = writing.file.complete(lineage.to_entry())?;
        let (rows, bad_rows, bytes) = (writing.rows, writing.bad_rows, written.bytes);
        let equal = Equal { source, rows, bytes, hint: written.hint };
        let mut state = lock(&self.state);
        state.flights.retain(|other| other.task != flight.task);
        state.done.written.push((flight.task, equal));
        drop(state);
        self.progress.done(|tally| {
            tally.written += 1;
            tally.rows += rows;
            tally.bad_rows += bad_rows;
            tally.bytes += bytes;
            tally.read += task.source.size();
        });
        self.progress.tell(|| Event::Written { file: task.output.shown().to_owned(), rows, bytes });
        Ok(())
    }
}

fn origin(task: &Task, digest: String) -> Origin {
    let source = &task.source;
    Origin { path: source.relative().to_owned(), bytes: source.size(), digest, hint: hint(source.meta()) }
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

    /// The input of a task, as a person reads it.
    pub(super) fn input(&self, task: usize) -> String {
        self.tasks.get(task).map_or("", |task| task.source.shown()).to_owned()
    }

    fn panicked(&self, task: usize, reason: &str) -> Error {
        Error::file(self.input(task), format!("cannot be translated, please report this: {reason}"))
    }
}
