//! Which files a job reads: a file, those of a folder, of a pattern or of a list; and of these what a filter lets through.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use glob::{MatchOptions, Pattern};
use object_store::ObjectStoreExt;
use tokio::runtime::Handle;

use super::{Place, Source, iceberg, partitions};
use crate::session::layout::{TableFormat, is_hidden, table_above};
use crate::session::stores::Stores;
use crate::{Error, Result};

/// Files of a list that the store is asked for at a time.
const LOOKS_IN_FLIGHT: usize = 64;

/// What a person names as the input of a job.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// A file or a folder; of a pattern, the folder before its first wildcard.
    place: Place,
    pattern: Option<Names>,
    manifest: Option<Place>,
    filter: Option<String>,
    shown: String,
}

/// The part of a pattern below the folder.
#[derive(Debug, Clone)]
struct Names {
    pattern: Pattern,
    /// Whether it ended in `/` and so names folders alone.
    folders: bool,
}

/// The input files of a job.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The files, sorted by path; at least one.
    pub files: Vec<Source>,
    /// Whether the input is one file itself, and not a folder.
    pub single: bool,
    /// Whether these are all files of the input: no pattern, list or filter left some out.
    pub whole: bool,
}

impl Inputs {
    /// A file, a folder, or a pattern, by path or URL. In a pattern `*` and `?` stand for what is in a name, `[a-c]` for a
    /// character, `**` for folders; a folder that it names stands for all files below it. A path of this machine that is there
    /// is itself, whatever characters it has.
    pub fn new(text: &str, stores: &Stores, runtime: &Handle) -> Result<Self> {
        let (folder, names) = match split(text) {
            Some((folder, names)) if text.contains("://") || !std::path::Path::new(text).exists() => {
                (folder, Some(names))
            }
            _ => (text, None),
        };
        if folder.ends_with("://") {
            return Err(Error::file(text, "names no bucket: a pattern begins after it"));
        }
        let pattern = names.map(|names| {
            let pattern = Pattern::new(names.trim_end_matches('/')).map_err(|error| {
                Error::file(text, format!("is no usable pattern: {error} (a wildcard that is meant itself is `[*]`)"))
            })?;
            Ok::<_, Error>(Names { pattern, folders: names.ends_with('/') })
        });
        let folder = if folder.is_empty() && names.is_some() { "." } else { folder };
        Ok(Self {
            pattern: pattern.transpose()?,
            place: Place::new(folder, stores, runtime)?,
            manifest: None,
            filter: None,
            shown: text.to_owned(),
        })
    }

    /// Only the files that the lines of `manifest` name: paths relative to the folder, or in full, or URLs. Empty lines and
    /// those that begin with `#` say nothing. Where it is the metadata file of an Iceberg table (`*.metadata.json`), the files of
    /// its current snapshot.
    pub fn listed_in(self, manifest: Place) -> Result<Self> {
        match self.pattern {
            None => Ok(Self { manifest: Some(manifest), ..self }),
            Some(_) => Err(Error::file(
                self.shown,
                "is a pattern: with --manifest the input is the folder that the files are in",
            )),
        }
    }

    /// Only the files for whose partitions this SQL is true.
    pub fn filtered(self, sql: String) -> Self {
        Self { filter: Some(sql), ..self }
    }

    /// As the person named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The file or folder; of a pattern, the folder that the files' relative paths begin in.
    pub fn folder(&self) -> &Place {
        &self.place
    }

    /// Whether a file at `place` would be one of the input's.
    pub fn covers(&self, place: &Place) -> bool {
        let named = |names: &Names| names.match_file(self.place.relative(place.path()));
        place.is_within(&self.place) && self.pattern.as_ref().is_none_or(named)
    }

    /// Whether no pattern, list or filter leaves some of the folder out.
    pub fn is_whole(&self) -> bool {
        self.pattern.is_none() && self.manifest.is_none() && self.filter.is_none()
    }

    /// Looks which files there are. None at all is an error.
    pub fn select(&self) -> Result<Selection> {
        let mut selection = match &self.manifest {
            Some(manifest) => {
                // The metadata of a table name all of its files.
                let whole = iceberg::is_metadata(manifest.name());
                Selection { files: self.listed(manifest)?, single: false, whole }
            }
            None => self.found()?,
        };
        if let Some(sql) = &self.filter {
            selection.files = partitions::filter(selection.files, sql, self.place.shown())?;
            selection.whole = false;
        }
        selection.files.sort_unstable_by(|a, b| a.place().path().cmp(b.place().path()));
        Ok(selection)
    }

