//! An embedding column: a view of its rows as slices of `f32`, without a copy where the numbers are `f32` already.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, GenericListArray,
    GenericListViewArray, ListArray, OffsetSizeTrait,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use arrow::error::ArrowError;

/// How many numbers a row has, as far as the type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Every row has this many.
    Fixed(usize),
    /// The type does not say.
    Open,
}

impl Width {
    /// The width of a column of this type, or `None` where it is no embedding type.
    ///
    /// Embedding types are fixed-size lists, lists, large lists and list views of `Float32`, `Float16` or `Float64`, and
    /// `FixedSizeBinary(4d)` (little-endian `f32`).
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::FixedSizeList(item, width) if *width > 0 && is_float(item) => {
                usize::try_from(*width).ok().map(Self::Fixed)
            }
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
                if is_float(item) =>
            {
                Some(Self::Open)
            }
            DataType::FixedSizeBinary(bytes) if *bytes > 0 && bytes % 4 == 0 => {
                usize::try_from(bytes / 4).ok().map(Self::Fixed)
            }
            _ => None,
        }
    }

    /// The number, where the type says it.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(width) => Some(width),
            Self::Open => None,
        }
    }

    /// The type of a column of such rows as we write it: `FixedSizeList<Float32, d>`, or `List<Float32>` where d is open.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Fixed(width) => DataType::FixedSizeList(item(), list_size(width)),
            Self::Open => DataType::List(item()),
        }
    }
}

fn is_float(item: &Field) -> bool {
    matches!(item.data_type(), DataType::Float32 | DataType::Float16 | DataType::Float64)
}

/// The item of our lists: `Float32`, never NULL, which spares Parquet a definition level.
pub fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

/// Arrow counts list items in `i32`; a width beyond that has no type, and no memory to hold two rows.
fn list_size(width: usize) -> i32 {
    i32::try_from(width).unwrap_or(i32::MAX)
}

/// What is wrong with an embedding column.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The column's type cannot hold embeddings.
    #[error("{0} is no embedding type: a list of Float32, Float16 or Float64 (best FixedSizeList<Float32, width>) is")]
    Type(DataType),
    /// A row has another number of items than expected.
    #[error("has {found} numbers, {expected} were expected")]
    Width {
        /// The row, from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A row has a NULL item.
    #[error("has a NULL item: remove the row, or set the whole row NULL to keep it without an embedding")]
    NullItem {
        /// The row, from 0.
        row: usize,
    },
    /// A row has an item that is not a finite number.
    #[error("has an item that is NaN or infinite: remove the row, or set it NULL to keep it without an embedding")]
    NotFinite {
        /// The row, from 0.
        row: usize,
    },
}

impl Flaw {
    /// The row at fault, from 0; `None` where the whole column is.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Type(_) => None,
            Self::Width { row, .. } | Self::NullItem { row } | Self::NotFinite { row } => Some(*row),
        }
    }
}

/// A view of an embedding column (or of one embedding that stands for every row).
#[derive(Debug, Clone)]
pub struct Embeddings {
    values: ScalarBuffer<f32>,
    spans: Spans,
    nulls: Option<NullBuffer>,
    len: usize,
    constant: bool,
}

/// Where a row's numbers are.
#[derive(Debug, Clone)]
enum Spans {
    /// Row i starts at i times the width.
    Fixed(usize),
    /// Start and length of every row.
    Each(Vec<(usize, usize)>),
}

impl Embeddings {
    /// A view of `array`. Rows that are not NULL must have no NULL items.
    pub fn of(array: &dyn Array) -> Result<Self, Flaw> {
        let (view, null_items) = Self::any(array)?;
        match (0..view.len).find(|&row| view.has_null_item(row, null_items.as_ref())) {
            Some(row) => Err(Flaw::NullItem { row }),
            None => Ok(view),
        }
    }

    /// A view of `array` in which every row has `width` finite numbers or is NULL; and the rows that are NULL in it because
    /// they are not like that, in order, each with its first flaw.
    pub fn sift(array: &dyn Array, width: usize) -> Result<(Self, Vec<Flaw>), Flaw> {
        let (mut view, null_items) = Self::any(array)?;
        let flaw = |row: usize| match view.row(row) {
            None => None,
            Some(v) if v.len() != width => Some(Flaw::Width { row, found: v.len(), expected: width }),
            Some(_) if view.has_null_item(row, null_items.as_ref()) => Some(Flaw::NullItem { row }),
            Some(v) if !v.iter().all(|x| x.is_finite()) => Some(Flaw::NotFinite { row }),
            Some(_) => None,
        };
        let flaws: Vec<Flaw> = (0..view.len).filter_map(flaw).collect();
        if !flaws.is_empty() {
            let mut valid: Vec<bool> = (0..view.len).map(|row| !view.is_null(row)).collect();
            flaws.iter().filter_map(Flaw::row).for_each(|row| valid[row] = false);
            view.nulls = Some(NullBuffer::from(valid));
        }
        Ok((view, flaws))
    }

