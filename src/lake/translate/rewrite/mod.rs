//! One file of a job: what its output looks like, and how the output's columns come from the input's.
//!
//! The footer says beforehand what the parts of an output are. A row group whose vectors fit one part is a row group of the
//! output: its other columns are copied as they are, undecoded. A larger one becomes several row groups, and its other
//! columns are copied value by value, never through Arrow's types. Vectors are translated and encoded in memory, a part at
//! a time; everything else goes straight to the output when the part's turn has come.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Float32Type, Schema};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use serde_json::Value;

use crate::column::buffers::Buffers;
use crate::column::page_writer::{self, PageEncoder, PageWriter};
use crate::column::{Flaw, Translator};
use crate::kernel::block::Scratch;
use crate::lake::Place;
use crate::lake::file::{File, VectorColumn, batch_rows, rows_in};
use crate::lake::output::{Output, Written};
use crate::lake::vectors::VectorBatches;
use crate::{Error, Result};
use copy::{Chunks, PageIndex, Records, Stop};
use schema::{Layout, Leaf, confidence_field, scale_name};
use vectors::{Numbers, Vector};

mod copy;
mod notes;
mod schema;
mod vectors;

/// Vectors of a part in bytes at most, counted on the wider side.
const PART_BYTES: usize = 32 << 20;

/// Row groups of a file at most: Parquet counts them in 16 bits.
const MOST_PARTS: usize = i16::MAX as usize;

/// Batches and their pages whose memory is kept for the next ones.
const KEPT: usize = 64;

/// Values of the origin column that are written at a time.
const ORIGINS: u64 = 1024;

/// What is done to every file of a job.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The columns to translate; at least one.
    pub steps: Vec<Step>,
    /// How the outputs are written.
    pub settings: Settings,
    /// Whether a bad row becomes NULL; otherwise the first is an error.
    pub null_bad: bool,
    /// Whether a file that is clearly of another encoder than the translator's source is an error.
    pub guard: bool,
    /// Memory for all of them.
    pub memory: Memory,
}

/// Memory that is used again: for the numbers of batches, and for pages.
#[derive(Debug, Clone)]
pub struct Memory {
    numbers: Buffers<f32>,
    pages: Buffers<u8>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { numbers: Buffers::new(KEPT), pages: Buffers::new(KEPT) }
    }
}

/// A column to translate.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name; found where absent.
    pub column: Option<String>,
    /// What it is translated with.
    pub translator: Translator,
}

/// How outputs are written, where they are not as the inputs are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the numbers of translated vectors are stored as.
    pub items: Items,
    /// How many of them are kept, from the first; all where absent.
    pub dimensions: Option<usize>,
    /// How they are compressed.
    pub codec: Codec,
    /// The name of a new column for the translated vectors, after the source column, which is kept; they take its place
    /// where absent.
    pub output_column: Option<String>,
    /// The name of a new column for the confidence in every translated vector.
    pub confidence_column: Option<String>,
    /// The name of a new column that says in every row what its vectors were translated with.
    pub origin_column: Option<String>,
}

impl Settings {
    /// Those that are not the default, for the lineage.
    pub fn to_json(&self) -> Value {
        let items = match self.items {
            Items::Source => None,
            Items::F32 => Some("f32"),
            Items::F16 => Some("f16"),
            Items::Int8 => Some("int8"),
            // `binary` was what bytes are.
            Items::Binary => Some("signs"),
            Items::Bytes => Some("bytes"),
        };
        let compression = match self.codec {
            Codec::Keep => None,
            Codec::Zstd => Some("zstd"),
            Codec::None => Some("none"),
        };
        let settings = [
            ("items", items),
            ("compression", compression),
            ("output_column", self.output_column.as_deref()),
            ("confidence_column", self.confidence_column.as_deref()),
            ("origin_column", self.origin_column.as_deref()),
        ];
        let mut settings: Value = settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        if let Some(dimensions) = self.dimensions {
            settings["dimensions"] = dimensions.into();
        }
        settings
    }
}

