//! From two spaces over the same anchors to one d_x x d_y matrix.

use faer::{Mat, MatRef, Scale};

use super::alignment::Spanned;
use super::decoder::Ensemble;
use super::inverse::Inverse;
use super::svd::{Conditioning, product, widen};
use super::{Error, Rows, decoder};

/// A fitted matrix and what its inverses were like.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// d_x x d_y: `y' = nu(x - mu_x) T`.
    pub matrix: Mat<f64>,
    /// The pruned sets and their inverses; of irp alone.
    pub members: Vec<decoder::Member>,
    /// What else was inverted or made orthogonal, by name.
    pub conditioning: Vec<(&'static str, Conditioning)>,
}

/// Inverse relative projection: `T = U_x^T H_y` (anchor completion of equation (5)), inverted in the target's space. Row i of
/// all is the same anchor; with `pruned` the target's, the decoder is that of the target alone.
pub fn irp(source: Rows<'_>, target: Rows<'_>, pruned: Rows<'_>, ensemble: &Ensemble<'_>) -> Result<Fitted, Error> {
    let mut matrix = Mat::<f64>::zeros(source.width(), target.width());
    let map = |inverse: &Inverse<'_>, _: &[usize]| inverse.map_from(source);
    let members = decoder::members(target, pruned, ensemble, map, |share, map| matrix += Scale(share) * map)?;
    Ok(Fitted { matrix, members, conditioning: Vec::new() })
}

/// [`irp`] with T replaced by the orthogonal factor of its polar decomposition: the nearest map that keeps lengths and angles.
pub fn irp_polar(
    source: Rows<'_>,
    target: Rows<'_>,
    pruned: Rows<'_>,
    ensemble: &Ensemble<'_>,
) -> Result<Fitted, Error> {
    let decoder = decoder::irp(target, pruned, ensemble)?;
    let fitted = Spanned::of(widen(source).as_ref(), ensemble.rcond)?.polar(|sigma| sigma, decoder.matrix.as_ref())?;
    Ok(Fitted { members: decoder.members, ..fitted })
}

/// Rows widened at a time.
const ROWS: usize = 512;