    /// How many numbers the rows of `array` have that are not NULL, whatever numbers.
    pub fn widths(array: &dyn Array) -> Result<Vec<usize>, Flaw> {
        let (view, _) = Self::any(array)?;
        Ok((0..view.len).filter_map(|row| view.row(row)).map(<[f32]>::len).collect())
    }

    /// A view of `array`, and which of its numbers are NULL, if any is.
    fn any(array: &dyn Array) -> Result<(Self, Option<NullBuffer>), Flaw> {
        let wrong_type = || Flaw::Type(array.data_type().clone());
        Width::of(array.data_type()).ok_or_else(wrong_type)?;
        match array.data_type() {
            DataType::FixedSizeList(_, width) => {
                let list: &FixedSizeListArray = array.as_fixed_size_list();
                let width = usize::try_from(*width).unwrap_or(0);
                Self::new(list, list.values(), Spans::Fixed(width))
            }
            DataType::List(_) => Self::of_list(array.as_list::<i32>()),
            DataType::LargeList(_) => Self::of_list(array.as_list::<i64>()),
            DataType::ListView(_) => Self::of_list_view(array.as_list_view::<i32>()),
            DataType::LargeListView(_) => Self::of_list_view(array.as_list_view::<i64>()),
            DataType::FixedSizeBinary(_) => Ok((Self::of_bytes(array.as_fixed_size_binary()), None)),
            _ => Err(wrong_type()),
        }
    }

    fn of_list<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> Result<(Self, Option<NullBuffer>), Flaw> {
        let spans = list.offsets().windows(2).map(|w| (w[0].as_usize(), w[1].as_usize() - w[0].as_usize())).collect();
        Self::new(list, list.values(), Spans::Each(spans))
    }

    fn of_list_view<O: OffsetSizeTrait>(list: &GenericListViewArray<O>) -> Result<(Self, Option<NullBuffer>), Flaw> {
        let spans = list.offsets().iter().zip(list.sizes()).map(|(o, s)| (o.as_usize(), s.as_usize())).collect();
        Self::new(list, list.values(), Spans::Each(spans))
    }

    fn of_bytes(bytes: &FixedSizeBinaryArray) -> Self {
        let width = bytes.value_size() / size_of::<f32>();
        let values = match bytemuck::try_cast_slice::<u8, f32>(bytes.value_data()) {
            Ok(aligned) => ScalarBuffer::new(bytes.values().clone(), 0, aligned.len()),
            // Not aligned for f32, or not a whole number of items: copy item by item.
            Err(_) => bytes.value_data().chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>).collect(),
        };
        Self { values, spans: Spans::Fixed(width), nulls: bytes.nulls().cloned(), len: bytes.len(), constant: false }
    }

    fn new(list: &dyn Array, items: &ArrayRef, mut spans: Spans) -> Result<(Self, Option<NullBuffer>), Flaw> {
        let floats = match items.as_primitive_opt::<Float32Type>() {
            Some(floats) => floats.clone(),
            None => {
                // A slice of a list array keeps all items: those of other rows are not worth a copy.
                let items = match &mut spans {
                    Spans::Fixed(_) => Arc::clone(items),
                    Spans::Each(spans) => narrow(items, spans),
                };
                let floats = cast(&items, &DataType::Float32).map_err(|_| Flaw::Type(list.data_type().clone()))?;
                floats.as_primitive::<Float32Type>().clone()
            }
        };
        let view = Self {
            values: floats.values().clone(),
            spans,
            nulls: list.nulls().cloned(),
            len: list.len(),
            constant: false,
        };
        Ok((view, floats.nulls().filter(|nulls| nulls.null_count() > 0).cloned()))
    }

    fn has_null_item(&self, row: usize, null_items: Option<&NullBuffer>) -> bool {
        let (Some(nulls), false) = (null_items, self.is_null(row)) else { return false };
        let (start, length) = self.span(row);
        nulls.slice(start, length).null_count() > 0
    }

    /// The single row of this view, standing for `len` rows.
    pub fn repeat(self, len: usize) -> Self {
        Self { len, constant: true, ..self }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether row `row` is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(self.physical(row)))
    }

    /// Row `row`, or `None` where it is NULL.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        (!self.is_null(row)).then(|| {
            let (start, length) = self.span(self.physical(row));
            &self.values[start..start + length]
        })
    }

    /// Row `row` where it has `width` numbers.
    pub fn row_of(&self, row: usize, width: usize) -> Result<Option<&[f32]>, Flaw> {
        match self.row(row) {
            Some(v) if v.len() != width => Err(Flaw::Width { row, found: v.len(), expected: width }),
            v => Ok(v),
        }
    }

    /// Checks that every row that is not NULL has `width` numbers.
    pub fn check_width(&self, width: usize) -> Result<(), Flaw> {
        match self.spans {
            Spans::Fixed(fixed) if fixed == width => Ok(()),
            _ => (0..self.len).try_for_each(|row| self.row_of(row, width).map(|_| ())),
        }
    }

    /// The length of the first row that is not NULL.
    pub fn first_width(&self) -> Option<usize> {
        (0..self.len).find_map(|row| self.row(row)).map(<[f32]>::len)
    }

    /// Which rows are NULL, one bit a row.
    pub fn nulls(&self) -> Option<NullBuffer> {
        if self.constant { self.is_null(0).then(|| NullBuffer::new_null(self.len)) } else { self.nulls.clone() }
    }

    fn physical(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    fn span(&self, row: usize) -> (usize, usize) {
        match &self.spans {
            Spans::Fixed(width) => (row * width, *width),
            Spans::Each(spans) => spans[row],
        }
    }
}

