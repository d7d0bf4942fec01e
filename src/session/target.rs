//! What COPY and INSERT may write to, checked before a query runs and before its result is published.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileSinkConfig;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use crate::{Error, Result};

/// What to do with what is at the target: `OPTIONS (mode 'overwrite')`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The file is replaced; a folder's files of the same extension are deleted once the new ones are there.
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
            Err(error) => return Err(error.into()),
        };
        // As the engine's writer decides: partitions always make a folder.
        let single = sink.table_partition_cols.is_empty() && sink.file_output_mode.single_file_output(url);
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
        let mut objects = store.list(Some(prefix)).map_ok(|object| object.location);
        match mode {
            Some(Mode::Append) => Ok(fresh),
            Some(Mode::Overwrite) => {
                let extension = format!(".{}", sink.file_extension);
                let mut replaced: Vec<Path> = objects.try_collect().await?;
                replaced.retain(|location| location.as_ref().ends_with(&extension));
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
