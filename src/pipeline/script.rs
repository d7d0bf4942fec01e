//! A script as statements, each with its line in the file.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::template::{self, Lines, Parameters};
use crate::{Error, Result};

/// Statements in the order in which they run.
#[derive(Debug)]
pub struct Script {
    path: Option<String>,
    lines: Lines,
    statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The line it starts at in the file, counted from 1.
    pub line: usize,
    /// Its first words, on one line.
    pub head: String,
    /// What the engine gets, without the semicolon.
    pub sql: String,
    /// Where it starts in the text it was split from, in bytes.
    offset: usize,
}

impl Script {
    /// Plain SQL. `path` is what errors call it; without one they tell no line.
    pub fn plain(path: Option<&str>, text: &str) -> Result<Self> {
        Self::split(path.map(str::to_owned), text, Lines::plain(text))
    }

    /// SQL with parameters; see [`Parameters`] for what a template may say.
    pub fn template(path: &str, text: &str, parameters: &Parameters) -> Result<Self> {
        let (sql, lines) = template::render(path, text, parameters)?;
        Self::split(Some(path.to_owned()), &sql, lines)
    }

    /// The statements.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Says where in the file an error of a statement lies: where the parser points, otherwise where it starts.
    pub fn locate(&self, statement: &Statement, error: Error) -> Error {
        let Some(path) = &self.path else { return error };
        let message = error.to_string();
        let (line, source) = match message.rsplit_once(PARSER_LINE).and_then(|(text, rest)| {
            let (line, column) = rest.split_once(", Column: ")?;
            Some((text, line.parse::<usize>().ok()?, column.trim().parse::<usize>().ok()?))
        }) {
            Some((text, line, column)) => {
                let offset = statement.offset + Positions::new(&statement.sql).offset(line as u64, column as u64);
                (self.lines.at(offset), Error::Invalid(text.to_owned()))
            }
            None => (statement.line, error),
        };
        Error::Script { path: path.clone(), line, source: Box::new(source) }
    }

    fn split(path: Option<String>, text: &str, lines: Lines) -> Result<Self> {
        let tokens = tokens(text).map_err(|error| {
            let offset = Positions::new(text).offset(error.location.line, error.location.column);
            let source = Error::Invalid(error.message);
            match &path {
                Some(path) => Error::Script { path: path.clone(), line: lines.at(offset), source: Box::new(source) },
                None => source,
            }
        })?;
        let mut positions = Positions::new(text);
        let mut statements = Vec::new();
        // Of the statement being read: its words, and where it starts and ends.
        let mut words: Vec<&str> = Vec::new();
        let (mut start, mut end) = (0, 0);
        let mut close = |words: &mut Vec<&str>, start, end| {
            if !words.is_empty() {
                let sql = text.get(start..end).unwrap_or_default().to_owned();
                statements.push(Statement { line: lines.at(start), head: head(words), sql, offset: start });
                words.clear();
            }
        };
        for TokenWithSpan { token, span } in &tokens {
            match token {
                Token::Whitespace(_) => {}
                Token::SemiColon => close(&mut words, start, end),
                _ => {
                    let begin = positions.offset(span.start.line, span.start.column);
                    end = positions.offset(span.end.line, span.end.column);
                    if words.is_empty() {
                        start = begin;
                    }
                    words.push(text.get(begin..end).unwrap_or_default());
                }
            }
        }
        // The last semicolon may be missing.
        close(&mut words, start, end);
        if statements.is_empty() {
            let name = path.as_deref().unwrap_or("the SQL");
            return Err(Error::Invalid(format!("{name}: there is no statement in it")));
        }
        Ok(Self { path, lines, statements })
    }
}

/// How the parser ends its messages.
const PARSER_LINE: &str = " at Line: ";

/// Whether a text typed so far ends with a semicolon that ends a statement.
pub fn is_complete(text: &str) -> bool {
    let mut tokens = tokens(text).unwrap_or_default();
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    matches!(tokens.last(), Some(TokenWithSpan { token: Token::SemiColon, .. }))
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    Tokenizer::new(&GenericDialect {}, text).tokenize_with_location()
}

/// The first words, as many as fit on a line of a log.
fn head(tokens: &[&str]) -> String {
    const WIDTH: usize = 40;
    let mut head = String::new();
    for (index, token) in tokens.iter().enumerate() {
        let tight = head.is_empty() || head.ends_with(['.', '(']) || matches!(*token, "." | "," | "(" | ")");
        if index > 0 && head.chars().count() + token.chars().count() > WIDTH {
            return head + " ...";
        }
        if !tight {
            head.push(' ');
        }
        head.extend(token.chars().filter(|c| *c != '\n').take(WIDTH));
    }
    head
}

/// Turns the tokenizer's lines and columns (in characters, from 1) into byte offsets, forward only and so in one pass.
struct Positions<'a> {
    text: &'a str,
    offset: usize,
    line: u64,
    column: u64,
}

impl<'a> Positions<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, column: 1 }
    }

    fn offset(&mut self, line: u64, column: u64) -> usize {
        while (self.line, self.column) < (line, column) {
            let Some(c) = self.text.get(self.offset..).and_then(|rest| rest.chars().next()) else { break };
            self.offset += c.len_utf8();
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.offset
    }
}