/// The items that some span covers; the spans are moved accordingly.
fn narrow(items: &ArrayRef, spans: &mut [(usize, usize)]) -> ArrayRef {
    let begin = spans.iter().map(|(start, _)| *start).min().unwrap_or(0);
    let end = spans.iter().map(|(start, length)| start + length).max().unwrap_or(begin);
    spans.iter_mut().for_each(|(start, _)| *start -= begin);
    items.slice(begin, end - begin)
}

/// A column of `len` rows of `width` numbers each, row-major. The numbers of NULL rows are not looked at.
pub fn fixed(
    values: impl Into<ScalarBuffer<f32>>,
    width: usize,
    nulls: Option<NullBuffer>,
    len: usize,
) -> Result<FixedSizeListArray, ArrowError> {
    let values: ArrayRef = Arc::new(Float32Array::new(values.into(), None));
    FixedSizeListArray::try_new_with_length(item(), list_size(width), values, nulls, len)
}

/// A column of rows of any lengths.
pub fn open<'a>(rows: impl Iterator<Item = Option<&'a [f32]>>) -> Result<ListArray, ArrowError> {
    let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        valid.push(row.is_some());
        lengths.push(row.map_or(0, <[f32]>::len));
        values.extend_from_slice(row.unwrap_or_default());
    }
    let nulls = NullBuffer::from(valid);
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    ListArray::try_new(item(), offsets(lengths)?, Arc::new(Float32Array::from(values)), nulls)
}

