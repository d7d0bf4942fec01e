//! Where files are: a path in an object store, as a person named it.

use std::ops::Range;
use std::path::{Component, Path as LocalPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use url::{Position, Url};

use crate::column::buffers::Buffers;
use crate::session::layout;
use crate::session::stores::Stores;
use crate::{Error, Result};

/// A file or a folder, there or not yet.
#[derive(Debug, Clone)]
pub struct Place {
    home: Arc<Home>,
    path: Path,
    shown: String,
}

/// What places of one store share: a lake has a hundred thousand of them.
#[derive(Debug)]
struct Home {
    store: Arc<dyn ObjectStore>,
    url: String,
    runtime: Handle,
    /// Memory for what is read of files, and for what goes to them.
    windows: Buffers<u8>,
    parts: Buffers<u8>,
}

/// A file that is there: its size is known, so that no store is asked for a suffix.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    meta: ObjectMeta,
    /// Where in the path the part relative to the input begins.
    relative: usize,
}

/// The files of this machine.
const LOCAL: &str = "file://";

/// Buffers of each kind that are kept for the next ones.
const KEPT: usize = 32;

/// Bytes asked for at a time where a file is read for its digest.
const DIGEST_READ: u64 = 8 << 20;

impl Place {
    /// The place a person names: a path of this machine, or a URL. Nothing needs to be there.
    ///
    /// After `s3://bucket/`, `file://` and the like comes the name as the store lists it, as the stores' own tools and table
    /// formats write it: nothing in it is encoded. Only in `http(s)://` URLs `%20` is a space.
    pub fn new(text: &str, stores: &Stores, runtime: &Handle) -> Result<Self> {
        let (url, path) = parse(text)?;
        let home = Home {
            store: stores.of(&url)?,
            url: url[..Position::BeforePath].to_owned(),
            runtime: runtime.clone(),
            windows: Buffers::new(KEPT),
            parts: Buffers::new(KEPT),
        };
        Ok(Self { home: Arc::new(home), path, shown: text.to_owned() })
    }

    /// The place that `text` names: relative to this folder, or in full. `None` where that is not below this folder.
    pub fn named(&self, text: &str) -> Result<Option<Self>> {
        if !text.contains("://") && !text.starts_with('/') {
            return self.below(text.strip_prefix("./").unwrap_or(text)).map(Some);
        }
        let local = self.local().map(|local| local.display().to_string()).unwrap_or_default();
        for folder in [self.shown.as_str(), &local].into_iter().filter(|folder| folder.starts_with('/')) {
            // As it is named: what a link in the folder leads to need not be in the folder.
            let rest = text.strip_prefix(folder.trim_end_matches('/'));
            if let Some(relative) = rest.and_then(|rest| rest.strip_prefix('/')) {
                return self.below(relative).map(Some);
            }
        }
        let (url, path) = parse(text)?;
        let within = url[..Position::BeforePath] == self.home.url && path.prefix_matches(&self.path);
        within.then(|| self.below(self.relative(&path))).transpose()
    }

