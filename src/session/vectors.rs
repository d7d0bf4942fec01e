//! Scans whose embedding columns are read from their pages.
//!
//! The engine decodes two levels for every number of a list. Once a plan is complete, a scan of Parquet files that filters
//! nothing is split: the engine reads the other columns and says which rows of a file they are, and the embeddings of these rows are
//! read beside it, see [`VectorReader`]. A scan with a filter stays the engine's: it reads few of the pages.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef, Int64Type, SchemaRef};
use bytes::Bytes;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::functions::core::file_row_index;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use crate::column::buffers::Buffers;
use crate::column::vector_reader::VectorReader;

/// Bytes that are fetched at a time.
const WINDOW: u64 = 16 << 20;
/// Batches whose memory is kept for the next ones.
const BUFFERS: usize = 4;
/// Bytes held beyond the vectors that are asked for: a page is read whole.
const AHEAD: u64 = 4 << 20;

/// The rule that splits scans; after all others, for they look into the engine's own.
#[derive(Debug)]
pub struct VectorScans;

impl PhysicalOptimizerRule for VectorScans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let options = Arc::new(options.clone());
        plan.transform_up(|plan| {
            Ok(match VectorSource::of(&plan, &options)? {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "vector_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// An embedding column of a scan.
#[derive(Debug, Clone)]
struct Vector {
    /// Its place among the scan's columns.
    place: usize,
    /// As the files have it.
    field: FieldRef,
    width: usize,
}

impl Vector {
    /// Its number in a file that has it as the table has.
    fn column(&self, metadata: &ArrowReaderMetadata) -> Option<usize> {
        let (column, field) = metadata.schema().column_with_name(self.field.name())?;
        (field.data_type() == self.field.data_type()).then_some(column)
    }
}

/// A scan with embedding columns.
#[derive(Clone)]
struct VectorSource {
    /// All of it, by the engine.
    whole: Arc<dyn FileSource>,
    /// The other columns, and last the number of the row in its file.
    rest: Arc<dyn FileSource>,
    vectors: Arc<[Vector]>,
    schema: SchemaRef,
    readers: Arc<dyn ParquetFileReaderFactory>,
}

impl VectorSource {
    fn of(plan: &Arc<dyn ExecutionPlan>, options: &Arc<ConfigOptions>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let source = plan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
        let Some(config) = source.and_then(|source| source.downcast_ref::<FileScanConfig>()) else { return Ok(None) };
        let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
        let Some(readers) = parquet.parquet_file_reader_factory() else { return Ok(None) };
        let (Some(projection), None) = (FileSource::projection(parquet), parquet.filter()) else { return Ok(None) };
        let table = FileSource::table_schema(parquet);
        let vector = |expression: &Arc<dyn PhysicalExpr>| {
            let column = expression.downcast_ref::<Column>()?;
            let field = table.file_schema().fields().get(column.index())?;
            Some((Arc::clone(field), width(field.data_type())?))
        };
        let (mut vectors, mut rest) = (Vec::new(), Vec::new());
        for (place, projected) in projection.iter().enumerate() {
            match vector(&projected.expr) {
                Some((field, width)) => vectors.push(Vector { place, field, width }),
                None => rest.push(ProjectionExpr::new(Arc::new(Column::new(&projected.alias, place)), &projected.alias)),
            }
        }
        if vectors.is_empty() {
            return Ok(None);
        }
        let schema = config.projected_schema()?;
        let row = ScalarFunctionExpr::try_new(file_row_index(), Vec::new(), &schema, Arc::clone(options))?;
        rest.push(ProjectionExpr::new(Arc::new(row), "file_row_index"));
        let Some(rest) = parquet.try_pushdown_projection(&ProjectionExprs::new(rest))? else { return Ok(None) };
        let source = Self {
            whole: Arc::clone(config.file_source()),
            rest,
            vectors: vectors.into(),
            schema,
            readers: Arc::clone(readers),
        };
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }
}

impl VectorSource {
    fn open(&self, partition: usize, file: PartitionedFile) -> Result<Box<dyn AsyncFileReader + Send>> {
        self.readers.create_reader(partition, file, None, self.whole.metrics())
    }
}

/// How many numbers its rows have, where it is a column of vectors.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeList(item, width) if *item.data_type() == DataType::Float32 => {
            usize::try_from(*width).ok().filter(|width| *width > 0)
        }
        _ => None,
    }
}

impl FileSource for VectorSource {
    fn create_file_opener(
        &self,
        _: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        _: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        internal_err!("a scan of vectors has morsels")
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        Ok(Box::new(Vectors {
            whole: self.whole.create_morselizer(Arc::clone(&store), config, partition)?.into(),
            rest: self.rest.create_morselizer(store, config, partition)?.into(),
            source: self.clone(),
            partition,
            buffers: Buffers::new(BUFFERS),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.whole.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let (whole, rest) = (self.whole.with_batch_size(batch_size), self.rest.with_batch_size(batch_size));
        Arc::new(Self { whole, rest, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.whole.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.whole.metrics()
    }

    fn file_type(&self) -> &str {
        self.whole.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_extra(format, f)?;
        let names: Vec<&str> = self.vectors.iter().map(|vector| vector.field.name().as_str()).collect();
        write!(f, ", vectors=[{}]", names.join(", "))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.whole.apply_expressions(f)
    }
}

/// Plans the files of one partition.
struct Vectors {
    whole: Arc<dyn Morselizer>,
    rest: Arc<dyn Morselizer>,
    source: VectorSource,
    partition: usize,
    buffers: Buffers<f32>,
}

impl fmt::Debug for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vectors").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Morselizer for Vectors {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let (whole, rest) = (Arc::clone(&self.whole), Arc::clone(&self.rest));
        let (source, partition, buffers) = (self.source.clone(), self.partition, self.buffers.clone());
        let plan = async move {
            let metadata = source.open(partition, file.clone())?.get_metadata(None).await?;
            let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?;
            let columns = source.vectors.iter().map(|vector| vector.column(&metadata));
            // What a file has otherwise than the table, the engine adapts.
            let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return whole.plan_file(file) };
            let planner = rest.plan_file(file.clone())?;
            let file = Arc::new(FileVectors { source, partition, file, metadata, columns, buffers });
            Ok(Box::new(Planner { planner, file }) as Box<dyn MorselPlanner>)
        };
        Ok(Box::new(Pending(MorselPlan::new().with_pending_planner(plan))))
    }
}

/// A plan that is made already.
struct Pending(MorselPlan);

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl MorselPlanner for Pending {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(self.0))
    }
}

/// The vectors of a file.
struct FileVectors {
    source: VectorSource,
    partition: usize,
    file: PartitionedFile,
    metadata: ArrowReaderMetadata,
    /// Their columns in the file.
    columns: Vec<usize>,
    buffers: Buffers<f32>,
}

/// Adds vectors to what the engine reads of a file.
struct Planner {
    planner: Box<dyn MorselPlanner>,
    file: Arc<FileVectors>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.planner.fmt(f)
    }
}