    /// The file, or all `*.parquet` files of the folder or pattern whose names, and whose folders' names, are no hidden ones.
    fn found(&self) -> Result<Selection> {
        let place = &self.place;
        // A folder that is named as one (`bucket/folder/`) need not be asked whether it is a file.
        if self.pattern.is_none()
            && !self.shown.ends_with('/')
            && let Some(meta) = place.look()?
        {
            return Ok(Selection { files: vec![place.source(meta)], single: true, whole: true });
        }
        let (mut files, mut tables, mut others) = (Vec::new(), BTreeMap::new(), 0usize);
        let mut listed = place.store().list(Some(place.path()));
        let unlisted = |error| Error::store(place.shown(), "cannot be listed", &error);
        place.runtime().block_on(async {
            while let Some(meta) = listed.try_next().await.map_err(unlisted)? {
                let relative = place.relative(&meta.location);
                if let Some((format, folder)) = TableFormat::of(relative) {
                    // A Delta table may have metadata for readers of Iceberg, too.
                    let known = tables.entry(folder.to_owned()).or_insert(format);
                    *known = if format == TableFormat::Delta { format } else { *known };
                }
                if !relative.ends_with(".parquet") || relative.split('/').any(is_hidden) {
                    continue;
                }
                match &self.pattern {
                    Some(names) if !names.match_file(relative) => others += 1,
                    _ => files.push(place.source_below(meta)?),
                }
            }
            Ok::<_, Error>(())
        })?;
        if files.is_empty() {
            return Err(self.nothing(others));
        }
        #[cfg(feature = "delta")]
        if self.pattern.is_none() && tables.get("") == Some(&TableFormat::Delta) {
            return self.of_delta(files);
        }
        for (folder, format) in tables {
            let is_within =
                |path: &str| folder.is_empty() || path.strip_prefix(&folder).is_some_and(|path| path.starts_with('/'));
            if files.iter().any(|file| is_within(file.relative())) {
                let table = if folder.is_empty() { place.clone() } else { place.below(&folder)? };
                return Err(Error::file(table.shown(), format.unreadable()));
            }
        }
        match place.runtime().block_on(table_above(place.store(), place.path())).map_err(unlisted)? {
            Some(format) => Err(Error::file(place.shown(), format.unreadable())),
            None => Ok(Selection { files, single: false, whole: self.pattern.is_none() }),
        }
    }

    /// The current files of the Delta table that the folder is.
    #[cfg(feature = "delta")]
    fn of_delta(&self, mut files: Vec<Source>) -> Result<Selection> {
        let place = &self.place;
        let table = place.delta_table()?;
        let current = place.runtime().block_on(table.files())?;
        let current: std::collections::HashSet<String> = current.into_iter().collect();
        files.retain(|file| current.contains(file.relative()));
        if files.len() < current.len() {
            let message = "is a Delta table some of whose files are not in its folder: read it by SQL, or translate it";
            return Err(Error::file(place.shown(), message));
        }
        Ok(Selection { files, single: false, whole: true })
    }

    fn nothing(&self, others: usize) -> Error {
        const NO_DATA: &str = "(names that begin with _ or . are no data)";
        let message = match &self.pattern {
            Some(_) => format!("no *.parquet file is named so {NO_DATA}; {} has {others} others", self.place.shown()),
            None if self.place.is_folder() => format!("this folder has no *.parquet files {NO_DATA}"),
            None => "there is no such file or folder".to_owned(),
        };
        Error::file(&self.shown, message)
    }