    /// As the person named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.home.store
    }

    /// What distinguishes it from every other place: its store and its path there.
    pub fn identity(&self) -> (&str, &Path) {
        (&self.home.url, &self.path)
    }

    /// The path in the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The URL, encoded as URLs are.
    pub fn url(&self) -> Result<Url> {
        let unusable = |error: &dyn std::fmt::Display| Error::file(&self.shown, format!("is no usable URL: {error}"));
        let mut url = Url::parse(&self.home.url).map_err(|error| unusable(&error))?;
        let mut segments = url.path_segments_mut().map_err(|()| unusable(&"it has no path"))?;
        segments.clear().extend(self.path.parts().map(|part| part.as_ref().to_owned()));
        drop(segments);
        Ok(url)
    }

    /// The runtime that the store's requests run on.
    pub fn runtime(&self) -> &Handle {
        &self.home.runtime
    }

    /// Memory for what goes to files here.
    pub fn parts(&self) -> &Buffers<u8> {
        &self.home.parts
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
        self.home.url == folder.home.url && self.path.prefix_matches(&folder.path)
    }

    /// The place `relative` (parts separated by `/`) below this folder.
    pub fn below(&self, relative: &str) -> Result<Self> {
        let path =
            if self.path.as_ref().is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.path) };
        Ok(Self {
            home: Arc::clone(&self.home),
            path: Path::parse(path).map_err(object_store::Error::from)?,
            shown: format!("{}/{relative}", self.shown.trim_end_matches('/')),
        })
    }

    /// The path on this machine's disk, where it is there.
    pub fn local(&self) -> Option<PathBuf> {
        (self.home.url == LOCAL).then(|| LocalPath::new("/").join(self.path.as_ref()))
    }

    /// What the store says of the file here, `None` where there is no file.
    pub fn look(&self) -> Result<Option<ObjectMeta>> {
        match self.runtime().block_on(self.store().head(&self.path)) {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // A file in the place of a folder on the way here, or a folder whose name the store takes for a staged file's.
            Err(_) if self.local().is_some_and(|local| !local.is_file()) => Ok(None),
            Err(error) => Err(Error::store(&self.shown, "cannot be looked up", &error)),
        }
    }

    /// Whether this is a folder of this machine, or ends in `/`, the way a person names a folder.
    pub fn is_folder(&self) -> bool {
        self.shown.ends_with('/') || self.local().is_some_and(|local| local.is_dir())
    }

    /// An error unless a file may be written here: it exists and `overwrite` is not given, or it is a folder.
    pub fn check_writable(&self, overwrite: bool) -> Result<()> {
        let in_the_way = |message: &str| Error::Exists { path: self.shown.clone(), message: message.into() };
        if self.is_folder() {
            return Err(in_the_way("is a folder: name a file"));
        }
        // It would be replaced, /dev/null included.
        if self.local().is_some_and(|local| local.exists() && !local.is_file()) {
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
        Source { place: self.clone(), meta, relative: self.path.as_ref().len() - self.name().len() }
    }

    /// The file below this folder of which the store has said this.
    pub fn source_below(&self, meta: ObjectMeta) -> Result<Source> {
        let place = self.below(self.relative(&meta.location))?;
        let relative = place.path.as_ref().len() - self.relative(&place.path).len();
        Ok(Source { place, meta, relative })
    }

    /// What `path` is below this folder.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a str {
        let below = path.as_ref().strip_prefix(self.path.as_ref()).unwrap_or_default();
        below.strip_prefix('/').unwrap_or(below)
    }

    /// The Delta table that this folder is, or is to be.
    #[cfg(feature = "delta")]
    pub fn delta_table(&self) -> Result<crate::session::delta::Delta> {
        let url = self.url()?;
        self.runtime().block_on(crate::session::delta::Delta::open(Arc::clone(self.store()), &url, &self.shown))
    }

    /// An error where the folder, this one or that of the file here, is a table of a format that keeps its own books.
    pub fn check_no_table(&self, is_file: bool) -> Result<()> {
        let folder = if is_file { self.path.parent().unwrap_or_default() } else { self.path.clone() };
        let found = self.runtime().block_on(layout::table_around(self.store(), &folder));
        match found.map_err(|error| Error::store(&self.shown, "cannot be listed", &error))? {
            Some(format) => Err(Error::file(&self.shown, format.unwritable())),
            None => Ok(()),
        }
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

    /// All its bytes: of files that are small.
    pub fn read(&self) -> Result<Bytes> {
        let get = async { self.place.store().get_opts(self.place.path(), self.get(None)).await?.bytes().await };
        self.place.runtime().block_on(get).map_err(|error| self.refused(&error))
    }

    /// Blake3 of its bytes, read once more; `None` where `stop` says so.
    pub fn digest(&self, stop: &dyn Fn() -> bool) -> Result<Option<String>> {
        let mut digest = blake3::Hasher::new();
        let mut begin = 0;
        while begin < self.size() {
            if stop() {
                return Ok(None);
            }
            let end = self.size().min(begin + DIGEST_READ);
            let bytes = self.range(begin..end).map_err(|error| self.refused(&error))?;
            digest.update(&bytes);
            begin = end;
        }
        Ok(Some(digest.finalize().to_hex().to_string()))
    }

    /// Some bytes of it, in a buffer that goes back when they are read no more.
    pub fn range(&self, range: Range<u64>) -> object_store::Result<Bytes> {
        let (place, options) = (&self.place, self.get(Some(range)));
        let found = place.runtime().block_on(place.store().get_opts(place.path(), options))?;
        let length = usize::try_from(found.range.end - found.range.start).unwrap_or(usize::MAX);
        let (file, start) = match found.payload {
            GetResultPayload::File(file, _) => (file, found.range.start),
            GetResultPayload::Stream(_) => return place.runtime().block_on(found.bytes()),
        };
        let read = place.home.windows.read(&file, start, length);
        read.map_err(|error| object_store::Error::Generic { store: "local", source: Box::new(error) })
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
        self.place.path.as_ref().get(self.relative..).unwrap_or_default()
    }

    /// As a person reads it.
    pub fn shown(&self) -> &str {
        self.place.shown()
    }
}

/// The store and the path there that a text names.
fn parse(text: &str) -> Result<(Url, Path)> {
    let unusable = |error: &dyn std::fmt::Display| Error::file(text, format!("is no usable path or URL: {error}"));
    let local = match text.split_once("://") {
        None if text.is_empty() => return Err(Error::Invalid("a path is empty: name a file or a folder".into())),
        None => PathBuf::from(text),
        Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
        Some(("file", _)) => return Err(unusable(&"file:///folder/file.parquet would be one")),
        Some(("http" | "https", _)) => {
            let url = Url::parse(text).map_err(|error| unusable(&error))?;
            let path = Path::from_url_path(url.path()).map_err(|error| unusable(&error))?;
            return Ok((url, path));
        }
        Some((scheme, rest)) => {
            let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
            let url = Url::parse(&format!("{scheme}://{bucket}/")).map_err(|error| unusable(&error))?;
            return Ok((url, Path::parse(path).map_err(|error| unusable(&error))?));
        }
    };
    let resolved = resolve(&local).map_err(|source| Error::Io { path: text.to_owned(), source })?;
    let path = Path::from_absolute_path(&resolved).map_err(|error| unusable(&error))?;
    Ok((Url::parse("file:///").map_err(|error| unusable(&error))?, path))
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
