//! One file of a job: what its output looks like, and how the output's columns come from the input's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::column::{Embeddings, Flaw, Translator, Width, embedding};
use crate::kernel::block::{BLOCK_ROWS, Scratch};
use crate::lake::Place;
use crate::lake::file::{Batches, File, VectorColumn};
use crate::lake::lineage::KEY;
use crate::lake::output::Output;
use crate::{Error, Result};

/// Vectors of a chunk in bytes, counted on the wider side: the size of an output's row groups.
const CHUNK_BYTES: usize = 32 << 20;
/// A chunk ends before it holds more than that, all columns counted.
const CHUNK_LIMIT: usize = 64 << 20;

/// A file in work.
pub struct Rewrite {
    file: File,
    translator: Translator,
    column: VectorColumn,
    schema: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
}

/// How far a file is read.
pub struct Reading {
    batches: Batches,
    chunks: usize,
    rows: u64,
}

/// Rows that become one row group.
pub struct Chunk {
    number: usize,
    first_row: u64,
    batches: Vec<RecordBatch>,
}

/// A chunk as it goes to the file.
pub struct Encoded {
    columns: Vec<ArrowColumnChunk>,
    rows: u64,
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
        self.rows
    }

    /// Writes it as the next row group; its rows.
    pub fn append_to(self, file: &mut SerializedFileWriter<Output>) -> Result<u64> {
        let mut group = file.next_row_group()?;
        for column in self.columns {
            column.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(self.rows)
    }
}

impl Rewrite {
    /// Begins the output of an input.
    pub fn new(
        file: File,
        translator: &Translator,
        column: Option<&str>,
        output: &Place,
    ) -> Result<(Self, SerializedFileWriter<Output>)> {
        let column = file.vector_column(column)?;
        let schema = output_schema(&file, &column, translator);
        let properties = properties(&file, &column, &schema)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_schema_root(file.metadata().file_metadata().schema_descr().root_schema().name().to_owned());
        let writer = ArrowWriter::try_new_with_options(Output::new(output), Arc::clone(&schema), options)?;
        let (writer, factory) = writer.into_serialized_writer()?;
        Ok((Self { file, translator: translator.clone(), column, schema, factory }, writer))
    }

    /// The column that is translated.
    pub fn column_name(&self) -> &str {
        &self.column.name
    }

    /// Reads the file from its beginning.
    pub fn read(&self) -> Result<Reading> {
        let all: Vec<usize> = (0..self.file.schema().fields().len()).collect();
        let batch_rows = self.file.batch_rows(&all, Some((&self.column, self.widest())));
        Ok(Reading { batches: self.file.read(&all, batch_rows, None)?, chunks: 0, rows: 0 })
    }

    fn widest(&self) -> usize {
        self.translator.source_width.max(self.translator.target_width)
    }

    /// Rows of a chunk at most.
    fn chunk_rows(&self) -> usize {
        let row = self.widest() * size_of::<f32>();
        (CHUNK_BYTES / row.max(1) / BLOCK_ROWS).max(1) * BLOCK_ROWS
    }

    /// The next chunk, `None` where no row is left; and whether it was the last.
    pub fn next(&self, reading: &mut Reading, stop: &dyn Fn() -> bool) -> Result<(Option<Chunk>, bool)> {
        let (first_row, mut batches, mut bytes, mut last) = (reading.rows, Vec::new(), 0, false);
        let rows = self.chunk_rows() as u64;
        while reading.rows - first_row < rows && bytes < CHUNK_LIMIT && !stop() {
            let Some(batch) = reading.batches.next().transpose()? else {
                last = true;
                break;
            };
            reading.rows += batch.num_rows() as u64;
            bytes += batch.get_array_memory_size();
            batches.push(batch);
        }
        if last && reading.rows != self.file.rows() {
            return Err(Error::file(
                self.file.shown(),
                format!("has {} rows, and its footer says {}: it is damaged", reading.rows, self.file.rows()),
            ));
        }
        let chunk = (!batches.is_empty()).then(|| {
            reading.chunks += 1;
            Chunk { number: reading.chunks - 1, first_row, batches }
        });
        Ok((chunk, last))
    }

