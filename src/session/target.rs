//! What COPY and INSERT may write to, checked before a query runs and before its result is published.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileSinkConfig;
use futures::TryStreamExt;
use object_store::path::{Path, PathPart};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::layout::{self, is_hidden};
use crate::{Error, Result};

/// What to do with what is at the target: `OPTIONS (mode 'overwrite')`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The file is replaced. Of a folder, the files that a COPY like this one may have written are deleted once the new
    /// ones are there: of the same extension, in the folder itself or in its partitions' folders, and not hidden.
    Overwrite,
    /// New files are added to a folder.
    Append,
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "overwrite" => Ok(Self::Overwrite),
            "append" => Ok(Self::Append),
            _ => Err(Error::Invalid(format!("mode '{text}' is unknown: use mode 'overwrite' or mode 'append'"))),
        }
    }
}

/// A target that may be written to.
#[derive(Debug, Default)]
pub struct Target {
    /// Objects to delete once the new ones are published.
    pub replaced: Vec<Path>,
    /// Whether the new objects stand at names that were free before.
    pub fresh: bool,
    /// Whether it is one file whose name must still be free when it is published.
    pub exclusive: bool,
}

impl Target {
    /// Looks at what is there and says whether the sink may write to it.
    ///
    /// COPY writes to a free name unless `mode` allows more. INSERT adds files to its table's folder: that is its meaning.
    ///
    /// Asked before a query runs, and again before its result is published, because others may have written meanwhile.
    /// Of several COPYs without a mode to one file exactly one gets through, see [`Target::exclusive`]. To one folder
    /// there is a window: two that both ask before either has published its first file both publish, side by side,
    /// as with mode 'append'. So do two COPYs with mode 'overwrite'.
    pub async fn check(store: &Arc<dyn ObjectStore>, sink: &FileSinkConfig, mode: Option<Mode>) -> Result<Self> {
        let Some(url) = sink.table_paths.first() else {
            return Err(Error::Invalid("there is no target to write to".to_owned()));
        };
        let fresh = Self { fresh: true, ..Self::default() };
        // The planner gives COPY the target as it was typed, and INSERT, which writes to a table, an empty text.
        let is_copy = !sink.original_url.is_empty();
        if !is_copy {
            return match mode {
                None => Ok(fresh),
                Some(_) => Err(Error::Invalid(
                    "mode is an option of COPY, not of a table: INSERT INTO always adds to the table".to_owned(),
                )),
            };
        }
        let path = &sink.original_url;
        let exists = |message: &str| Err(Error::Exists { path: path.clone(), message: message.to_owned() });
        if url.get_glob().is_some() {
            return Err(Error::file(path, "is a pattern: COPY writes to one file, or to a folder (`name/`)"));
        }

        let prefix = url.prefix();
        let is_file = match store.head(prefix).await {
            Ok(_) => true,
            Err(StoreError::NotFound { .. }) => false,
            Err(error) => return Err(Error::store(path, "cannot be looked up", &error)),
        };
        // As the engine's writer decides: partitions always make a folder.
        let single = sink.table_partition_cols.is_empty() && sink.file_output_mode.single_file_output(url);
        let folder = if single { prefix.parent().unwrap_or_default() } else { prefix.clone() };
        let around = layout::table_around(store, &folder).await;
        if let Some(format) = around.map_err(|error| Error::store(path, "cannot be looked up", &error))? {
            return Err(Error::file(path, format.unwritable()));
        }
        if single {
            return match (mode, is_file) {
                (Some(Mode::Append), _) => Err(Error::file(
                    path,
                    "is a single file, and nothing can be appended to one: COPY to a folder (`name/`) instead",
                )),
                (None, true) => Err(Self::taken(path)),
                (None, false) => Ok(Self { exclusive: true, ..fresh }),
                (Some(Mode::Overwrite), _) => Ok(Self { fresh: !is_file, ..fresh }),
            };
        }
        if is_file {
            return exists("is a file, not a folder");
        }
        let objects = store.list(Some(prefix)).map_ok(|object| object.location);
        let mut objects = objects.map_err(|error| Error::store(path, "cannot be listed", &error));
        match mode {
            Some(Mode::Append) => Ok(fresh),
            Some(Mode::Overwrite) => {
                let mut replaced = Vec::new();
                while let Some(location) = objects.try_next().await? {
                    match Found::at(&location, prefix, sink) {
                        Found::Data => replaced.push(location),
                        Found::OtherPartition => {
                            let within = location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
                            return exists(&format!(
                                "holds `{}`, of partitions that this COPY does not write and so does not replace: \
                                 delete it, or COPY to another folder",
                                within.trim_start_matches('/')
                            ));
                        }
                        Found::Foreign => {}
                    }
                }
                Ok(Self { replaced, ..fresh })
            }
            None if objects.try_next().await?.is_none() => Ok(fresh),
            None => exists(
                "is a folder that is not empty: add OPTIONS (mode 'overwrite') to replace its files \
                 or (mode 'append') to add to them",
            ),
        }
    }

    /// The error for a file that is there.
    pub fn taken(path: &str) -> Error {
        Error::Exists {
            path: path.to_owned(),
            message: "exists: add OPTIONS (mode 'overwrite') to replace it".to_owned(),
        }
    }
}

/// What an object in the folder is to a COPY that overwrites.
enum Found {
    /// A file that such a COPY may have written, with as many of its partition columns.
    Data,
    /// A file that whoever reads the folder takes for a part of it, and such a COPY cannot have written.
    OtherPartition,
    /// Everything else: hidden names, other formats, folders that are no partitions.
    Foreign,
}

impl Found {
    fn at(location: &Path, folder: &Path, sink: &FileSinkConfig) -> Self {
        let mut folders: Vec<_> = location.prefix_match(folder).into_iter().flatten().collect();
        let Some(name) = folders.pop() else { return Self::Foreign };
        if is_hidden(name.as_ref()) || !name.as_ref().ends_with(&format!(".{}", sink.file_extension)) {
            return Self::Foreign;
        }
        let columns = sink.table_partition_cols.iter().map(|(column, _)| PathPart::from(format!("{column}=")));
        let ours = folders.len() <= columns.len()
            && folders.iter().zip(columns).all(|(folder, column)| folder.as_ref().starts_with(column.as_ref()));
        match folders.iter().all(|folder| folder.as_ref().contains('=') && !is_hidden(folder.as_ref())) {
            _ if ours => Self::Data,
            true => Self::OtherPartition,
            false => Self::Foreign,
        }
    }
}
