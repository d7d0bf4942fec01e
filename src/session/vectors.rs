//! Scans whose embedding columns are read from their pages.
//!
//! The engine decodes two levels for every number of a list. Once a plan is complete, a scan of Parquet files that filters
//! nothing is split: the engine reads the other columns and says which rows of a file they are, and the embeddings of these rows are
//! read beside it, see [`VectorReader`]. A scan with a filter stays the engine's: it reads few of the pages.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions,
    new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef, Int64Type, Schema, SchemaRef};
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
use datafusion::physical_expr::expressions::{Column, LambdaExpr};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs, Projector};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{HigherOrderFunctionExpr, PhysicalExpr, ScalarFunctionExpr};
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
        plan.transform_down(|plan| {
            // Which rows of a Delta table are left is told by their places in the scan that it has planned.
            if plan.name() == "DeltaScanExec" {
                return Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump));
            }
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
    /// As the files have it.
    field: FieldRef,
    /// How many numbers its rows have, where the type says it.
    width: Option<usize>,
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
pub struct VectorSource {
    /// All of it, by the engine.
    whole: Arc<dyn FileSource>,
    /// The other columns, and last the number of the row in its file.
    rest: Arc<dyn FileSource>,
    vectors: Arc<[Vector]>,
    /// The vectors, then the other columns.
    columns: SchemaRef,
    /// What the scan gives, of these columns.
    projector: Arc<Projector>,
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
        let vector = |column: &Column| {
            let field = table.file_schema().fields().get(column.index())?;
            Some(Vector { field: Arc::clone(field), width: width(field.data_type())? })
        };
        // What needs no vector is the engine's. Functions of vectors are computed when these are there.
        let (mut rest, mut rest_columns) = (Vec::new(), HashMap::new());
        let mut vectors: Vec<(usize, Vector)> = Vec::new();
        for (place, projected) in projection.iter().enumerate() {
            let mut needed: Vec<Column> = collect_columns(&projected.expr).into_iter().collect();
            needed.sort_by_key(Column::index);
            let mut found = needed.iter().filter_map(|column| Some((column.index(), vector(column)?))).peekable();
            if found.peek().is_none() {
                if let Some(column) = projected.expr.downcast_ref::<Column>() {
                    rest_columns.insert(column.index(), rest.len());
                }
                let column = Column::new(&projected.alias, place);
                rest.push((place, ProjectionExpr::new(Arc::new(column), &projected.alias)));
            }
            for (index, vector) in found {
                if !vectors.iter().any(|(known, _)| *known == index) {
                    vectors.push((index, vector));
                }
            }
        }
        if vectors.is_empty() {
            return Ok(None);
        }
        let place_of = |index: usize| match vectors.iter().position(|(vector, _)| *vector == index) {
            Some(place) => Some(place),
            None => Some(vectors.len() + rest_columns.get(&index)?),
        };
        let mut results = Vec::new();
        for (place, projected) in projection.iter().enumerate() {
            let of_rest = rest.iter().position(|(other, _)| *other == place);
            let expression = match of_rest {
                Some(rest) => Some(Arc::new(Column::new(&projected.alias, vectors.len() + rest)) as _),
                None => moved(&projected.expr, place_of)?,
            };
            // It needs a column beside the vectors that the scan does not give.
            let Some(expression) = expression else { return Ok(None) };
            results.push(ProjectionExpr::new(expression, &projected.alias));
        }
        let row = ScalarFunctionExpr::try_new(file_row_index(), Vec::new(), table.table_schema(), Arc::clone(options))?;
        let row = ProjectionExpr::new(Arc::new(row), "file_row_index");
        let wanted = rest.into_iter().map(|(_, rest)| rest).chain([row]);
        let Some(rest) = parquet.try_pushdown_projection(&ProjectionExprs::new(wanted))? else { return Ok(None) };
        let Some(projected) = rest.projection() else { return Ok(None) };
        let projected = projected.project_schema(rest.table_schema().table_schema())?;
        let vectors: Vec<Vector> = vectors.into_iter().map(|(_, vector)| vector).collect();
        let others = projected.fields().iter().take(projected.fields().len() - 1);
        let columns = vectors.iter().map(|vector| &vector.field).chain(others).cloned().collect::<Vec<_>>();
        let columns = Arc::new(Schema::new(columns));
        let projector = ProjectionExprs::new(results);
        let projector = projector.make_projector_with_schema_metadata(&columns, &*config.projected_schema()?)?;
        let source = Self {
            whole: Arc::clone(config.file_source()),
            rest,
            vectors: vectors.into(),
            columns,
            projector: Arc::new(projector),
            readers: Arc::clone(readers),
        };
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }
}

