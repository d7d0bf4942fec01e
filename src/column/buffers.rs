//! Memory that is used again, in huge pages where the system has them: fresh pages, and many of them, cost more than what is
//! written to them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;
use bytes::Bytes;
use memmap2::MmapMut;

/// Bytes from which on memory comes from the system in pieces of its own: a huge page.
const LARGE: usize = 2 << 20;

/// Numbers or bytes one after the other.
#[derive(Debug)]
pub struct Buffer<T> {
    memory: Memory<T>,
    length: usize,
}

/// Numbers that all can be read, of which a buffer has the first.
#[derive(Debug)]
enum Memory<T> {
    Heap(Vec<T>),
    Pages(MmapMut),
}

impl<T: Pod> Memory<T> {
    fn new(count: usize) -> Self {
        let bytes = count * size_of::<T>();
        let pages = if bytes < LARGE { None } else { MmapMut::map_anon(bytes.next_multiple_of(LARGE)).ok() };
        match pages {
            Some(pages) => {
                // Advice: where there are no huge pages it is not heeded.
                #[cfg(target_os = "linux")]
                pages.advise(memmap2::Advice::HugePage).ok();
                Self::Pages(pages)
            }
            None => Self::Heap(vec![T::zeroed(); count]),
        }
    }

    fn all(&self) -> &[T] {
        match self {
            Self::Heap(numbers) => numbers,
            Self::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }

    fn all_mut(&mut self) -> &mut [T] {
        match self {
            Self::Heap(numbers) => numbers,
            Self::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { memory: Memory::Heap(Vec::new()), length: 0 }
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory.all()[..self.length]
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory.all_mut()[..self.length]
    }
}

impl<T: Pod> Buffer<T> {
    /// How many there is memory for.
    pub fn capacity(&self) -> usize {
        self.memory.all().len()
    }

    /// Sees to it that there is memory for so many in all.
    pub fn reserve(&mut self, count: usize) {
        if count > self.capacity() {
            let mut larger = Memory::new(count);
            larger.all_mut()[..self.length].copy_from_slice(self);
            self.memory = larger;
        }
    }

    /// Leaves only the first ones.
    pub fn truncate(&mut self, count: usize) {
        self.length = self.length.min(count);
    }

    /// Makes it so long, whatever the new ones are.
    pub fn set_len(&mut self, count: usize) {
        self.reserve(count);
        self.length = count;
    }

    /// So many more, whatever they are.
    pub fn more(&mut self, count: usize) -> &mut [T] {
        let first = self.length;
        if first + count > self.capacity() {
            self.reserve((first + count).max(2 * first));
        }
        self.length += count;
        &mut self[first..]
    }

    /// Adds copies.
    pub fn extend_from_slice(&mut self, more: &[T]) {
        self.more(more.len()).copy_from_slice(more);
    }
}

/// Buffers at rest; those lent return when nobody reads them any more. Clones share them.
#[derive(Debug, Clone)]
pub struct Buffers<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    /// Buffers at rest at most.
    most: usize,
    rest: Mutex<Vec<Buffer<T>>>,
}

/// A buffer that goes back.
struct Lent<T: Pod + Send> {
    buffer: Buffer<T>,
    home: Buffers<T>,
}

impl<T: Pod + Send> Buffers<T> {
    /// None yet, and at most so many at rest.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, rest: Mutex::new(Vec::new()) }))
    }

    /// An empty buffer with memory for so many: the smallest at rest that has it.
    pub fn take(&self, count: usize) -> Buffer<T> {
        let mut rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let large = (0..rest.len()).rev().filter(|&i| rest[i].capacity() >= count);
        let found = large.min_by_key(|&i| rest[i].capacity()).or(rest.len().checked_sub(1));
        let mut buffer = found.map(|i| rest.remove(i)).unwrap_or_default();
        drop(rest);
        buffer.truncate(0);
        buffer.reserve(count);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Buffer<T>) {
        let mut rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.len() < self.0.most && buffer.capacity() > 0 {
            rest.push(buffer);
        }
    }

    /// The bytes of a buffer, without a copy.
    pub fn lend(&self, buffer: Buffer<T>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }
}

impl Buffers<u8> {
    /// So many bytes of a file from a position on, in a buffer that goes back when they are read no more.
    pub fn read(&self, mut file: &File, start: u64, length: usize) -> std::io::Result<Bytes> {
        let mut buffer = self.take(length);
        buffer.set_len(length);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer)?;
        Ok(self.lend(buffer))
    }
}

impl<T: Pod + Send> AsRef<[u8]> for Lent<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.buffer)
    }
}

impl<T: Pod + Send> Drop for Lent<T> {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(numbers: &[u16]) -> Buffer<u16> {
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(numbers);
        buffer
    }

    #[test]
    fn a_buffer_comes_back_when_it_is_read_no_more() {
        let buffers = Buffers::new(2);
        let lent = buffers.lend(buffer(&[1, 2, 3]));
        let slice = lent.slice(2..);
        drop(lent);
        assert_eq!((&slice[..], buffers.take(0).capacity()), (&[2, 0, 3, 0][..], 0));
        drop(slice);
        assert_eq!(buffers.take(2).capacity(), 3);
        let all: Vec<_> = (0..5).map(|_| buffers.lend(buffer(&[0]))).collect();
        drop(all);
        assert_eq!(buffers.lend(Buffer::default()).len(), 0);
        assert_eq!(buffers.0.rest.lock().unwrap().len(), 2);
    }

    #[test]
    fn the_smallest_that_is_large_enough_is_taken() {
        let buffers = Buffers::new(4);
        [4, 2, 8, 2].into_iter().for_each(|count| buffers.give(buffer(&vec![1; count])));
        let capacities = [3, 9, 1, 1, 0].map(|count| buffers.take(count).capacity());
        // Where none is, one that is too small makes place.
        assert_eq!(capacities, [4, 9, 2, 8, 0]);
    }

    #[test]
    fn what_is_in_it_stays_when_it_grows() {
        let mut numbers = buffer(&[]);
        for i in 0..LARGE as u32 {
            numbers.extend_from_slice(&[(i % 1000) as u16]);
        }
        assert!(matches!(numbers.memory, Memory::Pages(_)));
        assert!(numbers.iter().enumerate().all(|(i, number)| usize::from(*number) == i % 1000));
        numbers.truncate(3);
        numbers.more(1)[0] = 7;
        assert_eq!(numbers[..], [0, 1, 2, 7]);
        numbers.set_len(5);
        assert_eq!((numbers.len(), &numbers[..4]), (5, &[0, 1, 2, 7][..]));
    }
}
