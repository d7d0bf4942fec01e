//! `babelake sql`: SQL from arguments, files, pipes and the keyboard.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};
use tokio::runtime::Runtime;

use super::memory::MemoryOptions;
use super::print::{Options, Printer, summary};
use super::signals::{Ended, INTERRUPTED, Signals};
use super::stores::StoreOptions;
use super::{report_error, runtime};
use crate::Result;
use crate::pipeline::{Script, Statement, StatementReport, Watch, is_complete, run as run_script};

/// Runs SQL with babelake's functions; without -c and -f it reads the keyboard or a pipe
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// SQL to run; may be given several times
    #[arg(short, long = "command", value_name = "SQL", conflicts_with = "file")]
    command: Vec<String>,
    /// A file of SQL to run, up to the first error; - reads stdin
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lists babelake's own functions
    #[arg(long, conflicts_with_all = ["command", "file"])]
    functions: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    memory: MemoryOptions,
    #[command(flatten)]
    stores: StoreOptions,
}

/// The engine's SHOW FUNCTIONS knows only functions whose argument types it can enumerate.
const FUNCTIONS: &str = "SELECT DISTINCT syntax_example AS function, description FROM information_schema.routines \
                         WHERE routine_name LIKE 'emb\\_%' UNION ALL SELECT 'wikimatrix(''path'')', 'Table: margin, left, right of a \
                         WikiMatrix file of sentence pairs.' ORDER BY function";

const HELP: &str = "\
Files and folders are tables:
  babelake sql -c \"SELECT * FROM 'lake/fr/' LIMIT 5\"
  babelake sql --format csv -c \"SELECT id, label FROM 'lake/fr/part-0.parquet'\" > labels.csv
  babelake sql -f report.sql
  babelake sql --functions

For parameters and loops in a file there is `babelake run`.";

const REPL_HELP: &str = "\
SQL ends with a semicolon and may span lines. Files are tables: SELECT * FROM 'lake/fr/' LIMIT 5;
  SHOW TABLES;  DESCRIBE t;  SHOW FUNCTIONS;  EXPLAIN SELECT ...;
  \\f     babelake's own functions, which SHOW FUNCTIONS leaves out
  \\q     leave (as does Ctrl-D)
  \\?     this help
  Ctrl-C clears what is typed, or stops the query that runs";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let context = super::sql_session(&args.stores, &args.memory)?;
    let mut printer = Printer::new(args.options);
    let scripts = match &args.file {
        None if args.functions => vec![Script::plain(None, FUNCTIONS)?],
        Some(file) if file.as_os_str() == "-" => vec![stdin()?],
        Some(file) => {
            let path = file.display().to_string();
            let text = std::fs::read_to_string(file).with_context(|| path.clone())?;
            vec![Script::plain(Some(&path), &text)?]
        }
        None if !args.command.is_empty() => {
            args.command.iter().map(|sql| Script::plain(None, sql)).collect::<Result<_>>()?
        }
        None if std::io::stdin().is_terminal() => return repl(&context, &mut printer),
        None => vec![stdin()?],
    };
    let engine = Engine::new(&context)?;
    for script in &scripts {
        if let Ended::Stopped(code) = engine.run(script, &mut Show { printer: &mut printer, timing: false })? {
            return Ok(engine.leave(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn stdin() -> anyhow::Result<Script> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("stdin")?;
    Ok(Script::plain(Some("stdin"), &text)?)
}

/// What scripts run on.
struct Engine<'a> {
    context: &'a SessionContext,
    runtime: Runtime,
    signals: Signals,
}

impl<'a> Engine<'a> {
    fn new(context: &'a SessionContext) -> anyhow::Result<Self> {
        Ok(Self { context, runtime: runtime()?, signals: Signals::listen(())? })
    }

    fn run(&self, script: &Script, show: &mut Show<'_>) -> anyhow::Result<Ended<()>> {
        let work = run_script(self.context, script, show, None);
        match self.signals.until(&self.runtime, self.context, work) {
            Ended::Itself(result) => Ok(Ended::Itself(result?)),
            Ended::Stopped(code) => Ok(Ended::Stopped(code)),
        }
    }

    /// Ends after a signal, without waiting for what the workers still compute.
    fn leave(self, code: u8) -> ExitCode {
        self.runtime.shutdown_background();
        ExitCode::from(code)
    }
}

/// Results on stdout; how many rows were written, and in the REPL how long it took, on stderr.
struct Show<'a> {
    printer: &'a mut Printer,
    timing: bool,
}

impl Watch for Show<'_> {
    fn started(&mut self, _: &Statement, _: usize, _: usize) {}

    fn noted(&mut self, text: &str) {
        eprintln!("note: {text}");
    }

    async fn rows(&mut self, rows: SendableRecordBatchStream) -> Result<u64> {
        self.printer.read(rows).await
    }

    fn ended(&mut self, statement: &StatementReport) -> Result<()> {
        if statement.error.is_some() {
            return Ok(());
        }
        self.printer.show()?;
        if self.timing {
            eprintln!("{}", summary(statement));
        }
        Ok(())
    }
}

/// Lines belong together until one ends with a semicolon.
struct Statements;

impl Completer for Statements {
    type Candidate = String;
}

impl Highlighter for Statements {}

impl Hinter for Statements {
    type Hint = String;
}

impl Helper for Statements {}

impl Validator for Statements {
    fn validate(&self, input: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = input.input().trim();
        let whole = text.is_empty() || text.starts_with('\\') || is_complete(text);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

fn repl(context: &SessionContext, printer: &mut Printer) -> anyhow::Result<ExitCode> {
    let engine = Engine::new(context)?;
    let mut editor: Editor<Statements, FileHistory> = Editor::new()?;
    editor.set_helper(Some(Statements));
    let history = history_file();
    if let Some(file) = &history {
        // There is none before the first time.
        editor.load_history(file).ok();
    }
    eprintln!("babelake {}: SQL ends with a semicolon, \\? helps, \\q leaves", env!("CARGO_PKG_VERSION"));
    loop {
        let line = match editor.readline("babelake> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let text = line.trim();
        match text {
            "" => continue,
            "\\q" => break,
            "\\?" => eprintln!("{REPL_HELP}"),
            _ if text.starts_with('\\') && text != "\\f" => eprintln!("{text} is no command: \\? lists them"),
            _ => {
                let sql = if text == "\\f" { FUNCTIONS } else { text };
                let script = Script::plain(None, sql).map_err(anyhow::Error::from);
                let mut show = Show { printer: &mut *printer, timing: true };
                match script.and_then(|script| engine.run(&script, &mut show)) {
                    Ok(Ended::Itself(())) => {}
                    Ok(Ended::Stopped(INTERRUPTED)) => {
                        engine.signals.recovered();
                        eprintln!("stopped");
                    }
                    Ok(Ended::Stopped(code)) => return Ok(engine.leave(code)),
                    Err(error) => report_error(&error),
                }
            }
        }
        editor.add_history_entry(text).ok();
        if let Some(file) = &history {
            // Written after every statement, so that a crash loses none. A home that cannot be written to is no reason to stop.
            editor.save_history(file).ok();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `$XDG_STATE_HOME/babelake/history`, its folder made; none without a home.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    let folder = state.join("babelake");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}
