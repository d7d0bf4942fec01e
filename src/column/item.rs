//! The numbers of vectors as Parquet has them.

use half::f16;
use half::slice::HalfFloatSliceExt;
use parquet::basic::{LogicalType, Type as Physical};
use parquet::schema::types::ColumnDescriptor;

use super::buffers::Buffer;

/// Numbers that are converted at a time, in the nearest cache.
const STEP: usize = 1024;

/// What a number is in the file, little-endian. In memory it is an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// `FLOAT`.
    F32,
    /// Two bytes that are a `FLOAT16`.
    F16,
}

impl Item {
    /// Of a leaf; `None` where it is neither.
    pub fn of(column: &ColumnDescriptor) -> Option<Self> {
        match column.physical_type() {
            Physical::FLOAT => Some(Self::F32),
            Physical::FIXED_LEN_BYTE_ARRAY if column.type_length() == 2 => {
                (column.logical_type_ref() == Some(&LogicalType::Float16)).then_some(Self::F16)
            }
            _ => None,
        }
    }

    /// Its bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// The numbers that bytes are; as many as there is place for.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 if cfg!(target_endian = "little") => {
                bytemuck::cast_slice_mut::<f32, u8>(out).copy_from_slice(bytes);
            }
            Self::F32 => {
                let numbers = bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes);
                out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number);
            }
            Self::F16 => {
                let mut step = [f16::ZERO; STEP];
                for (out, bytes) in out.chunks_mut(STEP).zip(bytes.chunks(2 * STEP)) {
                    let halves = &mut step[..out.len()];
                    let numbers = bytes.as_chunks().0.iter().copied().map(f16::from_le_bytes);
                    halves.iter_mut().zip(numbers).for_each(|(half, number)| *half = number);
                    halves.convert_to_f32_slice(out);
                }
            }
        }
    }

    /// Adds the bytes of numbers; to `f16` they are rounded to the nearest.
    pub fn put(self, numbers: &[f32], out: &mut Buffer<u8>) {
        match self {
            Self::F32 if cfg!(target_endian = "little") => out.extend_from_slice(bytemuck::cast_slice(numbers)),
            Self::F32 => numbers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
            Self::F16 => {
                let mut step = [f16::ZERO; STEP];
                for numbers in numbers.chunks(STEP) {
                    let halves = &mut step[..numbers.len()];
                    halves.convert_from_f32_slice(numbers);
                    let bytes = out.more(2 * numbers.len()).as_chunks_mut().0;
                    bytes.iter_mut().zip(halves).for_each(|(bytes, half)| *bytes = half.to_le_bytes());
                }
            }
        }
    }
}
