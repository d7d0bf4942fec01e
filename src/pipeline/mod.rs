//! SQL scripts with parameters: read, filled in, split into statements, run in order, reported.

mod report;
mod run;
mod script;
mod template;

pub use report::{Report, StatementReport};
pub use run::{Outcome, Watch, execute, run};
pub use script::{Script, Statement, is_complete};
pub use template::{Parameters, parameters};
