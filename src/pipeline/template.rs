//! Parameters and loops in SQL, by minijinja.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, Error as TemplateError, ErrorKind, UndefinedBehavior};

use crate::{Error, Result};

/// The values given to a script, by name.
///
/// A script is a [minijinja](https://docs.rs/minijinja) template. Using a name that has no value is an error, and so is
/// giving a value that the script does not use. `{% set lake = lake | default('sample_data') %}` gives a default.
/// `{{ name | quote }}` writes a SQL string literal, `{{ name | ident }}` a quoted identifier, `{{ name }}` the text as it is.
///
/// Values are text: `--set n=3` writes 3, and computes only after a filter (`n | int`); compare with text (`n == '3'`), and
/// split lists yourself (`for lang in langs | split(',')`).
pub type Parameters = BTreeMap<String, String>;

/// Where each piece of a rendered text comes from.
#[derive(Debug)]
pub struct Lines(Vec<(usize, usize)>);

impl Lines {
    /// The lines of a text that was not rendered.
    pub fn plain(text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self(std::iter::once(0).chain(starts).zip(1..).collect())
    }

    /// The line, counted from 1, that the byte at `offset` comes from.
    pub fn at(&self, offset: usize) -> usize {
        let after = self.0.partition_point(|(start, _)| *start <= offset);
        self.0.get(after.saturating_sub(1)).map_or(1, |(_, line)| *line)
    }
}

/// The names that a script takes values for.
pub fn parameters(path: &str, text: &str) -> Result<BTreeSet<String>> {
    let environment = environment();
    let template =
        environment.template_from_str(text).map_err(|error| located(path, text, &error, &Parameters::new()))?;
    let mut names: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
    // minijinja takes `set x = x | default(...)` for a variable of the script, and for us it is a parameter with a default.
    let mut assigned = BTreeSet::new();
    for tag in tags(text).filter(|tag| tag.kind == Kind::Block) {
        let Some((name, value)) = tag.content(text).strip_prefix("set ").and_then(|set| set.split_once('=')) else {
            continue;
        };
        let value = environment.compile_expression(value).map(|value| value.undeclared_variables(false));
        if assigned.insert(name.trim().to_owned()) && value.is_ok_and(|used| used.contains(name.trim())) {
            names.insert(name.trim().to_owned());
        }
    }
    for (global, _) in environment.globals() {
        names.remove(global);
    }
    Ok(names)
}

/// Fills in a script; the second value tells which line of the template each piece of the result comes from.
pub fn render(path: &str, text: &str, values: &Parameters) -> Result<(String, Lines)> {
    let names = parameters(path, text)?;
    if let Some(unused) = values.keys().find(|name| !names.contains(*name)) {
        let known = match names.is_empty() {
            true => "it has no parameters".to_owned(),
            false => format!("its parameters are {}", names.into_iter().collect::<Vec<_>>().join(", ")),
        };
        return Err(Error::Invalid(format!("{path} does not use `{unused}`: {known}")));
    }
    if text.chars().count() > MARKERS as usize
        || text.chars().chain(values.values().flat_map(|v| v.chars())).any(is_marker)
    {
        let message = "private-use characters (U+F0000 and up) cannot stand in a script or its values";
        return Err(Error::file(path, message));
    }
    let marked = mark(text);
    let environment = environment();
    let rendered = environment
        .template_from_str(&marked)
        .and_then(|template| template.render(values))
        .map_err(|error| located(path, &marked, &error, values))?;
    Ok(unmark(&rendered))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // Gives errors the place of the expression that failed.
    environment.set_debug(true);
    environment.add_filter("quote", |text: String| format!("'{}'", text.replace('\'', "''")));
    environment.add_filter("ident", |text: String| format!("\"{}\"", text.replace('"', "\"\"")));
    environment
}

