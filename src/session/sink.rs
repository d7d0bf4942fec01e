//! COPY and INSERT that write everything or nothing.
//!
//! The engine's writers finish their files also when the query that feeds them fails, and so leave valid, truncated files
//! behind. Here every file format writes through a [`Staging`] that publishes only when the whole plan has succeeded.
//! `DataFrame::write_parquet` and its like choose their formats themselves and do not pass here: use SQL.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, GetExt, Result as EngineResult, Statistics, internal_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory, FileMeta};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSinkConfig, FileSource};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_expr::{LexOrdering, LexRequirement};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore};

use super::embedding;
use super::folders::Folders;
use super::pinned;
use super::staging::{Exclusive, Staging, Writes};
use super::stores;
use super::target::{Mode, Target};
use super::vector_sink::VectorSink;
use crate::{Error, Result};

/// Replaces the engine's file formats by atomic ones.
pub fn register(state: &mut SessionState) -> EngineResult<()> {
    SessionStateDefaults::default_file_formats().into_iter().try_for_each(|format| register_format(state, format))
}

/// Adds a format, by its extension, whose files appear when they are complete; replaces one that is there.
pub fn register_format(state: &mut SessionState, inner: Arc<dyn FileFormatFactory>) -> EngineResult<()> {
    state.register_file_format(Arc::new(AtomicFormatFactory { inner }), true)
}

#[derive(Debug)]
struct AtomicFormatFactory {
    inner: Arc<dyn FileFormatFactory>,
}

impl GetExt for AtomicFormatFactory {
    fn get_ext(&self) -> String {
        self.inner.get_ext()
    }
}

impl FileFormatFactory for AtomicFormatFactory {
    fn create(&self, state: &dyn Session, options: &HashMap<String, String>) -> EngineResult<Arc<dyn FileFormat>> {
        let mut options = options.clone();
        let mode = options.remove("format.mode").map(|mode| mode.parse::<Mode>()).transpose()?;
        let inner = self.inner.create(state, &options)?;
        Ok(Arc::new(AtomicFormat { inner, mode, given: options.into_keys().collect() }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(AtomicFormat { inner: self.inner.default(), mode: None, given: HashSet::new() })
    }
}

/// Reads as the format within; writes through [`AtomicSink`].
#[derive(Debug)]
struct AtomicFormat {
    inner: Arc<dyn FileFormat>,
    mode: Option<Mode>,
    /// The names of the options that the statement gave.
    given: HashSet<String>,
}

#[async_trait]
impl FileFormat for AtomicFormat {
    fn get_ext(&self) -> String {
        self.inner.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> EngineResult<String> {
        self.inner.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.inner.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> EngineResult<SchemaRef> {
        self.inner.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> EngineResult<Statistics> {
        self.inner.infer_stats(state, store, table_schema, object).await
    }

    async fn infer_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> EngineResult<Option<LexOrdering>> {
        self.inner.infer_ordering(state, store, table_schema, object).await
    }

    async fn infer_stats_and_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> EngineResult<FileMeta> {
        self.inner.infer_stats_and_ordering(state, store, table_schema, object).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        scan: FileScanConfig,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        pinned::scan(self.inner.create_physical_plan(state, scan).await?, state)
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        sink: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let store = state.runtime_env().object_store(&sink.object_store_url)?;
        let Target { exclusive, .. } = Target::check(&store, &sink, self.mode).await?;

        let mut vectors = None;
        let tuned: Arc<dyn FileFormat> = match self.inner.downcast_ref::<ParquetFormat>() {
            Some(parquet) => {
                let options = embedding::writer_options(parquet.options(), &sink.output_schema, &self.given)?;
                // The engine notes an order in the file.
                if order.is_none() && sink.insert_op == InsertOp::Append {
                    let tasks = state.config().target_partitions();
                    vectors = VectorSink::new(&sink, &options, tasks)?.map(Arc::new);
                }
                Arc::new(ParquetFormat::default().with_options(options))
            }
            None => Arc::clone(&self.inner),
        };
        if let Some(writer) = vectors {
            let writer = DataSinkExec::new(Arc::clone(&input), writer, None);
            let sink = AtomicSink { writer, config: sink, mode: self.mode, exclusive };
            return Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)));
        }
        let plan = tuned.create_writer_physical_plan(Arc::clone(&input), state, sink.clone(), order.clone()).await?;
        let Some(writer) = plan.downcast_ref::<DataSinkExec>() else {
            return internal_err!("the {} writer is a {}, not a DataSinkExec", self.get_ext(), plan.name());
        };
        let sink = AtomicSink { writer: writer.clone(), config: sink, mode: self.mode, exclusive };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), order)))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.inner.file_source(table_schema)
    }
}

/// A sink whose files become visible when all of them are complete.
#[derive(Debug)]
struct AtomicSink {
    /// Holds the format's own sink.
    writer: DataSinkExec,
    config: FileSinkConfig,
    mode: Option<Mode>,
    /// See [`Target::exclusive`].
    exclusive: bool,
}

impl AtomicSink {
    /// What is written to, as the user named it.
    fn target(&self) -> &str {
        match self.config.original_url.as_str() {
            // The engine tells it for COPY only.
            "" => "the table's folder",
            path => path,
        }
    }

    async fn publish(&self, staging: &Staging, store: &Arc<dyn ObjectStore>) -> Result<()> {
        let Target { replaced, fresh, .. } = Target::check(store, &self.config, self.mode).await?;
        staging.commit(replaced, fresh).await.map_err(|error| match error {
            StoreError::AlreadyExists { .. } => Target::taken(&self.config.original_url),
            error => Error::store(self.target(), "cannot be written", &error),
        })
    }
}

impl DisplayAs for AtomicSink {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.writer.sink().fmt_as(kind, f)
    }
}

#[async_trait]
impl DataSink for AtomicSink {
    fn metrics(&self) -> Option<MetricsSet> {
        self.writer.sink().metrics()
    }

    fn schema(&self) -> &SchemaRef {
        self.writer.sink().schema()
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> EngineResult<u64> {
        let runtime = context.runtime_env();
        let writes = context.session_config().get_extension::<Writes>().unwrap_or_default();
        let url = &self.config.object_store_url;
        let store = runtime.object_store(url)?;
        let exclusive = match self.exclusive {
            false => Exclusive::No,
            true if stores::completes_if_absent(url.as_ref()) => Exclusive::AtCompletion,
            true => Exclusive::Aside,
        };
        let folders = Folders::of(url.as_ref());
        let staging = Staging::begin(Arc::clone(&store), self.target(), folders, exclusive, writes).await;

        // The writers look their store up by its URL: give them a world in which it is the staging one.
        let registry = DefaultObjectStoreRegistry::new();
        registry.register_store(url.as_ref(), staging.store());
        let runtime = RuntimeEnv { object_store_registry: Arc::new(registry), ..runtime.as_ref().clone() };
        let context = TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            Arc::new(runtime),
        );
        let rows = match self.writer.sink().write_all(data, &Arc::new(context)).await {
            Ok(rows) => self.publish(&staging, &store).await.map(|()| rows).map_err(DataFusionError::from),
            Err(error) => Err(staging.refusal().map_or(error, DataFusionError::from)),
        };
        if rows.is_err() {
            staging.rollback().await;
        }
        rows
    }
}
