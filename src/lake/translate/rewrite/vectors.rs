//! The translated columns: read, translated, encoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Int8Array, UInt8Array};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::schema::{scale_field, vector_field};
use super::{BadRow, Items, Recipe, Step};
use crate::column::buffers::{Buffer as Memory, Buffers};
use crate::column::{Embeddings, Flaw, Translator};
use crate::kernel::block::Scratch;
use crate::kernel::norm::norm;
use crate::kernel::quantize::{binary, int8};
use crate::kernel::translate::NotFinite;
use crate::lake::file::{File, VectorColumn};
use crate::lake::guard::check_model;
use crate::{Error, Result};

/// The least number that `f16` rounds to infinity.
const BEYOND_F16: f32 = 65520.0;

/// What the numbers of a translated column are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Lists of `Float32`.
    F32,
    /// Lists of `Float16`.
    F16,
    /// Lists of `Int8` codes.
    Codes,
    /// Lists of `UInt8`, eight signs in each.
    Signs,
    /// Little-endian `f32`, all of a row in a `FixedSizeBinary`.
    Bytes,
}

impl Numbers {
    fn of(items: Items, source: &DataType) -> Self {
        match (items, source) {
            (Items::F16, _) => Self::F16,
            (Items::Int8, _) => Self::Codes,
            (Items::Binary, _) => Self::Signs,
            (Items::Bytes, _) | (Items::Source, DataType::FixedSizeBinary(_)) => Self::Bytes,
            (Items::F32, _) => Self::F32,
            (Items::Source, source) => {
                let item = match source {
                    DataType::FixedSizeList(item, _)
                    | DataType::List(item)
                    | DataType::LargeList(item)
                    | DataType::ListView(item)
                    | DataType::LargeListView(item) => Some(item.data_type()),
                    _ => None,
                };
                // A translator works in f32: more digits than that would be noise in twice the bytes.
                if item == Some(&DataType::Float16) { Self::F16 } else { Self::F32 }
            }
        }
    }

    /// How many items a list has for `width` numbers.
    pub fn items(self, width: usize) -> usize {
        if self == Self::Signs { width.div_ceil(8) } else { width }
    }

    /// The type of a column of rows of `width` numbers, in lists with items like `item`. No item is NULL; whether the type says so is as
    /// it was, for other tools compare types.
    pub fn data_type(self, item: Field, width: usize) -> DataType {
        // A width beyond i32 has no type, and no memory to hold its matrix.
        let size = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
        let items = size(self.items(width));
        let list = |numbers: DataType| DataType::FixedSizeList(Arc::new(item.with_data_type(numbers)), items);
        match self {
            Self::F32 => list(DataType::Float32),
            Self::F16 => list(DataType::Float16),
            Self::Codes => list(DataType::Int8),
            Self::Signs => list(DataType::UInt8),
            Self::Bytes => DataType::FixedSizeBinary(size(width * size_of::<f32>())),
        }
    }
}

/// A column in translation.
pub struct Vector {
    /// The source.
    pub column: VectorColumn,
    /// What it is translated with.
    pub translator: Translator,
    /// How many numbers of a translated row are kept, from the first.
    pub width: usize,
    /// What its numbers are stored as.
    pub numbers: Numbers,
    /// The new column.
    pub field: FieldRef,
    /// The column beside it with what a code of each row is worth, where it has codes.
    pub scale: Option<FieldRef>,
    /// Memory for the numbers of both.
    pub buffers: Buffers<f32>,
    /// Memory for pages.
    pub pages: Buffers<u8>,
    null_bad: bool,
    guard: bool,
}

/// Rows that were translated.
pub struct Made {
    /// The rows.
    pub vectors: ArrayRef,
    /// What a code of each row is worth.
    pub scales: Option<ArrayRef>,
    /// The confidence in each row.
    pub confidences: Option<ArrayRef>,
}

impl Vector {
    /// What `step` makes of `column`.
    pub fn new(file: &File, recipe: &Recipe, step: &Step, column: VectorColumn) -> Self {
        let source = file.schema().field(column.index);
        let settings = &recipe.settings;
        let numbers = Numbers::of(settings.items, source.data_type());
        let name = settings.output_column.as_deref().unwrap_or(source.name());
        let nullable = source.is_nullable() || recipe.null_bad;
        let width = settings.dimensions.unwrap_or(step.translator.target_width);
        let field = vector_field(source, name, nullable, numbers, width, settings.output_column.is_some());
        Self {
            column,
            translator: step.translator.clone(),
            width,
            numbers,
            scale: (numbers == Numbers::Codes).then(|| scale_field(name, nullable)),
            field: Arc::new(field),
            buffers: recipe.memory.numbers.clone(),
            pages: recipe.memory.pages.clone(),
            null_bad: recipe.null_bad,
            guard: recipe.guard,
        }
    }

    /// Numbers of a row in memory, of the source or of the translation, which are more.
    pub fn widest(&self) -> usize {
        self.translator.source_width.max(self.translator.target_width)
    }

