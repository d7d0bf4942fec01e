//! Results remembered across the batches of a query: a scalar function is called for every batch, a fit must run once.

use std::sync::{Arc, Mutex, PoisonError};

/// Remembers the latest few results by a key that says all a result depends on (digests of stored values and settings).
#[derive(Debug)]
pub struct Memo<V> {
    entries: Mutex<Vec<(String, Slot<V>)>>,
    #[cfg(test)]
    computed: std::sync::atomic::AtomicUsize,
}

/// Filled once; whoever comes meanwhile waits instead of computing the same again.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

/// Results are as large as the stored values: few are kept, since they outlive the query.
const CAPACITY: usize = 8;

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Vec::new()),
            #[cfg(test)]
            computed: Default::default(),
        }
    }
}

impl<V> Memo<V> {
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
        Ok(value)
    }

    /// How many results were computed.
    #[cfg(test)]
    pub fn computed(&self) -> usize {
        self.computed.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn slot(&self, key: &str) -> Slot<V> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match entries.iter().position(|(known, _)| known == key) {
            Some(at) => entries.remove(at).1,
            None => Slot::default(),
        };
        entries.insert(0, (key.to_owned(), Arc::clone(&slot)));
        entries.truncate(CAPACITY);
        slot
    }
}
