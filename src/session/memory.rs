//! What a query takes in memory: its scans, known before it runs, and its operators, which ask as they go.
//!
//! The engine's Parquet reader fetches the column chunks of a row group whole, one row group a partition. So a scan takes at
//! most as many times the largest row group's columns as there are partitions: where that is more than the session may take,
//! the query gets fewer partitions.

use std::fmt;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use object_store::ObjectMeta;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use super::vectors::VectorSource;
use crate::{Error, Result};

/// The share of the memory that scans may take; the rest is the engine's, for joins, sorts and aggregates.
const SCANS: f64 = 0.5;
/// Of the files of a scan the largest are looked into.
const LOOKED_INTO: usize = 16;

/// What the session may take in memory, if it was told.
#[derive(Debug, Clone, Copy)]
pub struct Memory(pub usize);

/// What the engine's operators take their memory from: the engine's own pool, but for what it says when there is no more.
#[derive(Debug)]
pub struct Pool {
    memory: Memory,
    size: usize,
    greedy: GreedyMemoryPool,
}

impl Pool {
    /// Of what scans leave of the memory.
    pub fn new(memory: Memory) -> Self {
        let size = (memory.0 as f64 * (1.0 - SCANS)) as usize;
        Self { memory, size, greedy: GreedyMemoryPool::new(size) }
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.greedy.name()
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.greedy.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.greedy.shrink(reservation, shrink);
    }

    // An operator that can spill does so; what others get is what the person reads.
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::common::Result<()> {
        let used = self.reserved();
        self.greedy.try_grow(reservation, additional).map_err(|_| {
            let needed = used.saturating_add(additional);
            let all = (needed as f64 / (1.0 - SCANS) / f64::from(1 << 20)).ceil();
            DataFusionError::ResourcesExhausted(format!(
                "the query holds {used} bytes and needs {additional} more for {}: {needed} at least, and beside its scans it may \
                 take {} of the {} bytes it was given: allow more (--memory {all}M at least), or fewer rows or groups at a time",
                reservation.consumer().name(),
                self.size,
                self.memory.0,
            ))
        })
    }

    fn reserved(&self) -> usize {
        self.greedy.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.greedy.memory_limit()
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.greedy.fmt(f)
    }
}

/// How many partitions a query may have for its scans to fit; `None` where as many as there are do. A query whose scans do
/// not fit with one is an error.
pub async fn partitions(context: &SessionContext, plan: &LogicalPlan) -> Result<Option<usize>> {
    let Some(memory) = context.copied_config().get_extension::<Memory>() else { return Ok(None) };
    let plan = match plan {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) => table.input.as_ref(),
        LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => return Ok(None),
        plan => plan,
    };
    let plan = context.state().create_physical_plan(plan).await?;
    let mut scans = Vec::new();
    plan.apply(|node| {
        collect(node, &mut scans);
        Ok(TreeNodeRecursion::Continue)
    })?;

    let budget = (memory.0 as f64 * SCANS) as usize;
    let now = context.copied_config().target_partitions();
    let (mut all, mut largest) = (0, None);
    for scan in scans {
        let (bytes, path) = row_group(context, &scan).await?;
        all += bytes;
        if largest.as_ref().is_none_or(|(most, _)| bytes > *most) {
            largest = Some((bytes, path));
        }
    }
    match (largest, budget.checked_div(all)) {
        (Some((bytes, path)), Some(0)) => Err(Error::file(
            path,
            format!(
                "has a row group of which this query needs {} MB at once, and the session may take {} MB: allow more \
                 (--memory), or write the file with smaller row groups",
                bytes >> 20,
                memory.0 >> 20
            ),
        )),
        (_, Some(fit)) if fit < now => Ok(Some(fit)),
        _ => Ok(None),
    }
}

fn collect(node: &Arc<dyn ExecutionPlan>, scans: &mut Vec<FileScanConfig>) {
    if let Some(source) = node.downcast_ref::<DataSourceExec>()
        && let Some(scan) = source.data_source().downcast_ref::<FileScanConfig>()
        && (scan.file_source().is::<ParquetSource>() || scan.file_source().is::<VectorSource>())
    {
        scans.push(scan.clone());
    }
}

/// The most that one row group of a scan's files takes, of the columns that it reads, and the file that has it.
async fn row_group(context: &SessionContext, scan: &FileScanConfig) -> Result<(usize, String)> {
    let mut files: Vec<ObjectMeta> =
        scan.file_groups.iter().flat_map(|group| group.iter()).map(|file| file.object_meta.clone()).collect();
    files.sort_by(|a, b| (b.size, &a.location).cmp(&(a.size, &b.location)));
    files.dedup_by(|a, b| a.location == b.location);
    let vectors = scan.file_source().downcast_ref::<VectorSource>();
    let source = vectors.map_or(scan.file_source(), VectorSource::whole);
    let table = source.table_schema().table_schema();
    let mut columns: Vec<Column> = source.filter().iter().flat_map(collect_columns).collect();
    match source.projection() {
        Some(projection) => columns.extend(projection.iter().flat_map(|projected| collect_columns(&projected.expr))),
        None => columns.extend(table.fields().iter().enumerate().map(|(i, field)| Column::new(field.name(), i))),
    }
    let is_read = |name: &str| columns.iter().any(|column| table.field(column.index()).name() == name);
    let runtime = context.runtime_env();
    let store = runtime.object_store(&scan.object_store_url)?;
    let mut most = (0, String::new());
    for file in files.into_iter().take(LOOKED_INTO) {
        // The scan itself will find it there.
        let remembered = Some(runtime.cache_manager.get_file_metadata_cache());
        let footer = DFParquetMetadata::new(store.as_ref(), &file).with_file_metadata_cache(remembered);
        let footer = footer.fetch_metadata().await?;
        let parquet = footer.file_metadata();
        let types = parquet_to_arrow_schema(parquet.schema_descr(), parquet.key_value_metadata())?;
        let is_bounded = |name: &str| {
            let field = types.field_with_name(name).ok();
            vectors.zip(field).is_some_and(|(vectors, field)| vectors.is_bounded(name, field.data_type()))
        };
        let bytes = largest(&footer, |name| match is_read(name) {
            false => 0,
            true if is_bounded(name) => VectorSource::HELD,
            true => usize::MAX,
        });
        if bytes > most.0 {
            let url = format!("{}{}", scan.object_store_url.as_str(), file.location);
            most = (bytes, url.replacen("file://", "", 1));
        }
    }
    Ok(most)
}

/// Bytes of the largest row group's columns, as the file holds them; of each column at most as many as are held of it.
fn largest(footer: &ParquetMetaData, held: impl Fn(&str) -> usize) -> usize {
    let columns = footer.file_metadata().schema_descr();
    let held: Vec<usize> = (0..columns.num_columns()).map(|leaf| held(columns.get_column_root(leaf).name())).collect();
    let group = |group: &parquet::file::metadata::RowGroupMetaData| {
        let chunks = group.columns().iter().zip(&held);
        let bytes = chunks.map(|(chunk, held)| usize::try_from(chunk.compressed_size()).unwrap_or(0).min(*held));
        bytes.sum::<usize>()
    };
    footer.row_groups().iter().map(group).max().unwrap_or(0)
}
