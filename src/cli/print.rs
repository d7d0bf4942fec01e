//! Results on stdout.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{ErrorKind, Stdout, Write};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult};
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::pipeline::StatementReport;
use crate::{Error, Result};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: long lists are shortened.
    Table,
    /// Comma-separated, with a header; lists and structs as text.
    Csv,
    /// Tab-separated, with a header; lists and structs as text.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Options of every command that shows rows.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Options {
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Rows shown of a table; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub max_rows: usize,
}

/// Writes results to stdout. When nobody reads stdout any more (`| head`), it writes nothing and is no error.
pub struct Printer {
    options: Options,
    out: Out,
    /// The table that [`Printer::read`] made, until it is shown.
    table: String,
}

impl Printer {
    /// A printer on stdout.
    pub fn new(options: Options) -> Self {
        Self { options, out: Out::new(), table: String::new() }
    }

    /// Reads rows to their end, or until nobody reads stdout any more, and returns how many there were. Everything but a
    /// table is written at once; a table, whose columns are as wide as their widest cell, waits for [`Printer::show`].
    pub async fn read(&mut self, rows: SendableRecordBatchStream) -> Result<u64> {
        let closed = Rc::clone(&self.out.closed);
        let json = WriterBuilder::new().with_explicit_nulls(true);
        match self.options.format {
            Format::Table => self.table(rows).await,
            Format::Csv => self.separated(rows, b',').await,
            Format::Tsv => self.separated(rows, b'\t').await,
            Format::Json => {
                let mut writer = json.build::<_, JsonArray>(&mut self.out);
                let count = drain(rows, &closed, |batch| writer.write(batch)).await?;
                writer.finish()?;
                self.text("\n")?;
                Ok(count)
            }
            Format::Ndjson => {
                let mut writer = json.build::<_, LineDelimited>(&mut self.out);
                let count = drain(rows, &closed, |batch| writer.write(batch)).await?;
                writer.finish()?;
                Ok(count)
            }
        }
    }

    /// Shows the table that was read last.
    pub fn show(&mut self) -> Result<()> {
        let table = std::mem::take(&mut self.table);
        self.text(&table)
    }

    async fn table(&mut self, mut rows: SendableRecordBatchStream) -> Result<u64> {
        let limit = if self.options.max_rows == 0 { usize::MAX } else { self.options.max_rows };
        let mut kept = vec![RecordBatch::new_empty(rows.schema())];
        let (mut shown, mut count) = (0, 0);
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows() as u64;
            let wanted = batch.num_rows().min(limit - shown);
            if wanted > 0 {
                kept.push(batch.slice(0, wanted));
                shown += wanted;
            }
        }
        let options =
            FormatOptions::new().with_null("NULL").with_formatter_factory(Some(&Short)).with_display_error(true);
        self.table = format!("{}\n", pretty_format_batches_with_options(&kept, &options)?);
        if shown as u64 != count {
            writeln!(self.table, "{shown} of {} rows: --max-rows 0 shows all", thousands(count)).ok();
        }
        Ok(count)
    }

    async fn separated(&mut self, rows: SendableRecordBatchStream, delimiter: u8) -> Result<u64> {
        let empty = RecordBatch::new_empty(rows.schema());
        let closed = Rc::clone(&self.out.closed);
        let mut writer = csv::WriterBuilder::new().with_delimiter(delimiter).build(&mut self.out);
        // The header comes with the first batch, and no rows still have one.
        writer.write(&flat(&empty)?)?;
        drain(rows, &closed, |batch| writer.write(&flat(batch)?)).await
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.out.text(text)
    }
}

/// Writes a small table to stdout.
pub fn print_batch(options: Options, batch: RecordBatch, runtime: &Runtime) -> Result<()> {
    let schema = batch.schema();
    let rows = MemoryStream::try_new(vec![batch], schema, None)?;
    let mut printer = Printer::new(options);
    runtime.block_on(printer.read(Box::pin(rows)))?;
    printer.show()
}

/// Writes text to stdout. When nobody reads it, that is no error.
pub fn print(text: &str) -> Result<()> {
    Out::new().text(text)
}

async fn drain(
    mut rows: SendableRecordBatchStream,
    closed: &Cell<bool>,
    mut write: impl FnMut(&RecordBatch) -> Result<(), ArrowError>,
) -> Result<u64> {
    let mut count = 0;
    while !closed.get()
        && let Some(batch) = rows.try_next().await?
    {
        count += batch.num_rows() as u64;
        write(&batch)?;
    }
    Ok(count)
}

struct Out {
    stdout: Stdout,
    closed: Rc<Cell<bool>>,
}

impl Out {
    fn new() -> Self {
        Self { stdout: std::io::stdout(), closed: Rc::default() }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        let written = self.write_all(text.as_bytes()).and_then(|()| self.flush());
        written.map_err(|source| Error::Io { path: "stdout".to_owned(), source })
    }

    fn unless_closed<T>(
        &mut self,
        nothing: T,
        act: impl FnOnce(&mut Stdout) -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        if self.closed.get() {
            return Ok(nothing);
        }
        match act(&mut self.stdout) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.set(true);
                Ok(nothing)
            }
            result => result,
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unless_closed(bytes.len(), |stdout| stdout.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.unless_closed((), Stdout::flush)
    }
}

