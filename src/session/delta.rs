//! Delta tables: read as they stand, rows that deletion vectors delete left out; written in one commit, which there is or there is not.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, GetExt, Result as EngineResult, exec_err, not_impl_err, plan_err};
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::FileSinkConfig;
use datafusion::datasource::provider_as_source;
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use deltalake_core::delta_datafusion::planner::DeltaPlanner;
use deltalake_core::kernel::transaction::{CommitProperties, TransactionError};
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use deltalake_core::operations::write::{SchemaMode, WriteBuilder};
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde_json::{Value, json};
use url::Url;

use super::layout::{TableFormat, is_hidden};
use super::stores::Stores;
use super::target::Mode;
use super::write_only::{WriteOnly, Writes};
use crate::column::Width;
use crate::column::stored::TOOL_VERSION;
use crate::error::is_passing;
use crate::{Error, Result};

/// The key of what we say of a commit in its info.
pub const KEY: &str = "babelake";

/// How often a commit that adds rows is tried again after those of others.
const TRIES: usize = 15;

/// A Delta table, there or not yet.
#[derive(Debug, Clone)]
pub struct Delta {
    table: DeltaTable,
    store: Arc<dyn ObjectStore>,
    folder: Path,
    shown: String,
    /// Whether there is one.
    exists: bool,
}

/// Logs over the stores that babelake reaches: a commit is an object that is created where there is none, or not at all.
struct Logs;