/// What the numbers of translated vectors are stored as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Items {
    /// As in the source: `f16` or `f32` in lists, or little-endian `f32` in `FixedSizeBinary`. `f64` becomes `f32`.
    #[default]
    Source,
    /// Lists of `f32`.
    F32,
    /// Lists of `f16`.
    F16,
    /// Lists of eight-bit codes, and a column with what a code of each row is worth, see [`crate::kernel::quantize::int8`].
    Int8,
    /// Lists of bytes with eight signs each, see [`crate::kernel::quantize::binary`].
    Binary,
    /// Little-endian `f32` in `FixedSizeBinary`.
    Bytes,
}

/// How translated vectors are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// As in the input.
    #[default]
    Keep,
    /// By zstd.
    Zstd,
    /// Not at all.
    None,
}

/// A row whose embedding cannot be used and is NULL in the output.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// Which of the input's columns.
    pub column: usize,
    /// The row group of the input.
    pub group: usize,
    /// The row in the file, from 0.
    pub row: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What went wrong.
#[derive(Debug)]
pub enum Failure {
    /// With one input: the others can be done.
    Input(Error),
    /// With the job.
    Job(Error),
}

impl Failure {
    /// The output could not be written.
    fn output(error: ParquetError) -> Self {
        Self::Job(error.into())
    }
}

impl Recipe {
    /// The columns of a file that are translated, one a step. An error where one is missing or named twice, or where a new
    /// column's name is taken.
    pub fn columns(&self, file: &File) -> Result<Vec<VectorColumn>> {
        let found = self.steps.iter().map(|step| file.vector_column(step.column.as_deref()));
        let columns = found.collect::<Result<Vec<_>>>()?;
        check_columns(&columns, file.schema(), file.shown(), &self.settings)?;
        Ok(columns)
    }

    /// What the origin column says.
    pub fn origin(&self) -> String {
        let step = |step: &Step| {
            let translator = &step.translator;
            format!("{}:{}", translator.target_encoder, translator.digest.get(..16).unwrap_or_default())
        };
        self.steps.iter().map(step).collect::<Vec<_>>().join(",")
    }
}

/// An error where one of the columns to translate is named twice, or where the table at `shown` has a new column's name already.
pub fn check_columns(columns: &[VectorColumn], schema: &Schema, shown: &str, settings: &Settings) -> Result<()> {
    let mut seen = HashSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(column.index)) {
        return Err(Error::Invalid(format!("column `{}` is named twice: a column has one translation", twice.name)));
    }
    let Settings { output_column, confidence_column, origin_column, .. } = settings;
    let scale = |column: &VectorColumn| scale_name(output_column.as_deref().unwrap_or(&column.name));
    let scales: Vec<String> = match settings.items {
        Items::Int8 => columns.iter().map(scale).collect(),
        _ => Vec::new(),
    };
    let mut taken: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let new = [
        ("--output-column", output_column),
        ("--confidence-column", confidence_column),
        ("--origin-column", origin_column),
    ];
    let new = new.into_iter().filter_map(|(option, name)| Some((option, name.as_deref()?)));
    for (option, name) in new {
        if !taken.insert(name) {
            return Err(Error::file(shown, format!("there is a column `{name}`: give {option} another name")));
        }
    }
    match scales.iter().find(|name| !taken.insert(name)) {
        Some(name) => Err(Error::file(
            shown,
            format!(
                "there is a column `{name}`, as the scales of --items int8 would be called: give the other one another name, or put \
                 the vectors into a new column (--output-column)"
            ),
        )),
        None => Ok(()),
    }
}

/// Rows that become one row group.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// The row group of the input.
    group: usize,
    /// Its rows; all of the row group, or the next ones of it.
    rows: u64,
    /// The first of them in the file.
    first: u64,
    /// Whether it is all of the row group.
    whole: bool,
    /// Whether it ends where the row group ends.
    ends: bool,
}

