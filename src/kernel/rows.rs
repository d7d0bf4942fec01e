//! A row-major block of vectors.

/// `len` vectors of `width` numbers each, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows<'a> {
    data: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// A view of `data` as rows of `width` numbers; a rest that fills no row is not part of it.
    pub fn new(data: &'a [f32], width: usize) -> Self {
        let len = data.len().checked_div(width).unwrap_or(0);
        Self { data: &data[..len * width], width }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.data.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.width..(i + 1) * self.width]
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        self.data.chunks_exact(self.width.max(1))
    }

    /// All numbers.
    pub fn as_slice(&self) -> &'a [f32] {
        self.data
    }

    /// The first `count` rows, or all where there are fewer.
    pub fn first(&self, count: usize) -> Self {
        Self { data: &self.data[..count.min(self.len()) * self.width], ..*self }
    }

    /// The rows at `indexes`, copied in that order.
    pub fn select(&self, indexes: &[usize]) -> Vec<f32> {
        let mut selected = Vec::with_capacity(indexes.len() * self.width);
        for &i in indexes {
            selected.extend_from_slice(self.row(i));
        }
        selected
    }
}
