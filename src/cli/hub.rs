//! `babelake hub`: many spaces over the same anchors, each fitted once.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use clap::Subcommand;
use indicatif::HumanCount;
use serde::Serialize;

use super::print::{Options, print, print_batch};
use super::signals::Signals;
use super::stores::StoreOptions;
use super::translate::{JobArgs, Places, run_job};
use crate::Error;
use crate::column::{MethodOptions, Translator};
use crate::lake::hub::check::{Checked, check};
use crate::lake::hub::{Added, Addition, Bridge, Hub, Member};
use crate::lake::translate::{By, Column};
use crate::lake::{Inputs, Place, write_text};
use crate::report::hub::figure;

/// Keep many spaces over the same anchors, each fitted once, and translate between any two of them
///
/// A hub is a folder, on any store, of spaces and their inverses that hold the same anchors. Each is fitted from its own table alone, so
/// that N spaces stand for N (N - 1) translators, and one that comes later needs nothing of those before. Rows can be stored as
/// codes, their coordinates in the relative space, and decoded into a space that did not exist when they were encoded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  babelake hub add hub/ --name fr --table fr.parquet --key id --where \"split = 'train'\"
  babelake hub add hub/ --name en --table en.parquet --key id
  babelake hub translate hub/ fr/ --from fr --into en --to fr_as_en/
  babelake hub encode hub/ fr/ --from fr --to fr_codes/        and, when there is a space of German:
  babelake hub add hub/ --name de --table de.parquet --key id
  babelake hub translate hub/ fr_codes/ --into de --to fr_as_de/
  babelake hub check hub/ --svg hub.svg")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Box<Add>),
    List(List),
    Encode(Box<Encode>),
    Translate(Box<Translate>),
    Check(Check),
}

/// Fit the space of an encoder's table and its inverse, and add them
///
/// The first space of a hub draws the anchors; the others take the rows of their tables that have the same keys. Where some are
/// missing, the space is made of those that are there. Where the name is taken, the new version is the one that counts; the others stay.
#[derive(Debug, clap::Args)]
struct Add {
    /// Folder of the hub; made where it is not there
    hub: String,
    /// Name of the space
    #[arg(long)]
    name: String,
    /// The encoder's table: a Parquet file, a folder of them, or a pattern such as 'fr/2024-*/'
    #[arg(long)]
    table: String,
    /// Column that names a row; several, separated by commas, name it together
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// First space: SQL over the table's columns, the rows that may be anchors
    #[arg(long = "where", value_name = "SQL", conflicts_with = "keys")]
    anchors_where: Option<String>,
    /// First space: anchors at most, drawn by key [default: all rows, up to 4096]
    #[arg(long, value_name = "N", conflicts_with = "keys")]
    anchors: Option<usize>,
    /// First space: a table whose rows, by --key, are the anchors
    #[arg(long, value_name = "TABLE")]
    keys: Option<String>,
    /// parseval or irp, the same for all spaces of a hub [default: as the others, for the first parseval]
    #[arg(long)]
    method: Option<String>,
    /// irp: number of pruned subspaces that are averaged [default: as the others, for the first 8]
    #[arg(long)]
    omega: Option<i64>,
    /// irp: smallest distance between kept anchors, in [0, 1) [default: as the others, for the first 0.7]
    #[arg(long)]
    delta: Option<f64>,
    /// Draws anchors
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    stores: StoreOptions,
}

