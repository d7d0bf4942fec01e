//! Words and their vectors, one word a line: word2vec's text and fastText's `.vec` (first their number and width), GloVe (no such line).

use std::sync::Arc;

use arrow::array::{Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::input::Input;
use super::lines::{Lines, Parse, Parsed, Piece};
use super::{most_common, vectors};
use crate::Result;
use crate::column::embedding::fixed;

/// The name of the words' column.
const WORD: &str = "word";
/// Lines whose width is looked at where no first line tells it.
const FIRST: usize = 1000;
/// What is between a word and its numbers. Other blanks are parts of words.
const BLANKS: [char; 2] = [' ', '\t'];

/// How its lines are read.
#[derive(Debug)]
pub struct Words {
    width: usize,
    /// How many words the first line says there are, where it says so.
    count: Option<u64>,
    /// The column of line numbers, where one is wanted.
    id: Option<String>,
}

/// Looks at the first lines.
pub fn open(input: Input, id: Option<&str>) -> Result<(Lines, Words)> {
    let (lines, piece) = Lines::open(input)?;
    let input = lines.input();
    let mut texts = piece.lines().map(|(_, line)| line);
    let first = texts.next().unwrap_or_default();
    if let Some((count, width)) = header(first) {
        // Numbers as they are in memory are no text, and numbers of text are no control characters.
        if texts.next().is_some_and(|line| line.iter().any(|byte| *byte < b'\t')) {
            return Err(input.wrong(
                "is word2vec's binary format, which is not read: save it as text with gensim's \
                 save_word2vec_format(binary=False)",
            ));
        }
        if width == 0 {
            return Err(input.wrong("says in its first line that its vectors have 0 numbers"));
        }
        return Ok((lines, Words { width, count: Some(count), id: id.map(str::to_owned) }));
    }
    let fields = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok()?;
        Some(text.split(BLANKS).filter(|field| !field.is_empty()).count().saturating_sub(1)).filter(|width| *width > 0)
    };
    // Words may have blanks in them, and lines may be bad: most have one word and all numbers.
    let width = most_common(piece.lines().take(FIRST).filter_map(|(_, line)| fields(line)));
    let width = width.ok_or_else(|| input.wrong("has no line of a word and numbers"))?;
    Ok((lines, Words { width, count: None, id: id.map(str::to_owned) }))
}

/// The number of words and their width, where a line says nothing else.
fn header(line: &[u8]) -> Option<(u64, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let (count, width) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some((count, width))
}

impl Words {
    /// Numbers of a word.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The columns of the table.
    pub fn columns(&self) -> Vec<FieldRef> {
        let id = self.id.iter().map(|name| Arc::new(Field::new(name, DataType::Int64, false)));
        let word = Arc::new(Field::new(WORD, DataType::Utf8, false));
        id.chain([word, vectors(DataType::Float32, self.width)]).collect()
    }

    /// Adds the numbers of a line, and says its word. An error leaves some of them.
    fn line<'a>(&self, line: &'a [u8], numbers: &mut Vec<f32>) -> Result<&'a str, String> {
        let text = std::str::from_utf8(line).map_err(|_| "is no UTF-8")?;
        let mut left = text.trim_end_matches(BLANKS);
        let first = numbers.len();
        for i in (1..=self.width).rev() {
            let (before, number) = left.rsplit_once(BLANKS).ok_or_else(|| {
                format!("has {} numbers after its word, and {} are expected", self.width - i, self.width)
            })?;
            let parsed = number.parse().ok().filter(|number: &f32| number.is_finite());
            numbers.push(parsed.ok_or_else(|| format!("number {i} of {} is '{number}'", self.width))?);
            left = before.trim_end_matches(BLANKS);
        }
        numbers[first..].reverse();
        if left.is_empty() { Err("has no word".to_owned()) } else { Ok(left) }
    }
}

impl Parse for Words {
    fn parse(&self, piece: &Piece) -> Result<Parsed> {
        let (mut ids, mut words, mut numbers, mut bad) =
            (Int64Builder::new(), StringBuilder::new(), Vec::new(), Vec::new());
        let mut rows = 0;
        for (number, line) in piece.lines().filter(|(number, _)| *number > 1 || self.count.is_none()) {
            match self.line(line, &mut numbers) {
                Ok(word) => {
                    words.append_value(word);
                    ids.append_value(number.cast_signed() - 1);
                    rows += 1;
                }
                Err(reason) => {
                    numbers.truncate(rows * self.width);
                    bad.push((number, reason));
                }
            }
        }
        let vectors = fixed(numbers, self.width, None, rows)?;
        let mut columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(words.finish()), Arc::new(vectors)];
        if self.id.is_some() {
            columns.insert(0, Arc::new(ids.finish()));
        }
        Ok(Parsed { columns, bad })
    }

    fn end(&self, lines: u64) -> Result<(), String> {
        match self.count {
            Some(count) if lines != count + 1 => Err(format!(
                "says in its first line that it has {count} words, and has {}: it is cut off, or that line is wrong",
                lines.saturating_sub(1)
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_from_the_right() {
        let words = Words { width: 2, count: None, id: None };
        let mut numbers = Vec::new();
        for (line, word) in [("a 1 -2.5", "a"), (". . 3e-1 4 ", ". ."), ("a\u{a0}b\t5\t6", "a\u{a0}b"), ("1 7 8", "1")]
        {
            assert_eq!(words.line(line.as_bytes(), &mut numbers), Ok(word));
        }
        assert_eq!(numbers, [1.0, -2.5, 0.3, 4.0, 5.0, 6.0, 7.0, 8.0]);
        for (line, reason) in [
            (&b"a 1"[..], "has 1 numbers after its word, and 2 are expected"),
            (b"a 1 nan", "number 2 of 2 is 'nan'"),
            (b"a inf 1", "number 1 of 2 is 'inf'"),
            (b"a b 1", "number 1 of 2 is 'b'"),
            (b"a 1 1e39", "number 2 of 2 is '1e39'"),
            (b" 1 2", "has no word"),
            (b"\xff 1 2", "is no UTF-8"),
        ] {
            assert_eq!(words.line(line, &mut numbers).unwrap_err(), reason);
        }
    }

    #[test]
    fn the_first_line_may_say_how_many_there_are() {
        assert_eq!(header(b"3 300"), Some((3, 300)));
        assert_eq!(header(b"the 0.1"), None);
        assert_eq!(header(b"3 300 1"), None);
    }
}
