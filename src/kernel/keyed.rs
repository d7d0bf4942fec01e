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

/// The fold of each row, of `count`: those of one fold are every `count`-th of the rows in the order drawn.
pub fn folds(drawn: &[usize], count: usize) -> Vec<usize> {
    let mut folds = vec![0; drawn.len()];
    drawn.iter().enumerate().for_each(|(place, &row)| folds[row] = place % count);
    folds
}

/// The index of the key that is drawn first; ties (equal keys) go to the lowest index. `None` of no keys.
pub fn first<K: AsRef<[u8]>>(purpose: &str, seed: u64, keys: impl IntoIterator<Item = K>) -> Option<usize> {
    keys.into_iter().enumerate().map(|(i, key)| (draw(purpose, seed, key.as_ref()), i)).min().map(|(_, i)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::Random;

    #[test]
    fn the_first_key_is_the_same_in_every_order() {
        let keys: Vec<String> = (0..200).map(|i| format!("key {i}")).collect();
        let want = &keys[first("start", 7, &keys).unwrap()];
        for seed in 0..5 {
            let shuffled: Vec<&String> = Random(seed).shuffled(200).iter().map(|&i| &keys[i]).collect();
            assert_eq!(shuffled[first("start", 7, &shuffled).unwrap()], want);
        }
        assert_eq!(first("start", 7, [] as [&str; 0]), None);
        assert_eq!(first("start", 7, ["a", "a"]), Some(0));
    }

    #[test]
    fn purpose_seed_and_key_all_count_and_do_not_run_into_each_other() {
        let draws =
            [draw("a", 1, b"bc"), draw("ab", 1, b"c"), draw("a", 2, b"bc"), draw("a", 1, b"bd"), draw("", 1, b"abc")];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[..i].iter().all(|b| a != b));
        }
    }
}
