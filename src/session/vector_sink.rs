//! Parquet files with embedding columns, written by COPY and INSERT.
//!
//! The engine's writer makes two levels for every number of a list, all of them in one task a column. Here the pages of embeddings
//! are made by as many tasks as there are cores, see [`PageEncoder`]; other columns are as the engine writes them.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::runtime::{JoinSet, SpawnedTask};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::physical_plan::{FileSink, FileSinkConfig};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use datafusion_datasource::write::demux::DemuxedStreamReceiver;
use datafusion_datasource::write::get_writer_schema;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use tokio::io::AsyncWriteExt;

use super::vectors::width;
use crate::column::buffers::{Buffer, Buffers};
use crate::column::page_writer::{EncodedPage, PageEncoder, PageWriter};

/// Batches of pages whose memory is kept for the next ones.
const PAGES: usize = 32;
/// Bytes handed to the store at a time.
const PART: usize = 8 << 20;
/// Parts whose memory is kept for the next ones.
const PARTS: usize = 8;

/// Writes files whose embedding columns are made of pages of ours.
pub struct VectorSink {
    config: FileSinkConfig,
    format: Arc<Format>,
    metrics: ExecutionPlanMetricsSet,
}

/// How a file is written.
struct Format {
    schema: SchemaRef,
    properties: WriterProperties,
    skip_arrow_metadata: bool,
    /// The leaves that are embeddings, and how many numbers a row has.
    vectors: Vec<(usize, usize)>,
    tasks: usize,
    /// Memory for pages, and for parts.
    buffers: Buffers<u8>,
    parts: Buffers<u8>,
}

impl VectorSink {
    /// `None` where no column has embeddings, or the options want of all of them what only the engine's writer does.
    pub fn new(config: &FileSinkConfig, options: &TableParquetOptions, tasks: usize) -> Result<Option<Self>> {
        let schema = get_writer_schema(config);
        let mut options = options.clone();
        let skip_arrow_metadata = options.global.skip_arrow_metadata;
        if !skip_arrow_metadata {
            options.arrow_schema(config.output_schema());
        }
        let properties = WriterPropertiesBuilder::try_from(&options)?.build();
        let (buffers, parts) = (Buffers::new(PAGES), Buffers::new(PARTS));
        let (vectors, tasks) = (Vec::new(), tasks.max(1));
        let format = Format { schema, properties, skip_arrow_metadata, vectors, tasks, buffers, parts };
        let (file, _) = format.writer()?;
        let parquet = SchemaDescriptor::new(file.schema_descr().root_schema_ptr());
        let vectors = (0..parquet.num_columns()).filter_map(|leaf| {
            let width = width(format.schema.field(parquet.get_column_root_idx(leaf)).data_type())??;
            format.is_plain(&parquet, leaf).then_some((leaf, width))
        });
        let vectors: Vec<_> = vectors.collect();
        let chunked = format.properties.content_defined_chunking().is_some();
        if vectors.is_empty() || chunked || !options.global.allow_single_file_parallelism {
            return Ok(None);
        }
        let format = Arc::new(Format { vectors, ..format });
        Ok(Some(Self { config: config.clone(), format, metrics: ExecutionPlanMetricsSet::new() }))
    }
}

type File = SerializedFileWriter<Parts>;

/// Bytes on their way to the store, in pieces of [`PART`].
#[derive(Debug)]
struct Parts {
    full: Vec<Bytes>,
    rest: Buffer<u8>,
    buffers: Buffers<u8>,
}

impl Parts {
    fn new(buffers: &Buffers<u8>) -> Self {
        Self { full: Vec::new(), rest: Buffer::default(), buffers: buffers.clone() }
    }

