//! `babelake eval`: embed again, translate, adapt the queries, or stay.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::bail;
use comfy_table::{CellAlignment, Table, presets};

use super::print::{Format, Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use crate::Result;
use crate::column::describe::{storage_table, stored_as};
use crate::kernel::bootstrap::Estimate;
use crate::kernel::search::Metric;
use crate::lake::eval::{DEFAULT_KEEP, DEFAULT_POOL, Evaluation, Request, eval};
use crate::lake::fit::DEFAULT_ANCHORS;
use crate::lake::gate::{Gate, Outcome};
use crate::lake::storage::Storage;
use crate::lake::{Inputs, Place};

/// Decide about a new model: embed the lake again, translate it, adapt the queries, or stay
///
/// The same queries are answered in every way there is: by documents embedded again with the new model, by translated ones, by
/// old ones after the queries were translated into the old space, and by the old model as it is. The table on stdout has
/// recall@10, nDCG@10 and MRR@10 with 95 % intervals, and the verdict names the cheapest option that is good enough.
///
/// Documents are those whose keys are in --old-docs, --translated and --native. Without --queries they ask themselves, each
/// without itself among its answers. Without --qrels the truth is what native documents answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  babelake eval --old-docs old/ --translated old_as_new/ --native new_sample.parquet --key id --where \"split = 'test'\"
      the documents of the test split ask each other
  babelake eval --queries q_new.parquet --old-queries q_old.parquet --old-docs old/ --translated old_as_new/ \\
      --native new_sample.parquet --key id --qrels qrels.parquet -o metrics.parquet
      real queries, judged answers
  babelake eval --old-docs old/ --translated old_as_new/ --native new_sample.parquet --key id \\
      --gate 'recall_at_10 >= 0.9 * native'
      exit code 3 where the lower end of the 95 % interval of translate is below that

Documents that were anchors of the translator flatter it: leave them out with --where, over the columns of --old-docs. How the
verdict comes about, and what the measures are: docs/eval.md.")]
pub struct Args {
    /// Queries by the new model [default: the documents ask]
    #[arg(long, value_name = "TABLE")]
    queries: Option<String>,
    /// The same queries by the old model, for `stay`
    #[arg(long, value_name = "TABLE")]
    old_queries: Option<String>,
    /// Documents by the old model: the lake, a Parquet file, a folder of them, or a pattern
    #[arg(long, value_name = "TABLE")]
    old_docs: String,
    /// The same documents, translated
    #[arg(long, value_name = "TABLE")]
    translated: String,
    /// Documents by the new model: a sample of the same
    #[arg(long, value_name = "TABLE")]
    native: String,
    /// Judgements of relevance: a table of query keys, document keys and grades, above 0 where relevant
    #[arg(long, value_name = "TABLE")]
    qrels: Option<String>,
    /// Column that names a document in all tables; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Column that names a query [default: as --key]
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    query_key: Vec<String>,
    /// Columns of --qrels: query, document, grade
    #[arg(long, value_name = "Q,D,G", value_delimiter = ',', default_value = "query,document,grade")]
    qrels_columns: Vec<String>,
    /// Embedding column of --old-docs, --translated and --old-queries [default: embedding, embeddings, vector, emb, or the
    /// only list of floats]
    #[arg(long, value_name = "COLUMN")]
    old_column: Option<String>,
    /// Embedding column of --queries and --native [default: likewise]
    #[arg(long, value_name = "COLUMN")]
    new_column: Option<String>,
    /// SQL over the columns of --old-docs: the documents that count
    #[arg(long = "where", value_name = "SQL")]
    documents_where: Option<String>,
    /// Documents searched at most, drawn by key; those judged relevant are all searched
    #[arg(long, value_name = "N", default_value_t = DEFAULT_POOL)]
    pool: usize,
    /// What nearness is: cosine, centred_cosine, inner_product or l2
    #[arg(long, default_value = "cosine", value_parser = metric)]
    metric: Metric,
    /// Translator from the new model to the old one, for the query adapter [default: fitted on native and old documents]
    #[arg(long, value_name = "FILE")]
    adapter: Option<String>,
    /// Anchors of a fitted adapter at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ANCHORS)]
    anchors: usize,
    /// Share of native documents' nDCG@10 that an option has to keep to be good enough
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_KEEP)]
    keep: f64,
    /// What translate has to reach, in the place of --keep: MEASURE OP NUMBER [* native], of recall_at_10, ndcg_at_10 and
    /// mrr_at_10. The worse end of the 95 % interval decides; exit code 3 where it is not met
    #[arg(long)]
    gate: Option<Gate>,
    /// Draws documents, queries, anchors and intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How the rows are written to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Parquet file to store the rows in
    #[arg(short, long)]
    output: Option<String>,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    stores: StoreOptions,
}

