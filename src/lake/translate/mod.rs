//! Translating a lake file by file: the same layout out, other columns and the row order kept.
//!
//! A file is read in order, in chunks of about 32 MB of vectors. Each chunk is translated and encoded as one row group by the
//! worker that read it, and written when its turn has come. What a chunk holds depends on the file alone, so the bytes
//! written are the same whatever the number of threads; and memory is a few chunks a thread, whatever the file.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::file::{File, VectorColumn};
use super::lineage::Lineage;
use super::place::Found;
use super::stored::read_translator;
use super::{Place, Source};
use crate::column::Translator;
use crate::column::describe::encoder_name;
use crate::{Error, Result};
use job::Board;

mod job;
mod rewrite;

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
    /// Their rows.
    pub complete_rows: AtomicU64,
    /// Bytes of their inputs.
    pub read: AtomicU64,
    /// Is told of each of them, where somebody listens.
    pub listener: OnceLock<Sender<Complete>>,
    /// Set to stop the job: files in work are given up, finished ones stay.
    pub stop: AtomicBool,
}

/// An output that is complete.
#[derive(Debug)]
pub struct Complete {
    /// Where it is.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
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

    /// The translator.
    pub fn translator(&self) -> &Translator {
        &self.translator
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
        let done = Board::new(self, progress).run(self.threads);
        Outcome {
            files: done.files,
            planned: self.tasks.len(),
            rows: done.rows,
            bytes: progress.bytes.load(Ordering::Relaxed),
            error: done.error,
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