/// A file in work.
pub struct Rewrite {
    file: File,
    vectors: Vec<Vector>,
    /// The column for the confidence in the vectors of the only one.
    confidence: Option<FieldRef>,
    layout: Layout,
    /// The columns that are encoded here: the vectors, the scales of their codes, the confidence.
    of_vectors: SchemaDescriptor,
    /// The leaves of the input that are copied.
    copied: Vec<usize>,
    page_index: PageIndex,
    origin: ByteArray,
    factory: ArrowRowGroupWriterFactory,
    parts: Vec<Part>,
    batch_rows: usize,
}

/// How far a file is read.
pub struct Reading {
    chunks: usize,
    /// The row group that is split now, and its vectors.
    split: Option<(usize, Vec<VectorBatches>)>,
}

/// A part as it was read.
pub struct Chunk {
    number: usize,
    /// The batches of every vector; a whole row group is read by who encodes it.
    batches: Option<Vec<Vec<ArrayRef>>>,
}

/// A part as it goes to the file.
pub struct Encoded {
    part: Part,
    /// The translated columns, then the scales of their codes and the confidence where there are some.
    vectors: Vec<Column>,
    chunks: Option<Chunks>,
    bad: Vec<BadRow>,
}

/// An encoded column.
enum Column {
    /// By the general writer.
    General(ArrowColumnChunk),
    /// By the writer of vectors.
    Pages(page_writer::Chunk),
}

/// Who encodes a column.
enum ColumnWriter {
    General(Box<ArrowColumnWriter>),
    Pages(Box<(PageEncoder, PageWriter)>),
}

impl ColumnWriter {
    fn write(&mut self, field: &FieldRef, column: &ArrayRef) -> Result<()> {
        match self {
            Self::General(writer) => {
                let column = if column.data_type() == field.data_type() {
                    Arc::clone(column)
                } else {
                    cast(column, field.data_type())?
                };
                for leaf in compute_leaves(field, &column)? {
                    writer.write(&leaf)?;
                }
            }
            Self::Pages(pages) => {
                let (encoder, writer) = pages.as_mut();
                let vectors = column.as_fixed_size_list();
                let numbers = vectors.values().as_primitive::<Float32Type>();
                for page in encoder.encode(numbers.values(), vectors.nulls(), numbers.nulls())? {
                    writer.write(page)?;
                }
            }
        }
        Ok(())
    }

    fn close(self) -> Result<Column> {
        Ok(match self {
            Self::General(writer) => Column::General(writer.close()?),
            Self::Pages(pages) => Column::Pages(pages.1.close()?),
        })
    }
}

impl Reading {
    /// Chunks read so far.
    pub fn chunks(&self) -> usize {
        self.chunks
    }
}

impl Chunk {
    /// Its place in the file, from 0.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Encoded {
    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.part.rows
    }

    /// Those whose embedding could not be used and is NULL, in order, column by column.
    pub fn bad(&self) -> &[BadRow] {
        &self.bad
    }
}

