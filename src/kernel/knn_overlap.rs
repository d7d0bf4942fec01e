//! Do translated rows have the neighbours of the native ones?

use super::Rows;
use super::bootstrap::{Estimate, estimates};
use super::search::{Index, Metric, Neighbour, Prepare};

/// The overlap of neighbourhoods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Rows searched.
    pub pool: usize,
    /// Neighbours of a row: as asked for, or all others where there are fewer.
    pub k: usize,
    /// The mean share of them that both find.
    pub overlap: Estimate,
}

/// The share of the `k` nearest rows of `native` by cosine that row i of `translated` and row i of `native` have in common;
/// native row i itself is no neighbour, ties go to the lower index. `None` of fewer than two rows.
pub fn knn_overlap(translated: Rows<'_>, native: Rows<'_>, k: usize, seed: u64) -> Option<Overlap> {
    let k = k.min(native.len().checked_sub(1).filter(|others| *others > 0)?);
    let rows: Vec<[f64; 1]> = overlaps(translated, native, native, k).into_iter().map(|overlap| [overlap]).collect();
    let [overlap] = estimates(&rows, seed)?;
    Some(Overlap { pool: native.len(), k, overlap })
}

/// [`knn_overlap`] of each row, neighbours looked for in a pool that begins with the native rows.
pub fn overlaps(translated: Rows<'_>, native: Rows<'_>, pool: Rows<'_>, k: usize) -> Vec<f64> {
    let prepare = Prepare::new(Metric::Cosine, pool);
    let index = Index::new(&prepare, pool);
    let (found, wanted) = (index.nearest(translated, k, true), index.nearest(native, k, true));
    let overlap = |(found, wanted): (&Vec<Neighbour>, &Vec<Neighbour>)| {
        let common = found.iter().filter(|one| wanted.iter().any(|other| other.document == one.document));
        common.count() as f64 / wanted.len().max(1) as f64
    };
    found.iter().zip(&wanted).map(overlap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, assert_golden};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        translated: golden::Matrix,
        native: golden::Matrix,
        k: usize,
        overlap: f64,
    }

    #[test]
    fn overlaps_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/knn_overlap.json")) {
            let (translated, native) = (case.translated.narrow(), case.native.narrow());
            let (translated, native) =
                (Rows::new(&translated, case.native.columns), Rows::new(&native, case.native.columns));
            let found = knn_overlap(translated, native, case.k, 0).unwrap();
            assert_golden(&[found.overlap.mean], &[case.overlap], &case.name);
            assert_eq!(knn_overlap(native, native, case.k, 0).unwrap().overlap.mean, 1.0);
        }
    }

    #[test]
    fn k_is_at_most_all_other_rows() {
        let rows = Rows::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2);
        assert_eq!(knn_overlap(rows, rows, 10, 0).unwrap().k, 2);
        assert_eq!(knn_overlap(Rows::new(&[1.0, 0.0], 2), Rows::new(&[1.0, 0.0], 2), 10, 0), None);
    }
}
