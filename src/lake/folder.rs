//! An output folder: whose it is, what it holds, whether it is complete.
//!
//! Beside the translated files there are `_SUCCESS`, written by a finished job and removed by a started one, and two files
//! of ours: `_babelake/owner.json` says what the folder's files are made with and is written once, before the first of
//! them; `_babelake/seen.json` remembers which versions were found equal, so that a job that has nothing to do need not
//! read a single footer. Without the latter a job finds everything in the footers, only slower.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutPayload};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Place;
use super::file::File;
use super::lineage::{Lineage, Origin, Work, hint};
use crate::{Error, Result};

const OWNER: &str = "_babelake/owner.json";
const SEEN: &str = "_babelake/seen.json";
const SUCCESS: &str = "_SUCCESS";

/// The newest layout of [`Seen`].
const FORMAT: u32 = 1;

/// What a folder holds.
#[derive(Debug)]
pub struct Folder {
    place: Place,
    /// Parquet files by their path in the folder; names that begin with `_` or `.` are no data.
    objects: HashMap<String, ObjectMeta>,
    owner: Option<Work>,
    seen: Seen,
    success: Option<Bytes>,
}

/// Outputs as they were found or written, with the sources they are equal to.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    format: u32,
    work: Option<Work>,
    files: BTreeMap<String, Equal>,
}

/// An output that is what its source translated gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Equal {
    /// The source.
    pub source: Origin,
    /// Rows of both.
    pub rows: u64,
    /// Bytes of the output.
    pub bytes: u64,
    /// What the store calls the output's version.
    pub hint: String,
}

/// What `_SUCCESS` says.
#[derive(Debug, PartialEq, Serialize)]
struct Success {
    files: usize,
    rows: u64,
    digest: String,
}

