//! The only place that builds a session: our functions, the object stores, the atomic sink, the defaults.

use std::sync::Arc;

use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::{SessionConfig, SessionContext};
use memory::Memory;
use stores::{Access, Stores};

use crate::Result;
use crate::functions::{self, wikimatrix};
use crate::kernel::head::train::Progress;

mod client;
#[cfg(feature = "delta")]
pub mod delta;
mod disk;
mod embedding;
pub mod file;
mod files;
mod folders;
pub(crate) mod layout;
mod listing;
pub mod memory;
mod named;
mod pinned;
mod sink;
mod staged;
mod staging;
pub mod stores;
mod target;
mod vector_sink;
mod vectors;
pub mod write_only;

/// What a session may be told; the default is right for a command on this machine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How many partitions a query uses; the number of cores when absent.
    pub partitions: Option<usize>,
    /// Bytes of memory that queries may take, about; no limit when absent.
    pub memory: Option<usize>,
    /// How stores are reached; as the environment says when absent.
    pub stores: Option<Arc<Stores>>,
    /// Rows in a batch; a batch of 2,048 rows of 768 numbers takes 6 MB.
    pub batch_size: Option<usize>,
}

/// A new session with everything of ours in it.
///
/// Beyond the engine's own: files and folders can be named as tables (`FROM 'file.parquet'`, `FROM 'folder/'`), names that
/// begin with `_` or `.` are no data in a folder, the folder of an Iceberg or Hudi table is refused, that of a Delta table is
/// refused where the feature `delta` is off and is the table where it is on, `information_schema` and `SHOW` work, and COPY and INSERT write all or nothing. COPY to a file that exists, or a folder
/// that is not empty, is an error unless it says `OPTIONS (mode 'overwrite')` or, for a folder, `(mode 'append')`.
pub fn context(settings: &Settings) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_batch_size(settings.batch_size.unwrap_or(DEFAULT_BATCH_SIZE))
        .with_extension(Arc::new(staging::Writes::default()))
        .with_extension(Arc::new(wikimatrix::Lines::default()));
    if let Some(partitions) = settings.partitions {
        config = config.with_target_partitions(partitions);
    }
    if let Some(memory) = settings.memory {
        config = config.with_extension(Arc::new(Memory(memory)));
    }
    let options = config.options_mut();
    // Vectors are noise to a compressor: a higher level costs time and saves one percent.
    options.execution.parquet.compression = Some("zstd(1)".to_owned());
    // Otherwise the vectors of all rows of a row group are decoded before a filter looks at the other columns.
    options.execution.parquet.pushdown_filters = true;

    // The engine remembers a folder's files for ever and would not see what others write into it.
    let stores = settings.stores.clone().map_or_else(|| Stores::new(Access::default()).map(Arc::new), Ok)?;
    config.set_extension(Arc::clone(&stores));
    let stores = Arc::new(listing::Listings(stores));
    let runtime = RuntimeEnvBuilder::new().with_object_list_cache_limit(0).with_object_store_registry(stores);
    let runtime = match settings.memory {
        Some(memory) => runtime.with_memory_pool(Arc::new(memory::Pool::new(Memory(memory)))),
        None => runtime,
    };
    let runtime = runtime.build_arc()?;

    let mut state: SessionState = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(vectors::VectorScans))
        .build();
    sink::register(&mut state)?;
    #[cfg(feature = "delta")]
    state.register_file_format(Arc::new(delta::DeltaFactory), true)?;
    let training = functions::register_all(&mut state)?;
    state.config_mut().set_extension(training);
    state.register_udtf(wikimatrix::NAME, Arc::new(wikimatrix::WikiMatrix));
    Ok(files::enable(SessionContext::new_with_state(state)))
}

/// Waits until cancelled writes of this session have removed what they had staged.
///
/// A query is cancelled by dropping its stream, and dropping cannot wait: a program that ends after a cancellation calls
/// this first.
pub async fn settled(context: &SessionContext) {
    if let Some(writes) = context.copied_config().get_extension::<staging::Writes>() {
        writes.settled().await;
    }
}

/// Adds a file format, by its extension: COPY writes all of a file in it or nothing.
pub fn register_format(context: &SessionContext, format: Arc<dyn FileFormatFactory>) -> Result<()> {
    Ok(sink::register_format(&mut context.state_ref().write(), format)?)
}

/// How many files this session's COPY and INSERT have written so far, and their bytes.
pub fn written(context: &SessionContext) -> (u64, u64) {
    context.copied_config().get_extension::<staging::Writes>().map_or((0, 0), |writes| writes.published())
}

/// How far the head is that this session trains; of several at once, whichever told last.
pub fn training(context: &SessionContext) -> Arc<Progress> {
    context.copied_config().get_extension().unwrap_or_default()
}

/// The lines of WikiMatrix files that this session has read.
pub fn lines(context: &SessionContext) -> Arc<wikimatrix::Lines> {
    context.copied_config().get_extension().unwrap_or_default()
}

/// The engine's 8,192 rows of 768 numbers are 25 MB: more than the caches hold.
const DEFAULT_BATCH_SIZE: usize = 2048;