/// List the spaces of a hub
#[derive(Debug, clap::Args)]
struct List {
    /// Folder of the hub
    hub: String,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Store the embeddings of a lake as codes, to be decoded later into any space of the hub
///
/// Works as `babelake translate` does: file by file, all other columns kept, resumable. A code has one number for each anchor. It can
/// be decoded into spaces that hold all of its anchors, also ones that are added later.
#[derive(Debug, clap::Args, Serialize)]
struct Encode {
    /// Folder of the hub
    hub: String,
    #[command(flatten)]
    #[serde(flatten)]
    job: JobArgs,
    /// The space that the embeddings are of
    #[arg(long, value_name = "SPACE")]
    from: String,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
}

/// Translate a lake from a space of the hub, or from stored codes, into another space
///
/// Works as `babelake translate` does: file by file, all other columns kept, resumable. Without --from, INPUT holds codes that
/// `babelake hub encode` made, and their files say what they are.
#[derive(Debug, clap::Args, Serialize)]
struct Translate {
    /// Folder of the hub
    hub: String,
    #[command(flatten)]
    #[serde(flatten)]
    job: JobArgs,
    /// The space that the embeddings are of; codes where absent
    #[arg(long, value_name = "SPACE")]
    from: Option<String>,
    /// The space to translate into
    #[arg(long, value_name = "SPACE")]
    into: String,
    /// Embedding column [default: embedding, embeddings, vector, emb, or the only list of floats]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
}

/// Say whether the spaces of a hub fit each other, and which anchors some of them lack
///
/// All spaces are fitted on two thirds of the anchors that they have in common and measured on the others, by centred cosine: `direct`, an
/// anchor translated beside the target's own; `cycle`, there and back beside the row itself; `triangle`, through the third space that
/// changes most beside the direct way. A space whose pairs reach less than half of what pairs without it reach is odd: exit code 3.
#[derive(Debug, clap::Args)]
struct Check {
    /// Folder of the hub
    hub: String,
    /// Say also whether these codes can be decoded into every space
    #[arg(long, value_name = "TABLE")]
    codes: Option<String>,
    /// Parquet file to store the anchors in that spaces lack: columns `space` and `key`
    #[arg(long, value_name = "FILE")]
    missing: Option<String>,
    /// SVG file to draw the measures in, as heat maps
    #[arg(long, value_name = "FILE")]
    svg: Option<String>,
    /// Replace --missing and --svg if they exist
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    stores: StoreOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::List(args) => list(args),
        Command::Encode(args) => Ok(encode(args)),
        Command::Translate(args) => Ok(translate(args)),
        Command::Check(args) => check_spaces(args),
    }
}

fn add(args: &Add) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let inputs = |text: &String| Inputs::new(text, &stores, runtime.handle());
    let place = Place::new(&args.hub, &stores, runtime.handle())?;
    let addition = Addition {
        name: args.name.clone(),
        table: inputs(&args.table)?,
        key: args.key.clone(),
        column: args.column.clone(),
        anchors_where: args.anchors_where.clone(),
        anchors: args.anchors,
        keys: args.keys.as_ref().map(inputs).transpose()?,
        method: MethodOptions {
            method: args.method.clone(),
            omega: args.omega,
            delta: args.delta,
            ..MethodOptions::default()
        },
        seed: args.seed,
    };
    let signals = Signals::listen(())?;
    // What a signal interrupts while files are written would stay staged beside them.
    let stoppable = signals.stoppable(|_| eprintln!("adding the space; once more to stop at once"));
    let added = Hub::at(place).add(&addition)?;
    drop(stoppable);
    print(&told(&added))?;
    Ok(ExitCode::SUCCESS)
}

/// What was added, and what its codes cost.
fn told(added: &Added) -> String {
    let Added { member: Member { name, space, decoder, version, versions }, wanted, known } = added;
    let (anchors, width) = (space.anchors.keys.len(), space.anchors.width);
    let mut text = format!(
        "{name}: {width} numbers, {anchors} of {wanted} anchors, frame {}, rank {}, version {:.16}{}\n",
        space.frame_name(),
        space.rank,
        version,
        if *known { " (there already)".to_owned() } else { format!(", {versions} in all") }
    );
    if anchors < *wanted {
        text += &format!(
            "{} anchors are missing: `babelake hub check` lists them; codes of the others cannot be decoded into {name}, and pairs \
             with it are fitted on the common ones\n",
            HumanCount((wanted - anchors) as u64)
        );
    }
    let (code, embedding) = (size_of::<f32>() * anchors, size_of::<f32>() * width);
    let times = code as f64 / embedding as f64;
    let advice = if times > 1.0 {
        format!("{times:.1} times as large: keep embeddings, and store codes only where the embeddings will be gone")
    } else {
        "no larger: codes can be kept in place of embeddings".to_owned()
    };
    text += &format!(
        "a code takes {} bytes and an embedding {}, {advice}\n",
        HumanCount(code as u64),
        HumanCount(embedding as u64)
    );
    text + &format!("decoder: method {}, settings {}\n", decoder.method, decoder.settings)
}

