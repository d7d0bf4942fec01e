//! What a job will do with every file, decided before anything is written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use object_store::ObjectMeta;

use super::reembed::List;
use super::rewrite::{Memory, Recipe, Rewrite, Step};
use super::{OnBad, Orphans, Request};
use crate::column::Translator;
use crate::column::describe::encoder_name;
use crate::kernel::block::Scratch;
use crate::lake::file::{File, VectorColumn};
use crate::lake::folder::{Equal, Folder};
use crate::lake::lineage::{Lineage, Translation, Work, hint};
use crate::lake::{Place, Selection, Source};
use crate::{Error, Result};

/// Files that are named in an error; the rest is counted.
const NAMED: usize = 5;

/// What a job takes whatever its threads, and what each of them takes at most: two parts of 32 MB in their forms, and buffers.
const MEMORY: usize = 64 << 20;
const THREAD_MEMORY: usize = 160 << 20;

/// A job whose inputs and outputs have been checked; nothing is written yet.
#[derive(Debug)]
pub struct Plan {
    pub(super) recipe: Recipe,
    pub(super) threads: usize,
    pub(super) overwrite: bool,
    pub(super) on_bad: OnBad,
    pub(super) max_bad: Option<f64>,
    pub(super) work: Work,
    /// What there is to do.
    pub(super) tasks: Vec<Task>,
    /// Outputs that need nothing, by their path in the folder.
    pub(super) current: BTreeMap<String, Equal>,
    /// Inputs that are left out, and why.
    pub(super) skipped: Vec<(String, Error)>,
    /// Outputs whose source is gone, by their path in the folder.
    pub(super) orphans: Vec<String>,
    pub(super) delete_orphans: bool,
    /// Whether the job is over all of the input.
    pub(super) whole: bool,
    /// The output's folder; `None` where a file is translated to a file.
    pub(super) folder: Option<Folder>,
    /// The list of the rows to embed natively, with the outputs that are current.
    pub(super) list: Option<List>,
}

/// One file of a plan.
#[derive(Debug)]
pub(super) struct Task {
    pub source: Source,
    pub output: Place,
    pub why: Why,
    pub rows: u64,
    /// What had been done to the source before.
    pub chain: Vec<Translation>,
}

/// Why a file is in work.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// It has no output.
    New,
    /// Its output is that of another content.
    Changed,
    /// Its output is of the same size, and whether of the same content only reading can tell.
    Unsure(Equal),
    /// Its output is another translation's, or nobody's, and is replaced.
    Replaced,
}

/// What there is at an output's place.
enum There {
    Nothing,
    Current(Equal),
    Unsure(Equal),
    Changed,
    /// It must not be replaced unasked: why.
    Foreign(String),
}