impl VectorSource {
    /// Bytes that are held of a column, at most.
    pub const HELD: usize = (WINDOW + AHEAD) as usize;

    /// Whether no more is held of this column, by its name and type in a file. Of lists of any length that are not all as long, all
    /// of a row group is.
    pub fn is_bounded(&self, column: &str, data_type: &DataType) -> bool {
        let is_it = |vector: &Vector| vector.field.name() == column && vector.field.data_type() == data_type;
        self.vectors.iter().any(|vector| vector.width.is_some() && is_it(vector))
    }

    /// The scan as the engine would do it.
    pub fn whole(&self) -> &Arc<dyn FileSource> {
        &self.whole
    }

    fn open(&self, partition: usize, file: PartitionedFile) -> Result<Box<dyn AsyncFileReader + Send>> {
        self.readers.create_reader(partition, file, None, self.whole.metrics())
    }
}

/// How many numbers the rows of a column of vectors have, where its type says it; `None` where it is another column.
pub(super) fn width(data_type: &DataType) -> Option<Option<usize>> {
    match data_type {
        DataType::FixedSizeList(item, width) if *item.data_type() == DataType::Float32 => {
            usize::try_from(*width).ok().filter(|width| *width > 0).map(Some)
        }
        DataType::List(item) | DataType::LargeList(item) if *item.data_type() == DataType::Float32 => Some(None),
        _ => None,
    }
}

/// An expression whose columns are elsewhere now; `None` where one is nowhere.
fn moved(
    expression: &Arc<dyn PhysicalExpr>,
    place_of: impl Fn(usize) -> Option<usize>,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut is_complete = true;
    let moved = Arc::clone(expression).transform(|expression| {
        // The engine computes these where it opens files, or by the number of columns that it knows.
        let call = expression.downcast_ref::<ScalarFunctionExpr>();
        let names_file = call.is_some_and(|call| call.name() == "input_file_name");
        is_complete &= !names_file && !expression.is::<LambdaExpr>() && !expression.is::<HigherOrderFunctionExpr>();
        let Some(column) = expression.downcast_ref::<Column>() else { return Ok(Transformed::no(expression)) };
        let place = place_of(column.index());
        is_complete &= place.is_some();
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), place.unwrap_or_default()))))
    });
    let moved = moved.data()?;
    Ok(is_complete.then_some(moved))
}

