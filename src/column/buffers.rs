//! Memory that is used again: fresh pages of the system cost more than what is written to them.

use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::NoUninit;
use bytes::Bytes;

/// Buffers of numbers or bytes; those lent return when nobody reads them any more. Clones share them.
#[derive(Debug, Clone)]
pub struct Buffers<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    /// Buffers at rest at most.
    most: usize,
    rest: Mutex<Vec<Vec<T>>>,
}

/// A buffer that goes back.
struct Lent<T: NoUninit + Send> {
    buffer: Vec<T>,
    home: Buffers<T>,
}

impl<T: NoUninit + Send> Buffers<T> {
    /// None yet, and at most so many at rest.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, rest: Mutex::new(Vec::new()) }))
    }

    /// A buffer, empty or with what it had.
    pub fn take(&self) -> Vec<T> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Vec<T>) {
        let mut rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.len() < self.0.most && buffer.capacity() > 0 {
            rest.push(buffer);
        }
    }

    /// The bytes of a buffer, without a copy.
    pub fn lend(&self, buffer: Vec<T>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }
}

impl<T: NoUninit + Send> AsRef<[u8]> for Lent<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.buffer)
    }
}

impl<T: NoUninit + Send> Drop for Lent<T> {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_it_is_read_no_more() {
        let buffers = Buffers::new(2);
        let lent = buffers.lend(vec![1u16, 2, 3]);
        let slice = lent.slice(2..);
        drop(lent);
        assert_eq!((&slice[..], buffers.take().capacity()), (&[2, 0, 3, 0][..], 0));
        drop(slice);
        assert_eq!(buffers.take(), [1, 2, 3]);
        let all: Vec<_> = (0..5).map(|_| buffers.lend(vec![0])).collect();
        drop(all);
        assert_eq!(buffers.lend(Vec::new()).len(), 0);
        assert_eq!(buffers.0.rest.lock().unwrap().len(), 2);
    }
}
