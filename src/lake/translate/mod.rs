//! Translating a lake file by file: the same layout out, other columns and the row order kept.
//!
//! A file is read in order, in chunks of about 32 MB of vectors. Each chunk is translated and encoded as one row group by the
//! worker that read it, and written when its turn has come. What a chunk holds depends on the file alone, so the bytes
//! written are the same whatever the number of threads; and memory is a few chunks a thread, whatever the file.
//!
//! The footers of the outputs say what they were made of. A job reads them and does what is left to do: it can be stopped or
//! killed at any moment and run again, and does nothing where nothing has changed.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use super::stored::read_translator;
use super::{Inputs, Place};
use crate::column::Translator;
use crate::{Error, Result};
use job::{Board, Done};
pub use plan::{Plan, Why};
pub use reembed::{Listed, Reembed};
pub use rewrite::{Codec, Items, Settings};

#[cfg(feature = "delta")]
pub mod delta;
mod job;
mod plan;
mod reembed;
mod rewrite;

/// What to translate.
#[derive(Debug, Clone)]
pub struct Request {
    /// A Parquet file, or the files of a folder, a pattern or a list.
    pub input: Inputs,
    /// A file for a file, a folder for a folder.
    pub output: Place,
    /// The columns to translate; at least one.
    pub columns: Vec<Column>,
    /// How the outputs are written.
    pub settings: Settings,
    /// The list of the rows to embed natively, where it is asked for.
    pub reembed: Option<Reembed>,
    /// Whether outputs that are not of this job are replaced.
    pub overwrite: bool,
    /// Whether inputs may be translations themselves.
    pub allow_chain: bool,
    /// Whether files are translated that are clearly of another encoder than the translator's source.
    pub force: bool,
    /// What to do with outputs whose source is gone.
    pub orphans: Orphans,
    /// What to do with rows and files that cannot be translated.
    pub on_bad: OnBad,
    /// The share of rows that may be bad before the job is given up; any where absent.
    pub max_bad: Option<f64>,
    /// Threads; as many as there are cores where absent.
    pub threads: Option<NonZero<usize>>,
    /// Bytes of memory to stay below, about: fewer threads are used where more would take more.
    pub memory: Option<usize>,
}

/// A column to translate.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name; found where absent.
    pub name: Option<String>,
    /// Its translator.
    pub translator: By,
}

/// What a column is translated by.
#[derive(Debug, Clone)]
pub enum By {
    /// The translator in a file.
    File(Place),
    /// This one.
    Value(Arc<Translator>),
}

impl By {
    /// The translator, read where it is in a file.
    fn translator(&self) -> Result<Translator> {
        match self {
            Self::File(place) => read_translator(place),
            Self::Value(translator) => Ok(translator.as_ref().clone()),
        }
    }

    /// An error of the translator, with its file.
    fn of(&self, error: Error) -> Error {
        match self {
            Self::File(place) => Error::file(place.shown(), error.to_string()),
            Self::Value(_) => Error::Invalid(
                "translators of a hub know nothing of how sure they are: leave --confidence-column out, or fit the pair with \
                 `babelake fit`"
                    .to_owned(),
            ),
        }
    }
}

/// What to do with outputs whose source is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// List them: the job has done its work, and the lake has rows twice.
    List,
    /// Remove them once the new files are visible.
    Delete {
        /// Also where that is more than a tenth of the folder.
        yes: bool,
    },
}

/// What to do with rows and files that cannot be translated. NULL rows are never bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// The file has no output; the others are done.
    Error,
    /// The row's embedding is NULL in the output.
    Null,
    /// The file is left out, and that is no error.
    SkipFile,
}

impl Request {
    /// What of this request the bytes of the outputs depend on, beyond translator and column.
    fn output_settings(&self) -> Value {
        let mut settings = self.settings.to_json();
        if self.on_bad == OnBad::Null {
            settings["on_bad"] = json!("null");
        }
        settings
    }

    /// The files of the translators.
    fn translators(&self) -> impl Iterator<Item = &Place> {
        self.columns.iter().filter_map(|column| match &column.translator {
            By::File(place) => Some(place),
            By::Value(_) => None,
        })
    }
}

/// How far a job is; shared with whoever watches it, or stops it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows written.
    pub rows: AtomicU64,
    /// Files that are done.
    pub files: AtomicUsize,
    /// Is told of every file that is done, where somebody listens.
    pub listener: OnceLock<Sender<Event>>,
    tally: Mutex<Tally>,
    /// Set to stop the job: files in work are given up, finished ones stay.
    pub stop: AtomicBool,
}

/// What has become of the files in work so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Outputs written.
    pub written: usize,
    /// Their rows.
    pub rows: u64,
    /// Those among them that are NULL because they could not be translated.
    pub bad_rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of their inputs.
    pub read: u64,
    /// Outputs that turned out to be current.
    pub current: usize,
    /// Inputs that could not be translated.
    pub failed: usize,
}