/// Fixed-size lists as the lists of a column.
fn as_lists(vectors: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    fn lists<O: OffsetSizeTrait>(vectors: &FixedSizeListArray, item: &FieldRef) -> Result<ArrayRef> {
        let width = usize::try_from(vectors.value_length()).unwrap_or_default();
        let offsets = OffsetBuffer::<O>::from_lengths(std::iter::repeat_n(width, vectors.len()));
        let (values, nulls) = (Arc::clone(vectors.values()), vectors.nulls().cloned());
        Ok(Arc::new(GenericListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
    }
    match (data_type, vectors.as_fixed_size_list_opt()) {
        (DataType::List(item), Some(vectors)) => lists::<i32>(vectors, item),
        (DataType::LargeList(item), Some(vectors)) => lists::<i64>(vectors, item),
        _ => Ok(Arc::clone(vectors)),
    }
}

impl FileSource for VectorSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
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
            let columns = columns.collect::<Option<Vec<_>>>();
            // The engine counts the rows of a file in the order of the numbers that the row groups have, if they have any.
            let mut groups = metadata.metadata().row_groups().iter().enumerate();
            let in_order = groups.all(|(i, group)| group.ordinal().is_none_or(|it| usize::try_from(it) == Ok(i)));
            let Some(columns) = columns.filter(|_| in_order) else { return whole.plan_file(file) };
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
    what: (usize, usize, Option<usize>),
    bytes: Range<u64>,
    /// Bytes of a row, about.
    row: u64,
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
        let mut pieces: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.file.source.vectors.len()];
        for run in rows.chunk_by(|row, next| row + 1 == *next) {
            let first = run.first().and_then(|row| u64::try_from(*row).ok());
            let Some(first) = first else { return internal_err!("a row's number is negative") };
            self.read(first..first + run.len() as u64, &mut pieces).await?;
        }
        let source = &self.file.source;
        let mut columns = Vec::with_capacity(source.columns.fields().len());
        for (field, pieces) in source.columns.fields().iter().zip(pieces) {
            let lists = pieces.iter().map(|some| as_lists(some, field.data_type())).collect::<Result<Vec<_>>>()?;
            columns.push(match lists.as_slice() {
                [] => new_empty_array(field.data_type()),
                [all] => Arc::clone(all),
                several => concat(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
            });
        }
        columns.extend(rest.iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&source.columns), columns, &options)?;
        source.projector.project_batch(&columns)
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
                let chunks =
                    vectors.map(|(&column, vector)| self.chunk(number, column, vector)).collect::<Result<_>>()?;
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
        let metadata = self.metadata.metadata().row_group(group);
        let chunk = metadata.column(leaf);
        let (start, length) = chunk.byte_range();
        let window = Window::new(self.file.object_meta.size, start);
        let what = (group, column, vector.width);
        let reader = self.reader(&window, what)?;
        let rows = u64::try_from(metadata.num_rows()).unwrap_or_default().max(1);
        let row = length / rows + 1;
        Ok(Chunk { what, bytes: start..start.saturating_add(length), row, window, reader, done: 0 })
    }

    fn reader(
        &self,
        window: &Window,
        (group, column, width): (usize, usize, Option<usize>),
    ) -> Result<VectorReader<Window>> {
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
        let mut left = usize::try_from(rows).unwrap_or(usize::MAX);
        while left > 0 {
            let ahead = self.row.saturating_mul(left as u64).saturating_add(AHEAD);
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
        *self.bytes() =
            HeldBytes { pieces: VecDeque::from([(start, all)]), read: start, end, missed: false, all: true };
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

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;
    use crate::column::pages::tests::{Row, case, general, listed};
    use crate::session::{Settings, context};

    fn session(batch_size: usize) -> SessionContext {
        context(&Settings { partitions: Some(2), batch_size: Some(batch_size), ..Settings::default() }).unwrap()
    }

    async fn batches(session: &SessionContext, sql: &str) -> Vec<RecordBatch> {
        session.sql(sql).await.unwrap().collect().await.unwrap()
    }

    fn rows(batches: &[RecordBatch]) -> Vec<Row> {
        batches.iter().flat_map(|batch| listed(batch.column_by_name("v").unwrap())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What SQL reads is what the general reader reads.
        #[test]
        fn rows_are_those_of_the_file(case in case(), limit in 0usize..400) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("v.parquet");
            let rows_in = case.rows();
            let bytes = case.file(&rows_in);
            std::fs::write(&path, &bytes).unwrap();
            let (path, want) = (path.display(), general(&bytes));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let session = session(case.batch);
                prop_assert_eq!(rows(&batches(&session, &format!("SELECT v FROM '{path}'")).await), &want[..]);
                let limited = rows(&batches(&session, &format!("SELECT v, 1 AS one FROM '{path}' LIMIT {limit}")).await);
                prop_assert_eq!(&limited[..], &want[..limit.min(want.len())]);
                Ok(())
            })?;
        }
    }

    /// A table with keys, in row groups of 40 rows, in two files of two partitions.
    async fn table(folder: &std::path::Path) -> SessionContext {
        let session = session(64);
        for (part, first) in [("a", 0), ("b", 100)] {
            let numbers = "arrow_cast([i, i + 1, i * i], 'FixedSizeList(3, Float32)')";
            let rows = format!("SELECT value AS i, value * 2 AS k, {numbers} AS v FROM range({first}, {first} + 100)");
            let rows = rows.replace("arrow_cast([i, i + 1, i * i]", "arrow_cast([value, value + 1, value * value]");
            let to = folder.join(format!("p={part}/x.parquet"));
            let options = "OPTIONS (max_row_group_size 40)";
            batches(&session, &format!("COPY ({rows}) TO '{}' STORED AS PARQUET {options}", to.display())).await;
        }
        session
    }

    fn vector(i: i64) -> Row {
        Some([i, i + 1, i * i].map(|x| Some(x as f32)).to_vec())
    }

    #[tokio::test]
    async fn other_columns_filters_and_orders_go_along() {
        let folder = tempfile::tempdir().unwrap();
        let session = table(folder.path()).await;
        let from = format!("FROM '{}/'", folder.path().display());
        for (sql, is_ours, want) in [
            ("SELECT v, i, p, v AS w", true, (0..200).collect::<Vec<i64>>()),
            ("SELECT k, v, i ORDER BY i", true, (0..200).collect()),
            ("SELECT i + k, emb_norm(v), i, v, k", true, (0..200).collect()),
            ("SELECT v, i WHERE i % 50 = 7", false, vec![7, 57, 107, 157]),
            ("SELECT i, v WHERE p = 'b'", true, (100..200).collect()),
            ("SELECT i, v ORDER BY i DESC LIMIT 3", false, vec![199, 198, 197]),
        ] {
            let (select, rest) = sql.split_at(sql.find(" WHERE").or(sql.find(" ORDER")).unwrap_or(sql.len()));
            let sql = format!("{select} {from}{rest}");
            let found = batches(&session, &sql).await;
            let keys = found
                .iter()
                .flat_map(|batch| batch.column_by_name("i").unwrap().as_primitive::<Int64Type>().values().to_vec());
            let mut found: Vec<(i64, Row)> = keys.zip(rows(&found)).collect();
            if !rest.contains("ORDER") {
                found.sort_by_key(|(key, _)| *key);
            }
            assert_eq!(found, want.iter().map(|&i| (i, vector(i))).collect::<Vec<_>>(), "{sql}");
            let plan = batches(&session, &format!("EXPLAIN FORMAT indent {sql}")).await;
            let plan = pretty_format_batches(&plan).unwrap().to_string();
            assert_eq!(plan.contains("vectors=[v"), is_ours, "{sql}: {plan}");
        }
        let counted = batches(&session, &format!("SELECT count(*) {from}")).await;
        assert_eq!(counted[0].column(0).as_primitive::<Int64Type>().value(0), 200);
    }

    /// What is computed over vectors, and what only the engine computes.
    #[tokio::test]
    async fn expressions_are_those_of_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let session = table(folder.path()).await;
        let from = format!("FROM '{}/p=a/'", folder.path().display());
        let one = |sql: String| {
            let session = &session;
            async move { pretty_format_batches(&batches(session, &sql).await).unwrap().to_string() }
        };
        let files =
            one(format!("SELECT count(*) AS n {from} WHERE input_file_name() || v[1] LIKE '%x.parquet%'")).await;
        assert!(files.contains("| 100 |"), "{files}");
        let files = one(format!("SELECT input_file_name() || array_length(v) AS f {from} LIMIT 1")).await;
        assert!(files.contains("x.parquet3"), "{files}");
        batches(&session, "SET datafusion.sql_parser.dialect = 'duckdb'").await;
        let doubled = format!("SELECT 'a' AS s, i, array_transform(v, x -> x * 2)[2] AS y {from} WHERE i = 7");
        let doubled = one(doubled).await;
        assert!(doubled.contains("| a | 7 | 16.0 |"), "{doubled}");
        let doubled = format!("SELECT 'a' AS s, i, array_transform(v, x -> x * 2)[2] AS y {from} ORDER BY i LIMIT 1");
        let doubled = one(doubled).await;
        assert!(doubled.contains("| a | 0 | 2.0 |"), "{doubled}");
    }

    /// Rows that are NULL in a column without NULL numbers: what is hidden in them is NULL or not.
    #[tokio::test]
    async fn null_rows_are_written_whatever_is_hidden_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let session = table(folder.path()).await;
        let to = folder.path().join("out.parquet");
        let unit = "CASE WHEN i % 3 = 1 THEN emb_normalize(v) END";
        let rows = format!("SELECT i, {unit} AS v FROM '{}/p=a/'", folder.path().display());
        batches(&session, &format!("COPY ({rows}) TO '{}' STORED AS PARQUET", to.display())).await;
        let counts = format!("SELECT count(*) AS n, count(v) AS v FROM '{}'", to.display());
        let counts = pretty_format_batches(&batches(&session, &counts).await).unwrap().to_string();
        assert!(counts.contains("| 100 | 33 |"), "{counts}");
    }

    /// Pages beyond what is held at a time, and irregular rows after a long way.
    #[tokio::test]
    async fn what_is_not_held_is_fetched_again() {
        use arrow::array::ListArray;
        use arrow::datatypes::{Field, Float32Type, Schema};
        use parquet::arrow::ArrowWriter;
        use parquet::file::properties::WriterProperties;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.parquet");
        let width = |row: usize| if row == 3900 { 1 } else { 1000 };
        let row = |row: usize| Some((0..width(row)).map(move |i| Some((row * i % 1013) as f32)));
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>((0..4000).map(row));
        let schema = Arc::new(Schema::new(vec![Field::new("v", lists.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(lists)]).unwrap();
        for page in [1 << 20, 12 << 20] {
            let properties = WriterProperties::builder().set_dictionary_enabled(false).set_data_page_size_limit(page);
            let properties = properties.set_write_batch_size(100).build();
            let file = std::fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let found = batches(&session(500), &format!("SELECT v FROM '{}'", path.display())).await;
            let found = concat(&found.iter().map(|batch| batch.column(0).as_ref()).collect::<Vec<_>>()).unwrap();
            assert!(found.as_list::<i32>() == batch.column(0).as_list::<i32>(), "{page}");
        }
    }
}
