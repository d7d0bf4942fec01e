//! What goes to stderr while a command works: text for people, or one JSON object a line.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::now;
use crate::lake::is_caught;

/// How stderr is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: a bar on a terminal, lines elsewhere.
    Text,
    /// For machines: one JSON object a line, and nothing else.
    Json,
}

/// Writes to stderr. When nobody reads it any more, that is no error.
#[derive(Debug)]
pub struct Log {
    format: Format,
    terminal: bool,
    /// Whether the last line on a terminal has no end yet.
    open: AtomicBool,
}

impl Log {
    /// A log in this format. In JSON a panic is an event like any other.
    pub fn new(format: Format) -> Self {
        if format == Format::Json {
            std::panic::set_hook(Box::new(|panic| {
                if !is_caught() {
                    event("error", json!({ "message": panic.to_string() }));
                }
            }));
        }
        Self { format, terminal: std::io::stderr().is_terminal(), open: AtomicBool::new(false) }
    }

    /// Whether people read it, and on a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_text() && self.terminal
    }

    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Something that only machines are told.
    pub fn event(&self, name: &str, fields: Value) {
        if !self.is_text() {
            event(name, fields);
        }
    }

    /// A line that only people are told.
    pub fn line(&self, text: &str) {
        if self.is_text() {
            let start = if self.open.swap(false, Ordering::Relaxed) { "\n" } else { "" };
            write(&format!("{start}{text}\n"));
        }
    }

    /// Whether something else, a bar, is writing a line without an end.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// On a terminal, the beginning of a line that [`Log::complete`] completes.
    pub fn begin(&self, text: &str) {
        if self.is_terminal() {
            self.set_open(true);
            write(text);
        }
    }

    /// The whole of the line that was begun.
    pub fn complete(&self, text: &str) {
        if self.open.swap(false, Ordering::Relaxed) {
            write("\r");
        }
        self.line(text);
    }

    /// Something to look at that stops nothing.
    pub fn warning(&self, message: &str) {
        self.line(message);
        self.event("warning", json!({ "message": message }));
    }

    /// What went wrong.
    pub fn error(&self, message: &str) {
        self.line(&format!("error: {message}"));
        self.event("error", json!({ "message": message }));
    }
}

fn event(name: &str, fields: Value) {
    let level = match name {
        "warning" | "error" => name,
        _ if fields["state"] == "failed" => "error",
        _ => "info",
    };
    let mut event = Map::from_iter([
        ("time".to_owned(), now().into()),
        ("level".to_owned(), level.into()),
        ("event".to_owned(), name.into()),
    ]);
    if let Value::Object(fields) = fields {
        event.extend(fields);
    }
    write(&format!("{}\n", Value::Object(event)));
}

/// In one piece, so that lines of several threads do not mix.
fn write(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}
