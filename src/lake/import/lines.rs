//! Texts of a row on every line, compressed by gzip or not (which their bytes tell): read in pieces of whole lines that several threads
//! parse, passed on in the order of the file. Memory is that of a few pieces.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::ArrayRef;
use flate2::bufread::MultiGzDecoder;

use super::Out;
use super::input::Input;
use crate::{Error, Result};

/// Bytes of a piece, about.
const PIECE: usize = 4 << 20;
/// Threads that parse at most: each holds a few pieces, and reading them keeps up with no more.
const MAX_THREADS: usize = 8;
/// A longer line is bad.
const MAX_LINE: u64 = 16 << 20;
/// Bytes at the beginning of what gzip made.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What some editors put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes that are decompressed at a time.
const BUFFER: usize = 1 << 17;

/// A text.
#[derive(Debug, Clone)]
pub struct Lines {
    input: Input,
    compressed: bool,
}

/// Whole lines, one after the other.
#[derive(Debug)]
pub struct Piece {
    text: Vec<u8>,
    /// The number of the first one, from 1.
    first: u64,
    /// How many.
    count: u64,
    /// Whether one more came after them that was too long, and is left out.
    overlong: bool,
}

/// What a piece holds.
pub struct Parsed {
    /// Its rows, column by column.
    pub columns: Vec<ArrayRef>,
    /// The lines that are bad, by number, and why.
    pub bad: Vec<(u64, String)>,
}

/// How lines become rows.
pub trait Parse: fmt::Debug + Send + Sync {
    /// The rows of some lines.
    fn parse(&self, piece: &Piece) -> Result<Parsed>;

    /// What is wrong with a text of so many lines that have been read all.
    fn end(&self, _lines: u64) -> Result<(), String> {
        Ok(())
    }
}

impl Piece {
    /// The lines without their ends, and their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let lines = self.text.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        });
        (self.first..).zip(lines)
    }
}

impl Lines {
    /// A text, and its first piece.
    pub fn open(input: Input) -> Result<(Self, Piece)> {
        let compressed = &input.bytes(0..2)?[..] == GZIP;
        let lines = Self { input, compressed };
        let first = lines.pieces()?.next()?;
        match first {
            Some(piece) => Ok((lines, piece)),
            None => Err(lines.input.wrong("is empty")),
        }
    }

    /// The file.
    pub fn input(&self) -> &Input {
        &self.input
    }

    fn pieces(&self) -> Result<Pieces<'_>> {
        let reader = BufReader::with_capacity(BUFFER, self.input.reader(0..self.input.size())?);
        let reader: Box<dyn BufRead + Send> = match self.compressed {
            true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader))),
            false => Box::new(reader),
        };
        Ok(Pieces { lines: self, reader, next: 1 })
    }

    /// Reads and parses all lines.
    pub fn read(&self, parse: &dyn Parse, out: &Out<'_>) -> Result<()> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut pieces = self.pieces()?;
        let read = std::thread::scope(|scope| {
            // Pieces go to the threads in turn, and come back in turn.
            let (to, from): (Vec<SyncSender<Piece>>, Vec<Receiver<_>>) = (0..count)
                .map(|_| {
                    let (to, pieces) = sync_channel::<Piece>(1);
                    let (parsed, from) = sync_channel(1);
                    scope.spawn(move || {
                        for piece in pieces {
                            let last = piece.first + piece.count;
                            if parsed.send((parse.parse(&piece), piece.overlong.then_some(last))).is_err() {
                                break;
                            }
                        }
                    });
                    (to, from)
                })
                .unzip();
            let reading = scope.spawn(move || -> Result<u64> {
                for to in to.iter().cycle() {
                    let Some(piece) = pieces.next()? else { break };
                    // Whoever parses has ended: nobody waits for rows any more.
                    if to.send(piece).is_err() {
                        break;
                    }
                }
                Ok(pieces.next - 1)
            });
            for from in from.iter().cycle() {
                let Ok((parsed, overlong)) = from.recv() else { break };
                let Parsed { columns, mut bad } = parsed?;
                bad.extend(overlong.map(|line| (line, format!("is longer than {MAX_LINE} bytes"))));
                for (line, reason) in bad {
                    out.bad(self.wrong(line, &reason))?;
                }
                out.send(columns)?;
            }
            drop(from);
            reading.join().unwrap_or_else(|_| Err(self.input.wrong("cannot be read")))
        });
        parse.end(read?).map_err(|message| self.input.wrong(message))
    }

    fn wrong(&self, line: u64, reason: &str) -> Error {
        self.input.wrong(format!("line {line}: {reason}"))
    }
}

/// The pieces of a text.
struct Pieces<'a> {
    lines: &'a Lines,
    reader: Box<dyn BufRead + Send + 'a>,
    /// The number of the next line.
    next: u64,
}

impl Pieces<'_> {
    fn next(&mut self) -> Result<Option<Piece>> {
        self.read().map_err(|error| {
            let input = &self.lines.input;
            let is_ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            if !self.lines.compressed || is_ours {
                return input.failed(error);
            }
            input.wrong(format!("cannot be decompressed after line {}: {error}; fetch the file again", self.next - 1))
        })
    }

    fn read(&mut self) -> io::Result<Option<Piece>> {
        let mut text = Vec::with_capacity(PIECE + PIECE / 8);
        self.reader.by_ref().take(PIECE as u64).read_to_end(&mut text)?;
        if text.is_empty() {
            return Ok(None);
        }
        let mut overlong = false;
        if !text.ends_with(b"\n") {
            let more = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)?;
            if more as u64 == MAX_LINE && !text.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
                text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
                overlong = true;
            }
        }
        if self.next == 1 && text.starts_with(MARK) {
            text.drain(..MARK.len());
        }
        let unended = !text.is_empty() && !text.ends_with(b"\n");
        let count = text.iter().filter(|byte| **byte == b'\n').count() as u64 + u64::from(unended);
        let piece = Piece { text, first: self.next, count, overlong };
        self.next += count + u64::from(overlong);
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_ends_and_their_numbers() {
        let piece = Piece { text: b"a\r\n\nb c\nd".to_vec(), first: 7, count: 4, overlong: false };
        let lines: Vec<_> = piece.lines().collect();
        assert_eq!(lines, [(7, &b"a"[..]), (8, b""), (9, b"b c"), (10, b"d")]);
    }
}