impl Plan {
    /// Checks everything that can be checked before a row is translated: that there is input, that every file has the
    /// column with vectors of the translator's width and is no translation itself, and that no output is in the way.
    pub fn new(request: &Request) -> Result<Self> {
        let recipe = recipe(request)?;
        let list = request.reembed.as_ref().map(|reembed| List::new(reembed, request)).transpose()?;
        let into = request.settings.output_column.as_deref();
        let of_step =
            |step: &Step| Translation::new(&step.translator, step.column.as_deref().unwrap_or_default(), into);
        let work = Work { columns: recipe.steps.iter().map(of_step).collect(), output: request.output_settings() };
        let threads = request.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let affordable = request.memory.map_or(usize::MAX, |memory| memory.saturating_sub(MEMORY) / THREAD_MEMORY);
        let threads = threads.min(affordable.max(1));
        let Selection { files: sources, single, whole } = request.input.select()?;
        if !whole && matches!(request.orphans, Orphans::Delete { .. }) {
            return Err(Error::Invalid(
                "--delete-orphans needs the whole input: with a pattern, a manifest or a filter nobody can tell which \
                 sources are gone"
                    .into(),
            ));
        }
        let into_folder = !single || request.output.is_folder();
        let outputs = outputs(request, &sources, single, into_folder)?;

        let folder = into_folder.then(|| Folder::look(&request.output)).transpose()?;
        if let Some(folder) = &folder
            && let Some(owner) = folder.owner().filter(|owner| !owner.is(&work))
            && !request.overwrite
        {
            return Err(folder.taken(&named(owner)));
        }
        let found = parallel(threads, &sources, |index, source| {
            let output = &outputs[index];
            let meta = match &folder {
                Some(folder) => folder.objects().get(source.relative()).cloned(),
                None => output.look()?,
            };
            there(folder.as_ref(), &work, source, output, meta)
        });
        let found = found.into_iter().collect::<Result<Vec<_>>>()?;
        if !request.overwrite {
            refuse_foreign(&outputs, &found, request)?;
        }

        let orphans = match &folder {
            Some(folder) if whole => orphans(folder, &work, &sources, threads)?,
            _ => Vec::new(),
        };
        let mut plan = Self {
            recipe,
            threads,
            overwrite: request.overwrite,
            on_bad: request.on_bad,
            max_bad: request.max_bad,
            work,
            tasks: Vec::new(),
            current: BTreeMap::new(),
            skipped: Vec::new(),
            orphans,
            whole,
            delete_orphans: matches!(request.orphans, Orphans::Delete { .. }),
            folder,
            list,
        };
        plan.guard_orphans(request.orphans)?;
        let mut todo = Vec::new();
        for ((source, output), there) in sources.into_iter().zip(outputs).zip(found) {
            let why = match there {
                There::Nothing => Why::New,
                There::Changed => Why::Changed,
                There::Unsure(equal) => Why::Unsure(equal),
                There::Foreign(_) => Why::Replaced,
                There::Current(equal) => {
                    if let Some(list) = &mut plan.list {
                        list.add(source.relative(), output);
                    }
                    plan.current.insert(source.relative().to_owned(), equal);
                    continue;
                }
            };
            todo.push((source, output, why));
        }
        plan.check_inputs(request, todo)?;
        Ok(plan)
    }

    /// Opens every input that is in work and checks it.
    fn check_inputs(&mut self, request: &Request, todo: Vec<(Source, Place, Why)>) -> Result<()> {
        let checked = parallel(self.threads, &todo, |_, (source, _, _)| {
            check_input(&self.recipe, self.list.as_ref(), request.allow_chain, source)
        });
        for ((source, output, why), checked) in todo.into_iter().zip(checked) {
            match checked {
                Ok((rows, chain)) => self.tasks.push(Task { source, output, why, rows, chain }),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => self.skipped.push((source.shown().to_owned(), error)),
            }
        }
        if self.on_bad == OnBad::SkipFile {
            // How many rows a file has that cannot be opened is not known: as many as the others.
            let mean = self.rows() / self.tasks.len().max(1) as u64;
            return self.too_many_bad(mean * self.skipped.len() as u64).map_or(Ok(()), Err);
        }
        several(std::mem::take(&mut self.skipped).into_iter().map(|(_, error)| error).collect())
    }

    /// The error where so many bad rows are more than the job may have.
    pub(super) fn too_many_bad(&self, bad: u64) -> Option<Error> {
        let (limit, rows) = (self.max_bad?, self.rows());
        (bad as f64 > limit * rows as f64).then(|| {
            Error::Guard(format!(
                "{bad} of {rows} rows are bad, and --max-bad {limit} allows no more: nothing further is written"
            ))
        })
    }

    /// Outputs whose source is gone are removed only where that cannot be a mistake.
    fn guard_orphans(&self, orphans: Orphans) -> Result<()> {
        let (Orphans::Delete { yes: false }, Some(folder)) = (orphans, &self.folder) else { return Ok(()) };
        let (gone, all) = (self.orphans.len(), folder.objects().len());
        if gone * 10 > all {
            return Err(Error::Guard(format!(
                "--delete-orphans would remove {gone} of {all} files, more than a tenth: look at them (without \
                 --delete-orphans they are listed), and add --yes"
            )));
        }
        Ok(())
    }