    /// Rows of the source that begin at `first` in the file, in its row group `group`, translated, and the confidence in them
    /// where it is asked for. NULL rows stay NULL; bad ones are an error, or NULL too and added to `bad`.
    pub fn translate(
        &self,
        file: &File,
        rows: &ArrayRef,
        (group, first): (usize, u64),
        confidence: bool,
        scratch: &mut Scratch,
        bad: &mut Vec<BadRow>,
    ) -> Result<Made> {
        let translator = &self.translator;
        let wrong = |flaw: &Flaw| file.flaw(&self.column, first, flaw);
        let (view, flaws) = Embeddings::sift(rows, translator.source_width).map_err(|flaw| wrong(&flaw))?;
        if let (false, Some(flaw)) = (self.null_bad, flaws.first()) {
            return Err(wrong(flaw));
        }
        bad.extend(flaws.into_iter().map(|flaw| BadRow {
            column: self.column.index,
            group,
            row: first + flaw.row().unwrap_or_default() as u64,
            flaw,
        }));
        if self.guard && first == 0 {
            // An encoder is one from a file's first row to its last.
            let rows = (0..view.len()).filter_map(|row| view.row(row));
            check_model(translator, (file.shown(), &self.column.name), rows)?;
        }
        let count = view.len() * translator.target_width;
        let mut translated = self.buffers.take(count);
        translated.set_len(count);
        let mut lengths = vec![0.0; if confidence { view.len() } else { 0 }];
        let see = |row: usize, unscaled: &[f32]| {
            if let Some(length) = lengths.get_mut(row) {
                *length = norm(unscaled);
            }
        };
        let not_finite = |bad: NotFinite| wrong(&Flaw::NotFinite { row: bad.row });
        let row = |row: usize| view.row(row);
        translator.translation().apply_seen(view.len(), row, scratch, &mut translated, see).map_err(not_finite)?;
        let confidences = if confidence {
            let found = translator.confidence()?.of_lengths(view.len(), row, &lengths, scratch).map_err(not_finite)?;
            let found = found.into_iter().map(|x| x as f32).collect::<Vec<_>>();
            Some(Arc::new(Float32Array::new(found.into(), view.nulls())) as ArrayRef)
        } else {
            None
        };
        self.shorten(&mut translated, view.len());
        if self.numbers == Numbers::F16 {
            self.check_f16(file, first, &translated)?;
        }
        let (vectors, scales) = self.arrays(translated, view.nulls(), view.len())?;
        Ok(Made { vectors, scales, confidences })
    }

    /// Leaves of every row the numbers that are kept.
    fn shorten(&self, translated: &mut Memory<f32>, rows: usize) {
        let (all, kept) = (self.translator.target_width, self.width);
        if kept < all {
            (1..rows).for_each(|row| translated.copy_within(row * all..row * all + kept, row * kept));
            translated.set_len(rows * kept);
        }
    }

    fn check_f16(&self, file: &File, first: u64, translated: &[f32]) -> Result<()> {
        let rows = translated.chunks_exact(self.width.max(1));
        match rows.enumerate().find(|(_, row)| row.iter().any(|x| x.abs() >= BEYOND_F16)) {
            Some((row, _)) => {
                let message = "its translation has numbers beyond f16 (65504): store the vectors as f32 (--items f32)";
                Err(file.row_error(&self.column.name, first + row as u64, message))
            }
            None => Ok(()),
        }
    }

    /// The column of rows with these numbers, and that of the scales where it has codes.
    fn arrays(
        &self,
        numbers: Memory<f32>,
        nulls: Option<NullBuffer>,
        len: usize,
    ) -> Result<(ArrayRef, Option<ArrayRef>)> {
        let items = self.numbers.items(self.width);
        let rows = numbers.chunks_exact(self.width.max(1));
        let mut scales = None;
        let column: ArrayRef = match (self.field.data_type(), self.numbers) {
            (DataType::FixedSizeList(item, width), Numbers::Codes) => {
                let mut codes = vec![0i8; len * items];
                let of = |(row, codes): (&[f32], &mut [i8])| int8(row, codes);
                let of_rows: Float32Array = rows.zip(codes.chunks_exact_mut(items.max(1))).map(of).collect();
                scales = Some(Arc::new(Float32Array::new(of_rows.values().clone(), nulls.clone())) as ArrayRef);
                self.buffers.give(numbers);
                let codes = Arc::new(Int8Array::from(codes));
                Arc::new(FixedSizeListArray::try_new_with_length(Arc::clone(item), *width, codes, nulls, len)?)
            }
            (DataType::FixedSizeList(item, width), Numbers::Signs) => {
                let mut signs = vec![0u8; len * items];
                rows.zip(signs.chunks_exact_mut(items.max(1))).for_each(|(row, signs)| binary(row, signs));
                self.buffers.give(numbers);
                let signs = Arc::new(UInt8Array::from(signs));
                Arc::new(FixedSizeListArray::try_new_with_length(Arc::clone(item), *width, signs, nulls, len)?)
            }
            (DataType::FixedSizeList(item, width), _) => {
                let count = numbers.len();
                let numbers = ScalarBuffer::new(Buffer::from(self.buffers.lend(numbers)), 0, count);
                let numbers = Arc::new(Float32Array::new(numbers, None));
                // Who writes `f16` narrows them.
                let item = Arc::new(item.as_ref().clone().with_data_type(DataType::Float32));
                Arc::new(FixedSizeListArray::try_new_with_length(item, *width, numbers, nulls, len)?)
            }
            (DataType::FixedSizeBinary(bytes), _) => {
                Arc::new(FixedSizeBinaryArray::try_new(*bytes, Buffer::from(self.buffers.lend(numbers)), nulls)?)
            }
            (other, _) => return Err(Error::Invalid(format!("vectors cannot be stored as {other}"))),
        };
        Ok((column, scales))
    }
}