impl LogStoreFactory for Logs {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// The schemes of stores of ours that the library does not know by itself.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"];

/// Whether a table can be at this URL: HTTP has no folders.
pub fn can_be_at(url: &Url) -> bool {
    !url.scheme().starts_with("http")
}

impl Delta {
    /// The table whose folder is at `url` in `store`, as it is now.
    pub async fn open(store: Arc<dyn ObjectStore>, url: &Url, shown: &str) -> Result<Self> {
        let factories = logstore_factories();
        for scheme in SCHEMES {
            if let Ok(scheme) = Url::parse(&format!("{scheme}://")) {
                factories.entry(scheme).or_insert_with(|| Arc::new(Logs));
            }
        }
        if !can_be_at(url) {
            return Err(Error::file(
                shown,
                "is on a server of files, where no Delta table can be: name a folder or a bucket",
            ));
        }
        let folder = Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
        let exists = has_log(store.as_ref(), &folder, shown).await?;
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let of = |error| wrong(shown, error);
        let builder = DeltaTableBuilder::from_url(url.clone()).map_err(of)?;
        let builder = builder.with_storage_backend(Arc::clone(&store), url);
        let mut table = builder.build().map_err(of)?;
        if exists {
            table.load().await.map_err(of)?;
        }
        Ok(Self { table, store, folder, shown: shown.to_owned(), exists })
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// As the user named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What distinguishes it from every other table, and its version; `None` where there is none.
    pub fn version(&self) -> Option<(String, u64)> {
        let metadata = self.table.snapshot().ok()?.metadata().id().to_owned();
        Some((metadata, self.table.version()?))
    }

    /// The columns that its rows are parted by.
    pub fn partition_columns(&self) -> Vec<String> {
        self.table.snapshot().map(|state| state.metadata().partition_columns().to_vec()).unwrap_or_default()
    }

    /// Its rows, for SQL.
    pub async fn rows(&self) -> Result<Arc<dyn TableProvider>> {
        self.table.table_provider().await.map_err(|error| Error::from(error).of(&self.shown))
    }

    /// What the newest commit that changed rows says under our key; `None` where it says nothing, or there is none.
    pub async fn lineage(&self) -> Result<Option<Value>> {
        let newest = Box::pin(self.changes()).try_next().await;
        Ok(newest.map_err(|error| wrong(&self.shown, error))?.flatten())
    }

    /// What all commits that changed rows say under our key, the newest first.
    pub async fn lineages(&self) -> Result<Vec<Value>> {
        let all: Vec<_> = self.changes().try_collect().await.map_err(|error| wrong(&self.shown, error))?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The commits that changed rows, the newest first, and what they say under our key.
    fn changes(&self) -> impl Stream<Item = DeltaResult<Option<Value>>> {
        // Those that leave the rows as they are.
        const SAME_ROWS: [&str; 6] =
            ["OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD CONSTRAINT", "CREATE TABLE"];
        let commits = if self.exists { self.table.history(None) } else { futures::stream::empty().boxed() };
        commits.try_filter_map(|commit| {
            let same = SAME_ROWS.contains(&commit.operation.as_deref().unwrap_or_default());
            futures::future::ready(Ok((!same).then(|| commit.info.get(KEY).cloned())))
        })
    }

    /// An error unless a table may be made here: in a folder that is no part of another table and has nothing in it but what a job
    /// has left that was stopped while it made the table.
    pub async fn check_free(&self) -> Result<()> {
        let refused = |error| Error::store(&self.shown, "cannot be looked up", &error);
        // Whatever the folders above are called: the clean-up of a table around this one would delete it.
        let mut around = Some(self.folder.clone());
        while let Some(folder) = around {
            match TableFormat::at(self.store.as_ref(), &folder).await.map_err(refused)? {
                None => {}
                Some(TableFormat::Delta) if folder == self.folder => return Err(changed(&self.shown)),
                Some(format) => return Err(Error::file(&self.shown, format.unwritable())),
            }
            around = folder.parent();
        }
        let mut files = self.store.list(Some(&self.folder));
        let mut found = None;
        while let Some(file) = files.try_next().await.map_err(refused)? {
            let name = file.location.filename().unwrap_or_default();
            if name == UNFINISHED {
                return Ok(());
            }
            found = found.or_else(|| (!is_hidden(name)).then(|| name.to_owned()));
        }
        match found {
            None => Ok(()),
            Some(name) => {
                let message =
                    format!("is a folder with files, such as `{name}`, and no Delta table: name a new folder");
                Err(Error::Exists { path: self.shown.clone(), message })
            }
        }
    }

    /// The current files by their paths in the folder. An error where not all rows in them count, or their columns have other
    /// names than the table's: only a reader of the log can read such a table.
    pub async fn files(&self) -> Result<Vec<String>> {
        let state = self.table.snapshot().map_err(|error| wrong(&self.shown, error))?;
        let refuse = |what: &str| {
            let advice =
                "read it by SQL, or translate it: `babelake translate` and `FROM 'folder/'` read it as it stands";
            Error::file(&self.shown, format!("is a Delta table {what}: {advice}"))
        };
        let mapping = state.metadata().configuration().get("delta.columnMapping.mode");
        if mapping.is_some_and(|mode| mode != "none") {
            return Err(refuse("whose columns have other names in its files"));
        }
        let log = self.table.log_store();
        let mut views = state.snapshot().file_views(log.as_ref(), None);
        let mut files = Vec::new();
        while let Some(view) = views.try_next().await.map_err(|error| wrong(&self.shown, error))? {
            if view.deletion_vector_descriptor().is_some() {
                return Err(refuse("with deletion vectors, rows in its files that were deleted"));
            }
            files.push(view.path().to_string());
        }
        Ok(files)
    }

    /// Writes all rows of `parts`, in one commit that says `how.info` of itself; how many rows there were, and the table's version.
    ///
    /// Where others have committed meanwhile, a commit that adds rows is tried again after theirs; one that replaces them is an
    /// error, and the table is as they left it.
    pub async fn write(
        &self,
        schema: &SchemaRef,
        parts: Vec<SendableRecordBatchStream>,
        state: &SessionState,
        how: How,
    ) -> Result<(u64, u64)> {
        check_types(schema, &self.shown)?;
        let marker = self.folder.clone().join(UNFINISHED);
        if !self.exists {
            self.check_free().await?;
            let refused = |error| Error::store(&self.shown, "cannot be written", &error);
            self.store.put(&marker, PutPayload::new()).await.map_err(refused)?;
        }
        let (count, failure) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
        let parts = parts.into_iter().map(|rows| {
            let (count, failure) = (Arc::clone(&count), Arc::clone(&failure));
            let rows = rows.inspect_ok(move |batch| {
                count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            });
            // The library keeps of an error only its text.
            let rows = rows.map_err(move |error| {
                let (error, text) = (Error::from(error), |error: &Error| DataFusionError::Execution(error.to_string()));
                text(lock(&failure).get_or_insert(error))
            });
            let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows)) as SendableRecordBatchStream;
            Arc::new(Once { schema: Arc::clone(schema), rows: Mutex::new(Some(rows)) }) as Arc<dyn PartitionStream>
        });
        let rows = StreamingTable::try_new(Arc::clone(schema), parts.collect())?;
        let plan = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(rows)), None)?.build()?;
        let vectors = schema.fields().iter().filter(|field| Width::of(field.data_type()).is_some());
        let snapshot = self.table.snapshot().ok().map(|state| state.snapshot().clone());
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        // As good as every number of a vector is another one.
        let properties = vectors.fold(properties, |properties, field| {
            let path = ["list", "element"].map(str::to_owned);
            let path = ColumnPath::new([field.name().clone()].into_iter().chain(path).collect());
            properties.set_column_dictionary_enabled(path, false)
        });
        // The library would commit the rows of a second one that creates the table, too, after those of the first.
        let tries = if how.mode == SaveMode::Append { TRIES } else { 0 };
        let state =
            SessionStateBuilder::new_from_existing(state.clone()).with_query_planner(DeltaPlanner::new()).build();
        let mut writer = WriteBuilder::new(self.table.log_store(), snapshot)
            .with_input_plan(plan)
            .with_session_state(Arc::new(state))
            .with_save_mode(how.mode)
            .with_writer_properties(properties.build())
            .with_commit_properties(
                CommitProperties::default().with_metadata([(KEY.to_owned(), how.info)]).with_max_retries(tries),
            );
        if self.exists && how.mode == SaveMode::Overwrite {
            writer = writer.with_schema_mode(SchemaMode::Overwrite);
        }
        if !self.exists || how.mode == SaveMode::Overwrite {
            writer = writer.with_partition_columns(how.partition_columns);
        }
        let written =
            writer.await.map_err(|error| lock(&failure).take().unwrap_or_else(|| wrong(&self.shown, error)))?;
        if !self.exists {
            // What is left of it says nothing any more.
            self.store.delete(&marker).await.ok();
        }
        Ok((count.load(Ordering::Relaxed), written.version().unwrap_or_default()))
    }
}

