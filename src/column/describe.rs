//! Spaces, decoders and translators as a person reads them: lines `name: value`.

use std::fmt::{Display, Write};

use arrow::array::StructArray;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::settings::{Method, MethodOptions};
use super::stored::{Kind, Stored};
use super::{Decoder, Head, Queries, Space, Translator};
use crate::kernel::head::Activation;
use crate::kernel::translate::Length;
use crate::{Error, Result};

/// What row `row` of a column of stored values is: lines `name: value`, the numbers' digest checked. `NULL` where it is NULL.
pub fn describe(kind: Kind, array: &StructArray, row: usize) -> Result<String> {
    let Some(stored) = Stored::new(kind, array, row)? else { return Ok("NULL".to_owned()) };
    let mut lines = Lines::default();
    lines.add("kind", kind.name());
    let null = || Error::Invalid(format!("the {} is NULL", kind.name()));
    match kind {
        Kind::Space => space(&Space::read(array, row)?.ok_or_else(null)?, &mut lines),
        Kind::Decoder => decoder(&Decoder::read(array, row)?.ok_or_else(null)?, &mut lines),
        Kind::Translator => translator(&Translator::read(array, row)?.ok_or_else(null)?, &mut lines),
        Kind::Head => head(&Head::read(array, row)?.ok_or_else(null)?, &mut lines),
        Kind::Queries => queries(&Queries::read(array, row)?.ok_or_else(null)?, &mut lines),
    }
    lines.add("format", stored.integer("format")?);
    lines.add("written by", format!("babelake {}", stored.text("tool_version")?));
    Ok(lines.0.trim_end().to_owned())
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name}: {value}");
    }
}

fn space(space: &Space, lines: &mut Lines) {
    let anchors = &space.anchors;
    lines.add("encoder", encoder_name(&anchors.encoder));
    lines.add("width", anchors.width);
    lines.add("anchors", anchors.keys.len());
    lines.add("keys", format!("{} ({})", anchors.keys.kind(), anchors.keys.digest()));
    lines.add("frame", space.frame_name());
    lines.add("rank", space.rank);
    lines.add("mean centred norm", number(anchors.scale));
    lines.add("unit vectors", yes(anchors.unit_vectors));
    lines.add("mean", if anchors.mean_given { "given" } else { "of the anchors" });
    diagnostics(&space.diagnostics, &["anchors", "rank"], lines);
    lines.add("digest", &space.digest);
}

fn decoder(decoder: &Decoder, lines: &mut Lines) {
    lines.add("encoder", encoder_name(&decoder.encoder));
    lines.add("width", decoder.width);
    lines.add("anchors", decoder.anchors());
    method(&decoder.method, &decoder.settings, lines);
    lines.add("unit output", yes(decoder.unit_output));
    diagnostics(&decoder.diagnostics, &["anchors"], lines);
    lines.add("keys digest", &decoder.keys_digest);
    lines.add("digest", &decoder.digest);
}

fn head(head: &Head, lines: &mut Lines) {
    lines.add("encoder", encoder_name(&head.encoder));
    let mut widths = head.width().to_string();
    for layer in &head.layers {
        let activation = match layer.activation {
            Activation::Identity => String::new(),
            other => format!(" ({})", other.name()),
        };
        widths += &format!(" -> {}{activation}", layer.outputs);
    }
    lines.add("widths", widths);
    let shown = (0..head.labels.len().min(SHOWN_LABELS)).map(|i| head.labels.display(i)).collect::<Vec<_>>().join(", ");
    let more = head.labels.len().saturating_sub(SHOWN_LABELS);
    lines.add("labels", if more > 0 { format!("{shown} and {more} more") } else { shown });
    lines.add("settings", &head.settings);
    diagnostics(&head.diagnostics, &["classes"], lines);
    lines.add("digest", &head.digest);
}

/// Labels that are shown.
const SHOWN_LABELS: usize = 20;

fn queries(queries: &Queries, lines: &mut Lines) {
    lines.add("queries", queries.keys.len());
    lines.add("width", queries.width);
    lines.add("keys", format!("{} ({})", queries.keys.kind(), queries.keys.digest()));
    lines.add("digest", &queries.digest);
}

fn translator(translator: &Translator, lines: &mut Lines) {
    let (from, to) = (encoder_name(&translator.source_encoder), encoder_name(&translator.target_encoder));
    lines.add("direction", format!("{from} -> {to}"));
    lines.add("widths", format!("{} -> {}", translator.source_width, translator.target_width));
    method(&translator.method, &translator.settings, lines);
    let of = match translator.length {
        Length::Scaled => "",
        Length::Source => " of the row's own centred length",
        Length::Unit => ", the same length for all rows",
    };
    lines.add("scale", format!("{}{of}", number(translator.scale)));
    lines.add("unit output", yes(translator.unit_output));
    diagnostics(&translator.diagnostics, &[], lines);
    lines.add("keys digest", &translator.keys_digest);
    lines.add("digest", &translator.digest);
}

