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

use std::collections::{BTreeMap, BTreeSet};
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
use super::fit::{DEFAULT_ANCHORS, MAX_ANCHORS};
use super::inputs::Inputs;
use super::lineage::Lineage;
use super::matched::Matched;
use super::output::write_table;
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

/// Fewer common anchors than this say nothing about a space: a third of them is measured on.
pub const FEWEST: usize = 96;

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
    /// Digest of both: the name of its file.
    pub version: String,
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

    /// Whether a place is in its folder.
    pub fn holds(&self, place: &Place) -> bool {
        place.is_within(&self.place)
    }

    /// Its spaces, and how many versions each has: folders that say which one counts. Others are no spaces: what an addition that was
    /// stopped has left, or somebody else's.
    fn versions(&self) -> Result<BTreeMap<String, usize>> {
        let listing = self.place.store().list(Some(self.place.path())).try_collect::<Vec<_>>();
        let listed = match self.place.runtime().block_on(listing) {
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            listed => listed.map_err(|error| Error::store(self.place.shown(), "cannot be listed", &error))?,
        };
        let (mut versions, mut current) = (BTreeMap::new(), BTreeSet::new());
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(self.place.path()) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            match parts.as_slice() {
                [name, file] if file == CURRENT => drop(current.insert(name.clone())),
                [name, file] if file.ends_with(".parquet") => *versions.entry(name.clone()).or_insert(0) += 1,
                _ => {}
            }
        }
        versions.retain(|name, _| current.contains(name));
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
            Err(error) => return Err(Error::store(place.shown(), "cannot be read", &error)),
        };
        let named = self.version(name, &current.digest).ok().filter(|version| version.stem() == current.digest);
        let Some(version) = named else {
            return Err(Error::file(
                place.shown(),
                format!("names no version: '{}'; add the space again", current.digest),
            ));
        };
        let (space, decoder) = read_space(&version)?;
        if space.anchors.encoder != name || digest(&space, &decoder) != current.digest {
            return Err(Error::file(
                version.shown(),
                format!("is not the space of '{name}' that its name says: add it again"),
            ));
        }
        Ok(Member { name: name.to_owned(), space, decoder, version: current.digest, versions })
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
        let others = self.versions()?;
        let other = others.iter().next().map(|(name, count)| self.read(name, *count)).transpose()?;
        let method = match &other {
            // Spaces of one hub are made alike, where nobody says otherwise.
            Some(other) if addition.method == MethodOptions::default() => other.decoder.method()?,
            _ => Method::new(&addition.method, "parseval")?,
        };
        let parseval = match method.name() {
            "parseval" => true,
            "irp" => false,
            other => {
                return Err(Error::Invalid(format!(
                    "method '{other}' needs the rows of both spaces, and in a hub each is fitted alone: parseval or irp"
                )));
            }
        };
        if let Some(other) = other.filter(|other| (other.space.frame_name() == "parseval") != parseval) {
            return Err(Error::Invalid(format!(
                "{}: '{}' has frame '{}', and all spaces of a hub have the same: leave --method out, or begin another hub",
                self.shown(),
                other.name,
                other.space.frame_name()
            )));
        }
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

        self.write_keys(&keys)?;
        let version = digest(&space, &decoder);
        let place = self.version(&addition.name, &version)?;
        let known = place.look()?.is_some();
        if !known {
            write_values(&place, vec![("space", space.to_array()?), ("decoder", decoder.to_array()?)])?;
        }
        self.point(&addition.name, &version)?;
        let versions = others.get(&addition.name).copied().unwrap_or(0) + usize::from(!known);
        let member = Member { name: addition.name.clone(), space, decoder, version, versions };
        Ok(Added { member, wanted: keys.len(), known })
    }

    /// The anchors of a hub that has none: those of a table of keys, or drawn from the rows of the first space.
    fn first_keys(&self, addition: &Addition, table: &Table) -> Result<Keys> {
        if let Some(inputs) = &addition.keys {
            let keys = Table::open(inputs)?;
            let keys = keys.keys(&addition.key, &Conditions::default())?.keys;
            if keys.len() > MAX_ANCHORS {
                let message = format!("has {} rows: a hub takes {MAX_ANCHORS} anchors at most", keys.len());
                return Err(Error::file(inputs.shown(), message));
            }
            return Ok(keys);
        }
        if addition.anchors.is_some_and(|anchors| anchors > MAX_ANCHORS) {
            return Err(Error::Invalid(format!("--anchors: a hub takes {MAX_ANCHORS} anchors at most")));
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
        if let Some(keys) = self.keys()?.filter(|keys| keys.digest() == code.keys) {
            return Ok(keys);
        }
        // Those of a space that lacked some, or of an earlier version of one.
        for name in self.versions()?.keys() {
            let folder = self.place.below(name)?;
            let listing = folder.store().list(Some(folder.path())).try_collect::<Vec<_>>();
            let listed = folder.runtime().block_on(listing);
            for meta in listed.map_err(|error| Error::store(folder.shown(), "cannot be listed", &error))? {
                if meta.location.as_ref().ends_with(".parquet") {
                    let (space, _) = read_space(folder.source_below(meta)?.place())?;
                    if space.anchors.keys.digest() == code.keys {
                        return Ok(space.anchors.keys);
                    }
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

    /// The column of codes in a table, and what they are; all its files must hold the same. `named` is the column where the person
    /// names it.
    pub fn code_of(inputs: &Inputs, named: Option<&str>) -> Result<(String, Code)> {
        let mut found: Option<(String, Code, String)> = None;
        for source in inputs.select()?.files {
            let (column, code, shown) = code_of_file(source, named)?;
            match &found {
                None => found = Some((column, code, shown)),
                Some((of, first, path)) if (of, &first.keys, &first.frame) != (&column, &code.keys, &code.frame) => {
                    let message = format!(
                        "holds codes of other anchors than {path}, or in another column: decode them one after the other"
                    );
                    return Err(Error::file(shown, message));
                }
                Some(_) => {}
            }
        }
        found.map(|(column, code, _)| (column, code)).ok_or_else(|| Error::file(inputs.shown(), "has no files"))
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
        write_table(place, table, overwrite)
    }
}

fn code_of_file(source: Source, named: Option<&str>) -> Result<(String, Code, String)> {
    let file = File::open(source)?;
    let lineage = Lineage::of(file.metadata().file_metadata().key_value_metadata()).and_then(Result::ok);
    // What was done last to a column is what it holds.
    let mut columns: BTreeMap<String, Option<Code>> = BTreeMap::new();
    for step in lineage.map(Lineage::steps).unwrap_or_default() {
        let code = (step.method == CODE).then(|| Code::from_json(&step.settings)).flatten();
        columns.insert(step.result().to_owned(), code);
    }
    let mut codes: Vec<(String, Code)> = columns.into_iter().filter_map(|(name, code)| Some((name, code?))).collect();
    if let Some(named) = named {
        codes.retain(|(name, _)| name == named);
    }
    let shown = file.shown().to_owned();
    match (codes.pop(), codes.is_empty()) {
        (Some((column, code)), true) => Ok((column, code, shown)),
        (Some(_), false) => Err(Error::file(shown, "holds several columns of codes: name one with --column")),
        (None, _) => {
            let what = named.map_or_else(String::new, |named| format!(" in column `{named}`"));
            let message = format!(
                "holds no codes that `babelake hub encode` made{what}: name the space that its embeddings are of with --from"
            );
            Err(Error::file(shown, message))
        }
    }
}

/// The name of a version: two of one table with other settings differ in their decoders alone.
fn digest(space: &Space, decoder: &Decoder) -> String {
    blake3::hash(format!("{} {}", space.digest, decoder.digest).as_bytes()).to_hex().to_string()
}

/// Names are folders.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@');
    if name.chars().all(fits) && name.starts_with(char::is_alphanumeric) && name != KEYS {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "'{name}' cannot be a space's name: letters, digits, - _ . + @ make one, and it begins with a letter or digit"
    )))
}