    /// The files that a list names, each asked for by its name: the folder is not listed.
    fn listed(&self, manifest: &Place) -> Result<Vec<Source>> {
        let wrong = |line: usize, message: String| Error::file(manifest.shown(), format!("line {line}: {message}"));
        if !self.shown.ends_with('/') && self.place.look()?.is_some() {
            return Err(Error::file(
                &self.shown,
                "is a file: with --manifest the input is the folder that the files are in",
            ));
        }
        if iceberg::is_metadata(manifest.name()) {
            let files = iceberg::current_files(manifest, &self.place)?;
            let looks = stream::iter(files).map(|place| async move {
                match place.store().head(place.path()).await {
                    Ok(meta) => self.place.source_below(meta),
                    Err(error) => Err(Error::store(place.shown(), "of the Iceberg table cannot be looked up", &error)),
                }
            });
            return self.place.runtime().block_on(looks.buffered(LOOKS_IN_FLIGHT).try_collect());
        }
        let text = String::from_utf8(manifest.file()?.read()?.to_vec())
            .map_err(|_| Error::file(manifest.shown(), "is no text: a manifest has one path or URL a line"))?;
        let mut lines: HashMap<_, usize> = HashMap::new();
        let mut places = Vec::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let place =
                self.place.named(text).map_err(|error| wrong(line, format!("{text} is no usable path: {error}")))?;
            let Some(place) = place else {
                return Err(wrong(line, format!("{text} is not in {}, whose layout the output mirrors", self.shown)));
            };
            if let Some(first) = lines.insert(place.path().clone(), line) {
                return Err(wrong(line, format!("{text} is in line {first} already")));
            }
            places.push((line, place));
        }
        if places.is_empty() {
            return Err(Error::file(manifest.shown(), "names no file"));
        }
        let looks = stream::iter(places).map(|(line, place)| async move {
            match place.store().head(place.path()).await {
                Ok(meta) => self.place.source_below(meta),
                Err(object_store::Error::NotFound { .. }) => Err(wrong(
                    line,
                    format!("there is no file {} (what is not in full is relative to {})", place.shown(), self.shown),
                )),
                Err(error) => {
                    let manifest = format!("{}: line {line}: {}", manifest.shown(), place.shown());
                    Err(Error::store(manifest, "cannot be looked up", &error))
                }
            }
        });
        self.place.runtime().block_on(looks.buffered(LOOKS_IN_FLIGHT).try_collect())
    }
}

impl Names {
    /// Whether the pattern names the file at `relative`, or a folder that it is in.
    fn match_file(&self, relative: &str) -> bool {
        let options =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        let mut names = relative.match_indices('/').map(|(end, _)| &relative[..end]);
        names.any(|folder| self.pattern.matches_with(folder, options))
            || (!self.folders && self.pattern.matches_with(relative, options))
    }
}