fn metric(name: &str) -> Result<Metric, String> {
    let known = || Metric::ALL.map(|(name, _)| name).join(", ");
    Metric::named(name).ok_or_else(|| format!("{} are known", known()))
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place = |text: &String| Place::new(text, &stores, runtime.handle());
    let inputs = |text: &String| Inputs::new(text, &stores, runtime.handle());
    let some = |text: &Option<String>| text.as_ref().map(inputs).transpose();
    let Ok(qrels_columns) = <[String; 3]>::try_from(args.qrels_columns.clone()) else {
        bail!("--qrels-columns: name three columns, those of query, document and grade");
    };
    let request = Request {
        queries: some(&args.queries)?,
        old_queries: some(&args.old_queries)?,
        old_documents: inputs(&args.old_docs)?,
        translated: inputs(&args.translated)?,
        native: inputs(&args.native)?,
        qrels: some(&args.qrels)?,
        qrels_columns,
        key: args.key.clone(),
        query_key: if args.query_key.is_empty() { args.key.clone() } else { args.query_key.clone() },
        old_column: args.old_column.clone(),
        new_column: args.new_column.clone(),
        documents_where: args.documents_where.clone(),
        adapter: args.adapter.as_ref().map(place).transpose()?,
        anchors: args.anchors,
        pool: args.pool,
        metric: args.metric,
        keep: args.keep,
        gate: args.gate.clone(),
        seed: args.seed,
    };
    let output = args.output.as_ref().map(place).transpose()?;
    if let Some(output) = &output {
        let tables = [&request.old_documents, &request.translated, &request.native];
        let others = [&request.queries, &request.old_queries, &request.qrels].into_iter().flatten();
        if tables.into_iter().chain(others).any(|input| input.covers(output)) {
            bail!("{}: is an input of this evaluation: name another output", output.shown());
        }
        output.check_writable(args.overwrite)?;
    }

    let evaluation = eval(&request)?;
    if let Some(output) = &output {
        let signals = Signals::listen(())?;
        // What a signal interrupts here would stay staged beside the output.
        let stoppable = signals.stoppable(|_| eprintln!("storing the metrics; once more to stop at once"));
        evaluation.store(output, args.overwrite)?;
        drop(stoppable);
    }
    match args.format {
        Format::Table => print(&report(&evaluation)?)?,
        format => {
            print_batch(Options { format, max_rows: 0 }, evaluation.table()?, &runtime)?;
            eprintln!("verdict: {}: {}", evaluation.winner, evaluation.verdict);
        }
    }
    for caution in &evaluation.cautions {
        eprintln!("caution: {caution}");
    }
    if let Some(judgement) = &evaluation.gate {
        judgement.require("embed again, or fit on more anchors (babelake anchors suggest) and translate anew")?;
        eprintln!("{judgement}");
    }
    Ok(ExitCode::SUCCESS)
}

fn report(evaluation: &Evaluation) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (name, fact) in &evaluation.facts {
        writeln!(text, "{name}: {fact}")?;
    }
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["", "queries", "documents", "recall@10", "nDCG@10", "MRR@10", "nDCG kept", "enough"]);
    let cell = |Estimate { mean, low, high }: Estimate| format!("{mean:.3} ({low:.3} to {high:.3})");
    for row in &evaluation.rows {
        let measure = |i: usize| row.measures.as_ref().map_or_else(|_| "n/a".to_owned(), |all| cell(all[i]));
        let kept = row.share.map(cell).unwrap_or_default();
        let enough = match row.standing {
            Some(Outcome::Met) => "yes",
            Some(Outcome::Borderline) => "borderline",
            Some(Outcome::NotMet) => "no",
            None => "",
        };
        let [recall, ndcg, mrr] = [0, 1, 2].map(measure);
        let cells = [row.name, row.queries, row.documents].map(str::to_owned);
        table.add_row(cells.into_iter().chain([recall, ndcg, mrr, kept, enough.to_owned()]));
    }
    for column in table.column_iter_mut().skip(3).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "\n{table}\n")?;
    for row in &evaluation.rows {
        if let Err(reason) = &row.measures {
            writeln!(text, "{}: n/a, {reason}", row.name)?;
        }
    }
    if let Some(storage) = evaluation.storage.as_ref().map(Storage::to_json)
        && let Some(table) = storage_table(&storage)
    {
        writeln!(text, "translate, stored as: {}\n\n{table}\n", stored_as(&storage))?;
    }
    writeln!(text, "verdict: {}: {}", evaluation.winner, evaluation.verdict)?;
    Ok(text)
}
