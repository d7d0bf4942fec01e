//! A hub: a folder of spaces and decoders that hold the same anchors, each fitted alone. N spaces and N decoders stand for N (N - 1)
//! translators, and a space that comes later needs nothing of those before but their keys.
//!
//! ```text
//! HUB/keys.parquet                  the anchors' keys, drawn when the first space was added
//! HUB/<name>/<digest>.parquet       a version of a space: columns `space` and `decoder`, one row
//! HUB/<name>/current.json           which version counts
//! ```
//!
//! Files appear whole and are never changed; a new version is a new file and then a new `current.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::file::File;
use super::fit::DEFAULT_ANCHORS;
use super::inputs::Inputs;
use super::lineage::Lineage;
use super::matched::Matched;
use super::output::write_batch;
use super::stored::{read_space, write_values};
use super::table::{Conditions, Table};
use super::{Place, Source};
use crate::column::bridge::{CODE, Code};
use crate::column::keys::matches;
use crate::column::{Choice, Decoder, Keys, Method, MethodOptions, Space, Translator};
use crate::kernel::Rows;
use crate::{Error, Result, session};

pub mod check;

const KEYS: &str = "keys.parquet";
const CURRENT: &str = "current.json";
const KEY: &str = "key";

/// Fewer common anchors than this say nothing about a space.
pub const FEWEST: usize = 64;

/// A hub, there or not yet.
#[derive(Debug, Clone)]
pub struct Hub {
    place: Place,
}

/// A space of a hub.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The space.
    pub space: Space,
    /// Its inverse.
    pub decoder: Decoder,
    /// How many versions of it there are.
    pub versions: usize,
}

/// Which version of a space counts.
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    digest: String,
}

/// A space to add.
#[derive(Debug)]
pub struct Addition {
    /// Its name.
    pub name: String,
    /// The encoder's table.
    pub table: Inputs,
    /// Columns that name a row.
    pub key: Vec<String>,
    /// Embedding column.
    pub column: Option<String>,
    /// SQL over the table's columns: rows that may be anchors. For the first space of a hub.
    pub anchors_where: Option<String>,
    /// Anchors at most, drawn by key. For the first space of a hub.
    pub anchors: Option<usize>,
    /// A table whose rows, by the same key, are the anchors. For the first space of a hub.
    pub keys: Option<Inputs>,
    /// `parseval` or `irp`.
    pub method: MethodOptions,
    /// Draws anchors.
    pub seed: u64,
}

/// What was added.
#[derive(Debug)]
pub struct Added {
    /// The space.
    pub member: Member,
    /// Anchors of the hub.
    pub wanted: usize,
    /// Whether the very same version was there already.
    pub known: bool,
}

/// How rows get from one space of a hub into another.
#[derive(Debug)]
pub struct Bridge {
    /// The translator.
    pub translator: Translator,
    /// Where the spaces do not hold the same anchors: how many are common, and how many each of them holds.
    pub common: Option<(usize, usize, usize)>,
}

impl Hub {
    /// The hub in the folder at `place`.
    pub fn at(place: Place) -> Self {
        Self { place }
    }

    /// As the person named it.
    pub fn shown(&self) -> &str {
        self.place.shown()
    }