/// The folder before the first wildcard, and the rest. HTTP knows no listing, and `?` begins a query.
fn split(text: &str) -> Option<(&str, &str)> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let wildcard = text.find(['*', '?', '[']).filter(|_| !is_http)?;
    Some(text.split_at(text[..wildcard].rfind('/').map_or(0, |slash| slash + 1)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::object_store::ObjectStoreRegistry;
    use object_store::ObjectStore;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use tokio::runtime::Runtime;
    use url::Url;

    use super::*;
    use crate::session::stores::Access;

    /// A bucket `s3://b` of empty files with these names.
    struct Bucket {
        stores: Stores,
        runtime: Runtime,
    }

    impl Bucket {
        fn new(names: &[&str]) -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let store = InMemory::new();
            for name in names {
                runtime.block_on(store.put(&Path::parse(name).unwrap(), "".into())).unwrap();
            }
            let stores = Stores::new(Access::default()).unwrap();
            stores.register_store(&Url::parse("s3://b").unwrap(), Arc::new(store) as Arc<dyn ObjectStore>);
            Self { stores, runtime }
        }

        fn inputs(&self, text: &str) -> Inputs {
            Inputs::new(text, &self.stores, self.runtime.handle()).unwrap()
        }

        fn place(&self, text: &str) -> Place {
            Place::new(text, &self.stores, self.runtime.handle()).unwrap()
        }

        /// What an input selects: the paths and how they are shown.
        fn selects(&self, inputs: &Inputs) -> (Vec<String>, Vec<String>) {
            let files = inputs.select().unwrap().files;
            let of = |what: fn(&Source) -> &str| files.iter().map(|file| what(file).to_owned()).collect();
            (of(Source::relative), of(Source::shown))
        }
    }

    #[test]
    fn names_in_a_bucket_are_taken_as_they_are() {
        let names = [
            "lake/lang= x y/a b.parquet",
            "lake/lang=%ZZ/a.parquet",
            "lake/lang=a%20b/a+b.parquet",
            "lake/lang=a%2Fb/#1.parquet",
            "lake/lang=~[é]/a.parquet",
            "lake/lang=日本/?.parquet",
        ];
        let bucket = Bucket::new(&names);
        let relative = names.map(|name| name.strip_prefix("lake/").unwrap().to_owned());
        let shown = names.map(|name| format!("s3://b/{name}"));
        for text in ["s3://b/lake", "s3://b/lake/", "s3://b/lake/**", "s3://b/lake/lang=*"] {
            assert_eq!(bucket.selects(&bucket.inputs(text)), (relative.to_vec(), shown.to_vec()), "{text}");
        }
        assert_eq!(bucket.selects(&bucket.inputs("s3://b/")).0, names);
        let out = bucket.place("s3://b/out dir/");
        for (name, relative) in names.iter().zip(&relative) {
            let file = bucket.place(&format!("s3://b/{name}")).file().unwrap();
            assert_eq!(file.place().path().as_ref(), *name);
            assert_eq!(out.below(relative).unwrap().path().as_ref(), format!("out dir/{relative}"));
        }
        let selects = |text: &str| bucket.selects(&bucket.inputs(text)).0;
        assert_eq!(selects("s3://b/lake/lang=a%2Fb/"), ["#1.parquet"]);
        assert_eq!(
            selects("s3://b/lake/*/?.parquet"),
            ["lang=%ZZ/a.parquet", "lang=~[é]/a.parquet", "lang=日本/?.parquet"]
        );
        assert_eq!(selects("s3://b/lake/lang=a%2?[bB]*/"), ["lang=a%20b/a+b.parquet", "lang=a%2Fb/#1.parquet"]);
    }

    #[test]
    fn a_manifest_in_a_bucket_is_of_names_or_urls() {
        let bucket = Bucket::new(&["lake/lang=a%2Fb/a.parquet", "lake/b.parquet", "lake/c.parquet", "lakes/d.parquet"]);
        let manifest = |text: &'static str| {
            let place = bucket.place("s3://b/m.txt");
            bucket.runtime.block_on(place.store().put(place.path(), text.into())).unwrap();
            bucket.inputs("s3://b/lake/").listed_in(place).unwrap()
        };
        let chosen = manifest("s3://b/lake/lang=a%2Fb/a.parquet\nc.parquet\n");
        assert_eq!(bucket.selects(&chosen).0, ["c.parquet", "lang=a%2Fb/a.parquet"]);
        let selection = chosen.filtered("lang = 'a/b'".into()).select().unwrap();
        assert_eq!((selection.files.len(), selection.single, selection.whole), (1, false, false));
        for (line, message) in [
            ("s3://b/lakes/d.parquet", "s3://b/m.txt: line 1: s3://b/lakes/d.parquet is not in s3://b/lake/"),
            ("s3://c/lake/b.parquet", "is not in s3://b/lake/"),
            ("/lake/b.parquet", "is not in s3://b/lake/"),
            ("s3://b/lake/lang=a/b/a.parquet", "there is no file s3://b/lake/lang=a/b/a.parquet"),
        ] {
            let error = manifest(line).select().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_selection_knows_what_it_is_of() {
        let bucket = Bucket::new(&["lake/a.parquet", "lake/x=1/b.parquet"]);
        let is = |inputs: &Inputs| inputs.select().map(|selection| (selection.single, selection.whole)).unwrap();
        assert_eq!(is(&bucket.inputs("s3://b/lake/a.parquet")), (true, true));
        assert_eq!(is(&bucket.inputs("s3://b/lake")), (false, true));
        assert_eq!(is(&bucket.inputs("s3://b/lake/**")), (false, false));
        assert_eq!(is(&bucket.inputs("s3://b/lake").filtered("x = 1".into())), (false, false));
        let covers = |text: &str, place: &str| bucket.inputs(text).covers(&bucket.place(place));
        assert!(
            covers("s3://b/lake", "s3://b/lake/out/c.parquet") && covers("s3://b/lake/*", "s3://b/lake/out/c.parquet")
        );
        assert!(
            !covers("s3://b/lake/*.parquet", "s3://b/lake/out/c.parquet") && !covers("s3://b/lake", "s3://b/lakes")
        );
    }
}
