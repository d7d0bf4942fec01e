//! What the names in a folder say: which are no data, and which make it the table of a format that babelake does not read.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, Result};

use crate::error::is_passing;

/// Whether a file or folder of this name is no data: `_SUCCESS`, `_temporary`, `.part-0.parquet.crc`.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// A format that keeps old versions of a table among its files and writes down elsewhere which files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Has a `_delta_log/`.
    Delta,
    /// Has `metadata/*.metadata.json`.
    Iceberg,
    /// Has a `.hoodie/`.
    Hudi,
}

/// The folders that a table's own metadata stand in.
const METADATA: [&str; 3] = ["_delta_log", "metadata", ".hoodie"];

impl TableFormat {
    /// The format whose metadata the file at `path` (parts separated by `/`) is, and the table's folder.
    pub fn of(path: &str) -> Option<(Self, &str)> {
        let mut begin = 0;
        for part in path.split('/') {
            let within = path.get(begin + part.len() + 1..)?;
            let format = match part {
                "_delta_log" => Some(Self::Delta),
                "metadata" if !within.contains('/') && within.contains(".metadata.json") => Some(Self::Iceberg),
                ".hoodie" => Some(Self::Hudi),
                _ => None,
            };
            if let Some(format) = format {
                return Some((format, path[..begin].trim_end_matches('/')));
            }
            begin += part.len() + 1;
        }
        None
    }

    /// The format of the table that `folder` is. Where listing is not allowed, or no folder is, none is
    /// found.
    pub async fn at(store: &dyn ObjectStore, folder: &Path) -> Result<Option<Self>> {
        for name in METADATA {
            let mut listed = store.list(Some(&folder.clone().join(name)));
            loop {
                let object = match listed.try_next().await {
                    Ok(Some(object)) => object,
                    Err(error) if is_passing(&error) => return Err(error),
                    Ok(None) | Err(_) => break,
                };
                let within = object.location.as_ref().strip_prefix(folder.as_ref()).unwrap_or_default();
                if let Some((format, "")) = Self::of(within.trim_start_matches('/')) {
                    return Ok(Some(format));
                }
            }
        }
        Ok(None)
    }

    /// Why its folder is not read, and what to do.
    pub fn unreadable(self) -> String {
        let advice = match self {
            Self::Delta if cfg!(feature = "delta") => "Name the table's own folder",
            Self::Delta => {
                "Build babelake with the feature `delta`, export the table as plain Parquet, or write the paths of its current \
                 files into a file, one a line, for `babelake translate --manifest`"
            }
            Self::Iceberg => {
                "Give its newest metadata file to `babelake translate --manifest`, or export the table as plain Parquet"
            }
            Self::Hudi => {
                "Export the table as plain Parquet, or write the paths of its current files into a file, one a line, for \
                 `babelake translate --manifest`"
            }
        };
        format!(
            "{self}: among its files are old versions of rows and rows deleted since, and only its metadata say which files \
             count. {advice}"
        )
    }

    /// Why nothing is written into its folder, and what to do.
    pub fn unwritable(self) -> String {
        format!(
            "{self}: a file written here would be no part of the table, and its clean-up may delete it: name another folder"
        )
    }
}

impl std::fmt::Display for TableFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Delta => "belongs to a Delta Lake table (`_delta_log/`)",
            Self::Iceberg => "belongs to an Iceberg table (`metadata/*.metadata.json`)",
            Self::Hudi => "belongs to a Hudi table (`.hoodie/`)",
        })
    }
}

/// The format of the table that `folder` is, or is a folder within.
pub async fn table_around(store: &dyn ObjectStore, folder: &Path) -> Result<Option<TableFormat>> {
    match TableFormat::at(store, folder).await? {
        None => table_above(store, folder).await,
        found => Ok(found),
    }
}

/// The format of the table that `folder` is within: of the folders above it as long as their names are those that folders
/// within a table have (`lang=fr`, Iceberg's `data`). No other folder costs a request.
pub async fn table_above(store: &dyn ObjectStore, folder: &Path) -> Result<Option<TableFormat>> {
    let mut folder = folder.clone();
    while folder.filename().is_some_and(|name| name.contains('=') || name == "data")
        && let Some(above) = folder.parent()
    {
        if let Some(format) = TableFormat::at(store, &above).await? {
            return Ok(Some(format));
        }
        folder = above;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn metadata_name_the_folder_of_their_table() {
        let found = |path| TableFormat::of(path);
        assert_eq!(found("_delta_log/0.json"), Some((TableFormat::Delta, "")));
        assert_eq!(found("a/b/_delta_log/_last_checkpoint"), Some((TableFormat::Delta, "a/b")));
        assert_eq!(found("a/metadata/v1.gz.metadata.json"), Some((TableFormat::Iceberg, "a")));
        assert_eq!(found("é/.hoodie/x/y"), Some((TableFormat::Hudi, "é")));
        for path in ["_delta_log", "a/x_delta_log/0.json", "metadata/notes.json", "metadata/sub/x.metadata.json", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn a_partition_belongs_to_the_table_above_it() {
        let store = InMemory::new();
        for path in
            ["t/_delta_log/0.json", "i/metadata/snap.avro", "i/metadata/v2.metadata.json", "p/metadata/a.parquet"]
        {
            store.put(&Path::from(path), "".into()).await.unwrap();
        }
        for (folder, format) in [
            ("t", Some(TableFormat::Delta)),
            ("t/lang=fr/year=1", Some(TableFormat::Delta)),
            ("i/data/day=1", Some(TableFormat::Iceberg)),
            ("t/other", None),
            ("p", None),
            ("", None),
        ] {
            assert_eq!(table_around(&store, &Path::from(folder)).await.unwrap(), format, "{folder}");
        }
    }
}
