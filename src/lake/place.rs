//! Where files are: a path in an object store, as a person named it.

use std::path::{Component, Path as LocalPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::{Error, Result};

/// A file or a folder, there or not yet.
#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    path: Path,
    shown: String,
    local: Option<PathBuf>,
    runtime: Handle,
}

/// A file that is there: its size is known, so that no store is asked for a suffix.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    size: u64,
    relative: String,
}

/// What a place holds.
#[derive(Debug, Clone)]
pub enum Found {
    /// The place is one file.
    File(Source),
    /// The place is a folder of Parquet files, sorted by path; at least one.
    Folder(Vec<Source>),
}

impl Found {
    /// The files, in order.
    pub fn files(self) -> Vec<Source> {
        match self {
            Self::File(source) => vec![source],
            Self::Folder(sources) => sources,
        }
    }
}

impl Place {
    /// The place a person names: a path of this machine or a `file://` URL. Nothing needs to be there.
    pub fn new(text: &str, runtime: &Handle) -> Result<Self> {
        let local = match text.split_once("://") {
            Some(("file", _)) => url::Url::parse(text)
                .ok()
                .and_then(|url| url.to_file_path().ok())
                .ok_or_else(|| Error::file(text, "is no usable file URL: file:///folder/file.parquet would be one"))?,
            Some((scheme, _)) => {
                return Err(Error::file(text, format!("the store `{scheme}` is unknown: local paths can be used")));
            }
            None if text.is_empty() => return Err(Error::Invalid("a path is empty: name a file or a folder".into())),
            None => PathBuf::from(text),
        };
        let resolved = resolve(&local).map_err(|source| Error::Io { path: text.to_owned(), source })?;
        let path = Path::from_absolute_path(&resolved).map_err(object_store::Error::from)?;
        Ok(Self {
            store: Arc::new(LocalFileSystem::new()),
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

    /// The path in the store.
    pub fn path(&self) -> &Path {
        &self.path
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
        self.path.prefix_matches(&folder.path)
    }

    /// The place `relative` (parts separated by `/`) below this folder.
    pub fn below(&self, relative: &str) -> Result<Self> {
        let path =
            if self.path.as_ref().is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.path) };
        Ok(Self {
            store: Arc::clone(&self.store),
            path: Path::parse(path).map_err(object_store::Error::from)?,
            shown: format!("{}/{relative}", self.shown.trim_end_matches('/')),
            local: self.local.as_ref().map(|local| local.join(relative)),
            runtime: self.runtime.clone(),
        })
    }

    /// The size of the file here, `None` where there is no file.
    pub fn size(&self) -> Result<Option<u64>> {
        match self.runtime.block_on(self.store.head(&self.path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // A file in the place of a folder on the way here: there can be no file.
            Err(_) if self.local.as_ref().is_some_and(|local| !local.exists()) => Ok(None),
            Err(error) => Err(error.into()),
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
        if !overwrite && self.size()?.is_some() {
            return Err(in_the_way("exists: give --overwrite to replace it"));
        }
        Ok(())
    }

    /// The file here.
    pub fn file(&self) -> Result<Source> {
        match self.size()? {
            Some(size) => Ok(self.source(size)),
            None if self.is_folder() => Err(Error::file(&self.shown, "is a folder: name a file")),
            None => Err(Error::file(&self.shown, "there is no such file")),
        }
    }

    fn source(&self, size: u64) -> Source {
        Source { place: self.clone(), size, relative: self.name().to_owned() }
    }

    /// The file here, or all `*.parquet` files below this folder, sorted by path. Files and folders whose names begin with
    /// `_` or `.` are no data and are left out.
    pub fn find(&self) -> Result<Found> {
        if let Some(size) = self.size()? {
            return Ok(Found::File(self.source(size)));
        }
        let listed: Vec<_> = self.runtime.block_on(self.store.list(Some(&self.path)).try_collect())?;
        let mut sources = Vec::new();
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(&self.path) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            let hidden = parts.iter().any(|part| part.starts_with(['_', '.']));
            if !hidden && parts.last().is_some_and(|name| name.ends_with(".parquet")) {
                let relative = parts.join("/");
                sources.push(Source { place: self.below(&relative)?, size: meta.size, relative });
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
        Ok(Found::Folder(sources))
    }
}

impl Source {
    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its size in bytes when it was found.
    pub fn size(&self) -> u64 {
        self.size
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