/// An error where a column has a type that Delta has not. The library would write unsigned integers as signed ones, which nobody can read.
fn check_types(schema: &Schema, shown: &str) -> Result<()> {
    fn lacks(data_type: &DataType) -> bool {
        match data_type {
            DataType::Float16 => true,
            DataType::Struct(fields) => fields.iter().any(|field| lacks(field.data_type())),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => lacks(item.data_type()),
            other => other.is_unsigned_integer(),
        }
    }
    match schema.fields().iter().find(|field| lacks(field.data_type())) {
        Some(field) => Err(Error::file(
            shown,
            format!(
                "column `{}` is {}, which a Delta table cannot hold: cast it in the query",
                field.name(),
                field.data_type()
            ),
        )),
        None => Ok(()),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is a log in the folder. Where listing is not allowed there is none.
async fn has_log(store: &dyn ObjectStore, folder: &Path, shown: &str) -> Result<bool> {
    match store.list(Some(&folder.clone().join("_delta_log"))).try_next().await {
        Ok(found) => Ok(found.is_some()),
        Err(error) if is_passing(&error) => Err(Error::store(shown, "cannot be looked up", &error)),
        Err(_) => Ok(false),
    }
}

/// Stands in the folder of a table that is being made; clean-up of tables passes over it.
const UNFINISHED: &str = "_babelake_unfinished";

/// How rows are written.
#[derive(Debug)]
pub struct How {
    /// What becomes of those that are there.
    pub mode: SaveMode,
    /// What the rows of a new table, or of one that is overwritten, are parted by.
    pub partition_columns: Vec<String>,
    /// What the commit says under [`KEY`].
    pub info: Value,
}

fn changed(shown: &str) -> Error {
    let message =
        "somebody else has changed the Delta table meanwhile, and it is as they left it: run the same command again";
    Error::Unavailable { path: shown.to_owned(), message: message.to_owned() }
}

/// What the library says of a table.
fn wrong(shown: &str, error: DeltaTableError) -> Error {
    match error {
        DeltaTableError::ObjectStore { source } => Error::store(shown, "the Delta table cannot be reached", &source),
        DeltaTableError::VersionAlreadyExists(_)
        | DeltaTableError::Transaction {
            source:
                TransactionError::CommitConflict(_)
                | TransactionError::VersionAlreadyExists(_)
                | TransactionError::MaxCommitAttempts(_),
        } => changed(shown),
        error => Error::file(shown, format!("the Delta table cannot be read or written so: {error}")),
    }
}

/// The Delta table that a name in FROM is; `None` where it is none.
pub async fn named(state: &SessionState, name: &str, url: &Url) -> Result<Option<Arc<dyn TableProvider>>> {
    if !can_be_at(url) {
        return Ok(None);
    }
    let table = Delta::open(stores(state.config().get_extension())?.of(url)?, url, name).await?;
    if table.exists() { table.rows().await.map(Some) } else { Ok(None) }
}

/// The session's stores, with all that is in them: what SQL lists leaves the logs of tables out.
fn stores(stores: Option<Arc<Stores>>) -> Result<Arc<Stores>> {
    stores.ok_or_else(|| Error::Invalid("this session reaches no stores".to_owned()))
}

/// `COPY (...) TO 'folder/' STORED AS DELTA`, with `OPTIONS (mode 'append')` or `(mode 'overwrite')` where there is a table.
#[derive(Debug)]
pub struct DeltaFactory;

impl GetExt for DeltaFactory {
    fn get_ext(&self) -> String {
        Copies::NAME.to_owned()
    }
}

impl FileFormatFactory for DeltaFactory {
    fn create(&self, _: &dyn Session, options: &HashMap<String, String>) -> EngineResult<Arc<dyn FileFormat>> {
        let mut mode = None;
        for (key, value) in options {
            match key.strip_prefix("format.").unwrap_or(key) {
                "mode" => mode = Some(value.parse::<Mode>()?),
                name => return plan_err!("DELTA: option `{name}` is unknown: mode is known, 'append' or 'overwrite'"),
            }
        }
        Ok(Arc::new(WriteOnly(Copies(mode))))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(WriteOnly(Copies(None)))
    }
}

/// What to do where there is a table.
#[derive(Debug)]
struct Copies(Option<Mode>);

#[async_trait]
impl Writes for Copies {
    const NAME: &'static str = "delta";
    const UNREAD: &'static str = "a Delta table is read by its name: FROM 'folder/'";

    async fn plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        sink: FileSinkConfig,
        _: Option<LexRequirement>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
            return not_impl_err!("a Delta table is written by a session of this process");
        };
        if sink.original_url.is_empty() || sink.insert_op != InsertOp::Append {
            return plan_err!("a Delta table is written by COPY ... STORED AS DELTA");
        }
        let Some(url) = sink.table_paths.first().map(|path| AsRef::<Url>::as_ref(path).clone()) else {
            return plan_err!("there is no target to write to");
        };
        if sink.table_paths.iter().any(|path| path.get_glob().is_some()) {
            return Err(Error::file(&sink.original_url, "is a pattern: a Delta table is a folder").into());
        }
        let table = Delta::open(stores(state.config().get_extension())?.of(&url)?, &url, &sink.original_url).await?;
        let mode = match (self.0, table.exists()) {
            (None, true) => {
                let message = "is a Delta table: add OPTIONS (mode 'append') to add to it, or (mode 'overwrite') to replace its rows";
                return Err(Error::Exists { path: sink.original_url, message: message.to_owned() }.into());
            }
            (Some(Mode::Overwrite), true) => SaveMode::Overwrite,
            (Some(Mode::Append), true) => SaveMode::Append,
            (_, false) => SaveMode::ErrorIfExists,
        };
        let mut partition_columns: Vec<String> =
            sink.table_partition_cols.iter().map(|(name, _)| name.clone()).collect();
        if table.exists() {
            let there = table.partition_columns();
            if !partition_columns.is_empty() && partition_columns != there {
                let by =
                    if there.is_empty() { "by no column".to_owned() } else { format!("by ({})", there.join(", ")) };
                return plan_err!(
                    "{}: is a Delta table parted {by}: leave PARTITIONED BY out, or COPY to another folder",
                    sink.original_url
                );
            }
            partition_columns = there;
        }
        let how = How { mode, partition_columns, info: json!({ "tool_version": TOOL_VERSION }) };
        let sink = DeltaSink { table, state: state.clone(), schema: input.schema(), how: Mutex::new(Some(how)) };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}

/// Writes rows as they come.
struct DeltaSink {
    table: Delta,
    state: SessionState,
    schema: SchemaRef,
    /// A statement is carried out once.
    how: Mutex<Option<How>>,
}

impl fmt::Debug for DeltaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeltaSink").field(&self.table.shown).finish()
    }
}

impl DisplayAs for DeltaSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeltaSink({})", self.table.shown)
    }
}

#[async_trait]
impl DataSink for DeltaSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, data: SendableRecordBatchStream, _: &Arc<TaskContext>) -> EngineResult<u64> {
        let how = lock(&self.how).take();
        let Some(how) = how else { return exec_err!("{}: is written already", self.table.shown) };
        Ok(self.table.write(&self.schema, vec![data], &self.state, how).await?.0)
    }
}

/// Rows that can be read once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = lock(&self.rows).take();
        rows.unwrap_or_else(|| {
            let again = futures::stream::once(async { exec_err!("rows are read a second time") });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), again.boxed()))
        })
    }
}
