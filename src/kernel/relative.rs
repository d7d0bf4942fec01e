//! The relative representation: cosines of a centred row to the anchors, equation (1).

use super::Rows;
use super::block::{Factor, Scratch, multiply};
use super::center::{Centered, center_normalize_row, noise_floor};
use super::norm::norm;
use super::translate::NotFinite;

/// `r = nu(x - mu) A^T` for `count` rows, to `out` (count x K); `anchors` are unit rows, or a Parseval frame.
///
/// `row(i)` gives row i, or `None` for a NULL one. NULL rows and rows that equal the mean have the zero code.
pub fn relative<'r>(
    mean: &[f32],
    anchors: Rows<'_>,
    count: usize,
    row: impl Fn(usize) -> Option<&'r [f32]>,
    scratch: &mut Scratch,
    out: &mut [f32],
) -> Result<(), NotFinite> {
    let floor = noise_floor(norm(mean));
    multiply(
        count,
        (mean.len(), anchors.len()),
        Factor::Transposed(anchors.as_slice()),
        scratch,
        out,
        #[inline(always)]
        |i, input| match center_normalize_row(row(i), mean, floor, input) {
            Centered::NotFinite => Err(NotFinite { row: i }),
            _ => Ok(()),
        },
        |_, _| (),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::decode::Decoding;
    use crate::kernel::golden::{self, Random, assert_near, bits, ensemble, flat, wide};
    use crate::kernel::space::Anchors;
    use crate::kernel::svd::{DEFAULT_RCOND, pinv, polar_factor, round, widen};
    use crate::kernel::{decoder, translator};
    use proptest::prelude::*;

    fn encode(mean: &[f32], anchors: Rows<'_>, rows: Rows<'_>) -> Vec<f32> {
        let mut codes = vec![0.0; rows.len() * anchors.len()];
        relative(mean, anchors, rows.len(), |i| Some(rows.row(i)), &mut Scratch::default(), &mut codes).unwrap();
        codes
    }

    /// The rows `mu + e_i`.
    fn steps(mean: &[f32]) -> Vec<f32> {
        let d = mean.len();
        (0..d * d).map(|i| mean[i % d] + if i / d == i % d { 1.0 } else { 0.0 }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Anchor completion: the identity, encoded and decoded without restoring mean and scale, is the translator.
        #[test]
        fn the_identity_encoded_and_decoded_is_the_translator(
            seed: u64, k in 12usize..40, d_x in 2usize..9, d_y in 2usize..9, delta in 0.1..0.6f64,
        ) {
            let mut random = Random(seed);
            let source = Anchors::new(Rows::new(&random.rows(k, d_x), d_x)).unwrap();
            let target = Anchors::new(Rows::new(&random.rows(k, d_y), d_y)).unwrap();
            let starts: Vec<usize> = (0..4).map(|_| random.below(k)).collect();
            let inverse = decoder::irp(target.unit(), target.unit(), &ensemble(&starts, delta)).unwrap();
            let pruned = translator::irp(source.unit(), target.unit(), target.unit(), &ensemble(&starts, delta)).unwrap();
            let frame = |anchors: &Anchors| polar_factor(widen(anchors.unit()).as_ref(), DEFAULT_RCOND).unwrap().0;
            let framed = golden::parseval(source.unit(), target.unit(), DEFAULT_RCOND);

            let steps = steps(&source.mean);
            for (encoder, decoder, fitted) in [
                (source.unit.clone(), inverse.matrix, pruned),
                (round(frame(&source).as_ref()), frame(&target), framed),
            ] {
                let matrix = round(decoder.as_ref());
                let codes = encode(&source.mean, Rows::new(&encoder, d_x), Rows::new(&steps, d_x));
                let mean = vec![0.0; d_y];
                let decoding = Decoding { matrix: &matrix, anchors: k, mean: &mean, scale: 1.0, unit_output: false };
                let mut out = vec![0.0; d_x * d_y];
                decoding.apply(d_x, |i| Some(&codes[i * k..(i + 1) * k]), &mut Scratch::default(), &mut out).unwrap();
                // `f32` throughout: errors grow with the decoder's entries, not with the translator's.
                let largest = wide(&matrix).iter().fold(1.0f64, |m, x| m.max(x.abs()));
                let bound = 1e-6 * k as f64 * largest;
                for (got, want) in wide(&out).iter().zip(flat(fitted.matrix.as_ref())) {
                    prop_assert!((got - want).abs() < bound, "{got}, wanted {want}");
                }
            }
        }

        /// Equation (5) member by member: restrict the code to S_i, decode with its own inverse, average.
        #[test]
        fn the_streamed_ensemble_is_the_translator(
            seed: u64, k in 12usize..40, d_x in 2usize..9, d_y in 2usize..9, delta in 0.0..0.6f64,
        ) {
            let mut random = Random(seed);
            let source = Anchors::new(Rows::new(&random.rows(k, d_x), d_x)).unwrap();
            let target = Anchors::new(Rows::new(&random.rows(k, d_y), d_y)).unwrap();
            let starts: Vec<usize> = (0..5).map(|_| random.below(k)).collect();
            let fitted = translator::irp(source.unit(), target.unit(), target.unit(), &ensemble(&starts, delta)).unwrap();
            // One direction of the source space, in f64.
            let row: Vec<f64> = (0..d_x).map(|_| random.normal()).collect();
            let code = |i: usize| source.unit().row(i).iter().zip(&row).map(|(&u, x)| f64::from(u) * x).sum::<f64>();
            let mut streamed = vec![0.0; d_y];
            for member in &fitted.members {
                let kept = widen(Rows::new(&target.unit().select(&member.chosen), d_y));
                let (inverse, _) = pinv(kept.transpose(), DEFAULT_RCOND).unwrap();
                for (place, &anchor) in member.chosen.iter().enumerate() {
                    for (j, sum) in streamed.iter_mut().enumerate() {
                        *sum += code(anchor) * inverse[(place, j)] / starts.len() as f64;
                    }
                }
            }
            let collapsed: Vec<f64> =
                (0..d_y).map(|j| (0..d_x).map(|i| row[i] * fitted.matrix[(i, j)]).sum()).collect();
            let condition = fitted.members.iter().map(|m| m.conditioning.condition_number()).fold(1.0, f64::max);
            assert_near(&streamed, &collapsed, 1e-13 * condition * k as f64, "streamed");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        let (d, k) = (24, 70);
        let mut random = Random(3);
        let anchors = Anchors::new(Rows::new(&random.rows(k, d), d)).unwrap();
        let data = random.rows(700, d);
        let rows = Rows::new(&data, d);
        let all = encode(&anchors.mean, anchors.unit(), rows);
        for i in [0, 255, 256, 512, 699] {
            let alone = encode(&anchors.mean, anchors.unit(), Rows::new(rows.row(i), d));
            assert_eq!(bits(&alone), bits(&all[i * k..(i + 1) * k]));
        }
        let order = random.shuffled(700);
        let shuffled = rows.select(&order[..257]);
        let got = encode(&anchors.mean, anchors.unit(), Rows::new(&shuffled, d));
        for (got, &i) in got.chunks_exact(k).zip(&order) {
            assert_eq!(bits(got), bits(&all[i * k..(i + 1) * k]));
        }
    }

    #[test]
    fn null_and_the_mean_have_the_zero_code_and_bad_rows_are_named() {
        let mut random = Random(2);
        let anchors = Anchors::new(Rows::new(&random.rows(6, 3), 3)).unwrap();
        let mut codes = vec![f32::NAN; 12];
        let good = [None, Some(anchors.mean.as_slice())];
        relative(&anchors.mean, anchors.unit(), 2, |i| good[i], &mut Scratch::default(), &mut codes).unwrap();
        assert_eq!(codes, [0.0; 12]);
        let bad = [None, Some([1.0, f32::INFINITY, 0.0].as_slice())];
        let got = relative(&anchors.mean, anchors.unit(), 2, |i| bad[i], &mut Scratch::default(), &mut codes);
        assert_eq!(got, Err(NotFinite { row: 1 }));
    }
}