fn located(path: &str, source: &str, error: &TemplateError, values: &Parameters) -> Error {
    let message = match error.kind() {
        ErrorKind::UndefinedError => {
            // The engine points at what was done with the value, a filter say, and not at the name.
            let start = error.range().map_or(0, |range| range.start);
            let tag = tags(source).find(|tag| (tag.start..tag.end).contains(&start));
            let words = tag.and_then(|tag| source.get(tag.start..tag.end)).unwrap_or_default();
            let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
            let template = environment().template_from_str(source).map(|t| t.undeclared_variables(false));
            let without_value = template.unwrap_or_default();
            match words.find(|word| without_value.contains(*word) && !values.contains_key(*word)) {
                Some(name) => format!("`{name}` has no value: give it one with --set, or a default"),
                None => "a value is missing".to_owned(),
            }
        }
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    Error::Script { path: path.to_owned(), line: error.line().unwrap_or(1), source: Box::new(Error::Invalid(message)) }
}

/// A line number travels through the template as one private-use character.
const FIRST_MARKER: u32 = 0xF_0000;
const MARKERS: u32 = 0xFFFE;

fn is_marker(c: char) -> bool {
    (FIRST_MARKER..FIRST_MARKER + MARKERS).contains(&u32::from(c))
}

/// Puts a marker before the first text of every line and after every block tag.
///
/// Never before white space, so that what `{%-` and `-%}` trim stays the same. And never into text that a block captures
/// (`{% set x %}`, `{% filter f %}`), which the template measures, compares and changes: it comes from the line of the tag
/// that writes it.
fn mark(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + text.len() / 8);
    let mut line = 1;
    let mut pending = true;
    let mut captures = 0_usize;
    let marker = |line| char::from_u32(FIRST_MARKER + line).unwrap_or_default();
    let plain = |marked: &mut String, line: &mut u32, pending: &mut bool, piece: &str, may_mark: bool| {
        for c in piece.chars() {
            if *pending && !c.is_whitespace() && may_mark {
                marked.push(marker(*line));
                *pending = false;
            }
            marked.push(c);
            if c == '\n' {
                *line += 1;
                *pending = true;
            }
        }
    };
    let mut done = 0;
    for tag in tags(text) {
        let written = text.get(done..tag.start).unwrap_or_default();
        plain(&mut marked, &mut line, &mut pending, written, captures == 0);
        let piece = text.get(tag.start..tag.end).unwrap_or_default();
        let content = if tag.kind == Kind::Block { tag.content(text) } else { "" };
        let (word, rest) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
        if pending && captures == 0 && (tag.kind == Kind::Value || word == "filter") {
            // What this tag trims stays behind the marker.
            let trims = piece.get(2..).is_some_and(|rest| rest.starts_with('-'));
            let at = if trims { marked.trim_end().len() } else { marked.len() };
            marked.insert(at, marker(line));
            pending = false;
        }
        match word {
            "filter" => captures += 1,
            // Unlike `set x = 1`.
            "set" if !rest.trim_start_matches(|c| c != '=' && c != '|').starts_with('=') => captures += 1,
            "endset" | "endfilter" => captures = captures.saturating_sub(1),
            _ => {}
        }
        plain(&mut marked, &mut line, &mut pending, piece, false);
        pending |= tag.kind != Kind::Value;
        done = tag.end;
    }
    plain(&mut marked, &mut line, &mut pending, text.get(done..).unwrap_or_default(), captures == 0);
    marked
}

fn unmark(marked: &str) -> (String, Lines) {
    let mut text = String::with_capacity(marked.len());
    let mut lines = vec![(0, 1)];
    for c in marked.chars() {
        if is_marker(c) {
            lines.push((text.len(), (u32::from(c) - FIRST_MARKER) as usize));
        } else {
            text.push(c);
        }
    }
    (text, Lines(lines))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `{{ }}`
    Value,
    /// `{% %}`
    Block,
    /// `{# #}`
    Comment,
}

/// A tag of a template, in bytes.
struct Tag {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Tag {
    /// What stands between the delimiters.
    fn content<'a>(&self, text: &'a str) -> &'a str {
        let inner = text.get(self.start + 2..self.end.saturating_sub(2)).unwrap_or_default();
        inner.trim_matches(['-', '+']).trim()
    }
}

/// The tags of a template in order.
fn tags(text: &str) -> impl Iterator<Item = Tag> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = text.get(offset..)?;
        let (start, kind) =
            rest.match_indices('{').find_map(|(at, _)| match rest.get(at + 1..)?.chars().next()? {
                '{' => Some((at, Kind::Value)),
                '%' => Some((at, Kind::Block)),
                '#' => Some((at, Kind::Comment)),
                _ => None,
            })?;
        let start = offset + start;
        let close = match kind {
            Kind::Value => "}}",
            Kind::Block => "%}",
            Kind::Comment => "#}",
        };
        let mut end = text.len();
        let mut quote = None;
        let mut escaped = false;
        for (at, c) in text.get(start + 2..)?.char_indices() {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), _) => quote = Some(open).filter(|open| *open != c),
                (None, '\'' | '"') if kind != Kind::Comment => quote = Some(c),
                (None, _) if text.get(start + 2 + at..).is_some_and(|rest| rest.starts_with(close)) => {
                    end = start + 2 + at + 2;
                    break;
                }
                (None, _) => {}
            }
        }
        offset = end;
        Some(Tag { kind, start, end })
    })
}