    fn end_part(&mut self) {
        if !self.rest.is_empty() {
            self.full.push(self.buffers.lend(std::mem::take(&mut self.rest)));
        }
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.buffers.take(PART);
        }
        let count = bytes.len().min(PART - self.rest.len());
        self.rest.extend_from_slice(&bytes[..count]);
        if self.rest.len() == PART {
            self.end_part();
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Format {
    fn writer(&self) -> Result<(File, ArrowRowGroupWriterFactory)> {
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties.clone())
            .with_skip_arrow_metadata(self.skip_arrow_metadata);
        let writer = ArrowWriter::try_new_with_options(Parts::new(&self.parts), Arc::clone(&self.schema), options)?;
        Ok(writer.into_serialized_writer()?)
    }

    /// Whether the pages of a leaf are wanted as they are made here.
    fn is_plain(&self, parquet: &SchemaDescriptor, leaf: usize) -> bool {
        let (properties, column) = (&self.properties, parquet.column(leaf));
        let path = column.path();
        properties.writer_version() == WriterVersion::PARQUET_1_0
            && !properties.dictionary_enabled(path)
            && properties.statistics_enabled(path) == EnabledStatistics::None
            && properties.bloom_filter_properties(path).is_none()
            && properties.encoding(path).is_none_or(|encoding| encoding == Encoding::PLAIN)
            && matches!(PageEncoder::new(parquet, leaf, 1, properties.compression(path), &self.buffers), Ok(Some(_)))
    }
}

impl fmt::Debug for VectorSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorSink").field("config", &self.config).finish_non_exhaustive()
    }
}

impl DisplayAs for VectorSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VectorSink({})", self.config.original_url)
    }
}

#[async_trait]
impl DataSink for VectorSink {
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn schema(&self) -> &SchemaRef {
        self.config.output_schema()
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        FileSink::write_all(self, data, context).await
    }
}

#[async_trait]
impl FileSink for VectorSink {
    fn config(&self) -> &FileSinkConfig {
        &self.config
    }

    async fn spawn_writer_tasks_and_join(
        &self,
        context: &Arc<TaskContext>,
        demux: SpawnedTask<Result<()>>,
        mut files: DemuxedStreamReceiver,
        store: Arc<dyn ObjectStore>,
    ) -> Result<u64> {
        let written = MetricBuilder::new(&self.metrics).global_counter("rows_written");
        let buffer = context.session_config().options().execution.objectstore_writer_buffer_size;
        let mut tasks = JoinSet::new();
        while let Some((path, mut batches)) = files.recv().await {
            let memory = MemoryConsumer::new(format!("VectorSink[{path}]")).register(context.memory_pool());
            let mut file = FileWriter::new(Arc::clone(&self.format), Arc::clone(&store), path, buffer, memory)?;
            tasks.spawn(async move {
                while let Some(batch) = batches.recv().await {
                    file.write(&batch).await?;
                }
                file.close().await
            });
        }
        let mut rows = 0;
        while let Some(joined) = tasks.join_next().await {
            rows += joined.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
        }
        demux.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
        written.add(usize::try_from(rows).unwrap_or(usize::MAX));
        Ok(rows)
    }
}

/// A file being written.
struct FileWriter {
    format: Arc<Format>,
    parquet: SchemaDescriptor,
    file: File,
    factory: ArrowRowGroupWriterFactory,
    output: BufWriter,
    group: Option<Group>,
    groups: usize,
    rows: u64,
    memory: MemoryReservation,
}

/// A row group being written.
struct Group {
    leaves: Vec<Leaf>,
    rows: usize,
}

enum Leaf {
    General(Box<ArrowColumnWriter>),
    Vectors(Box<Pages>),
}

/// Pages, and the encoder that made them.
type Made = (PageEncoder, Vec<EncodedPage>);

/// The pages of a leaf, made by several tasks.
struct Pages {
    writer: PageWriter,
    encoder: PageEncoder,
    /// Encoders that have nothing to do.
    idle: Vec<PageEncoder>,
    /// Pages being made, in their order.
    tasks: VecDeque<SpawnedTask<parquet::errors::Result<Made>>>,
}

impl FileWriter {
    fn new(
        format: Arc<Format>,
        store: Arc<dyn ObjectStore>,
        path: Path,
        buffer: usize,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let (file, factory) = format.writer()?;
        let parquet = SchemaDescriptor::new(file.schema_descr().root_schema_ptr());
        let output = BufWriter::with_capacity(store, path, buffer);
        Ok(Self { format, parquet, file, factory, output, group: None, groups: 0, rows: 0, memory })
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let most = self.format.properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let mut first = 0;
        while first < batch.num_rows() {
            let group = match self.group.take() {
                Some(group) => group,
                None => self.next_group()?,
            };
            let group = self.group.insert(group);
            let count = (most - group.rows).min(batch.num_rows() - first);
            group.write(&self.format, &batch.slice(first, count)).await?;
            first += count;
            if group.rows == most {
                self.end_group().await?;
            }
            let bytes = self.group.as_ref().map_or(0, Group::bytes);
            self.memory.try_resize(bytes)?;
        }
        Ok(())
    }

