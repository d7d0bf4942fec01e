//! Choices that depend on keys and a seed alone: blake3 over (purpose, seed, canonical key bytes).
//!
//! The same keys are chosen whatever the order of the rows, the partitions or the machine.

/// The place of a key in the order drawn for `purpose` and `seed`: smaller comes first.
pub type Draw = [u8; 16];

/// The draw of one key.
pub fn draw(purpose: &str, seed: u64, key: &[u8]) -> Draw {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(&seed.to_le_bytes());
    hasher.update(key);
    let mut draw = Draw::default();
    hasher.finalize_xof().fill(&mut draw);
    draw
}

/// The index of the key that is drawn first; ties (equal keys) go to the lowest index. `None` of no keys.
pub fn first<K: AsRef<[u8]>>(purpose: &str, seed: u64, keys: impl IntoIterator<Item = K>) -> Option<usize> {
    keys.into_iter().enumerate().map(|(i, key)| (draw(purpose, seed, key.as_ref()), i)).min().map(|(_, i)| i)
}
