//! `babelake run`: a pipeline.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use datafusion::execution::SendableRecordBatchStream;

use super::memory::MemoryOptions;
use super::print::{Options, Printer, summary};
use super::signals::{Ended, Signals};
use super::stores::{StoreOptions, assignment};
use super::{report_error, runtime};
use crate::pipeline::{Parameters, Report, Script, Statement, Watch, parameters, run as run_script};
use crate::{Result, session};

/// Runs a file of SQL statements with parameters, in order, up to the first error
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The pipeline: SQL, with minijinja tags for parameters and loops
    file: PathBuf,
    /// A value for a parameter of the pipeline
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Writes what ran, how long and how it ended as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    memory: MemoryOptions,
    #[command(flatten)]
    stores: StoreOptions,
}

const HELP: &str = "\
In a pipeline:
  {% set lake = lake | default('sample_data') %}    a parameter with a default
  {{ lake }}                                        its text as it is
  {{ lake | quote }}  {{ column | ident }}          as a SQL string, as a quoted name
  {% for lang in langs | split(',') %} ... {% endfor %}
Values are text: compare with text (mode == 'full'), compute after a filter (n | int).
COPY to what exists is an error unless OPTIONS (mode 'overwrite') or (mode 'append') is given.

Example:
  babelake run pipelines/translate.sql --set source=fr.parquet --set target=en.parquet --report run.json";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.file.display().to_string();
    let mut report = Report { file: path.clone(), ..Report::default() };
    let ended = pipeline(&args, &path, &mut report);
    if let Some(file) = &args.report {
        if let Err(error) = &ended {
            report.error.get_or_insert_with(|| error.to_string());
        }
        let json = serde_json::to_string_pretty(&report)? + "\n";
        if let Err(error) = std::fs::write(file, json).with_context(|| file.display().to_string()) {
            // The run's own error is the one to end with.
            report_error(&error);
            return ended.map(|_| ExitCode::FAILURE);
        }
    }
    ended
}

fn pipeline(args: &Args, path: &str, report: &mut Report) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.file).with_context(|| path.to_owned())?;
    let mut values = Parameters::new();
    for (name, value) in &args.set {
        if values.insert(name.clone(), value.clone()).is_some() {
            anyhow::bail!("--set {name} is given twice");
        }
    }
    let names = parameters(path, &text)?;
    report.parameters = names.into_iter().map(|name| (name.clone(), values.get(&name).cloned())).collect();
    let script = Script::template(path, &text, &values)?;

    let context = session::context(&session::Settings {
        stores: Some(args.stores.stores()?),
        memory: args.memory.memory,
        ..session::Settings::default()
    })?;
    let name = Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned());
    let terminal = std::io::stderr().is_terminal();
    let mut watch = Log { name, terminal, line: String::new(), printer: Printer::new(args.options) };
    let work = run_script(&context, &script, &mut watch, report);
    let runtime = runtime()?;
    match Signals::listen()?.until(&runtime, &context, work) {
        Ended::Itself(result) => {
            if result.is_err() && terminal {
                eprintln!();
            }
            result?;
            Ok(ExitCode::SUCCESS)
        }
        Ended::Stopped(code) => {
            // Without waiting for what the workers still compute.
            runtime.shutdown_background();
            report.error = Some("stopped by a signal".to_owned());
            eprintln!("{}stopped: the statement under way has written nothing", if terminal { "\n" } else { "" });
            Ok(ExitCode::from(code))
        }
    }
}

/// One line a statement on stderr, results on stdout.
struct Log {
    name: String,
    terminal: bool,
    line: String,
    printer: Printer,
}

impl Watch for Log {
    fn started(&mut self, statement: &Statement, index: usize, total: usize) {
        self.line = format!("[{}/{total}] {}:{}  {}", index + 1, self.name, statement.line, statement.head);
        if self.terminal {
            eprint!("{}", self.line);
            std::io::stderr().flush().ok();
        }
    }

    fn noted(&mut self, text: &str) {
        eprintln!("{}note: {text}", if self.terminal { "\n" } else { "" });
    }

    async fn rows(&mut self, rows: SendableRecordBatchStream) -> Result<u64> {
        self.printer.read(rows).await
    }

    fn finished(&mut self, rows: Option<u64>, time: Duration) -> Result<()> {
        let start = if self.terminal { "\r" } else { "" };
        eprintln!("{start}{}  {}", self.line, summary(rows, time));
        self.printer.show()
    }
}