    fn next_group(&mut self) -> Result<Group> {
        let properties = &self.format.properties;
        let writers = self.factory.create_column_writers(self.groups)?.into_iter().enumerate();
        self.groups += 1;
        let leaf = |(leaf, writer): (usize, ArrowColumnWriter)| {
            let Some((_, width)) = self.format.vectors.iter().find(|(vector, _)| *vector == leaf) else {
                return Ok(Leaf::General(Box::new(writer)));
            };
            let compression = properties.compression(self.parquet.column(leaf).path());
            let encoder = PageEncoder::new(&self.parquet, leaf, *width, compression, &self.format.buffers)?;
            let encoder = encoder.ok_or_else(|| internal_datafusion_err!("column {leaf} has no vectors"))?;
            let writer = PageWriter::new(&self.parquet, leaf, compression, !properties.offset_index_disabled());
            Ok(Leaf::Vectors(Box::new(Pages { writer, encoder, idle: Vec::new(), tasks: VecDeque::new() })))
        };
        Ok(Group { leaves: writers.map(leaf).collect::<Result<_>>()?, rows: 0 })
    }

    async fn end_group(&mut self) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        self.rows += group.rows as u64;
        let mut chunks = Vec::with_capacity(group.leaves.len());
        for leaf in group.leaves {
            chunks.push(match leaf {
                Leaf::General(writer) => (None, Some(writer.close()?)),
                Leaf::Vectors(mut pages) => {
                    while !pages.tasks.is_empty() {
                        pages.collect().await?;
                    }
                    (Some(pages.writer.close()?), None)
                }
            });
        }
        let mut writer = self.file.next_row_group()?;
        for chunk in chunks {
            match chunk {
                (Some(vectors), _) => writer.append_column(&vectors.bytes, vectors.close)?,
                (None, general) => {
                    general.map(|general| general.append_to_row_group(&mut writer)).transpose()?;
                }
            }
        }
        writer.close()?;
        self.file.flush()?;
        for part in std::mem::take(&mut self.file.inner_mut().full) {
            self.output.put(part).await?;
        }
        Ok(())
    }

    /// Completes the file, and says how many rows it has.
    async fn close(mut self) -> Result<u64> {
        self.end_group().await?;
        let mut parts = self.file.into_inner()?;
        parts.end_part();
        for part in parts.full {
            self.output.put(part).await?;
        }
        self.output.shutdown().await?;
        Ok(self.rows)
    }
}

impl Group {
    async fn write(&mut self, format: &Format, batch: &RecordBatch) -> Result<()> {
        let mut leaves = self.leaves.iter_mut().peekable();
        for (field, column) in format.schema.fields().iter().zip(batch.columns()) {
            if let Some(Leaf::Vectors(pages)) = leaves.next_if(|leaf| matches!(leaf, Leaf::Vectors(_))) {
                pages.write(Arc::clone(column), format.tasks).await?;
                continue;
            }
            for part in compute_leaves(field, column)? {
                if let Some(Leaf::General(writer)) = leaves.next() {
                    writer.write(&part)?;
                }
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Bytes that it takes in memory, about.
    fn bytes(&self) -> usize {
        let leaf = |leaf: &Leaf| match leaf {
            Leaf::General(writer) => writer.memory_size(),
            Leaf::Vectors(pages) => pages.writer.bytes(),
        };
        self.leaves.iter().map(leaf).sum()
    }
}

impl Pages {
    async fn write(&mut self, vectors: ArrayRef, tasks: usize) -> Result<()> {
        if self.tasks.len() >= tasks {
            self.collect().await?;
        }
        let mut encoder = match self.idle.pop() {
            Some(encoder) => encoder,
            None => self.encoder.another()?,
        };
        self.tasks.push_back(SpawnedTask::spawn(async move {
            let list = vectors.as_fixed_size_list();
            let numbers = list.values().as_primitive::<Float32Type>();
            let pages = encoder.encode(numbers.values(), list.nulls(), numbers.nulls())?;
            Ok((encoder, pages))
        }));
        Ok(())
    }

    /// Takes the pages that come next.
    async fn collect(&mut self) -> Result<()> {
        let Some(task) = self.tasks.pop_front() else { return Ok(()) };
        let made = task.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
        let (encoder, pages) = made?;
        self.idle.push(encoder);
        Ok(pages.into_iter().try_for_each(|page| self.writer.write(page))?)
    }
}
