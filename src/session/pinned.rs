//! Scans that read one version of a Parquet file.
//!
//! A scan asks for a file's footer and for its columns one after the other. Should the file be replaced meanwhile, the parts
//! would not belong together, and nobody would know: so whoever asks for columns names the version that was listed.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::catalog::Session;
use datafusion::common::Result as EngineResult;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, ParquetFileMetrics, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore,
    coalesce_ranges,
};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::column::buffers::Buffers;

/// Bytes of a range of a file that is read into a buffer that is used again.
const LONG: RangeInclusive<usize> = 4 << 20..=32 << 20;
/// Buffers kept for the next ranges.
const KEPT: usize = 4;

/// The plan of a Parquet scan, its files read in the versions that were listed. Other plans are left as they are.
pub fn scan(plan: Arc<dyn ExecutionPlan>, state: &dyn Session) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let source = plan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
    let Some(config) = source.and_then(|source| source.downcast_ref::<FileScanConfig>()) else { return Ok(plan) };
    let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(plan) };
    let runtime = state.runtime_env();
    let store = runtime.object_store(&config.object_store_url)?;
    // Requests to a store cost more than the bytes between what is wanted; on a disk it is the other way round.
    let gap = if config.object_store_url.as_str().starts_with("file:") { 0 } else { OBJECT_STORE_COALESCE_DEFAULT };
    let readers = Arc::new(Readers {
        store,
        gap,
        footers: runtime.cache_manager.get_file_metadata_cache(),
        buffers: Buffers::new(KEPT),
    });
    let parquet = parquet.clone().with_parquet_file_reader_factory(readers);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(parquet)).build();
    Ok(DataSourceExec::from_data_source(config))
}

#[derive(Debug)]
struct Readers {
    store: Arc<dyn ObjectStore>,
    /// Bytes between two ranges that are fetched with them.
    gap: u64,
    footers: Arc<FileMetadataCache>,
    buffers: Buffers<u8>,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_size: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> EngineResult<Box<dyn AsyncFileReader + Send>> {
        let file = file.object_meta;
        let metrics = ParquetFileMetrics::new(partition, file.location.as_ref(), metrics);
        let (store, footers, buffers) = (Arc::clone(&self.store), Arc::clone(&self.footers), self.buffers.clone());
        Ok(Box::new(Reader { store, gap: self.gap, footers, file, footer_size, metrics, buffers }))
    }
}

/// As the engine's own, but for the version.
struct Reader {
    store: Arc<dyn ObjectStore>,
    gap: u64,
    footers: Arc<FileMetadataCache>,
    file: ObjectMeta,
    footer_size: Option<usize>,
    metrics: ParquetFileMetrics,
    buffers: Buffers<u8>,
}

impl Reader {
    async fn fetch(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        let length = range.end.saturating_sub(range.start);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.file.e_tag.clone(),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&self.file.location, options).await;
        let bytes = async { bytes(found?, &self.buffers).await };
        let bytes = bytes.await.map_err(|error| ParquetError::External(Box::new(error)))?;
        // A store gives what there is; the reader takes the length for granted.
        if bytes.len() as u64 != length {
            let message = format!("{length} bytes are wanted of a column, and the file ends after {}", bytes.len());
            return Err(ParquetError::EOF(message));
        }
        Ok(bytes)
    }

    fn count(&self, range: &Range<u64>) {
        self.metrics.bytes_scanned.add(usize::try_from(range.end - range.start).unwrap_or_default());
    }
}

/// What was found; long ranges of files in buffers that go back when they are read no more.
async fn bytes(found: GetResult, buffers: &Buffers<u8>) -> object_store::Result<Bytes> {
    let range = found.range.clone();
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let file = match found.payload {
        GetResultPayload::File(file, _) if LONG.contains(&length) => file,
        _ => return found.bytes().await,
    };
    let buffers = buffers.clone();
    let failed = |source| object_store::Error::Generic { store: "local", source };
    let read = tokio::task::spawn_blocking(move || buffers.read(&file, range.start, length));
    read.await.map_err(|error| failed(Box::new(error)))?.map_err(|error| failed(Box::new(error)))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.count(&range);
        self.fetch(range).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        ranges.iter().for_each(|range| self.count(range));
        let this = &*self;
        async move { coalesce_ranges(&ranges, |range| this.fetch(range), this.gap).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let footer = DFParquetMetadata::new(&self.store, &self.file)
                .with_file_metadata_cache(Some(Arc::clone(&self.footers)))
                .with_metadata_size_hint(self.footer_size)
                .with_page_index_policy(options.map(ArrowReaderOptions::column_index_policy));
            footer.fetch_metadata().await.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }
}