impl MorselPlanner for Planner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { planner, file } = *self;
        let Some(mut plan) = planner.plan()? else { return Ok(None) };
        let with = |planner, file: &Arc<FileVectors>| -> Box<dyn MorselPlanner> {
            Box::new(Self { planner, file: Arc::clone(file) })
        };
        let morsel = |morsel| -> Box<dyn Morsel> { Box::new(Spliced { morsel, file: Arc::clone(&file) }) };
        let morsels = plan.take_morsels().into_iter().map(morsel).collect();
        let planners = plan.take_ready_planners().into_iter().map(|planner| with(planner, &file)).collect();
        let mut spliced = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        if let Some(pending) = plan.take_pending_planner() {
            spliced.set_pending_planner(async move { Ok(with(pending.await?, &file)) });
        }
        Ok(Some(spliced))
    }
}

struct Spliced {
    morsel: Box<dyn Morsel>,
    file: Arc<FileVectors>,
}

impl fmt::Debug for Spliced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.morsel.fmt(f)
    }
}

impl Morsel for Spliced {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let begin = async move {
            let reader = self.file.source.open(self.file.partition, self.file.file.clone())?;
            let reading = Reading { file: self.file, reader, group: None };
            let state = (self.morsel.into_stream(), reading);
            Ok::<_, DataFusionError>(futures::stream::try_unfold(state, |(mut rest, mut reading)| async move {
                let Some(batch) = rest.try_next().await? else { return Ok(None) };
                Ok(Some((reading.add(&batch).await?, (rest, reading))))
            }))
        };
        futures::stream::once(begin).try_flatten().boxed()
    }
}

/// The vectors of a file being read.
struct Reading {
    file: Arc<FileVectors>,
    reader: Box<dyn AsyncFileReader + Send>,
    group: Option<Group>,
}

/// A row group being read.
struct Group {
    /// Its rows in the file that come next.
    rows: Range<u64>,
    chunks: Vec<Chunk>,
}