fn list(args: &List) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let hub = Hub::at(Place::new(&args.hub, &stores, runtime.handle())?);
    let members = hub.members()?;
    let text = |of: &dyn Fn(&Member) -> String| -> ArrayRef {
        Arc::new(members.iter().map(|member| Some(of(member))).collect::<StringArray>())
    };
    let count = |of: &dyn Fn(&Member) -> usize| -> ArrayRef {
        Arc::new(members.iter().map(|member| i64::try_from(of(member)).ok()).collect::<Int64Array>())
    };
    let table = RecordBatch::try_from_iter([
        ("space", text(&|member| member.name.clone())),
        ("width", count(&|member| member.space.anchors.width)),
        ("anchors", count(&|member| member.space.anchors.keys.len())),
        ("keys", text(&|member| format!("{:.16}", member.space.anchors.keys.digest()))),
        ("frame", text(&|member| member.space.frame_name().to_owned())),
        ("rank", count(&|member| member.space.rank)),
        ("version", text(&|member| member.version.clone())),
        ("versions", count(&|member| member.versions)),
    ])?;
    print_batch(args.options, table, &runtime)?;
    Ok(ExitCode::SUCCESS)
}

fn encode(args: &Encode) -> ExitCode {
    let (hub, from, column) = (args.hub.clone(), args.from.clone(), args.column.clone());
    let settings = serde_json::to_value(args).unwrap_or_default();
    let output = args.job.to.clone();
    run_job("hub encode", &args.job, settings, move |places, _, _| {
        let space = outside(&hub, &output, places)?.member(&from)?.space;
        Ok(one(&column, Translator::encoding(&space)))
    })
}

fn translate(args: &Translate) -> ExitCode {
    let (hub, into, column) = (args.hub.clone(), args.into.clone(), args.column.clone());
    let (from, output) = (args.from.clone(), args.job.to.clone());
    let settings = serde_json::to_value(args).unwrap_or_default();
    // Codes are a translation themselves.
    let mut job = args.job.clone();
    job.allow_chain |= from.is_none();
    run_job("hub translate", &job, settings, move |places, inputs, log| {
        let hub = outside(&hub, &output, places)?;
        let Some(from) = &from else {
            let (column, code) = Hub::code_of(inputs, column.as_deref())?;
            return Ok(one(&Some(column), hub.decoding(&code, &into)?));
        };
        let Bridge { translator, common } = hub.bridge(from, &into)?;
        if let Some((common, of_source, of_target)) = common {
            log.warning(&format!(
                "{from} holds {} anchors and {into} {}: their frames are rebuilt on the {} that both hold",
                HumanCount(of_source as u64),
                HumanCount(of_target as u64),
                HumanCount(common as u64)
            ));
        }
        Ok(one(&column, translator))
    })
}

/// The hub, whose own folder is no place for what is made with it.
fn outside(hub: &str, output: &str, places: &Places<'_>) -> anyhow::Result<Hub> {
    let (hub, output) = (Hub::at(places.place(hub)?), places.place(output)?);
    if hub.holds(&output) {
        bail!("{}: is in the hub, which holds spaces alone: name another output", output.shown());
    }
    Ok(hub)
}

fn one(column: &Option<String>, translator: Translator) -> Vec<Column> {
    vec![Column { name: column.clone(), translator: By::Value(Arc::new(translator)) }]
}

