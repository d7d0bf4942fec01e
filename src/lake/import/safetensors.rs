//! Tensors of a safetensors file: its header says where they lie.

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::input::Input;
use super::matrix::{Item, Matrix, Order};
use crate::Result;

/// A longer header is none, as the format's own library says.
const MAX_HEADER: u64 = 100_000_000;

/// The rows of the tensor of that name, or of the only one that could be meant.
pub fn open(input: &Input, name: Option<&str>) -> Result<Matrix> {
    let none = |error: &dyn std::fmt::Display| input.wrong(format!("is no safetensors file: {error}"));
    let head = input.bytes(0..8)?;
    let length = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let length =
        length.filter(|length| *length <= MAX_HEADER.min(input.size())).ok_or_else(|| none(&"it has no header"))?;
    let begin = length + 8;
    let header = input.bytes(8..begin)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| none(&error))?;
    let mut tensors: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let list = |tensors: &[&(String, &TensorInfo)]| {
        let each = tensors.iter().map(|(name, tensor)| format!("{name} ({:?} {:?})", tensor.dtype, tensor.shape));
        each.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<_> = tensors.iter().collect();
    let rows: Vec<_> =
        tensors.iter().filter(|(_, tensor)| item(tensor.dtype).is_some() && tensor.shape.len() == 2).collect();
    let (name, tensor) = match (name, rows.as_slice()) {
        (Some(name), _) => all
            .iter()
            .find(|(found, _)| found == name)
            .ok_or_else(|| input.wrong(format!("has no tensor `{name}`: it has {}", list(&all))))?,
        (None, [only]) => only,
        (None, []) => {
            return Err(input.wrong(format!("has no tensor of rows of F32, F16, BF16 or F64: it has {}", list(&all))));
        }
        (None, several) => {
            return Err(input.wrong(format!("has several tensors: name one with --array: {}", list(several))));
        }
    };
    let (Some(item), [rows, width]) = (item(tensor.dtype), &tensor.shape[..]) else {
        return Err(input.wrong(format!(
            "tensor `{name}` is {:?} {:?}: rows of F32, F16, BF16 or F64 are read",
            tensor.dtype, tensor.shape
        )));
    };
    let begin = begin + tensor.data_offsets.0 as u64;
    Matrix { begin, rows: *rows as u64, width: *width, item, order: Order::Rows }.within(input)
}

/// The numbers of a tensor, where they are floats.
pub fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    item(dtype).map(|item| item.numbers(bytes))
}

fn item(dtype: Dtype) -> Option<Item> {
    match dtype {
        Dtype::F32 => Some(Item::F32),
        Dtype::F64 => Some(Item::F64),
        Dtype::F16 => Some(Item::F16),
        Dtype::BF16 => Some(Item::BF16),
        _ => None,
    }
}