impl Rewrite {
    /// Begins the output of an input.
    pub fn new(file: File, recipe: &Recipe, output: &Place) -> Result<(Self, Writer)> {
        let columns = recipe.columns(&file)?;
        let rows: i64 = file.metadata().row_groups().iter().map(|group| group.num_rows()).sum();
        if u64::try_from(rows) != Ok(file.rows()) {
            let message = format!("has {rows} rows, and its footer says {}: it is damaged", file.rows());
            return Err(Error::file(file.shown(), message));
        }
        let steps = recipe.steps.iter().zip(columns);
        let vectors: Vec<Vector> = steps.map(|(step, column)| Vector::new(&file, recipe, step, column)).collect();
        let (parts, batch_rows) = parts(&file, &vectors);
        if parts.len() > MOST_PARTS {
            let message = format!(
                "has {} row groups, and {MOST_PARTS} can be written: write it again with larger ones",
                parts.len()
            );
            return Err(Error::file(file.shown(), message));
        }

        let beside = recipe.settings.output_column.is_some();
        let input = file.metadata().file_metadata().schema_descr();
        let replaced =
            |leaf: usize| vectors.iter().any(|vector| vector.column.index == input.get_column_root_idx(leaf));
        let copied: Vec<usize> = (0..input.num_columns()).filter(|&leaf| beside || !replaced(leaf)).collect();
        let carried = !copied.is_empty() && parts.iter().any(|part| part.whole);
        // A file has all of its pages indexed or none.
        let page_index = match (carried, file.metadata().offset_index()) {
            (false, _) => PageIndex::Carried(None),
            (true, None) => PageIndex::Absent,
            (true, Some(_)) => PageIndex::Carried(file.column_index()?),
        };

        let indexed = matches!(page_index, PageIndex::Carried(_));
        let layout = Layout::new(&file, recipe, &vectors, indexed)?;
        let of_vectors = layout.vectors()?;
        let writer_of_vectors =
            SerializedFileWriter::new(Vec::new(), Arc::clone(&of_vectors), Arc::clone(&layout.properties))?;
        let of_vectors = SchemaDescriptor::new(of_vectors);
        let mut fields: Vec<_> = vectors.iter().map(|vector| Arc::clone(&vector.field)).collect();
        fields.extend(vectors.iter().filter_map(|vector| vector.scale.clone()));
        let confidence = recipe.settings.confidence_column.as_deref().map(confidence_field);
        fields.extend(confidence.clone());
        let factory = ArrowRowGroupWriterFactory::new(&writer_of_vectors, Arc::new(Schema::new(fields)));
        let root = layout.schema.root_schema_ptr();
        let writer = SerializedFileWriter::new(Output::new(output), root, Arc::clone(&layout.properties))?;
        let origin = ByteArray::from(recipe.origin().into_bytes());
        let rewrite = Self {
            file,
            vectors,
            confidence,
            layout,
            of_vectors,
            copied,
            page_index,
            origin,
            factory,
            parts,
            batch_rows,
        };
        Ok((rewrite, Writer { file: writer, records: None }))
    }

    /// The digest of the input; `None` where the job is to stop.
    pub fn digest(&self, stop: Stop<'_>) -> Result<Option<String>> {
        self.file.digest(stop)
    }