/// Its vectors in one column.
struct Chunk {
    /// The row group, the column, how many numbers a row has.
    what: (usize, usize, usize),
    bytes: Range<u64>,
    window: Window,
    reader: VectorReader<Window>,
    /// Rows read.
    done: usize,
}

impl Reading {
    /// Adds the vectors to a batch whose last column says which rows of the file it has.
    async fn add(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let Some((rows, rest)) = batch.columns().split_last() else { return internal_err!("rows have no numbers") };
        let rows = rows.as_primitive::<Int64Type>().values();
        let vectors = Arc::clone(&self.file.source.vectors);
        let mut pieces: Vec<Vec<ArrayRef>> = vec![Vec::new(); vectors.len()];
        for run in rows.chunk_by(|row, next| row + 1 == *next) {
            let first = run.first().and_then(|row| u64::try_from(*row).ok());
            let Some(first) = first else { return internal_err!("a row's number is negative") };
            self.read(first..first + run.len() as u64, &mut pieces).await?;
        }
        let schema = Arc::clone(&self.file.source.schema);
        let (mut vectors, mut rest) = (vectors.iter().zip(pieces).peekable(), rest.iter());
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (place, field) in schema.fields().iter().enumerate() {
            columns.push(match vectors.next_if(|(vector, _)| vector.place == place) {
                None => rest.next().map(Arc::clone).ok_or_else(|| internal_datafusion_err!("a column is missing"))?,
                Some((_, pieces)) => match pieces.as_slice() {
                    [] => new_empty_array(field.data_type()),
                    [all] => Arc::clone(all),
                    several => concat(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
                },
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// Rows of the file, of every column.
    async fn read(&mut self, mut rows: Range<u64>, pieces: &mut [Vec<ArrayRef>]) -> Result<()> {
        while !rows.is_empty() {
            let group = match &mut self.group {
                Some(group) if group.rows.contains(&rows.start) => group,
                other => other.insert(self.file.group(rows.start)?),
            };
            let (passed, count) = (rows.start - group.rows.start, rows.end.min(group.rows.end) - rows.start);
            for (chunk, pieces) in group.chunks.iter_mut().zip(pieces.iter_mut()) {
                chunk.read(&self.file, &mut self.reader, passed, &mut Vec::new()).await?;
                chunk.read(&self.file, &mut self.reader, count, pieces).await?;
            }
            rows.start += count;
            group.rows.start = rows.start;
        }
        Ok(())
    }
}

impl FileVectors {
    /// The row group that a row is in, from its beginning.
    fn group(&self, row: u64) -> Result<Group> {
        let metadata = self.metadata.metadata();
        let mut first = 0;
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let end = first + u64::try_from(group.num_rows()).unwrap_or_default();
            if row < end {
                let vectors = self.columns.iter().zip(self.source.vectors.iter());
                let chunks = vectors.map(|(&column, vector)| self.chunk(number, column, vector)).collect::<Result<_>>()?;
                return Ok(Group { rows: first..end, chunks });
            }
            first = end;
        }
        internal_err!("row {row} of {first} is wanted")
    }

    fn chunk(&self, group: usize, column: usize, vector: &Vector) -> Result<Chunk> {
        let schema = self.metadata.parquet_schema();
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == column);
        let Some(leaf) = leaf else { return internal_err!("column {column} has no leaf") };
        let (start, length) = self.metadata.metadata().row_group(group).column(leaf).byte_range();
        let window = Window::new(self.file.object_meta.size, start);
        let what = (group, column, vector.width);
        let reader = self.reader(&window, what)?;
        Ok(Chunk { what, bytes: start..start.saturating_add(length), window, reader, done: 0 })
    }

    fn reader(&self, window: &Window, (group, column, width): (usize, usize, usize)) -> Result<VectorReader<Window>> {
        let source = Arc::new(window.clone());
        let reader = VectorReader::new(source, &self.metadata, (column, width), group, &self.buffers)?;
        reader.ok_or_else(|| internal_datafusion_err!("column {column} has no vectors"))
    }
}

impl Chunk {
    /// The next rows.
    async fn read(
        &mut self,
        file: &FileVectors,
        reader: &mut Box<dyn AsyncFileReader + Send>,
        rows: u64,
        pieces: &mut Vec<ArrayRef>,
    ) -> Result<()> {
        let (_, _, width) = self.what;
        let mut left = usize::try_from(rows).unwrap_or(usize::MAX);
        while left > 0 {
            let ahead = (left * width * size_of::<f32>()) as u64 + AHEAD;
            if let Some(wanted) = self.window.wanted(ahead, self.bytes.end) {
                self.window.hold(wanted.start, reader.get_bytes(wanted).await?);
            }
            let mut next = self.reader.next(left);
            if next.is_err() && self.window.missed() {
                // A page that is longer than what is held, or rows for the general reader, which begins at the beginning.
                self.window.hold_all(self.bytes.start, reader.get_bytes(self.bytes.clone()).await?);
                self.reader = file.reader(&self.window, self.what)?;
                let mut passed = 0;
                while passed < self.done
                    && let Some(rows) = self.reader.next(self.done - passed)?
                {
                    passed += rows.len();
                }
                next = self.reader.next(left);
            }
            let Some(piece) = next? else {
                let message = "a column has fewer rows than the footer says: the file is damaged".to_owned();
                return Err(ParquetError::General(message).into());
            };
            left -= piece.len();
            self.done += piece.len();
            pieces.push(piece);
        }
        Ok(())
    }
}

/// What is held of a file, for a reader that goes through a part of it from its beginning.
#[derive(Clone)]
struct Window(Arc<Held>);

struct Held {
    /// Bytes of the file.
    length: u64,
    bytes: Mutex<HeldBytes>,
}

struct HeldBytes {
    /// One after the other.
    pieces: VecDeque<(u64, Bytes)>,
    /// What was read last ends here: what is before may go.
    read: u64,
    /// Where the last piece ends.
    end: u64,
    /// Whether bytes were asked for that are not held.
    missed: bool,
    /// Whether nothing goes.
    all: bool,
}

impl Window {
    fn new(length: u64, start: u64) -> Self {
        let bytes = HeldBytes { pieces: VecDeque::new(), read: start, end: start, missed: false, all: false };
        Self(Arc::new(Held { length, bytes: Mutex::new(bytes) }))
    }

    fn bytes(&self) -> MutexGuard<'_, HeldBytes> {
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to fetch that so many bytes are held ahead of the reader, before `end`.
    fn wanted(&self, ahead: u64, end: u64) -> Option<Range<u64>> {
        let bytes = self.bytes();
        let until = bytes.read.saturating_add(ahead).min(end);
        (bytes.end < until).then(|| bytes.end..until.max(bytes.end.saturating_add(WINDOW)).min(end))
    }

    fn hold(&self, start: u64, piece: Bytes) {
        let mut bytes = self.bytes();
        while let Some((first, piece)) = bytes.pieces.front()
            && !bytes.all
            && first + piece.len() as u64 <= bytes.read
        {
            bytes.pieces.pop_front();
        }
        bytes.end = start + piece.len() as u64;
        bytes.pieces.push_back((start, piece));
    }

    fn hold_all(&self, start: u64, all: Bytes) {
        let end = start + all.len() as u64;
        *self.bytes() = HeldBytes { pieces: VecDeque::from([(start, all)]), read: start, end, missed: false, all: true };
    }

    fn missed(&self) -> bool {
        self.bytes().missed
    }
}

impl HeldBytes {
    /// What is held from here on, in one piece.
    fn from(&mut self, start: u64) -> ParquetResult<Bytes> {
        let held = |(first, piece): &(u64, Bytes)| {
            let offset = usize::try_from(start.checked_sub(*first)?).ok()?;
            (offset < piece.len()).then(|| piece.slice(offset..))
        };
        let found = self.pieces.iter().find_map(held);
        self.missed |= found.is_none();
        found.ok_or_else(|| ParquetError::EOF(format!("the bytes from {start} on are missing")))
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for Window {
    type T = WindowRead;

    fn get_read(&self, start: u64) -> ParquetResult<WindowRead> {
        Ok(WindowRead { window: self.clone(), position: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = self.bytes();
        bytes.read = start + length as u64;
        let first = bytes.from(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut joined = Vec::with_capacity(length);
        joined.extend_from_slice(&first);
        while joined.len() < length {
            let next = bytes.from(start + joined.len() as u64)?;
            joined.extend_from_slice(&next[..next.len().min(length - joined.len())]);
        }
        Ok(joined.into())
    }
}

/// Reads on from a position.
struct WindowRead {
    window: Window,
    position: u64,
}

impl Read for WindowRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || self.position >= self.window.0.length {
            return Ok(0);
        }
        let bytes = self.window.bytes().from(self.position).map_err(std::io::Error::other)?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}