/// A batch with its nested columns as text: CSV has no lists.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if column.data_type().is_nested() {
            let options = FormatOptions::new();
            let cells = ArrayFormatter::try_new(column, &options)?;
            let cell = |row| column.is_valid(row).then(|| cells.value(row).try_to_string()).transpose();
            let text: StringArray = (0..column.len()).map(cell).collect::<Result<_, _>>()?;
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(text));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Lists of at most this many items are shown whole.
const WHOLE_LIST: usize = 6;
/// Items shown of longer ones.
const FIRST_ITEMS: usize = 3;
/// Characters shown of a struct.
const STRUCT_WIDTH: usize = 200;

/// Shortens embeddings to `[0.12, -0.31, 0.55, ... 768 values]` and structs to a line.
#[derive(Debug)]
struct Short;

impl Short {
    fn items<'a>(&self, array: &'a dyn Array, options: &FormatOptions<'a>) -> Result<ArrayFormatter<'a>, ArrowError> {
        match self.create_array_formatter(array, options, None)? {
            Some(short) => Ok(short),
            None => ArrayFormatter::try_new(array, options),
        }
    }
}

impl ArrayFormatterFactory for Short {
    fn create_array_formatter<'a>(
        &self,
        array: &'a dyn Array,
        options: &FormatOptions<'a>,
        _field: Option<&'a Field>,
    ) -> Result<Option<ArrayFormatter<'a>>, ArrowError> {
        let (values, range): (&'a ArrayRef, Extent<'a>) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let ends = list.value_offsets();
                (list.values(), Box::new(move |row| ends[row] as usize..ends[row + 1] as usize))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let ends = list.value_offsets();
                (list.values(), Box::new(move |row| ends[row] as usize..ends[row + 1] as usize))
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                (list.values(), Box::new(|row| extent(list.value_offset(row), list.value_size(row))))
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                (list.values(), Box::new(|row| extent(list.value_offset(row), list.value_size(row))))
            }
            DataType::FixedSizeList(_, _) => {
                let list = array.as_fixed_size_list();
                let length = list.value_length() as usize;
                (list.values(), Box::new(move |row| row * length..(row + 1) * length))
            }
            DataType::Struct(_) => {
                let whole = ArrayFormatter::try_new(array, options)?;
                return Ok(Some(ArrayFormatter::new(Box::new(ShortStruct { whole }), options.safe())));
            }
            _ => return Ok(None),
        };
        let items = self.items(values, options)?;
        let list = ShortList { array, values, items, range, null: options.null() };
        Ok(Some(ArrayFormatter::new(Box::new(list), options.safe())))
    }
}

/// The items of a row.
type Extent<'a> = Box<dyn Fn(usize) -> Range<usize> + 'a>;

struct ShortList<'a> {
    array: &'a dyn Array,
    values: &'a ArrayRef,
    items: ArrayFormatter<'a>,
    range: Extent<'a>,
    null: &'a str,
}

impl DisplayIndex for ShortList<'_> {
    fn write(&self, row: usize, f: &mut dyn std::fmt::Write) -> FormatResult {
        if self.array.is_null(row) {
            f.write_str(self.null)?;
            return Ok(());
        }
        let range = (self.range)(row);
        let length = range.len();
        let shown = if length > WHOLE_LIST { FIRST_ITEMS } else { length };
        f.write_char('[')?;
        for (count, item) in range.take(shown).enumerate() {
            if count > 0 {
                f.write_str(", ")?;
            }
            match self.rounded(item) {
                Some(number) if shown < length => write!(f, "{number:?}")?,
                _ => write!(f, "{}", self.items.value(item))?,
            }
        }
        if shown < length {
            write!(f, ", ... {} values", thousands(length as u64))?;
        }
        f.write_char(']')?;
        Ok(())
    }
}

impl ShortList<'_> {
    /// A float to three digits: a shortened vector is for a glance.
    fn rounded(&self, item: usize) -> Option<f64> {
        if !self.values.data_type().is_floating() || self.values.is_null(item) {
            return None;
        }
        let number = cast(&self.values.slice(item, 1), &DataType::Float64).ok()?;
        format!("{:.2e}", number.as_primitive::<Float64Type>().value(0)).parse().ok()
    }
}

struct ShortStruct<'a> {
    whole: ArrayFormatter<'a>,
}

impl DisplayIndex for ShortStruct<'_> {
    fn write(&self, row: usize, f: &mut dyn std::fmt::Write) -> FormatResult {
        let text = self.whole.value(row).try_to_string()?;
        match text.char_indices().nth(STRUCT_WIDTH) {
            Some((end, _)) => write!(f, "{} ...}}", text.get(..end).unwrap_or_default())?,
            None => f.write_str(&text)?,
        }
        Ok(())
    }
}

fn extent(offset: impl TryInto<usize>, size: impl TryInto<usize>) -> Range<usize> {
    let start = offset.try_into().unwrap_or(0);
    start..start + size.try_into().unwrap_or(0)
}

/// `1,437 rows, 0.3 s`: how a statement went.
pub fn summary(statement: &StatementReport) -> String {
    let rows = match statement.rows {
        None => String::new(),
        Some(1) => "1 row, ".to_owned(),
        Some(rows) => format!("{} rows, ", thousands(rows)),
    };
    format!("{rows}{:.1} s", statement.seconds.unwrap_or_default())
}

/// `1437` as `1,437`.
fn thousands(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
