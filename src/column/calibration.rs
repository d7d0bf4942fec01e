//! Calibrating the confidence of a translator: on its own anchors, each translated by a fit that has not seen it.

use serde_json::{Value, json};

use super::keys::matches;
use super::settings::{Choice, Method};
use super::space::KeyedAnchors;
use super::translator::Translator;
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::confidence::{Calibration, Confidence, Coverage, Traits, deciles};
use crate::kernel::fingerprint;
use crate::kernel::keyed::folds;
use crate::kernel::quality::similarities;
use crate::kernel::translate::NotFinite;
use crate::{Error, Result};

/// Parts that the anchors are drawn into; each is translated by a fit on the others.
const FOLDS: usize = 5;

/// Anchors at least: a tenth of them has five.
pub const FEWEST_ANCHORS: usize = 50;

/// Some rows' traits, and the centred cosines of their translations to the target's own vectors.
#[derive(Default)]
struct Seen {
    traits: Vec<Traits>,
    cosines: Vec<f64>,
}

impl Translator {
    /// Whether these have pairs enough to be calibrated on.
    pub fn can_be_calibrated(source: &KeyedAnchors, target: &KeyedAnchors) -> bool {
        matches(&source.keys, &target.keys).len() >= FEWEST_ANCHORS
    }

    /// [`Translator::fit`] with its confidence calibrated.
    pub fn fit_calibrated(source: &KeyedAnchors, target: &KeyedAnchors, choice: &Choice) -> Result<Self> {
        let (fitted, method) = Self::fit_chosen(source, target, choice)?;
        fitted.calibrated(source, target, &method)
    }

    /// The same with its confidence calibrated; `source`, `target` and `method` are those it was fitted with. In the diagnostics
    /// is the mean centred cosine of every tenth of the anchors, by confidence.
    ///
    /// Lengths of unscaled results are longer the fewer anchors a fit has: those of a fold are compared with the lengths of the
    /// anchors it was fitted on.
    fn calibrated(mut self, source: &KeyedAnchors, target: &KeyedAnchors, method: &Method) -> Result<Self> {
        let (from, to): (Vec<usize>, Vec<usize>) = matches(&source.keys, &target.keys).into_iter().unzip();
        let (source, target) = (source.select(&from), target.select(&to));
        if from.len() < FEWEST_ANCHORS {
            return Err(Error::Invalid(format!(
                "{} pairs of anchors are too few to calibrate confidence: at least {FEWEST_ANCHORS} are needed",
                from.len()
            )));
        }
        // The means stay those of all anchors: a fifth of them moves a mean less than it turns a matrix.
        let drawn = source.keys.drawn("folds", 0);
        let fold_of = folds(&drawn, FOLDS);
        let of = |held: bool, fold: usize| -> Vec<usize> {
            (0..fold_of.len()).filter(|&anchor| (fold_of[anchor] == fold) == held).collect()
        };
        let all = typical_length(&self, &source)?;
        let mut seen = Seen::default();
        for fold in 0..FOLDS {
            let (rest, held) = (of(false, fold), of(true, fold));
            let rest = (source.select(&rest), target.select(&rest));
            let fitted = Self::fit(&rest.0, &rest.1, &Choice::Method(*method))?;
            let longer = all - typical_length(&fitted, &rest.0)?;
            fitted.see(&source.select(&held), &target.select(&held), longer, &mut seen)?;
        }
        let calibration = Calibration::fit(&seen.traits, &seen.cosines)?;
        let confidences: Vec<f64> = seen.traits.iter().map(|&traits| calibration.confidence(Some(traits))).collect();
        let tenths: Vec<Value> = deciles(&confidences, &seen.cosines)
            .into_iter()
            .map(|tenth| {
                json!({ "low": tenth.low, "high": tenth.high, "anchors": tenth.rows, "centred_cosine": tenth.cosine })
            })
            .collect();
        let mut diagnostics: Value = serde_json::from_str(&self.diagnostics).unwrap_or_default();
        diagnostics["confidence"] = json!({ "anchors": seen.cosines.len(), "folds": FOLDS, "deciles": tenths });
        self.diagnostics = diagnostics.to_string();
        self.calibration = Some(calibration);
        let (anchors, width) = (source.rows(), self.source_width);
        let directions = Rows::new(&self.source_directions, width);
        self.fingerprint = fingerprint::Traits::new(Rows::new(&anchors, width), directions)?;
        self.digest = self.compute_digest();
        Ok(self)
    }