/// The offsets of lists of these lengths.
pub fn offsets(lengths: impl IntoIterator<Item = usize>) -> Result<OffsetBuffer<i32>, ArrowError> {
    let mut end = 0;
    let mut offsets = vec![0];
    for length in lengths {
        end += length;
        offsets.push(i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end))?);
    }
    Ok(OffsetBuffer::new(offsets.into()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, LargeListArray, ListViewArray};

    use super::*;

    const ROWS: [f32; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];

    fn four_forms(name: &str) -> Vec<ArrayRef> {
        let floats: ArrayRef = Arc::new(Float32Array::from(ROWS.to_vec()));
        let nulls = Some(NullBuffer::from(vec![true, false, true, true]));
        let mut forms: Vec<ArrayRef> = Vec::new();
        for item_type in [DataType::Float32, DataType::Float16, DataType::Float64] {
            let items = cast(&floats, &item_type).unwrap();
            let field: FieldRef = Arc::new(Field::new(name, item_type, true));
            let offsets = OffsetBuffer::from_lengths([2, 2, 2, 2]);
            forms.push(Arc::new(FixedSizeListArray::new(field.clone(), 2, items.clone(), nulls.clone())));
            forms.push(Arc::new(ListArray::new(field.clone(), offsets, items.clone(), nulls.clone())));
            let offsets = OffsetBuffer::from_lengths([2, 2, 2, 2]);
            forms.push(Arc::new(LargeListArray::new(field.clone(), offsets, items.clone(), nulls.clone())));
            let (offsets, sizes) = (vec![0, 2, 4, 6].into(), vec![2, 2, 2, 2].into());
            forms.push(Arc::new(ListViewArray::new(field, offsets, sizes, items, nulls.clone())));
        }
        let bytes = arrow::buffer::Buffer::from(bytemuck::cast_slice::<f32, u8>(&ROWS));
        forms.push(Arc::new(FixedSizeBinaryArray::new(8, bytes, nulls)));
        forms
    }

    #[test]
    fn every_form_reads_the_same_whole_and_sliced() {
        for name in ["item", "element"] {
            for form in four_forms(name) {
                let view = Embeddings::of(&form).unwrap();
                assert_eq!(view.len(), 4, "{}", form.data_type());
                assert_eq!(view.row(0), Some(&ROWS[0..2]));
                assert_eq!(view.row(1), None);
                assert_eq!(view.row(3), Some(&ROWS[6..8]));
                let sliced = Embeddings::of(&form.slice(1, 2)).unwrap();
                assert_eq!((sliced.len(), sliced.row(0), sliced.row(1)), (2, None, Some(&ROWS[4..6])));
                assert_eq!(Embeddings::of(&form.slice(4, 0)).unwrap().len(), 0);
            }
        }
    }

    #[test]
    fn the_fast_case_copies_nothing() {
        let form = &four_forms("item")[0];
        let numbers = form.as_fixed_size_list().values().as_primitive::<Float32Type>().values().as_ptr();
        assert_eq!(Embeddings::of(form).unwrap().values.as_ptr(), numbers);
    }

    #[test]
    fn null_items_are_an_error_only_in_rows_that_are_not_null() {
        let items: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), Some(2.0), None, Some(4.0)]));
        let field: FieldRef = Arc::new(Field::new_list_field(DataType::Float32, true));
        let list = |nulls| FixedSizeListArray::new(field.clone(), 2, items.clone(), nulls);
        assert_eq!(Embeddings::of(&list(None)).unwrap_err(), Flaw::NullItem { row: 1 });
        let masked = list(Some(NullBuffer::from(vec![true, false])));
        assert_eq!(Embeddings::of(&masked).unwrap().row(1), None);
        assert_eq!(Embeddings::of(&list(None).slice(0, 1)).unwrap().len(), 1);
    }

    #[test]
    fn sifted_rows_are_whole_or_null() {
        let rows = [
            Some(vec![Some(1.0), Some(2.0)]),
            Some(vec![Some(1.0)]),
            None,
            Some(vec![Some(1.0), None]),
            Some(vec![Some(f32::NAN), Some(2.0)]),
            Some(vec![Some(3.0), Some(4.0)]),
        ];
        let ragged = ListArray::from_iter_primitive::<Float32Type, _, _>(rows);
        let (view, flaws) = Embeddings::sift(&ragged, 2).unwrap();
        let want =
            [Flaw::Width { row: 1, found: 1, expected: 2 }, Flaw::NullItem { row: 3 }, Flaw::NotFinite { row: 4 }];
        assert_eq!(flaws, want);
        let whole: Vec<bool> = (0..6).map(|row| view.row(row).is_some()).collect();
        assert_eq!(whole, [true, false, false, false, false, true]);
        let (view, flaws) = Embeddings::sift(&ragged.slice(5, 1), 2).unwrap();
        assert!(flaws.is_empty() && view.nulls().is_none_or(|nulls| nulls.null_count() == 0));
    }

    #[test]
    fn unequal_rows_and_other_types_are_named() {
        let ragged = ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(1.0), Some(2.0)]),
            None,
            Some(vec![Some(1.0)]),
        ]);
        let view = Embeddings::of(&ragged).unwrap();
        assert_eq!(view.check_width(2), Err(Flaw::Width { row: 2, found: 1, expected: 2 }));
        assert_eq!(view.first_width(), Some(2));
        let strings = arrow::array::StringArray::from(vec!["a"]);
        assert_eq!(Embeddings::of(&strings).unwrap_err().row(), None);
    }

    #[test]
    fn wider_items_are_rounded() {
        let items: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 1e300]));
        let field: FieldRef = Arc::new(Field::new_list_field(DataType::Float64, true));
        let view = Embeddings::of(&FixedSizeListArray::new(field, 2, items, None)).unwrap();
        assert_eq!(view.row(0), Some(&[0.1f32, f32::INFINITY][..]));
    }

    #[test]
    fn a_slice_converts_its_own_rows_only() {
        let items: ArrayRef = Arc::new(Float64Array::from_iter_values((0..1000).map(f64::from)));
        let field: FieldRef = Arc::new(Field::new_list_field(DataType::Float64, true));
        let list = ListArray::new(field, OffsetBuffer::from_lengths([2; 500]), items, None);
        let view = Embeddings::of(&list.slice(100, 2)).unwrap();
        assert_eq!(
            (view.values.len(), view.row(0), view.row(1)),
            (4, Some(&[200., 201.][..]), Some(&[202., 203.][..]))
        );
    }

    #[test]
    fn one_row_stands_for_many() {
        let one = Embeddings::of(&four_forms("item")[0].slice(2, 1)).unwrap().repeat(3);
        assert_eq!((one.len(), one.row(0), one.row(2)), (3, Some(&ROWS[4..6]), Some(&ROWS[4..6])));
    }
}