/// The scale at which the translated anchors have the energy of the target's: `sqrt(sum |C_y|^2 / sum |U_x T|^2)`; `norms` are
/// the lengths of the rows of C_y. 0 where T loses every anchor.
pub fn energy_scale(source: Rows<'_>, matrix: MatRef<'_, f64>, norms: &[f64]) -> f64 {
    let parts = source.as_slice().chunks(source.width().max(1) * ROWS).map(|part| Rows::new(part, source.width()));
    let translated: f64 = parts.map(|part| product(widen(part).as_ref(), matrix).squared_norm_l2()).sum();
    if translated > 0.0 { (norms.iter().map(|norm| norm * norm).sum::<f64>() / translated).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random, assert_golden, assert_near, ensemble, flat, similar, with_threads};
    use crate::kernel::quality::similarity;
    use crate::kernel::space::Anchors;
    use crate::kernel::svd::{DEFAULT_RCOND, polar_factor, round};
    use crate::kernel::translate::{Length, Translation};
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        source: golden::Matrix,
        target: golden::Matrix,
        rcond: f64,
        starts: Vec<usize>,
        irp: Vec<Irp>,
        source_frame: golden::Matrix,
        target_frame: golden::Matrix,
        parseval: golden::Matrix,
    }

    #[derive(serde::Deserialize)]
    struct Irp {
        delta: f64,
        members: Vec<Vec<usize>>,
        decoder: golden::Matrix,
        matrix: golden::Matrix,
    }

    #[test]
    fn translators_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/translator.json")) {
            let (name, source, target) = (&case.name, case.source.narrow(), case.target.narrow());
            let (source, target) = (Rows::new(&source, case.source.columns), Rows::new(&target, case.target.columns));
            for want in &case.irp {
                let ensemble = ensemble(&case.starts, want.delta);
                let inverse = decoder::irp(target, target, &ensemble).unwrap();
                assert_golden(&flat(inverse.matrix.as_ref()), &want.decoder.data, name);
                let fitted = irp(source, target, target, &ensemble).unwrap();
                let chosen: Vec<_> = fitted.members.iter().map(|member| member.chosen.clone()).collect();
                assert_eq!(chosen, want.members, "{name}");
                assert_golden(&flat(fitted.matrix.as_ref()), &want.matrix.data, name);
            }
            for (rows, want) in [(source, &case.source_frame), (target, &case.target_frame)] {
                let (frame, _) = polar_factor(widen(rows).as_ref(), case.rcond).unwrap();
                assert_golden(&flat(frame.as_ref()), &want.data, name);
            }
            let fitted = golden::parseval(source, target, case.rcond);
            assert_golden(&flat(fitted.matrix.as_ref()), &case.parseval.data, name);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Y = s X Q + t: the paper's assumption, met exactly up to `f32`.
        #[test]
        fn a_rotated_scaled_shifted_space_is_translated_exactly(
            seed: u64, d_x in 2usize..9, wider in 0usize..4, s in 0.01..100f64,
        ) {
            let mut random = Random(seed);
            let (d_y, k) = (d_x + wider, 4 * d_x + 4);
            let x = random.rows(k, d_x);
            let x = Rows::new(&x, d_x);
            let q = random.orthonormal(d_x, d_y);
            let t: Vec<f64> = (0..d_y).map(|_| s * random.normal()).collect();
            let y = similar(x, q.as_ref(), s, &t);
            let (source, target) = (Anchors::new(x).unwrap(), Anchors::new(Rows::new(&y, d_y)).unwrap());
            prop_assume!(crate::kernel::space::spectrum(source.unit()).unwrap().conditioning.condition_number() < 100.0);

            let native = random.rows(20, d_x);
            let native = Rows::new(&native, d_x);
            let truth = similar(native, q.as_ref(), s, &t);
            // Unpruned or pruned but still spanning, it is the same rotation.
            let starts = [random.below(k)];
            let everything = Ensemble { rcond: 1e-3, ..ensemble(&starts, 0.0) };
            let unpruned = irp(source.unit(), target.unit(), target.unit(), &everything).unwrap();
            let framed = golden::parseval(source.unit(), target.unit(), 1e-3);
            for fitted in [unpruned, framed] {
                let matrix = round(fitted.matrix.as_ref());
                assert_near(&flat(fitted.matrix.as_ref()), &flat(q.as_ref()), 1e-4, "the rotation");
                let translation = Translation {
                    source_mean: &source.mean,
                    matrix: &matrix,
                    target_mean: &target.mean,
                    scale: target.scale,
                    length: Length::Scaled,
                    unit_output: false,
                };
                let mut out = vec![0.0; truth.len()];
                translation.apply(native.len(), |i| Some(native.row(i)), &mut Default::default(), &mut out).unwrap();
                let found = similarity(Rows::new(&out, d_y), Rows::new(&truth, d_y), &target.mean).unwrap();
                prop_assert!(found.centred_cosine > 1.0 - 1e-7, "{found:?}");
            }
        }

        /// Without pruning and with K > d_y: T^T solves `U_y W = U_x` in the least squares sense.
        #[test]
        fn the_unpruned_translator_is_the_transposed_least_squares_map_back(
            seed: u64, d_x in 2usize..9, d_y in 2usize..9, more in 1usize..30,
        ) {
            let mut random = Random(seed);
            let k = d_x.max(d_y) + 1 + more;
            let source = Anchors::new(Rows::new(&random.rows(k, d_x), d_x)).unwrap();
            let target = Anchors::new(Rows::new(&random.rows(k, d_y), d_y)).unwrap();
            let (u_x, u_y) = (widen(source.unit()), widen(target.unit()));
            let fitted = irp(source.unit(), target.unit(), target.unit(), &ensemble(&[0], 0.0)).unwrap();
            // The residual is orthogonal to the columns of U_y, which have full rank: the normal equations.
            prop_assert_eq!(fitted.members[0].conditioning.rank, d_y);
            let residual = product(u_y.as_ref(), fitted.matrix.transpose()) - &u_x;
            let normal = flat(product(u_y.transpose(), residual.as_ref()).as_ref());
            prop_assert!(normal.iter().all(|x| x.abs() < 1e-9), "{normal:?}");
        }

        #[test]
        fn a_fit_has_the_same_bits_on_one_thread_and_on_two(seed: u64, delta in 0.0..0.8f64) {
            let mut random = Random(seed);
            let (x, y) = (random.rows(70, 24), random.rows(70, 33));
            let fit = || {
                let source = Anchors::new(Rows::new(&x, 24)).unwrap();
                let target = Anchors::new(Rows::new(&y, 33)).unwrap();
                let starts = [3, 9, 27, 50, 66];
                let pruned = irp(source.unit(), target.unit(), target.unit(), &ensemble(&starts, delta)).unwrap();
                let framed = golden::parseval(source.unit(), target.unit(), DEFAULT_RCOND);
                let bits = |a: &Mat<f64>| flat(a.as_ref()).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                (bits(&pruned.matrix), pruned.members, bits(&framed.matrix))
            };
            let one = with_threads(1, fit);
            prop_assert_eq!(&one, &with_threads(2, fit));
            prop_assert_eq!(&one, &with_threads(2, fit));
        }
    }
}
