//! Options of every command that reads or writes files: how stores are reached.

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::session::stores::{Access, Stores};

/// How stores are reached, beyond what the environment says.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Object stores (s3://, gs://, az://, https://)")]
pub struct StoreOptions {
    /// A setting of a store: aws_endpoint, aws_region, allow_http, timeout, ... Credentials belong into the environment
    #[arg(long = "store-option", value_name = "NAME=VALUE", value_parser = assignment)]
    settings: Vec<(String, String)>,
    /// How often a request that fails for a passing reason is repeated
    #[arg(long, value_name = "N", default_value_t = Access::default().retries)]
    retries: usize,
    /// For how many seconds it is repeated at most
    #[arg(long, value_name = "SECONDS", default_value_t = Access::default().retry_timeout.as_secs())]
    retry_timeout: u64,
    /// Force each file of this machine to the disk before it appears: it is whole after a loss of power, too
    #[arg(long, help_heading = "Options")]
    sync: bool,
}

impl StoreOptions {
    /// The stores, none opened yet.
    pub fn stores(&self) -> Result<Arc<Stores>> {
        let access = Access {
            settings: self.settings.clone(),
            retries: self.retries,
            retry_timeout: Duration::from_secs(self.retry_timeout),
            sync: self.sync,
        };
        Stores::new(access).map(Arc::new)
    }

    /// The same options, for requests that are repeated for so long at most.
    pub fn within(&self, limit: Duration) -> Self {
        Self { retry_timeout: self.retry_timeout.min(limit.as_secs()), ..self.clone() }
    }
}

/// `NAME=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