/// A file is done.
#[derive(Debug)]
pub enum Event {
    /// An output is visible.
    Written {
        /// The output.
        file: String,
        /// Its rows.
        rows: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// An input could not be translated.
    Failed {
        /// The input.
        file: String,
        /// Why.
        error: String,
    },
}

impl Progress {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// What has become of the files in work so far.
    pub fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One file more is done.
    fn done(&self, count: impl FnOnce(&mut Tally)) {
        self.files.fetch_add(1, Ordering::Relaxed);
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(listener) = self.listener.get() {
            // Where nobody listens any more, nothing is lost.
            listener.send(event()).ok();
        }
    }
}

/// A row that could not be translated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The input.
    pub file: String,
    /// Its row group.
    pub row_group: usize,
    /// The row in the file, from 0.
    pub row: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// Files of the job.
    pub total: usize,
    /// Outputs written.
    pub written: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Outputs that needed nothing.
    pub current: usize,
    /// Those among them whose source was read again to know it.
    pub reread: usize,
    /// Inputs that have no output, and why.
    pub failed: Vec<(String, Error)>,
    /// Inputs left out as asked, and why.
    pub skipped: Vec<(String, Error)>,
    /// Rows that are NULL in the outputs because they could not be translated.
    pub bad: Vec<BadRow>,
    /// Outputs whose source is gone, by their path in the folder.
    pub orphans: Vec<String>,
    /// How many of such were removed.
    pub removed: usize,
    /// The list of the rows to embed natively, where it was written.
    pub listed: Option<Listed>,
    /// What stopped the job before its end, unless it was told to.
    pub error: Option<Error>,
}

impl Outcome {
    /// Files that need nothing more.
    pub fn done(&self) -> usize {
        self.written + self.current + self.skipped.len()
    }
}

impl Plan {
    /// Does the job. Outputs appear one by one, each whole; after an error or a stop those that are complete stay.
    pub fn run(self, progress: &Progress) -> Outcome {
        let begun = self.folder.as_ref().map_or(Ok(()), |folder| {
            folder.claim(&self.work, self.overwrite)?;
            // A job over some of the files says nothing of the folder as a whole, neither before nor after.
            let changes = self.whole && !(self.tasks.is_empty() && self.orphans.is_empty());
            if changes { folder.started() } else { Ok(()) }
        });
        let done = match begun {
            Ok(()) => Board::new(&self, progress).run(self.threads),
            Err(error) => Done { error: Some(error), ..Done::default() },
        };
        self.finish(done, progress)
    }

    /// Removes what is to be removed, and notes how the folder stands.
    fn finish(mut self, done: Done, progress: &Progress) -> Outcome {
        let total = self.total();
        let mut list = self.list.take();
        for (task, _) in done.written.iter().chain(&done.same) {
            if let (Some(list), Some(task)) = (&mut list, self.tasks.get(*task)) {
                list.add(task.source.relative(), task.output.clone());
            }
        }
        let path_of = |task: usize| self.tasks.get(task).map_or("", |task| task.source.relative());
        let shown = |task: usize| self.tasks.get(task).map_or("", |task| task.source.shown()).to_owned();
        let (mut failed, mut skipped) = (Vec::new(), self.skipped);
        for (task, error) in done.failed {
            let list = if self.on_bad == OnBad::SkipFile { &mut skipped } else { &mut failed };
            list.push((shown(task), error));
        }
        let mut outcome = Outcome {
            total,
            written: done.written.len(),
            rows: done.written.iter().map(|(_, equal)| equal.rows).sum(),
            bytes: done.written.iter().map(|(_, equal)| equal.bytes).sum(),
            current: self.current.len() + done.same.len(),
            reread: done.same.len(),
            failed,
            skipped,
            bad: done.bad,
            orphans: self.orphans,
            removed: 0,
            listed: None,
            error: done.error,
        };
        let mut ended = outcome.error.is_none() && outcome.failed.is_empty() && !progress.stopped();
        if let Some(list) = list.filter(|_| ended) {
            match list.write(&|| progress.stopped()) {
                Ok(listed) => outcome.listed = listed,
                Err(error) => outcome.error = Some(error),
            }
            ended = outcome.error.is_none() && !progress.stopped();
        }
        let Some(folder) = &self.folder else { return outcome };
        let mut equal = self.current;
        equal.extend(done.written.into_iter().chain(done.same).map(|(task, equal)| (path_of(task).to_owned(), equal)));
        if !self.whole {
            equal.extend(folder.others(&self.work, &equal));
        }
        let finished = (|| {
            if ended && self.delete_orphans {
                while let Some(path) = outcome.orphans.pop() {
                    folder.delete(&path)?;
                    outcome.removed += 1;
                }
            }
            folder.finished(&self.work, equal, ended && self.whole && outcome.orphans.is_empty())
        })();
        outcome.error = outcome.error.or(finished.err());
        outcome
    }
}
