//! `.npy`: the header that numpy writes before an array (numpy's `lib.format`, versions 1 to 3), then its numbers.

use super::input::Input;
use super::matrix::{Item, Matrix, Order};
use crate::Result;

/// The first bytes of a file.
pub const MAGIC: &[u8] = b"\x93NUMPY";
/// A longer header is none: an array of plain numbers has a hundred bytes.
const MAX_HEADER: usize = 1 << 16;
/// Bytes that hold any header of plain numbers.
pub const HEAD: u64 = MAX_HEADER as u64 + 12;

/// An array as its header describes it.
struct Array {
    begin: u64,
    item: Item,
    by_column: bool,
    shape: Vec<u64>,
}

/// The rows of a file.
pub fn open(input: &Input) -> Result<Matrix> {
    let head = input.bytes(0..HEAD)?;
    let matrix = matrix(&head).map_err(|message| input.wrong(message))?;
    matrix.within(input)
}

/// The rows that a header describes, from the header's own first byte on.
pub fn matrix(head: &[u8]) -> Result<Matrix, String> {
    let array = parse(head)?;
    let [rows, width] = array.shape[..] else {
        return Err(format!(
            "holds an array of {} dimensions, {:?}: rows of vectors have 2; a.reshape(len(a), -1) has",
            array.shape.len(),
            array.shape
        ));
    };
    // One column or one row lies the same either way.
    let order = if array.by_column && rows > 1 && width > 1 { Order::Columns } else { Order::Rows };
    let width = usize::try_from(width).map_err(|_| format!("its rows would have {width} numbers"))?;
    Ok(Matrix { begin: array.begin, rows, width, item: array.item, order })
}

/// A file of integers, one for each row.
pub fn keys(input: &Input) -> Result<Matrix> {
    let array = parse(&input.bytes(0..HEAD)?).map_err(|message| input.wrong(message))?;
    let rows = match array.shape[..] {
        [rows] | [rows, 1] => rows,
        _ => return Err(input.wrong(format!("holds an array of shape {:?}: keys have one dimension", array.shape))),
    };
    if !array.item.is_integer() {
        return Err(
            input.wrong("holds numbers that are no integers: keys are; write others as Parquet or as lines of text")
        );
    }
    Matrix { begin: array.begin, rows, width: 1, item: array.item, order: Order::Rows }.within(input)
}

fn parse(head: &[u8]) -> Result<Array, String> {
    let rest = head.strip_prefix(MAGIC).ok_or("is no .npy file: it begins otherwise")?;
    let (length, begin) = match *rest {
        [1, _, a, b, ..] => (u16::from_le_bytes([a, b]).into(), 10),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
        [version, ..] if version > 3 => return Err(format!("is of version {version} of .npy: 1, 2 and 3 are read")),
        _ => return Err("is cut off in its header".to_owned()),
    };
    if length > MAX_HEADER {
        return Err(format!("has a header of {length} bytes: no array of plain numbers has"));
    }
    let text = head.get(begin..begin + length).ok_or("is cut off in its header")?;
    let text = std::str::from_utf8(text).map_err(|_| "has a header that is no UTF-8")?;
    let missing = |name: &str| format!("has a header without '{name}': {}", text.trim());
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("'{name}':")).ok_or_else(|| missing(name))?;
        Ok::<_, String>(rest.trim_start())
    };
    let kind = value("descr")?;
    let kind = kind.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(kind, _)| kind);
    let kind = kind.ok_or("holds records of several fields: save one array of numbers")?;
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let sizes = shape.ok_or_else(|| missing("shape"))?.split(',').map(str::trim).filter(|size| !size.is_empty());
    Ok(Array {
        begin: (begin + length) as u64,
        item: item(kind)?,
        by_column: value("fortran_order")?.starts_with("True"),
        shape: sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| missing("shape"))?,
    })
}

fn item(kind: &str) -> Result<Item, String> {
    Ok(match kind {
        "<f2" => Item::F16,
        "<f4" => Item::F32,
        "<f8" => Item::F64,
        "|i1" => Item::I8,
        "|u1" => Item::U8,
        "<i2" => Item::I16,
        "<u2" => Item::U16,
        "<i4" => Item::I32,
        "<u4" => Item::U32,
        "<i8" => Item::I64,
        "<u8" => Item::U64,
        other => return Err(format!("holds numbers of type '{other}': save it as a.astype('<f4')")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str) -> Vec<u8> {
        let length = header.len() as u32;
        let length = if version == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        [MAGIC, &[version, 0], &length, header.as_bytes()].concat()
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }   \n";
        for (version, begin) in [(1, 10), (2, 12), (3, 12)] {
            let found = matrix(&file(version, header)).unwrap();
            assert_eq!(found.begin, begin + header.len() as u64);
            assert_eq!((found.rows, found.width, found.item, found.order), (3, 5, Item::F32, Order::Rows));
        }
        let found = matrix(&file(1, "{'shape': (2, 4), 'descr': '|u1', 'fortran_order': True}")).unwrap();
        assert_eq!((found.rows, found.width, found.item, found.order), (2, 4, Item::U8, Order::Columns));
    }

    #[test]
    fn what_is_no_array_of_rows_is_said() {
        let refused = |bytes: &[u8], words: &str| {
            let message = matrix(bytes).unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        let with = |descr: &str, shape: &str| {
            file(1, &format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"))
        };
        refused(b"PK\x03\x04", "is no .npy file");
        refused(b"\x93NUMPY\x01\x00", "is cut off");
        refused(&with("'<f4'", "(3, 5)")[..20], "is cut off");
        refused(&with("'<f4'", "(3,)"), "1 dimensions, [3]");
        refused(&with("'<f4'", "(3, 4, 5)"), "3 dimensions");
        refused(&with("'<f4'", "()"), "0 dimensions");
        refused(&with("'>f4'", "(3, 4)"), "type '>f4': save it as a.astype('<f4')");
        refused(&with("'<c8'", "(3, 4)"), "type '<c8'");
        refused(&with("[('a', '<f4')]", "(3,)"), "records");
        refused(&file(1, "{'descr': '<f4'}"), "without 'shape'");
        refused(&file(4, ""), "version 4");
    }
}