    /// The names and versions of its spaces.
    fn versions(&self) -> Result<BTreeMap<String, usize>> {
        let listing = self.place.store().list(Some(self.place.path())).try_collect::<Vec<_>>();
        let listed = match self.place.runtime().block_on(listing) {
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            listed => listed.map_err(|error| Error::store(self.place.shown(), "cannot be listed", &error))?,
        };
        let mut versions = BTreeMap::new();
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(self.place.path()) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            if let [name, file] = parts.as_slice()
                && file.ends_with(".parquet")
                && !name.starts_with(['_', '.'])
            {
                *versions.entry(name.clone()).or_insert(0) += 1;
            }
        }
        Ok(versions)
    }

    /// Its spaces, by name; at least one.
    pub fn members(&self) -> Result<Vec<Member>> {
        let versions = self.versions()?;
        if versions.is_empty() {
            return Err(Error::file(self.shown(), "is no hub, or has no space yet: `babelake hub add` makes one"));
        }
        versions.iter().map(|(name, count)| self.read(name, *count)).collect()
    }

    /// The space of this name.
    pub fn member(&self, name: &str) -> Result<Member> {
        let versions = self.versions()?;
        match versions.get(name) {
            Some(count) => self.read(name, *count),
            None => Err(Error::file(
                self.shown(),
                format!(
                    "has no space '{name}': {}",
                    match versions.keys().map(|name| format!("'{name}'")).collect::<Vec<_>>() {
                        none if none.is_empty() => "it has none at all, `babelake hub add` adds one".to_owned(),
                        known => format!("it has {}", known.join(", ")),
                    }
                ),
            )),
        }
    }

    fn read(&self, name: &str, versions: usize) -> Result<Member> {
        let path = format!("{name}/{CURRENT}");
        let place = self.place.below(&path)?;
        let get = async { place.store().get(place.path()).await?.bytes().await };
        let current = match place.runtime().block_on(get) {
            Ok(bytes) => serde_json::from_slice::<Current>(&bytes)
                .map_err(|error| Error::file(place.shown(), format!("cannot be read: {error}; add the space again")))?,
            Err(object_store::Error::NotFound { .. }) => {
                let message = "is missing: adding the space was not finished; `babelake hub add` does it";
                return Err(Error::file(place.shown(), message));
            }
            Err(error) => return Err(Error::store(place.shown(), "cannot be read", &error)),
        };
        let (space, decoder) = read_space(&self.version(name, &current.digest)?)?;
        Ok(Member { name: name.to_owned(), space, decoder, versions })
    }

    fn version(&self, name: &str, digest: &str) -> Result<Place> {
        self.place.below(&format!("{name}/{digest}.parquet"))
    }

    /// The anchors' keys, once there are some.
    pub fn keys(&self) -> Result<Option<Keys>> {
        let place = self.place.below(KEYS)?;
        if place.look()?.is_none() {
            return Ok(None);
        }
        let table = Table::file(place.file()?)?;
        Ok(Some(table.keys(&[KEY.to_owned()], &Conditions::default())?.keys))
    }

    /// Fits the space of a table and its inverse, and adds them; where the name is taken, as its newest version.
    pub fn add(&self, addition: &Addition) -> Result<Added> {
        check_name(&addition.name)?;
        let method = Method::new(&addition.method, "parseval")?;
        let parseval = match method.name() {
            "parseval" => true,
            "irp" => false,
            other => {
                return Err(Error::Invalid(format!(
                    "method '{other}' needs the rows of both spaces, and in a hub each is fitted alone: parseval or irp"
                )));
            }
        };
        let table = Table::open(&addition.table)?;
        let vectors = table.vectors(addition.column.as_deref())?;
        let keys = match self.keys()? {
            None => self.first_keys(addition, &table)?,
            Some(_) if addition.anchors_where.is_some() || addition.anchors.is_some() || addition.keys.is_some() => {
                return Err(Error::Invalid(format!(
                    "{}: has its anchors already, which are those of all its spaces: leave --where, --anchors and --keys out",
                    self.shown()
                )));
            }
            Some(keys) => keys,
        };
        let found = table.find_keys(&addition.key, &keys)?;
        let here: Vec<usize> = (0..keys.len()).filter(|&place| found[place].is_some()).collect();
        let matched = Matched {
            keys: keys.select(&here),
            tables: vec![(&vectors, here.iter().filter_map(|&place| found[place]).collect())],
        };
        let gathered = matched.first(0..here.len(), here.len())?;
        if gathered.rows.len() < FEWEST {
            return Err(Error::file(
                table.shown(),
                format!(
                    "has embeddings of {} of the {} anchors of {}: at least {FEWEST} are needed; embed the rows that are missing \
                     (their keys are in {}/{KEYS}), or begin another hub",
                    gathered.rows.len(),
                    keys.len(),
                    self.shown(),
                    self.shown().trim_end_matches('/')
                ),
            ));
        }
        let rows = Rows::new(&gathered.vectors[0], vectors.width());
        let space = Space::fit(&matched.keys.select(&gathered.rows), rows, &addition.name, None, parseval)?;
        let decoder = Decoder::fit(&space, &method)?;

        let others = self.versions()?;
        if let Some((name, count)) = others.iter().find(|(name, _)| **name != addition.name) {
            let other = self.read(name, *count)?;
            if other.space.frame_name() != space.frame_name() {
                return Err(Error::Invalid(format!(
                    "{}: '{name}' has frame '{}' and '{}' would have '{}': all spaces of a hub have the same, leave --method out or \
                     begin another hub",
                    self.shown(),
                    other.space.frame_name(),
                    addition.name,
                    space.frame_name()
                )));
            }
        }
        self.write_keys(&keys)?;
        // Spaces of one table with two methods' settings differ in their decoders alone.
        let digest = blake3::hash(format!("{} {}", space.digest, decoder.digest).as_bytes()).to_hex().to_string();
        let place = self.version(&addition.name, &digest)?;
        let known = place.look()?.is_some();
        if !known {
            write_values(&place, vec![("space", space.to_array()?), ("decoder", decoder.to_array()?)])?;
        }
        self.point(&addition.name, &digest)?;
        let versions = others.get(&addition.name).copied().unwrap_or(0) + usize::from(!known);
        let member = Member { name: addition.name.clone(), space, decoder, versions };
        Ok(Added { member, wanted: keys.len(), known })
    }

    /// The anchors of a hub that has none: those of a table of keys, or drawn from the rows of the first space.
    fn first_keys(&self, addition: &Addition, table: &Table) -> Result<Keys> {
        if let Some(inputs) = &addition.keys {
            let keys = Table::open(inputs)?;
            return Ok(keys.keys(&addition.key, &Conditions::default())?.keys);
        }
        let session = session::context(&session::Settings::default())?;
        let condition = addition.anchors_where.as_deref();
        let anchors = condition.map(|sql| Condition { option: "--where", sql, session: &session });
        let all = table.keys(&addition.key, &Conditions { anchors, ..Conditions::default() })?;
        let vectors = table.vectors(addition.column.as_deref())?;
        let order = all.keys.drawn("anchors", addition.seed);
        let matched = Matched { keys: all.keys, tables: vec![(&vectors, all.at)] };
        let mut rows = matched.first(order, addition.anchors.unwrap_or(DEFAULT_ANCHORS))?.rows;
        rows.sort_unstable();
        Ok(matched.keys.select(&rows))
    }

    fn write_keys(&self, keys: &Keys) -> Result<()> {
        let place = self.place.below(KEYS)?;
        let keys = keys.to_array();
        let schema = Arc::new(Schema::new(vec![Field::new(KEY, keys.data_type().clone(), false)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![keys])?;
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, None)?;
        writer.write(&batch)?;
        writer.close()?;
        match self.put(&place, bytes.into(), PutMode::Create) {
            // Those that were there; or of two first spaces that come at once, those of the other.
            Err(object_store::Error::AlreadyExists { .. }) => match self.keys()? {
                Some(there) if there.to_array() == batch.column(0).clone() => Ok(()),
                _ => Err(Error::file(place.shown(), "was written by another job meanwhile: run the command again")),
            },
            written => written.map_err(|error| Error::store(place.shown(), "cannot be written", &error)),
        }
    }

    fn point(&self, name: &str, digest: &str) -> Result<()> {
        let place = self.place.below(&format!("{name}/{CURRENT}"))?;
        let current = serde_json::to_vec(&Current { digest: digest.to_owned() });
        let current = current.map_err(|error| Error::Invalid(error.to_string()))?;
        let written = self.put(&place, current.into(), PutMode::Overwrite);
        written.map_err(|error| Error::store(place.shown(), "cannot be written", &error))
    }

    fn put(&self, place: &Place, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let put = place.store().put_opts(place.path(), PutPayload::from(bytes), mode.into());
        place.runtime().block_on(put).map(|_| ())
    }

    /// The translator from one space into another: put together where both hold the same anchors, and otherwise made of the
    /// common ones, their frames rebuilt.
    pub fn bridge(&self, from: &str, into: &str) -> Result<Bridge> {
        let (source, target) = (self.member(from)?, self.member(into)?);
        if source.space.anchors.keys == target.space.anchors.keys {
            return Ok(Bridge { translator: Translator::compose(&source.space, &target.decoder)?, common: None });
        }
        let (a, b) = (&source.space.anchors, &target.space.anchors);
        let common = matches(&a.keys, &b.keys).len();
        if common < FEWEST {
            return Err(Error::Invalid(format!(
                "{}: '{from}' and '{into}' have {common} anchors in common, and at least {FEWEST} are needed: `babelake hub check` lists \
                 the missing ones, so that they can be embedded",
                self.shown()
            )));
        }
        let translator = Translator::fit(a, b, &Choice::Method(target.decoder.method()?))?;
        Ok(Bridge { translator, common: Some((common, a.keys.len(), b.keys.len())) })
    }

    /// The translator from stored codes into a space that holds all of their anchors.
    pub fn decoding(&self, code: &Code, into: &str) -> Result<Translator> {
        let target = self.member(into)?;
        if target.space.frame_name() == code.frame && target.space.anchors.keys.digest() == code.keys {
            return Translator::decoding(code, &target.decoder);
        }
        let keys = self.keys_of(code)?;
        let space = target.space.restricted(&keys)?;
        Translator::decoding(code, &Decoder::fit(&space, &target.decoder.method()?)?)
    }

    /// The keys that codes are made with: those of the hub, or of the space that made them, which is still there.
    fn keys_of(&self, code: &Code) -> Result<Keys> {
        for name in self.versions()?.keys() {
            let folder = self.place.below(name)?;
            let listing = folder.store().list(Some(folder.path())).try_collect::<Vec<_>>();
            let listed = folder.runtime().block_on(listing);
            for meta in listed.map_err(|error| Error::store(folder.shown(), "cannot be listed", &error))? {
                if !meta.location.as_ref().ends_with(".parquet") {
                    continue;
                }
                let (space, _) = read_space(&folder.source_below(meta)?.place().clone())?;
                if space.anchors.keys.digest() == code.keys {
                    return Ok(space.anchors.keys);
                }
            }
        }
        Err(Error::file(
            self.shown(),
            format!(
                "holds no space with the anchors that these codes are made with ({:.16}): they are another hub's",
                code.keys
            ),
        ))
    }

    /// What the codes in a table of codes are; all its files must hold the same.
    pub fn code_of(inputs: &Inputs) -> Result<Code> {
        let mut found: Option<(Code, String)> = None;
        for source in inputs.select()?.files {
            let code = code_of_file(source)?;
            match &found {
                None => found = Some(code),
                Some((first, path)) if first.keys != code.0.keys || first.frame != code.0.frame => {
                    let message = format!("holds codes of other anchors than {path}: decode them one after the other");
                    return Err(Error::file(code.1, message));
                }
                Some(_) => {}
            }
        }
        found.map(|(code, _)| code).ok_or_else(|| Error::file(inputs.shown(), "has no files"))
    }

    /// The anchors that a space lacks, as a table of `space` and `key`; those of all spaces where no name is given.
    pub fn missing(&self, members: &[Member]) -> Result<RecordBatch> {
        let keys = self.keys()?.ok_or_else(|| Error::file(self.shown(), format!("has no {KEYS}")))?;
        let (mut names, mut lacking): (Vec<&str>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for member in members {
            let mut has = vec![false; keys.len()];
            matches(&keys, &member.space.anchors.keys).into_iter().for_each(|(place, _)| has[place] = true);
            let lacks: Vec<usize> = (0..keys.len()).filter(|&place| !has[place]).collect();
            names.extend(std::iter::repeat_n(member.name.as_str(), lacks.len()));
            lacking.push(keys.select(&lacks).to_array());
        }
        let lacking: Vec<&dyn arrow::array::Array> = lacking.iter().map(AsRef::as_ref).collect();
        let (names, keys): (ArrayRef, ArrayRef) = (Arc::new(StringArray::from(names)), concat(&lacking)?);
        Ok(RecordBatch::try_from_iter([("space", names), (KEY, keys)])?)
    }

    /// Stores a table of missing anchors; see [`Place::check_writable`] for what is not replaced.
    pub fn store(table: &RecordBatch, place: &Place, overwrite: bool) -> Result<()> {
        place.check_writable(overwrite)?;
        write_batch(place, table)
    }
}

fn code_of_file(source: Source) -> Result<(Code, String)> {
    let file = File::open(source)?;
    let lineage = Lineage::of(file.metadata().file_metadata().key_value_metadata()).and_then(Result::ok);
    let step = lineage.and_then(|lineage| lineage.steps().pop()).filter(|step| step.method == CODE);
    let code = step.and_then(|step| Code::from_json(&step.settings));
    let shown = file.shown().to_owned();
    match code {
        Some(code) => Ok((code, shown)),
        None => Err(Error::file(
            shown,
            "holds no codes that `babelake hub encode` made: name the space that its embeddings are of with --from",
        )),
    }
}

/// Names are folders.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@');
    if !name.is_empty() && name.chars().all(fits) && !name.starts_with(['_', '.']) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "'{name}' cannot be a space's name: letters, digits, - _ . + @ make one, and it begins with a letter or digit"
    )))
}
