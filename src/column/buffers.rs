//! Memory that is used again: fresh pages of the system cost more than what is written to them.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;

/// Buffers at rest at most.
const KEPT: usize = 16;

/// Buffers of numbers; those lent return when nobody reads them any more. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<f32>>>>);

/// Numbers that go back.
struct Lent {
    numbers: Vec<f32>,
    home: Buffers,
}

impl Buffers {
    /// A buffer, empty or with what it had.
    pub fn take(&self) -> Vec<f32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// `numbers` as Arrow has them, without a copy.
    pub fn lend(&self, numbers: Vec<f32>) -> ScalarBuffer<f32> {
        let length = numbers.len();
        let bytes = Bytes::from_owner(Lent { numbers, home: self.clone() });
        ScalarBuffer::new(Buffer::from(bytes), 0, length)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.numbers)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.numbers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_it_is_read_no_more() {
        let buffers = Buffers::default();
        let lent = buffers.lend(vec![1.0, 2.0, 3.0]);
        let slice = lent.slice(1, 2);
        drop(lent);
        assert_eq!((&slice[..], buffers.take().capacity()), (&[2.0, 3.0][..], 0));
        drop(slice);
        assert_eq!(buffers.take(), [1.0, 2.0, 3.0]);
        (0..2 * KEPT).map(|_| buffers.lend(vec![0.0])).for_each(drop);
        assert_eq!(buffers.lend(Vec::new()).len(), 0);
        assert!(buffers.0.lock().unwrap().len() <= KEPT);
    }
}