    /// Seconds the job would take: the beginning of its first file is read, translated and encoded, and not written.
    pub fn estimate(&self) -> Result<f64> {
        let Some(task) = self.tasks.first() else { return Ok(0.0) };
        let begin = Instant::now();
        let file = File::open(task.source.clone())?;
        let (rewrite, _) = Rewrite::new(file, &self.recipe, &task.output)?;
        let Some(chunk) = rewrite.next(&mut rewrite.read(), &|| false)?.0 else { return Ok(0.0) };
        let encoded = rewrite.encode(chunk, &mut Scratch::default(), &|| false)?;
        let rows = encoded.map_or(1, |encoded| encoded.rows()).max(1) as f64;
        Ok(begin.elapsed().as_secs_f64() / rows * self.rows() as f64 / self.threads as f64)
    }

    /// The columns to translate and with what; one that every file finds for itself has no name.
    pub fn columns(&self) -> &[Translation] {
        &self.work.columns
    }

    /// Files that are in work.
    pub fn files(&self) -> usize {
        self.tasks.len()
    }

    /// Files of the job: in work, current and left out.
    pub fn total(&self) -> usize {
        self.tasks.len() + self.current.len() + self.skipped.len()
    }

    /// Rows of the files in work.
    pub fn rows(&self) -> u64 {
        self.tasks.iter().map(|task| task.rows).sum()
    }

    /// Bytes of the files in work.
    pub fn bytes(&self) -> u64 {
        self.tasks.iter().map(|task| task.source.size()).sum()
    }

    /// How many files are in work for a reason like this one.
    pub fn count(&self, is: impl Fn(&Why) -> bool) -> usize {
        self.tasks.iter().filter(|task| is(&task.why)).count()
    }

    /// Outputs that need nothing.
    pub fn current(&self) -> usize {
        self.current.len()
    }

    /// Outputs whose source is gone, by their path in the folder.
    pub fn orphans(&self) -> &[String] {
        &self.orphans
    }

    /// Inputs that are left out, and why.
    pub fn skipped(&self) -> &[(String, Error)] {
        &self.skipped
    }
}

/// Where every source goes. An output that is an input is refused.
fn outputs(request: &Request, sources: &[Source], single: bool, into_folder: bool) -> Result<Vec<Place>> {
    let exists = |place: &Place, message: String| Err(Error::Exists { path: place.shown().to_owned(), message });
    let output = &request.output;
    if into_folder && output.look()?.is_some() {
        return exists(output, "is a file, and the input is a folder: name a folder".into());
    }
    output.check_no_table(!into_folder)?;
    let place = |source: &Source| if into_folder { output.below(source.relative()) } else { Ok(output.clone()) };
    let outputs = sources.iter().map(place).collect::<Result<Vec<_>>>()?;
    if !single && outputs.iter().any(|output| request.input.covers(output)) {
        return exists(
            output,
            format!("is in the input folder {}: name a folder outside of it", request.input.folder().shown()),
        );
    }
    let inputs: HashSet<_> =
        sources.iter().map(Source::place).chain(request.translators()).map(Place::identity).collect();
    match outputs.iter().find(|output| inputs.contains(&output.identity())) {
        Some(output) => {
            exists(output, "is an input of this job: an input is never overwritten, name another output".into())
        }
        None => Ok(outputs),
    }
}

