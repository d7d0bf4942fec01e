//! The files of search benchmarks: `.fvecs` and `.bvecs` (every row after its width, an `i32`), `.fbin` and its like (the number of rows
//! and their width, two `u32`, then all rows). Least byte first.

use super::input::Input;
use super::matrix::{Item, Matrix, Order};
use crate::Result;

/// Rows that each begin with their width.
pub fn with_widths(input: &Input, item: Item) -> Result<Matrix> {
    let head = input.bytes(0..4)?;
    let width = head.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes));
    let width = usize::try_from(width).map_err(|_| input.wrong(format!("its first row would have {width} numbers")))?;
    let matrix = Matrix { begin: 0, rows: 1, width, item, order: Order::RowsWithWidths }.within(input)?;
    // Rows of another width are found one by one; what is left at the end is one, or cut off.
    let rows = input.size().div_ceil(matrix.bytes());
    Ok(Matrix { rows, ..matrix })
}

/// Rows after their number and their width.
pub fn with_header(input: &Input, item: Item) -> Result<Matrix> {
    let head = input.bytes(0..8)?;
    let (&[rows, width], []) = head.as_chunks() else {
        return Err(input.wrong("is cut off: it has no 8 bytes"));
    };
    let (rows, width) = (u32::from_le_bytes(rows), u32::from_le_bytes(width));
    let matrix = Matrix { begin: 8, rows: rows.into(), width: width as usize, item, order: Order::Rows };
    let matrix = matrix.checked(input)?;
    let bytes = matrix.bytes().saturating_add(8);
    if bytes != input.size() {
        let what = if bytes > input.size() { "it is cut off, or" } else { "" };
        return Err(input.wrong(format!(
            "says that it has {rows} rows of {width} numbers, which are {bytes} bytes, and has {}: {what} it is of another format",
            input.size()
        )));
    }
    Ok(matrix)
}
