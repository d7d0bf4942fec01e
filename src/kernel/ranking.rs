//! How good a ranking is by graded judgements. Only its first [`CUT`] places are looked at: what a page shows.

/// Places of a ranking that count.
pub const CUT: usize = 10;

/// Names of the measures that [`ranking`] gives, in their order.
pub const MEASURES: [&str; 3] = ["recall_at_10", "ndcg_at_10", "mrr_at_10"];

/// Recall, nDCG and reciprocal rank at 10 of the documents `found`, best first.
///
/// `relevant` are the relevant documents with their grades above 0, by ascending document, each once; at least one.
///
/// - Recall: relevant documents found, of all of them or of 10 where there are more, so that 1 can be reached.
/// - nDCG (Järvelin and Kekäläinen 2002): `DCG = sum grade / log2(place + 1)`, places from 1, relative to the DCG of the best
///   order that there is. The gain is the grade itself, as in trec_eval; not `2^grade - 1`.
/// - Reciprocal rank: 1 / place of the first relevant document, 0 where none is found.
pub fn ranking(found: impl IntoIterator<Item = usize>, relevant: &[(usize, f64)]) -> [f64; 3] {
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let (mut hits, mut gain, mut reciprocal) = (0, 0.0, 0.0);
    for (place, document) in found.into_iter().take(CUT).enumerate() {
        let Ok(at) = relevant.binary_search_by_key(&document, |(document, _)| *document) else { continue };
        if hits == 0 {
            reciprocal = 1.0 / (place as f64 + 1.0);
        }
        hits += 1;
        gain += relevant[at].1 * discount(place);
    }
    let mut grades: Vec<f64> = relevant.iter().map(|(_, grade)| *grade).collect();
    grades.sort_by(|a, b| b.total_cmp(a));
    grades.truncate(CUT);
    let ideal: f64 = grades.iter().enumerate().map(|(place, grade)| grade * discount(place)).sum();
    [f64::from(hits) / grades.len() as f64, gain / ideal, reciprocal]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Rows;
    use crate::kernel::golden::{self, assert_golden};
    use crate::kernel::search::{Index, Metric, Prepare};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        queries: golden::Matrix,
        documents: golden::Matrix,
        relevant: Vec<Vec<(usize, f64)>>,
        measures: Vec<[f64; 3]>,
    }

    #[test]
    fn rankings_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/ranking.json")) {
            let (queries, documents) = (case.queries.narrow(), case.documents.narrow());
            let width = case.documents.columns;
            let prepare = Prepare::new(Metric::Cosine, Rows::new(&documents, width));
            let index = Index::new(&prepare, Rows::new(&documents, width));
            let found = index.nearest(Rows::new(&queries, width), CUT, false);
            for (i, (found, relevant)) in found.iter().zip(&case.relevant).enumerate() {
                let measures = ranking(found.iter().map(|neighbour| neighbour.document), relevant);
                assert_golden(&measures, &case.measures[i], &format!("{}, query {i}", case.name));
            }
        }
    }

    #[test]
    fn the_best_order_is_one_and_nothing_found_is_zero() {
        let relevant: Vec<(usize, f64)> = (0..30).map(|document| (document, f64::from(document as u32 + 1))).collect();
        assert_eq!(ranking((0..30).rev(), &relevant), [1.0; 3]);
        assert_eq!(ranking(30..60, &relevant), [0.0; 3]);
        assert_eq!(ranking([7, 3], &[(3, 1.0)]), [1.0, 1.0 / 3f64.log2(), 0.5]);
    }
}