/// An encoder's name as people read it.
pub fn encoder_name(encoder: &str) -> &str {
    if encoder.is_empty() { "(unnamed)" } else { encoder }
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

fn number(x: f64) -> String {
    let rounded = format!("{x:.4e}");
    if (1e-3..1e6).contains(&x.abs()) || x == 0.0 { format!("{x:.4}") } else { rounded }
}

fn method(method: &str, settings: &str, lines: &mut Lines) {
    lines.add("method", method);
    let options = MethodOptions { method: Some(method.to_owned()), ..MethodOptions::default() };
    // A method of a newer version has a name and settings all the same.
    if let Ok(known) = Method::new(&options, method) {
        lines.add("method source", known.source());
    }
    lines.add("settings", settings);
}

/// The diagnostics, one line each; `known` ones were said already.
fn diagnostics(json: &str, known: &[&str], lines: &mut Lines) {
    let Ok(Value::Object(entries)) = serde_json::from_str(json) else { return };
    for (key, value) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        let title = key.replace('_', " ");
        match (key.as_str(), value) {
            ("quality", quality) => {
                if let Some(table) = quality_table(quality) {
                    lines.add(&title, format!("{}\n{table}", measured(quality)));
                }
                if let Some(table) = storage_table(&quality["storage"]) {
                    lines.add("stored as", format!("{}\n{table}", stored_as(&quality["storage"])));
                }
            }
            ("best", best) => {
                if let Some(table) = best_table(best) {
                    lines.add("compared", format!("{}\n{table}", compared(best)));
                }
            }
            ("confidence", Value::Object(_)) => {
                if let Some(table) = confidence_table(value) {
                    lines.add(&title, format!("{}\n{table}", calibrated(value)));
                }
            }
            ("members", Value::Array(members)) if members.is_empty() => {}
            ("members", Value::Array(members)) => lines.add("subspaces", self::members(members)),
            (_, Value::Object(inner)) => {
                let parts: Vec<String> =
                    inner.iter().map(|(key, value)| format!("{} {}", key.replace('_', " "), plain(value))).collect();
                lines.add(&title, parts.join(", "));
            }
            (_, value) => lines.add(&title, plain(value)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(x) if x.is_f64() => x.as_f64().map(number).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// An ensemble in one line: how many subspaces, and the range of anchors kept and of condition numbers.
fn members(members: &[Value]) -> String {
    let range = |key: &str| {
        let values = members.iter().filter_map(|member| member.get(key)?.as_f64());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if low == high { plain(&low.into()) } else { format!("{} to {}", plain(&low.into()), plain(&high.into())) }
    };
    let whole = |text: String| text.replace(".0000", "");
    format!(
        "{}, anchors kept {}, condition number {}",
        members.len(),
        whole(range("anchors")),
        range("condition_number")
    )
}

/// How a quality table was measured, in one line.
pub fn measured(quality: &Value) -> String {
    let count = |key: &str| quality.get(key).and_then(Value::as_u64).unwrap_or(0);
    let held_out = quality.get("held_out").and_then(Value::as_str).unwrap_or("");
    format!(
        "{} held-out rows ({held_out}) against a pool of {}, fitted on {} other pairs",
        count("queries"),
        count("pool"),
        count("anchors")
    )
}

/// What a confidence is calibrated on, in one line.
pub fn calibrated(confidence: &Value) -> String {
    let count = |key: &str| confidence.get(key).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "calibrated on {} anchors, each translated by a fit without its fold of {}",
        count("anchors"),
        count("folds")
    )
}

/// The deciles of confidence in a translator's diagnostics as text; `None` where there are none.
///
/// Expected: `{"deciles": [{"low", "high", "anchors", "centred_cosine"}, ...]}`.
pub fn confidence_table(confidence: &Value) -> Option<String> {
    let rows = confidence.get("deciles")?.as_array()?.iter().enumerate().map(|(i, decile)| {
        let measure =
            |key: &str| decile.get(key).and_then(Value::as_f64).map_or_else(String::new, |x| format!("{x:.3}"));
        let anchors = decile.get("anchors").and_then(Value::as_u64).unwrap_or(0);
        let range = format!("{} to {}", measure("low"), measure("high"));
        vec![(i + 1).to_string(), range, measure("centred_cosine"), anchors.to_string()]
    });
    Some(table(&["decile", "confidence", "centred cosine", "anchors"], rows))
}

/// A table of a title and numbers.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// How methods were compared, in one line.
pub fn compared(best: &Value) -> String {
    let count = |key: &str| best.get(key).and_then(Value::as_u64).unwrap_or(0);
    let by = best.get("by").and_then(Value::as_str).unwrap_or("");
    let (anchors, folds, seed) = (count("anchors"), count("folds"), count("seed"));
    // Of a translator that was stored when predictions were searched among all anchors.
    let Some(unseen) = best.get("unseen").and_then(Value::as_u64) else {
        return format!("by {by}, out of fold over {anchors} pairs in {folds} folds, pool {anchors}, seed {seed}");
    };
    let pool = anchors.checked_div(folds).unwrap_or(0) + unseen;
    format!("by {by}, out of fold over {anchors} pairs in {folds} folds, pool {pool}, seed {seed}")
}

/// The comparison in a translator's diagnostics under `best` as text, with 95 % intervals; `None` where it is none.
///
/// Expected: `{"by", "rows": [{"name", "settings", "p_at_1", "p_at_1_low", "p_at_1_high", ..., "difference", "chosen"}, ...]}`.
pub fn best_table(best: &Value) -> Option<String> {
    let rows = best.get("rows")?.as_array().filter(|rows| !rows.is_empty())?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    const MEASURES: [(&str, &str); 6] = [
        ("p_at_1", "P@1"),
        ("mrr", "MRR"),
        ("knn_overlap", "kNN overlap"),
        ("centred_cosine", "centred cosine"),
        ("accuracy", "accuracy"),
        ("difference", "behind the best"),
    ];
    let known: Vec<_> = MEASURES.iter().filter(|(key, _)| rows.iter().any(|row| row.get(key).is_some())).collect();
    table.set_header(["", "settings"].into_iter().chain(known.iter().map(|(_, title)| *title)));
    for row in rows {
        let number = |key: &str| row.get(key).and_then(Value::as_f64);
        let name = row.get("name").and_then(Value::as_str).unwrap_or("");
        let settings = row.get("settings").and_then(Value::as_object).into_iter().flatten();
        let settings = settings.filter(|(key, _)| !["rcond", "seed"].contains(&key.as_str()));
        let settings: Vec<String> = settings.map(|(key, value)| format!("{key} {value}")).collect();
        let measures = known.iter().map(|(key, _)| {
            match (number(key), number(&format!("{key}_low")), number(&format!("{key}_high"))) {
                (Some(mean), Some(low), Some(high)) => format!("{mean:.3} ({low:.3} to {high:.3})"),
                _ => "n/a".to_owned(),
            }
        });
        let chosen = if row.get("chosen").is_some() { " <- chosen" } else { "" };
        table.add_row([format!("{name}{chosen}"), settings.join(", ")].into_iter().chain(measures));
    }
    Some(table.to_string())
}

/// How the costs of storage were measured, in one line.
pub fn stored_as(storage: &Value) -> String {
    let count = |key: &str| storage.get(key).and_then(Value::as_u64).unwrap_or(0);
    format!("{} queries by the target's model, {} translated rows searched", count("queries"), count("documents"))
}

/// What translated vectors in fewer bits cost a search, as text with 95 % intervals; `None` where it is not there.
///
/// Expected: `{"rows": [{"name", "bytes", "recall_at_10", "recall_at_10_low", "recall_at_10_high", "change", ...}, ...]}`, the
/// first row for vectors as they are.
pub fn storage_table(storage: &Value) -> Option<String> {
    let rows = storage.get("rows")?.as_array()?.iter().enumerate().map(|(i, row)| {
        let number = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let ends = |key: &str| (number(key), number(&format!("{key}_low")), number(&format!("{key}_high")));
        let (recall, low, high) = ends("recall_at_10");
        let (change, least, most) = ends("change");
        let change = if i == 0 { String::new() } else { format!("{change:+.3} ({least:+.3} to {most:+.3})") };
        let name = row.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
        let bytes = row.get("bytes").and_then(Value::as_u64).unwrap_or(0).to_string();
        vec![name, bytes, format!("{recall:.3} ({low:.3} to {high:.3})"), change]
    });
    Some(table(&["", "bytes", "recall@10", "change"], rows))
}

/// The quality table in a translator's diagnostics as text; `None` where it is none.
///
/// Expected: `{"pool": n, "rows": [{"name", "cosine", "centred_cosine", "p_at_1", "mrr"}, ...]}`, a measure that does not
/// apply is null; `knn_overlap` and `accuracy` are shown where a row has them.
pub fn quality_table(quality: &Value) -> Option<String> {
    let rows = quality.get("rows")?.as_array()?;
    let pool = quality.get("pool")?.as_u64()?;
    let has = |key: &str| rows.iter().any(|row| row.get(key).is_some_and(Value::is_number));
    let always = [("cosine", "cosine"), ("centred_cosine", "centred cosine"), ("p_at_1", "P@1"), ("mrr", "MRR")];
    let sometimes = [("knn_overlap", "kNN overlap"), ("accuracy", "accuracy")].into_iter().filter(|(key, _)| has(key));
    let measures: Vec<(&str, &str)> = always.into_iter().chain(sometimes).collect();
    let header: Vec<&str> = [""].into_iter().chain(measures.iter().map(|(_, title)| *title)).chain(["pool"]).collect();
    let rows = rows.iter().map(|row| {
        let measure = |key: &str| match row.get(key).and_then(Value::as_f64) {
            Some(x) => format!("{x:.3}"),
            None => "n/a".to_owned(),
        };
        let title = row.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
        [title].into_iter().chain(measures.iter().map(|(key, _)| measure(key))).chain([pool.to_string()]).collect()
    });
    Some(table(&header, rows))
}