fn check_spaces(args: &Check) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let stores = args.stores.stores()?;
    let place =
        |text: &Option<String>| text.as_ref().map(|text| Place::new(text, &stores, runtime.handle())).transpose();
    let (missing, svg) = (place(&args.missing)?, place(&args.svg)?);
    for place in [&missing, &svg].into_iter().flatten() {
        place.check_writable(args.overwrite)?;
    }
    let hub = Hub::at(Place::new(&args.hub, &stores, runtime.handle())?);
    let members = hub.members()?;
    let lacking = hub.missing(&members)?;
    if let Some(missing) = &missing {
        Hub::store(&lacking, missing, args.overwrite)?;
    }
    if lacking.num_rows() > 0 {
        let wanted = hub.keys()?.map_or(0, |keys| keys.len());
        for member in members.iter().filter(|member| member.space.anchors.keys.len() < wanted) {
            let count = wanted - member.space.anchors.keys.len();
            eprintln!(
                "caution: {} lacks {} of {} anchors",
                member.name,
                HumanCount(count as u64),
                HumanCount(wanted as u64)
            );
        }
        match &missing {
            Some(missing) => eprintln!("{}: their keys", missing.shown()),
            None => eprintln!("--missing FILE stores their keys, so that they can be embedded"),
        }
    }
    let mut undecodable = false;
    if let Some(codes) = &args.codes {
        let (_, code) = Hub::code_of(&Inputs::new(codes, &stores, runtime.handle())?, None)?;
        for member in &members {
            match hub.decoding(&code, &member.name) {
                Ok(_) => eprintln!("{codes}: can be decoded into {}", member.name),
                Err(error @ (Error::Invalid(_) | Error::File { .. })) => {
                    undecodable = true;
                    eprintln!("{codes}: cannot be decoded into {}: {error}", member.name);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    if members.len() < 2 {
        bail!("{}: one space alone has nothing to be checked against: add another one", hub.shown());
    }
    let checked = check(&members)?;
    eprintln!(
        "{} spaces, fitted on {} common anchors, measured on {} others",
        members.len(),
        HumanCount(checked.anchors.0 as u64),
        HumanCount(checked.anchors.1 as u64)
    );
    print_batch(args.options, table(&checked)?, &runtime)?;
    if let Some(svg) = &svg {
        write_text(svg, &figure(&checked))?;
    }
    for odd in &checked.odd {
        eprintln!(
            "{} is odd: pairs with it reach a centred cosine of {:.3}, pairs without it {:.3}; are its rows under the right keys?",
            checked.names[odd.space], odd.with, odd.without
        );
    }
    if checked.unrelated {
        eprintln!("no two spaces have anything in common: are their rows under the right keys?");
    }
    Ok(if checked.odd.is_empty() && !checked.unrelated && !undecodable {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::GATE)
    })
}

fn table(checked: &Checked) -> Result<RecordBatch, Error> {
    let name = |place: usize| checked.names.get(place).cloned();
    let text = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..checked.pairs.len()).map(of).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
        let rounded = |x: f64| (x * 1000.0).round() / 1000.0;
        Arc::new((0..checked.pairs.len()).map(|pair| of(pair).map(rounded)).collect::<Float64Array>())
    };
    let pairs = &checked.pairs;
    Ok(RecordBatch::try_from_iter([
        ("from", text(&|pair| name(pairs[pair].from))),
        ("into", text(&|pair| name(pairs[pair].into))),
        ("direct", number(&|pair| Some(pairs[pair].direct))),
        ("P@1", number(&|pair| Some(pairs[pair].p_at_1))),
        ("cycle", number(&|pair| Some(pairs[pair].cycle))),
        ("triangle", number(&|pair| pairs[pair].triangle.map(|(near, _)| near))),
        ("through", text(&|pair| pairs[pair].triangle.and_then(|(_, through)| name(through)))),
    ])?)
}