/// What there is where the translation of `source` goes.
fn there(
    folder: Option<&Folder>,
    work: &Work,
    source: &Source,
    output: &Place,
    meta: Option<ObjectMeta>,
) -> Result<There> {
    let Some(meta) = meta else {
        let blocked = output.is_folder();
        return Ok(if blocked { There::Foreign("is a folder".into()) } else { There::Nothing });
    };
    if let Some(equal) = folder.and_then(|folder| folder.equal(work, source.relative(), Some(source.meta()))) {
        return Ok(There::Current(equal.clone()));
    }
    let (bytes, version) = (meta.size, hint(&meta));
    let lineage = match File::open(output.source(meta)) {
        Err(error) if error.is_passing() => return Err(error),
        Err(_) => return Ok(There::Foreign("is no Parquet file".into())),
        Ok(file) => Lineage::of(file.metadata().file_metadata().key_value_metadata()),
    };
    let lineage = match lineage {
        None if folder.is_some_and(|folder| folder.owner().is_some()) => {
            return Ok(There::Foreign(
                "does not say any more where it comes from: another tool has rewritten it".into(),
            ));
        }
        None => return Ok(There::Foreign("is not of babelake's making".into())),
        Some(Err(_)) => return Ok(There::Foreign("is of another version of babelake".into())),
        Some(Ok(lineage)) => lineage,
    };
    if !lineage.work.is(work) {
        return Ok(There::Foreign(format!("is another translation ({})", named(&lineage.work))));
    }
    if lineage.source.path != source.relative() {
        return Ok(There::Foreign(format!("is the translation of another file, {}", lineage.source.path)));
    }
    if lineage.source.bytes != source.size() {
        return Ok(There::Changed);
    }
    let known = lineage.source.hint == hint(source.meta());
    let equal = Equal { source: lineage.source, rows: lineage.rows, bytes, hint: version };
    Ok(if known { There::Current(equal) } else { There::Unsure(equal) })
}

/// What a translation is, for a person.
fn named(work: &Work) -> String {
    let column = |column: &Translation| {
        let (from, to) = (encoder_name(&column.source_encoder), encoder_name(&column.target_encoder));
        format!("{from} -> {to}, translator {}", column.translator.get(..16).unwrap_or_default())
    };
    let columns = work.columns.iter().map(column).collect::<Vec<_>>().join("; ");
    match &work.output {
        serde_json::Value::Object(output) if !output.is_empty() => format!("{columns}, {}", work.output),
        _ => columns,
    }
}

fn refuse_foreign(outputs: &[Place], found: &[There], request: &Request) -> Result<()> {
    let foreign = outputs.iter().zip(found).filter_map(|(output, there)| match there {
        There::Foreign(why) => Some((output.shown(), why)),
        _ => None,
    });
    let foreign: Vec<_> = foreign.collect();
    let message = match foreign.as_slice() {
        [] => return Ok(()),
        [(path, why)] => {
            let message = format!("exists and {why}: give --overwrite to replace it");
            return Err(Error::Exists { path: (*path).to_owned(), message });
        }
        several => {
            let lines = several.iter().take(NAMED).map(|(path, why)| format!("\n  {path} {why}")).collect::<String>();
            format!(
                "{} of {} outputs exist and cannot be replaced unasked:{lines}{}\ngive --overwrite to replace them",
                several.len(),
                outputs.len(),
                more(several.len())
            )
        }
    };
    Err(Error::Exists { path: request.output.shown().to_owned(), message })
}

fn more(count: usize) -> String {
    let more = count.saturating_sub(NAMED);
    if more > 0 { format!("\n  and {more} more") } else { String::new() }
}

/// One error of several.
pub(super) fn several(mut errors: Vec<Error>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => errors.pop().map_or(Ok(()), Err),
        count => {
            let lines: String = errors.iter().take(NAMED).map(|error| format!("\n  {error}")).collect();
            Err(Error::Invalid(format!("{count} files cannot be translated:{lines}{}", more(count))))
        }
    }
}

