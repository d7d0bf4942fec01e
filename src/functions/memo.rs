//! Results remembered across the batches of a query: a scalar function is called for every batch, a fit must run once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, StructArray};

use crate::column::{Decoder, Keys, Space, Translator};

/// Remembers the latest results by a key that says all a result depends on (digests of stored values and settings).
#[derive(Debug)]
pub struct Memo<V> {
    /// The latest first.
    entries: Mutex<Vec<Entry<V>>>,
    #[cfg(test)]
    computed: std::sync::atomic::AtomicUsize,
}

#[derive(Debug)]
struct Entry<V> {
    key: String,
    slot: Slot<V>,
    /// 0 until the slot is filled.
    bytes: usize,
}

/// Filled once; whoever comes meanwhile waits instead of computing the same again.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

/// Results outlive the query: so many bytes are kept, and always the latest one.
const BUDGET: usize = 256 << 20;

/// How much memory a result takes, about.
pub trait Bytes {
    /// Its bytes.
    fn bytes(&self) -> usize;
}

impl Bytes for StructArray {
    fn bytes(&self) -> usize {
        self.get_array_memory_size()
    }
}

impl Bytes for Translator {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.matrix.inner().len()
    }
}

impl Bytes for Decoder {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.matrix.inner().len()
    }
}

impl Bytes for Space {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.anchors.unit.inner().len()
    }
}

impl Bytes for Keys {
    fn bytes(&self) -> usize {
        match self {
            Self::Int(keys) => size_of_val(keys.as_slice()),
            Self::Text(keys) => keys.iter().map(|key| size_of::<String>() + key.len()).sum(),
        }
    }
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            #[cfg(test)]
            computed: Default::default(),
        }
    }
}

impl<V: Bytes> Memo<V> {
    /// The result for `key`, computed if it is not remembered. Errors are not remembered.
    pub fn get<E>(&self, key: &str, compute: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let slot = self.slot(key);
        let mut filled = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*filled {
            return Ok(Arc::clone(value));
        }
        #[cfg(test)]
        self.computed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let value = Arc::new(compute()?);
        *filled = Some(Arc::clone(&value));
        self.keep(key, value.bytes());
        Ok(value)
    }

    /// How many results were computed.
    #[cfg(test)]
    pub fn computed(&self) -> usize {
        self.computed.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a key, which is the latest now.
    fn slot(&self, key: &str) -> Slot<V> {
        let mut entries = self.entries();
        let entry = match entries.iter().position(|entry| entry.key == key) {
            Some(at) => entries.remove(at),
            None => Entry { key: key.to_owned(), slot: Slot::default(), bytes: 0 },
        };
        let slot = Arc::clone(&entry.slot);
        entries.insert(0, entry);
        slot
    }

    /// Notes the size of a result and forgets the oldest ones beyond the budget.
    fn keep(&self, key: &str, bytes: usize) {
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            entry.bytes = bytes;
        }
        let mut total: usize = entries.iter().map(|entry| entry.bytes).sum();
        while total > BUDGET && entries.len() > 1 {
            total -= entries.pop().map_or(0, |oldest| oldest.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_results_are_remembered_and_few_large_ones() {
        let memo = Memo::<Keys>::default();
        let get = |key: usize, keys: usize| {
            memo.get::<()>(&key.to_string(), || Ok(Keys::Int(vec![0; keys]))).map(|_| memo.computed()).unwrap()
        };
        for key in 0..100 {
            get(key, 10);
        }
        assert_eq!(get(0, 10), 100);
        let large = BUDGET / 2 / size_of::<i64>() + 1;
        assert_eq!((get(200, large), get(200, large)), (101, 101));
        assert_eq!((get(201, large), get(201, large), get(200, large)), (102, 102, 103));
    }

    #[test]
    fn an_error_is_not_remembered() {
        let memo = Memo::<Keys>::default();
        assert_eq!(memo.get("a", || Err("no")).unwrap_err(), "no");
        assert!(memo.get::<()>("a", || Ok(Keys::Int(vec![1]))).is_ok());
    }
}