    /// The columns that are translated, one a step.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.vectors.iter().map(|vector| vector.column.name.as_str())
    }

    /// Reads the file from its beginning.
    pub fn read(&self) -> Reading {
        Reading { chunks: 0, split: None }
    }

    /// The next chunk, `None` where no row is left; and whether it was the last.
    pub fn next(&self, reading: &mut Reading, stop: Stop<'_>) -> Result<(Option<Chunk>, bool)> {
        let number = reading.chunks;
        let Some(part) = self.parts.get(number) else { return Ok((None, true)) };
        reading.chunks += 1;
        let last = reading.chunks == self.parts.len();
        if part.whole {
            reading.split = None;
            return Ok((Some(Chunk { number, batches: None }), last));
        }
        let readers = match &mut reading.split {
            Some((group, readers)) if *group == part.group => readers,
            split => {
                let readers = self.vectors.iter().map(|vector| self.read_group(vector, part.group));
                &mut split.insert((part.group, readers.collect::<Result<_>>()?)).1
            }
        };
        let mut batches = Vec::with_capacity(readers.len());
        for (reader, vector) in readers.iter_mut().zip(&self.vectors) {
            let (mut read, mut rows) = (Vec::new(), 0);
            while rows < part.rows && !stop() {
                let most = usize::try_from(part.rows - rows).unwrap_or(usize::MAX).min(self.batch_rows);
                let Some(batch) = reader.next(most)? else { break };
                rows += batch.len() as u64;
                read.push(batch);
            }
            if !stop() && (rows != part.rows || part.ends && reader.next(1)?.is_some()) {
                return Err(self.other_rows(vector, part));
            }
            batches.push(read);
        }
        Ok((Some(Chunk { number, batches: Some(batches) }), last))
    }

    fn read_group(&self, vector: &Vector, group: usize) -> Result<VectorBatches> {
        let width = vector.translator.source_width;
        VectorBatches::new(&self.file, &vector.column, width, self.batch_rows, group, &vector.buffers)
    }

    fn other_rows(&self, vector: &Vector, part: &Part) -> Error {
        let (name, group) = (&vector.column.name, part.group);
        let message =
            format!("column `{name}` has not the rows in row group {group} that the footer says: it is damaged");
        Error::file(self.file.shown(), message)
    }

    /// Who encodes the vectors of a chunk, and the confidence.
    fn column_writers(&self, number: usize) -> Result<Vec<ColumnWriter>> {
        let properties = &self.layout.properties;
        let general = self.factory.create_column_writers(number)?.into_iter().enumerate();
        general
            .map(|(leaf, writer)| {
                let lists = self.vectors.get(leaf).filter(|vector| vector.numbers != Numbers::Bytes);
                let Some(vector) = lists else { return Ok(ColumnWriter::General(Box::new(writer))) };
                let compression = properties.compression(self.of_vectors.column(leaf).path());
                let indexed = !properties.offset_index_disabled();
                let width = vector.width;
                let Some(encoder) = PageEncoder::new(&self.of_vectors, leaf, width, compression, &vector.pages)? else {
                    return Ok(ColumnWriter::General(Box::new(writer)));
                };
                let pages = PageWriter::new(&self.of_vectors, leaf, compression, indexed);
                Ok(ColumnWriter::Pages(Box::new((encoder, pages))))
            })
            .collect()
    }

    /// Translates and encodes the vectors of a chunk. `None` where the job is to stop.
    pub fn encode(&self, chunk: Chunk, scratch: &mut Scratch, stop: Stop<'_>) -> Result<Option<Encoded>> {
        let Some(part) = self.parts.get(chunk.number) else { return Ok(None) };
        let mut read = chunk.batches.map(Vec::into_iter);
        let (mut columns, mut bad) = (Vec::new(), Vec::new());
        let mut writers = self.column_writers(chunk.number)?;
        let last = if self.confidence.is_some() { writers.pop() } else { None };
        let mut confidence = self.confidence.as_ref().zip(last);
        let mut of_scales = writers.split_off(self.vectors.len()).into_iter();
        let mut scales = Vec::new();
        for (vector, mut writer) in self.vectors.iter().zip(writers) {
            let mut group = if read.is_none() { Some(self.read_group(vector, part.group)?) } else { None };
            let mut batches = read.as_mut().and_then(Iterator::next).unwrap_or_default().into_iter();
            let mut next = || match &mut group {
                Some(group) => group.next(self.batch_rows),
                None => Ok(batches.next()),
            };
            let mut scale = vector.scale.as_ref().and_then(|field| Some((field, of_scales.next()?)));
            let mut rows = 0;
            while let Some(batch) = next()? {
                if stop() {
                    return Ok(None);
                }
                let first = (part.group, part.first + rows);
                let sure = confidence.is_some();
                let made = vector.translate(&self.file, &batch, first, sure, scratch, &mut bad)?;
                rows += made.vectors.len() as u64;
                writer.write(&vector.field, &made.vectors)?;
                if let (Some((field, writer)), Some(column)) = (&mut scale, made.scales) {
                    writer.write(field, &column)?;
                }
                if let (Some((field, writer)), Some(column)) = (&mut confidence, made.confidences) {
                    writer.write(field, &column)?;
                }
            }
            if rows != part.rows {
                return Err(self.other_rows(vector, part));
            }
            columns.push(writer.close()?);
            scales.extend(scale.map(|(_, writer)| writer.close()).transpose()?);
        }
        columns.append(&mut scales);
        if let Some((_, writer)) = confidence {
            columns.push(writer.close()?);
        }
        let copies = part.whole && !self.copied.is_empty();
        let chunks = copies.then(|| Chunks::new(&self.file, part.group, &self.copied)).transpose()?;
        Ok(Some(Encoded { part: *part, vectors: columns, chunks, bad }))
    }
}

/// An output being written, part by part in their order.
pub struct Writer {
    file: SerializedFileWriter<Output>,
    /// The row group that is split now.
    records: Option<Records>,
}