/// Outputs of this work in the folder that no source has.
fn orphans(folder: &Folder, work: &Work, sources: &[Source], threads: usize) -> Result<Vec<String>> {
    let expected: HashSet<_> = sources.iter().map(Source::relative).collect();
    let mut others: Vec<_> = folder.objects().keys().filter(|path| !expected.contains(path.as_str())).collect();
    others.sort();
    let ours = parallel(threads, &others, |_, path| {
        if folder.equal(work, path, None).is_some() {
            return Ok(true);
        }
        let lineage = folder.lineage(path)?;
        Ok(lineage.is_some_and(|lineage| lineage.work.is(work) && lineage.source.path == **path))
    });
    let ours = ours.into_iter().collect::<Result<Vec<bool>>>()?;
    Ok(others.into_iter().zip(ours).filter(|(_, ours)| *ours).map(|(path, _)| path.clone()).collect())
}

/// The rows of an input, and what had been done to it before.
fn check_input(
    recipe: &Recipe,
    list: Option<&List>,
    allow_chain: bool,
    source: &Source,
) -> Result<(u64, Vec<Translation>)> {
    let file = File::open(source.clone())?;
    let chain = match Lineage::of(file.metadata().file_metadata().key_value_metadata()) {
        None => Vec::new(),
        Some(Ok(lineage)) if allow_chain => lineage.steps(),
        Some(lineage) => {
            let lineage = lineage.ok();
            let last = lineage.as_ref().and_then(|lineage| lineage.work.columns.last());
            return Err(Error::file(file.shown(), is_translation(last)));
        }
    };
    for (column, Step { translator, .. }) in recipe.columns(&file)?.iter().zip(&recipe.steps) {
        if let Some(width) = file.other_width(column, translator.source_width)? {
            return Err(Error::file(file.shown(), other_width(translator, column, width)));
        }
    }
    list.map_or(Ok(()), |list| list.check(&file))?;
    Ok((file.rows(), chain))
}

/// What to say where the source is what a translation has made.
pub(super) fn is_translation(last: Option<&Translation>) -> String {
    let by = last.map_or_else(String::new, |step| format!(" (to '{}')", step.target_encoder));
    format!(
        "is itself a translation{by}: translate from the original, errors add up (--allow-chain does it all the same)"
    )
}

/// What is done to every file: the translators are read.
pub(super) fn recipe(request: &Request) -> Result<Recipe> {
    let steps = request.columns.iter().map(|column| {
        let translator = column.translator.translator()?;
        Ok(Step { column: column.name.clone(), translator })
    });
    let steps = steps.collect::<Result<Vec<_>>>()?;
    let settings = &request.settings;
    let of_one = [("--output-column", &settings.output_column), ("--confidence-column", &settings.confidence_column)];
    if let (true, Some((option, _))) = (steps.len() > 1, of_one.iter().find(|(_, name)| name.is_some())) {
        return Err(Error::Invalid(format!("{option} is the name of one column: translate one at a time")));
    }
    if settings.confidence_column.is_some() {
        for (column, Step { translator, .. }) in request.columns.iter().zip(&steps) {
            translator.confidence().map_err(|error| column.translator.of(error))?;
        }
    }
    if let Some(dimensions) = settings.dimensions
        && let Some(step) = steps.iter().find(|step| step.translator.target_width < dimensions)
    {
        return Err(Error::Invalid(format!(
            "--dimensions {dimensions}: a translated vector has {} numbers, and its first ones are kept: keep fewer",
            step.translator.target_width
        )));
    }
    let (settings, null_bad) = (request.settings.clone(), request.on_bad == OnBad::Null);
    Ok(Recipe { steps, settings, null_bad, guard: !request.force, memory: Memory::default() })
}

/// What to say where a file's vectors are not the translator's source vectors.
pub(super) fn other_width(translator: &Translator, column: &VectorColumn, found: usize) -> String {
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

/// Does `work` for every item on some threads; the results in order.
fn parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(HashMap::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(index, item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    (0..items.len()).filter_map(|index| done.remove(&index)).collect()
}
