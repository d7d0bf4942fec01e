//! Where files are: a path in an object store, as a person named it.

use std::ops::Range;
use std::path::{Component, Path as LocalPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use url::{Position, Url};

use crate::session::stores::Stores;
use crate::{Error, Result};

/// A file or a folder, there or not yet.
#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// The store's.
    url: String,
    path: Path,
    shown: String,
    local: Option<PathBuf>,
    runtime: Handle,
}

/// A file that is there: its size is known, so that no store is asked for a suffix.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    meta: ObjectMeta,
    relative: String,
}

/// Bytes asked for at a time where a file is read for its digest.
const DIGEST_READ: u64 = 8 << 20;

/// What a place holds.
#[derive(Debug, Clone)]
pub struct Found {
    /// The files, sorted by path; at least one.
    pub files: Vec<Source>,
    /// Whether the place is one file itself, and not a folder of them.
    pub single: bool,
}

impl Place {
    /// The place a person names: a path of this machine, or a URL. Nothing needs to be there.
    pub fn new(text: &str, stores: &Stores, runtime: &Handle) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::Invalid("a path is empty: name a file or a folder".into()));
        }
        let local = match text.split_once("://") {
            Some(("file", _)) => {
                let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                path.ok_or_else(|| {
                    Error::file(text, "is no usable file URL: file:///folder/file.parquet would be one")
                })?
            }
            Some(_) => {
                let url = Url::parse(text).map_err(|error| Error::file(text, format!("is no usable URL: {error}")))?;
                let path = Path::from_url_path(url.path());
                return Ok(Self {
                    store: stores.of(&url)?,
                    url: url[..Position::BeforePath].to_owned(),
                    path: path.map_err(|error| Error::file(text, format!("is no usable URL: {error}")))?,
                    shown: text.to_owned(),
                    local: None,
                    runtime: runtime.clone(),
                });
            }
            None => PathBuf::from(text),
        };
        let resolved = resolve(&local).map_err(|source| Error::Io { path: text.to_owned(), source })?;
        let path = Path::from_absolute_path(&resolved).map_err(|error| Error::file(text, error.to_string()))?;
        let url = "file://".to_owned();
        Ok(Self {
            store: stores.of(&Url::parse("file:///").map_err(|error| Error::file(text, error.to_string()))?)?,
            url,
            path,
            shown: text.to_owned(),
            local: Some(resolved),
            runtime: runtime.clone(),
        })
    }

    /// As the person named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// What distinguishes it from every other place: its store and its path there.
    pub fn identity(&self) -> (&str, &Path) {
        (&self.url, &self.path)
    }

    /// The path in the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path on this machine's disk, where it is there.
    pub fn local(&self) -> Option<&LocalPath> {
        self.local.as_deref()
    }

    /// The runtime that the store's requests run on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The name of the file or folder.
    pub fn name(&self) -> &str {
        self.path.filename().unwrap_or_default()
    }

    /// The name without `.parquet`: what an encoder is called when nobody names it.
    pub fn stem(&self) -> &str {
        self.name().strip_suffix(".parquet").unwrap_or(self.name())
    }

    /// Whether this place is inside `folder`, or is it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.url == folder.url && self.path.prefix_matches(&folder.path)
    }

    /// The place `relative` (parts separated by `/`) below this folder.
    pub fn below(&self, relative: &str) -> Result<Self> {
        let path =
            if self.path.as_ref().is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.path) };
        Ok(Self {
            store: Arc::clone(&self.store),
            url: self.url.clone(),
            path: Path::parse(path).map_err(object_store::Error::from)?,
            shown: format!("{}/{relative}", self.shown.trim_end_matches('/')),
            local: self.local.as_ref().map(|local| local.join(relative)),
            runtime: self.runtime.clone(),
        })
    }

    /// What the store says of the file here, `None` where there is no file.
    pub fn look(&self) -> Result<Option<ObjectMeta>> {
        match self.runtime.block_on(self.store.head(&self.path)) {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // A file in the place of a folder on the way here: there can be no file.
            Err(_) if self.local.as_ref().is_some_and(|local| !local.exists()) => Ok(None),
            Err(error) => Err(Error::store(&self.shown, "cannot be looked up", &error)),
        }
    }

    /// Whether this is a folder of this machine, or ends in `/`, the way a person names a folder.
    pub fn is_folder(&self) -> bool {
        self.shown.ends_with('/') || self.local.as_ref().is_some_and(|local| local.is_dir())
    }

    /// An error unless a file may be written here: it exists and `overwrite` is not given, or it is a folder.
    pub fn check_writable(&self, overwrite: bool) -> Result<()> {
        let in_the_way = |message: &str| Error::Exists { path: self.shown.clone(), message: message.into() };
        if self.is_folder() {
            return Err(in_the_way("is a folder: name a file"));
        }
        // It would be replaced, /dev/null included.
        if self.local.as_ref().is_some_and(|local| local.exists() && !local.is_file()) {
            return Err(in_the_way("is a device or a pipe: name a file"));
        }
        if !overwrite && self.look()?.is_some() {
            return Err(in_the_way("exists: give --overwrite to replace it"));
        }
        Ok(())
    }

    /// The file here.
    pub fn file(&self) -> Result<Source> {
        match self.look()? {
            Some(meta) => Ok(self.source(meta)),
            None if self.is_folder() => Err(Error::file(&self.shown, "is a folder: name a file")),
            None => Err(Error::file(&self.shown, "there is no such file")),
        }
    }

    /// The file here, of which the store has said this.
    pub fn source(&self, meta: ObjectMeta) -> Source {
        Source { place: self.clone(), meta, relative: self.name().to_owned() }
    }

    /// The file here, or all `*.parquet` files below this folder, sorted by path. Files and folders whose names begin with
    /// `_` or `.` are no data and are left out.
    pub fn find(&self) -> Result<Found> {
        // A folder that is named as one (`bucket/folder/`) need not be asked whether it is a file.
        if let Some(meta) = if self.shown.ends_with('/') { None } else { self.look()? } {
            return Ok(Found { files: vec![self.source(meta)], single: true });
        }
        let listed: Vec<_> = self
            .runtime
            .block_on(self.store.list(Some(&self.path)).try_collect())
            .map_err(|error| Error::store(&self.shown, "cannot be listed", &error))?;
        let mut sources = Vec::new();
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(&self.path) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            let hidden = parts.iter().any(|part| part.starts_with(['_', '.']));
            if !hidden && parts.last().is_some_and(|name| name.ends_with(".parquet")) {
                let relative = parts.join("/");
                sources.push(Source { place: self.below(&relative)?, meta, relative });
            }
        }
        if sources.is_empty() {
            return Err(Error::file(
                &self.shown,
                if self.is_folder() {
                    "this folder has no *.parquet files (names that begin with _ or . are no data)"
                } else {
                    "there is no such file or folder"
                },
            ));
        }
        sources.sort_by(|a, b| a.place.path.cmp(&b.place.path));
        Ok(Found { files: sources, single: false })
    }
}

