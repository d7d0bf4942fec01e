//! The only place that builds a session: our functions, the object stores, the atomic sink, the defaults.

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{Result, functions};

/// What a session may be told; the default is right for a command on this machine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How many partitions a query uses; the number of cores when absent.
    pub partitions: Option<usize>,
    /// Rows in a batch; a batch of 2,048 rows of 768 numbers takes 6 MB.
    pub batch_size: Option<usize>,
}

/// A new session with everything of ours in it.
pub fn context(settings: &Settings) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_batch_size(settings.batch_size.unwrap_or(DEFAULT_BATCH_SIZE));
    if let Some(partitions) = settings.partitions {
        config = config.with_target_partitions(partitions);
    }
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    functions::register_all(&mut state)?;
    Ok(SessionContext::new_with_state(state).enable_url_table())
}

/// The engine's 8,192 rows of 768 numbers are 25 MB: more than the caches hold.
const DEFAULT_BATCH_SIZE: usize = 2048;