    /// Translates a chunk and encodes all of its columns. `None` where the job is to stop.
    pub fn encode(&self, chunk: Chunk, scratch: &mut Scratch, stop: &dyn Fn() -> bool) -> Result<Option<Encoded>> {
        let mut writers = self.factory.create_column_writers(chunk.number)?;
        let mut row = chunk.first_row;
        for batch in chunk.batches {
            if stop() {
                return Ok(None);
            }
            let mut leaf = writers.iter_mut();
            for (index, field) in self.schema.fields().iter().enumerate() {
                let column = if index == self.column.index {
                    self.translate(batch.column(index), row, scratch)?
                } else {
                    Arc::clone(batch.column(index))
                };
                for (levels, writer) in compute_leaves(field, &column)?.iter().zip(leaf.by_ref()) {
                    writer.write(levels)?;
                }
            }
            row += batch.num_rows() as u64;
        }
        let columns = writers.into_iter().map(|writer| writer.close()).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Encoded { columns, rows: row - chunk.first_row }))
    }

    /// The embedding column of a batch that begins at `first_row`, translated. NULL rows stay NULL.
    fn translate(&self, column: &ArrayRef, first_row: u64, scratch: &mut Scratch) -> Result<ArrayRef> {
        let translator = &self.translator;
        let flaw = |flaw: Flaw| self.file.flaw(&self.column, first_row, &flaw);
        let view = Embeddings::of(column).map_err(flaw)?;
        view.check_width(translator.source_width).map_err(flaw)?;
        let mut translated = vec![0.0; view.len() * translator.target_width];
        translator
            .translation()
            .apply(view.len(), |row| view.row(row), scratch, &mut translated)
            .map_err(|bad| flaw(Flaw::NotFinite { row: bad.row }))?;
        Ok(Arc::new(embedding::fixed(translated, translator.target_width, view.nulls(), view.len())?))
    }
}

/// The input's columns with the embedding column's new type in its place.
fn output_schema(file: &File, column: &VectorColumn, translator: &Translator) -> SchemaRef {
    let fields = file.schema().fields().iter().enumerate().map(|(index, field)| {
        if index == column.index {
            let data_type = Width::Fixed(translator.target_width).data_type();
            let field =
                Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone());
            Arc::new(field)
        } else {
            Arc::clone(field)
        }
    });
    // The footer's entries are carried over as entries; in the schema they would be there twice.
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Every column compressed as in the input; the vectors plain, without dictionary and statistics; the input's footer
/// entries kept: our lineage is added when the file is complete.
fn properties(file: &File, column: &VectorColumn, schema: &Schema) -> Result<WriterProperties> {
    let mut entries: Vec<_> = file.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    entries.retain(|entry| entry.key != ARROW_SCHEMA_META_KEY && entry.key != KEY);

    let input = file.metadata().file_metadata().schema_descr();
    let compression = |index: usize| {
        let leaf = (0..input.num_columns()).find(|&leaf| input.get_column_root_idx(leaf) == index);
        let chunk = leaf.and_then(|leaf| Some(file.metadata().row_groups().first()?.column(leaf)));
        match chunk.map(|chunk| chunk.compression()) {
            // Codecs that are read and not written.
            Some(Compression::LZ4 | Compression::LZ4_RAW) => Compression::LZ4_RAW,
            Some(Compression::LZO) | None => Compression::ZSTD(ZstdLevel::default()),
            Some(codec) => codec,
        }
    };
    let mut properties = WriterProperties::builder().set_key_value_metadata(Some(entries));
    let output = ArrowSchemaConverter::new().convert(schema)?;
    for leaf in 0..output.num_columns() {
        let root = output.get_column_root_idx(leaf);
        let path: ColumnPath = output.column(leaf).path().clone();
        properties = properties.set_column_compression(path.clone(), compression(root));
        if root == column.index {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_encoding(path, Encoding::PLAIN);
        }
    }
    Ok(properties.build())
}