impl Source {
    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the store said of it when it was found.
    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// Its size in bytes when it was found.
    pub fn size(&self) -> u64 {
        self.meta.size
    }

    /// What to ask the store for: these bytes (or all) of the version that was found, and of no other.
    pub fn get(&self, range: Option<Range<u64>>) -> GetOptions {
        GetOptions { range: range.map(GetRange::Bounded), if_match: self.meta.e_tag.clone(), ..GetOptions::default() }
    }

    /// Blake3 of its bytes, read once more; `None` where `stop` says so.
    pub fn digest(&self, stop: &dyn Fn() -> bool) -> Result<Option<String>> {
        let (store, path) = (self.place.store(), self.place.path());
        let mut digest = blake3::Hasher::new();
        let mut begin = 0;
        while begin < self.size() {
            if stop() {
                return Ok(None);
            }
            let end = self.size().min(begin + DIGEST_READ);
            let get = async { store.get_opts(path, self.get(Some(begin..end))).await?.bytes().await };
            let bytes = self.place.runtime().block_on(get).map_err(|error| self.refused(&error))?;
            digest.update(&bytes);
            begin = end;
        }
        Ok(Some(digest.finalize().to_hex().to_string()))
    }

    /// What the store said when it was asked for bytes.
    pub fn refused(&self, error: &object_store::Error) -> Error {
        match error {
            object_store::Error::Precondition { .. } => Error::file(
                self.shown(),
                "has changed while it was read: run the command again when nobody writes to it",
            ),
            error => Error::store(self.shown(), "cannot be read", error),
        }
    }

    /// Its path below the folder it was found in, or its name where it was named itself; parts separated by `/`.
    pub fn relative(&self) -> &str {
        &self.relative
    }

    /// As a person reads it.
    pub fn shown(&self) -> &str {
        self.place.shown()
    }
}

/// The absolute path with symbolic links resolved as far as the path exists, and no `.` or `..`.
fn resolve(path: &LocalPath) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            part => resolved.push(part),
        }
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
    }
    Ok(resolved)
}
