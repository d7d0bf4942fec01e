//! What a run leaves for machines.

use std::collections::BTreeMap;

use serde::Serialize;

/// The report of a run, filled in as the run goes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The script, as the user named it.
    pub file: String,
    /// Every parameter of the script; `null` where the script's own default was used.
    pub parameters: BTreeMap<String, Option<String>>,
    /// How many statements the script has.
    pub total: usize,
    /// The statements that were started.
    pub statements: Vec<StatementReport>,
    /// The whole run, in seconds.
    pub seconds: f64,
    /// Why the run ended early.
    pub error: Option<String>,
}

/// The report of one statement.
#[derive(Debug, Clone, Serialize)]
pub struct StatementReport {
    /// The line it starts at in the file, counted from 1.
    pub line: usize,
    /// Its first words.
    pub statement: String,
    /// Rows read, written or stored; `null` where a statement has none, or did not end.
    pub rows: Option<u64>,
    /// How long it took; `null` when it was interrupted.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}