impl Writer {
    /// Writes a part as the next row group. `None` where the job is to stop: then nothing more can be written.
    pub fn append(&mut self, rewrite: &Rewrite, encoded: Encoded, stop: Stop<'_>) -> Result<Option<u64>, Failure> {
        let rows = encoded.part.rows;
        let appended = self.append_part(rewrite, encoded, stop);
        if stop() { Ok(None) } else { appended.map(|()| Some(rows)) }
    }

    fn append_part(&mut self, rewrite: &Rewrite, encoded: Encoded, stop: Stop<'_>) -> Result<(), Failure> {
        let Encoded { part, vectors, chunks, .. } = encoded;
        let file = &rewrite.file;
        if !part.whole && self.records.as_ref().is_none_or(|records| records.group() != part.group) {
            self.records = Some(Records::new(file, part.group, &rewrite.copied).map_err(Failure::Input)?);
        }
        let mut vectors: Vec<_> = vectors.into_iter().map(Some).collect();
        let mut group = self.file.next_row_group().map_err(Failure::output)?;
        for leaf in &rewrite.layout.leaves {
            if stop() {
                return Ok(());
            }
            match (*leaf, &chunks, &mut self.records) {
                (Leaf::Vector(number), ..) => {
                    if let Some(vector) = vectors.get_mut(number).and_then(Option::take) {
                        let appended = match vector {
                            Column::General(chunk) => chunk.append_to_row_group(&mut group),
                            Column::Pages(chunk) => group.append_column(&chunk.bytes, chunk.close),
                        };
                        appended.map_err(Failure::output)?;
                    }
                }
                (Leaf::Copied(leaf), Some(chunks), _) => {
                    chunks.append(file, leaf, &rewrite.page_index, &mut group, stop)?;
                }
                (Leaf::Copied(leaf), None, Some(records)) => {
                    if let Some(mut column) = group.next_column().map_err(Failure::output)? {
                        records.copy(file, leaf, (part.rows, part.ends), column.untyped(), stop)?;
                        column.close().map_err(Failure::output)?;
                    }
                }
                (Leaf::Copied(_), None, None) => {}
                (Leaf::Origin, ..) => {
                    if let Some(mut column) = group.next_column().map_err(Failure::output)? {
                        let values = vec![rewrite.origin.clone(); usize::try_from(part.rows.min(ORIGINS)).unwrap_or(0)];
                        let mut left = part.rows;
                        while left > 0 {
                            let count = usize::try_from(left).unwrap_or(usize::MAX).min(values.len());
                            let column = column.typed::<ByteArrayType>();
                            column.write_batch(&values[..count], None, None).map_err(Failure::output)?;
                            left -= count as u64;
                        }
                        column.close().map_err(Failure::output)?;
                    }
                }
            }
        }
        group.close().map_err(Failure::output)?;
        Ok(())
    }

    /// Completes the output, with an entry in its footer that comes last.
    pub fn complete(mut self, entry: KeyValue) -> Result<Written> {
        self.file.append_key_value_metadata(entry);
        self.file.into_inner()?.complete()
    }
}

/// The parts of an output, and the rows of a batch. Row groups that are split are split evenly.
fn parts(file: &File, vectors: &[Vector]) -> (Vec<Part>, usize) {
    let row_bytes = vectors.iter().map(Vector::widest).sum::<usize>() * size_of::<f32>();
    let batch = batch_rows(row_bytes) as u64;
    // Whole batches: a part ends where a batch ends.
    let most = rows_in(PART_BYTES, row_bytes) as u64 / batch * batch;
    let (mut parts, mut first) = (Vec::new(), 0);
    for (group, metadata) in file.metadata().row_groups().iter().enumerate() {
        let total = u64::try_from(metadata.num_rows()).unwrap_or_default();
        let even = total.div_ceil(total.div_ceil(most).max(1)).next_multiple_of(batch);
        let whole = total <= most;
        let mut left = total;
        while left > 0 {
            let rows = left.min(if whole { total } else { even });
            left -= rows;
            parts.push(Part { group, rows, first, whole, ends: left == 0 });
            first += rows;
        }
    }
    (parts, batch as usize)
}