    /// What the confidence in a row is computed with; an error where it was not calibrated.
    pub fn confidence(&self) -> Result<Confidence<'_>> {
        let calibration = self.calibration.as_ref().ok_or_else(|| {
            Error::Invalid(format!(
                "the translator's confidence is not calibrated: fit it again, with {{calibrate: true}} in SQL or by \
                 `babelake fit`, on {FEWEST_ANCHORS} anchors or more"
            ))
        })?;
        Ok(Confidence { translation: self.translation(), coverage: self.coverage(), calibration })
    }

    fn coverage(&self) -> Coverage<'_> {
        Coverage {
            mean: &self.source_mean,
            directions: Rows::new(&self.source_directions, self.source_width),
            variances: &self.source_variances,
        }
    }

    /// Adds what is seen of anchors that the translator was not fitted on, the logarithms of lengths raised by `longer`.
    fn see(&self, source: &KeyedAnchors, target: &KeyedAnchors, longer: f64, seen: &mut Seen) -> Result<()> {
        let (given, native) = (source.rows(), target.rows());
        let (given, native) = (Rows::new(&given, self.source_width), Rows::new(&native, self.target_width));
        let row = |i: usize| Some(given.row(i));
        let scratch = &mut Scratch::default();
        let mut translated = vec![0.0; native.as_slice().len()];
        self.translation().apply(given.len(), row, scratch, &mut translated).map_err(of_anchor)?;
        let lengths = self.translation().lengths(given.len(), row, scratch).map_err(of_anchor)?;
        let traits = self.coverage().traits(given.len(), row, &lengths, scratch).map_err(of_anchor)?;
        let translated = Rows::new(&translated, self.target_width);
        let cosines = similarities(translated, native, &self.target_mean).map(|[_, centred, _]| centred);
        for (traits, cosine) in traits.into_iter().zip(cosines) {
            let Some([length, rest @ ..]) = traits else { continue };
            seen.traits.push([length + longer, rest[0], rest[1], rest[2]]);
            seen.cosines.push(cosine);
        }
        Ok(())
    }
}

/// The logarithm of the root mean square length of these anchors' unscaled results.
fn typical_length(translator: &Translator, anchors: &KeyedAnchors) -> Result<f64> {
    let rows = anchors.rows();
    let rows = Rows::new(&rows, translator.source_width);
    let row = |i: usize| Some(rows.row(i));
    let lengths = translator.translation().lengths(rows.len(), row, &mut Scratch::default()).map_err(of_anchor)?;
    let square = lengths.iter().map(|length| length * length).sum::<f64>() / lengths.len() as f64;
    Ok(square.max(f64::MIN_POSITIVE).ln() / 2.0)
}

