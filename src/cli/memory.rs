//! The option of commands that run queries: how much memory they may take.

use datafusion::prelude::SessionContext;

/// How much memory a command may take.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct MemoryOptions {
    /// Memory to stay below, about: 512M, 2G. Queries get fewer partitions where their scans would take more
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<usize>,
}

fn size(text: &str) -> Result<usize, String> {
    // The engine's own notation, as in SET datafusion.runtime.memory_limit.
    SessionContext::parse_capacity_limit("--memory", text).map_err(|_| "expected a size such as 512M or 2G".to_owned())
}