impl Folder {
    /// Looks at the folder; it need not be there.
    pub fn look(place: &Place) -> Result<Self> {
        let listing = place.store().list(Some(place.path())).try_collect::<Vec<_>>();
        let listed = match place.runtime().block_on(listing) {
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            listed => listed.map_err(|error| Error::store(place.shown(), "cannot be listed", &error))?,
        };
        let mut folder =
            Self { place: place.clone(), objects: HashMap::new(), owner: None, seen: Seen::default(), success: None };
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(place.path()) else { continue };
            let relative = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            match relative.as_str() {
                OWNER => folder.owner = folder.json(OWNER)?,
                SEEN => {
                    folder.seen = folder.json(SEEN)?.filter(|seen: &Seen| seen.format == FORMAT).unwrap_or_default()
                }
                SUCCESS => folder.success = folder.read(SUCCESS)?,
                _ if relative.split('/').any(|part| part.starts_with(['_', '.'])) => {}
                _ if relative.ends_with(".parquet") => drop(folder.objects.insert(relative, meta)),
                _ => {}
            }
        }
        Ok(folder)
    }

    /// What the folder's files are made with, where it says so.
    pub fn owner(&self) -> Option<&Work> {
        self.owner.as_ref()
    }

    /// The Parquet files, by their path in the folder.
    pub fn objects(&self) -> &HashMap<String, ObjectMeta> {
        &self.objects
    }

    /// The output at `path`, where it and its source are the versions that were found equal before.
    pub fn equal(&self, work: &Work, path: &str, source: Option<&ObjectMeta>) -> Option<&Equal> {
        self.seen.work.as_ref().filter(|seen| seen.is(work))?;
        let (equal, output) = (self.seen.files.get(path)?, self.objects.get(path)?);
        let same = |bytes, known: &str, meta: &ObjectMeta| bytes == meta.size && known == hint(meta);
        let output_is = same(equal.bytes, &equal.hint, output);
        let source_is = source.is_none_or(|source| same(equal.source.bytes, &equal.source.hint, source));
        (output_is && source_is).then_some(equal)
    }

    /// What the footer of a file here says, where it says something.
    pub fn lineage(&self, path: &str) -> Result<Option<Lineage>> {
        let Some(meta) = self.objects.get(path) else { return Ok(None) };
        match File::open(self.place.below(path)?.source(meta.clone())) {
            Err(error) if error.is_passing() => Err(error),
            Err(_) => Ok(None),
            Ok(file) => Ok(Lineage::of(file.metadata().file_metadata().key_value_metadata()).and_then(Result::ok)),
        }
    }

    /// Makes the folder that of this work, before the first file is written. Of two jobs with different work one fails.
    pub fn claim(&self, work: &Work, overwrite: bool) -> Result<()> {
        if self.owner.as_ref().is_some_and(|owner| owner.is(work)) {
            return Ok(());
        }
        let mode = if overwrite { PutMode::Overwrite } else { PutMode::Create };
        match self.write(OWNER, serde_json::to_vec_pretty(work), mode) {
            Err(object_store::Error::AlreadyExists { .. }) => match self.json::<Work>(OWNER)? {
                Some(owner) if owner.is(work) => Ok(()),
                _ => Err(self.taken("by a job that has just begun")),
            },
            written => written.map_err(|error| self.failed(OWNER, "cannot be written", &error)),
        }
    }

    /// That the folder is another translation's.
    pub fn taken(&self, by: &str) -> Error {
        Error::Exists {
            path: self.place.shown().to_owned(),
            message: format!(
                "belongs to another translation ({by}): an output folder belongs to one translator and its settings, name \
                 another folder (--overwrite replaces the files of this one)"
            ),
        }
    }

    /// A job begins to change the folder.
    pub fn started(&self) -> Result<()> {
        match &self.success {
            Some(_) => self.delete(SUCCESS),
            None => Ok(()),
        }
    }

    /// Removes a file.
    pub fn delete(&self, path: &str) -> Result<()> {
        let place = self.place.below(path)?;
        match self.place.runtime().block_on(place.store().delete(place.path())) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store(place.shown(), "cannot be removed", &error)),
        }
    }

    /// Files that were found equal and that this job has not looked at.
    pub fn others(&self, work: &Work, looked_at: &BTreeMap<String, Equal>) -> BTreeMap<String, Equal> {
        let known = self.seen.work.as_ref().is_some_and(|seen| seen.is(work));
        let others = self.seen.files.iter().filter(|(path, _)| known && !looked_at.contains_key(*path));
        others.map(|(path, equal)| (path.clone(), equal.clone())).collect()
    }

    /// Notes which outputs are equal to their sources, and, where that is all there is to do, that the folder is complete.
    pub fn finished(&self, work: &Work, files: BTreeMap<String, Equal>, complete: bool) -> Result<()> {
        let mut digest = blake3::Hasher::new();
        for (path, equal) in &files {
            digest.update(format!("{path}\0{}\0{}\n", equal.source.digest, equal.rows).as_bytes());
        }
        let success = Success {
            files: files.len(),
            rows: files.values().map(|equal| equal.rows).sum(),
            digest: digest.finalize().to_hex().to_string(),
        };
        let seen = Seen { format: FORMAT, work: Some(work.clone()), files };
        if seen != self.seen {
            let written = self.write(SEEN, serde_json::to_vec(&seen), PutMode::Overwrite);
            written.map_err(|error| self.failed(SEEN, "cannot be written", &error))?;
        }
        let mut success = serde_json::to_vec(&success).map_err(|error| Error::Invalid(error.to_string()))?;
        success.push(b'\n');
        if complete && self.success.as_ref().is_none_or(|there| there.as_ref() != success.as_slice()) {
            let written = self.write(SUCCESS, Ok(success), PutMode::Overwrite);
            written.map_err(|error| self.failed(SUCCESS, "cannot be written", &error))?;
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let place = self.place.below(path)?;
        let get = async { place.store().get(place.path()).await?.bytes().await };
        match self.place.runtime().block_on(get) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path, "cannot be read", &error)),
        }
    }

    /// `None` also where it is not what we write: the footers say the same.
    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        Ok(self.read(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn write(&self, path: &str, bytes: serde_json::Result<Vec<u8>>, mode: PutMode) -> object_store::Result<()> {
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
            store: "babelake",
            source,
        };
        let payload = PutPayload::from(bytes.map_err(|error| broken(error.into()))?);
        let place = self.place.below(path).map_err(|error| broken(error.into()))?;
        self.place.runtime().block_on(place.store().put_opts(place.path(), payload, mode.into())).map(|_| ())
    }

    fn failed(&self, path: &str, what: &str, error: &object_store::Error) -> Error {
        Error::store(format!("{}/{path}", self.place.shown().trim_end_matches('/')), what, error)
    }
}