fn of_anchor(flaw: NotFinite) -> Error {
    Error::Invalid(format!("anchor {} has an item that is NaN or infinite", flaw.row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::keys::Keys;
    use crate::column::settings::MethodOptions;
    use crate::column::translator::Side;
    use crate::kernel::center::center_into;
    use crate::kernel::cosine::cosine;
    use crate::kernel::golden::Random;

    fn method(name: &str) -> Choice {
        Choice::new(&MethodOptions { method: Some(name.into()), ..Default::default() }, "parseval").unwrap()
    }

    /// Rows of four numbers, of which the target has three and noise as loud as the fourth.
    fn sides(count: usize) -> (Vec<f32>, Vec<f32>) {
        let x = Random(3).rows(count, 4);
        let mut noise = Random(5);
        let y = x.chunks_exact(4).flat_map(|x| [x[1], -x[0], x[2]].map(|y| y + x[3] * noise.normal() as f32)).collect();
        (x, y)
    }

    fn anchors(keys: &[usize]) -> (KeyedAnchors, KeyedAnchors) {
        let (x, y) = sides(600);
        let (x, y) = (Rows::new(&x, 4).select(keys), Rows::new(&y, 3).select(keys));
        let keys = Keys::Int(keys.iter().map(|&key| key as i64).collect());
        let side = |rows, width| Side { rows: Rows::new(rows, width), encoder: "", mean: None };
        Translator::anchors(&keys, &side(&x, 4), &side(&y, 3)).unwrap()
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_the_map_stays() {
        let order: Vec<usize> = (0..300).collect();
        for name in ["parseval", "irp", "linear", "best"] {
            let calibrated = |keys: &[usize]| {
                let (source, target) = anchors(keys);
                let fitted = Translator::fit(&source, &target, &method(name)).unwrap();
                (fitted, Translator::fit_calibrated(&source, &target, &method(name)).unwrap())
            };
            let (plain, found) = calibrated(&order);
            let (_, again) = calibrated(&Random(4).shuffled(300));
            assert_eq!((&found.digest, &found.calibration), (&again.digest, &again.calibration), "{name}");
            assert_eq!(found.diagnostics, again.diagnostics);
            assert!(plain.digest != found.digest && plain.matrix == found.matrix);
            let stored = found.to_array().unwrap();
            assert_eq!(Translator::read(&stored, 0).unwrap().unwrap().calibration, found.calibration);
        }
    }

    #[test]
    fn confidence_is_right_on_rows_that_were_no_anchors() {
        let (source, target) = anchors(&(0..400).collect::<Vec<_>>());
        let (x, y) = sides(600);
        let rows: Vec<(&[f32], &[f32])> = x.chunks_exact(4).zip(y.chunks_exact(3)).skip(400).collect();
        for name in ["parseval", "procrustes", "ridge"] {
            let fitted = Translator::fit_calibrated(&source, &target, &method(name)).unwrap();
            let (mut seen, scratch) = (Vec::new(), &mut Scratch::default());
            let found = fitted.confidence().unwrap().apply(rows.len(), |i| Some(rows[i].0), scratch).unwrap();
            let mut translated = vec![0.0; rows.len() * 3];
            fitted.translation().apply(rows.len(), |i| Some(rows[i].0), scratch, &mut translated).unwrap();
            for ((confidence, translated), (_, y)) in found.into_iter().zip(translated.chunks_exact(3)).zip(&rows) {
                let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
                center_into(translated, &fitted.target_mean, &mut a);
                center_into(y, &fitted.target_mean, &mut b);
                seen.push((confidence, cosine(&a, &b).unwrap()));
            }
            let mean = |seen: &[(f64, f64)]| {
                let (confidence, cosine) = seen.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
                (confidence / seen.len() as f64, cosine / seen.len() as f64)
            };
            let (expected, came) = mean(&seen);
            assert!((expected - came).abs() < 0.05, "{name}: {expected}, came {came}");
            seen.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(mean(&seen[..20]).1 + 0.05 < mean(&seen[180..]).1, "{name}");
        }
    }

    #[test]
    fn too_few_anchors_are_told() {
        let (source, target) = anchors(&(0..FEWEST_ANCHORS - 1).collect::<Vec<_>>());
        let fitted = Translator::fit(&source, &target, &method("parseval")).unwrap();
        assert!(fitted.confidence().unwrap_err().to_string().contains("fit it again"));
        assert!(!Translator::can_be_calibrated(&source, &target));
        let error = Translator::fit_calibrated(&source, &target, &method("parseval")).unwrap_err();
        assert!(error.to_string().contains("49 pairs of anchors are too few"), "{error}");
    }
}
