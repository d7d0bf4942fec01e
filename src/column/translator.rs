//! A translator: source mean, one d_x x d_y matrix, scale, target mean.

use arrow::array::StructArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::best::{self, Against, Classes, Comparison, MAX_UNSEEN, UNSEEN_SEED};
use super::keys::{Keys, matches};
use super::pair::{Numbers, Pair};
use super::settings::{Best, Choice, Method};
use super::space::KeyedAnchors;
use super::stored::{self, Builder, Digest, Kind, Stored, field};
use crate::kernel::Rows;
use crate::kernel::confidence::Calibration;
use crate::kernel::decoder::Member;
use crate::kernel::fingerprint::{Fingerprint, Traits};
use crate::kernel::space::{directions, median};
use crate::kernel::svd::{Conditioning, round};
use crate::kernel::translate::{Length, Translation};
use crate::{Error, Result};

/// A translator as it is stored.
#[derive(Debug, Clone)]
pub struct Translator {
    /// The source encoder's name; may be empty.
    pub source_encoder: String,
    /// The target encoder's name; may be empty.
    pub target_encoder: String,
    /// The method's name.
    pub method: String,
    /// The method's settings, JSON.
    pub settings: String,
    /// Digest of the keys of the anchor pairs.
    pub keys_digest: String,
    /// Numbers in a source vector, d_x.
    pub source_width: usize,
    /// Numbers in a target vector, d_y.
    pub target_width: usize,
    /// d_x.
    pub source_mean: ScalarBuffer<f32>,
    /// d_x x d_y.
    pub matrix: ScalarBuffer<f32>,
    /// What is added at the end, d_y.
    pub target_mean: ScalarBuffer<f32>,
    /// Mean length of the target's centred anchors, or what takes its place.
    pub scale: f64,
    /// What the scale multiplies.
    pub length: Length,
    /// Whether translated vectors are brought to unit length.
    pub unit_output: bool,
    /// Leading principal directions of the source anchors, m x d_x: for guards.
    pub source_directions: ScalarBuffer<f32>,
    /// Variances along them, m.
    pub source_variances: Vec<f64>,
    /// What the confidence in a row rests on, see [`Translator::fit_calibrated`].
    pub calibration: Option<Calibration>,
    /// What the source anchors are like along their directions, where it was looked at; no part of the digest.
    pub fingerprint: Option<Traits>,
    /// Blake3 of its numbers, names and settings: equal values have equal digests.
    pub digest: String,
    /// JSON for people; no part of the digest.
    pub diagnostics: String,
}

/// One side of the rows to fit from.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The vectors.
    pub rows: Rows<'a>,
    /// The encoder's name; may be empty.
    pub encoder: &'a str,
    /// The mean to centre by; that of the rows where absent.
    pub mean: Option<&'a [f32]>,
}

impl Translator {
    /// Fits from two spaces, their anchors matched by key. Each space keeps its own mean and scale; frames and pruning use
    /// the common keys. The best method is chosen on the common keys too, and the translator is then the same as if that
    /// method had been asked for, but for its diagnostics.
    pub fn fit(source: &KeyedAnchors, target: &KeyedAnchors, choice: &Choice) -> Result<Self> {
        Ok(Self::fit_chosen(source, target, choice)?.0)
    }

    /// The same, and the method.
    pub(super) fn fit_chosen(source: &KeyedAnchors, target: &KeyedAnchors, choice: &Choice) -> Result<(Self, Method)> {
        let (pair, without_twin) = matched(source, target)?;
        let (all, median_norm) = (target, median(&target.norms));
        let (source, target) = pair;
        let (method, compared) = match choice {
            Choice::Method(method) => (*method, None),
            Choice::Best(best) => {
                let unseen = unseen(all, &target);
                let against = Against { unseen: Rows::new(&unseen, all.width), classes: None };
                let found = best::compare(&source, &target, median_norm, &against, best)?.choose(best.by);
                (found.method, Some(found.compared))
            }
        };
        let (numbers, directions) = rayon::join(
            || Pair::new(&source, &target, median_norm, method.rcond).fit(&method),
            || directions(source.unit(), &source.norms),
        );
        let (Numbers { fitted, target_mean, scale, length }, directions) = (numbers?, directions?);
        let mut diagnostics = json!({
            "anchors": source.keys.len(),
            "source_anchors_without_twin": without_twin.0,
            "target_anchors_without_twin": without_twin.1,
        });
        for (space, name) in [(&source, "source_mean"), (&target, "target_mean")] {
            if space.mean_given {
                diagnostics[name] = "given".into();
            }
        }
        for (name, conditioning) in &fitted.conditioning {
            diagnostics[*name] = conditioning_json(conditioning);
        }
        if !fitted.members.is_empty() {
            diagnostics["members"] = members_json(&fitted.members);
        }
        if let Some(compared) = compared {
            diagnostics["best"] = compared;
        }
        let mut translator = Self {
            method: method.name().to_owned(),
            settings: method.settings().to_string(),
            keys_digest: source.keys.digest(),
            source_width: source.width,
            target_width: target.width,
            source_mean: source.mean,
            matrix: round(fitted.matrix.as_ref()).into(),
            target_mean: target_mean.into(),
            scale,
            length,
            unit_output: target.unit_vectors,
            source_directions: directions.directions.into(),
            source_variances: directions.variances,
            calibration: None,
            fingerprint: None,
            source_encoder: source.encoder,
            target_encoder: target.encoder,
            digest: String::new(),
            diagnostics: diagnostics.to_string(),
        };
        translator.digest = translator.compute_digest();
        Ok((translator, method))
    }

    /// [`Translator::fit`] from rows: row i of both sides has key i.
    pub fn fit_rows(keys: &Keys, source: &Side<'_>, target: &Side<'_>, choice: &Choice) -> Result<Self> {
        let (source, target) = Self::anchors(keys, source, target)?;
        Self::fit(&source, &target, choice)
    }

    /// The anchors of both sides: row i of both has key i.
    pub fn anchors(keys: &Keys, source: &Side<'_>, target: &Side<'_>) -> Result<(KeyedAnchors, KeyedAnchors)> {
        Ok((source.anchors("source", keys)?, target.anchors("target", keys)?))
    }

    /// How [`Translator::fit_rows`] finds the method where the best is asked for, held against more than the anchors; classes
    /// are those of the rows.
    pub fn compare(
        keys: &Keys,
        source: &Side<'_>,
        target: &Side<'_>,
        against: &Against<'_>,
        best: &Best,
    ) -> Result<Comparison> {
        let (source, target) = Self::anchors(keys, source, target)?;
        let ((source, matching), _) = matched(&source, &target)?;
        let classes = against.classes.map(|classes| {
            let order = keys.order();
            let common = matches(&source.keys, &keys.select(&order));
            common.into_iter().map(|(_, row)| classes.of[order[row]]).collect::<Vec<_>>()
        });
        let classes = classes.as_deref().zip(against.classes).map(|(of, given)| Classes { of, ..given });
        let against = Against { classes, ..*against };
        best::compare(&source, &matching, median(&target.norms), &against, best)
    }

    /// What rows of the source's encoder are like; `None` where that was not looked at.
    pub fn source_fingerprint(&self) -> Option<Fingerprint<'_>> {
        let directions = Rows::new(&self.source_directions, self.source_width);
        let traits = self.fingerprint.as_ref().filter(|traits| traits.skews.len() <= directions.len())?;
        Some(Fingerprint { mean: &self.source_mean, directions, traits })
    }

    /// Adds to the diagnostics.
    pub fn tell(&mut self, name: &str, value: Value) {
        let mut diagnostics: Value = serde_json::from_str(&self.diagnostics).unwrap_or_default();
        diagnostics[name] = value;
        self.diagnostics = diagnostics.to_string();
    }

    /// The numbers that translate.
    pub fn translation(&self) -> Translation<'_> {
        Translation {
            source_mean: &self.source_mean,
            matrix: &self.matrix,
            target_mean: &self.target_mean,
            scale: self.scale,
            length: self.length,
            unit_output: self.unit_output,
        }
    }

    pub(super) fn compute_digest(&self) -> String {
        let mut digest = Digest::new(Kind::Translator);
        digest.text(&self.source_encoder).text(&self.target_encoder);
        digest.text(&self.method).text(&self.settings).text(&self.keys_digest);
        digest.floats(&self.source_mean).floats(&self.matrix).floats(&self.target_mean);
        digest.numbers(&[self.scale, f64::from(u8::from(self.unit_output))]);
        digest.floats(&self.source_directions).numbers(&self.source_variances);
        // Later than the rest: a version that does not know it refuses the value instead of translating to other lengths.
        if self.length != Length::Scaled {
            digest.text(self.length.name());
        }
        if let Some(calibration) = &self.calibration {
            digest.text("calibration").numbers(&calibration.numbers());
        }
        digest.hex()
    }

    /// The type of translators from width d_x to d_y.
    pub fn data_type(source_width: usize, target_width: usize) -> DataType {
        let mut fields = stored::head_fields();
        fields.extend([
            field("source_encoder", DataType::Utf8, false),
            field("target_encoder", DataType::Utf8, false),
            field("digest", DataType::Utf8, false),
            field("method", DataType::Utf8, false),
            field("settings", DataType::Utf8, false),
            field("keys_digest", DataType::Utf8, false),
            field("source_mean", stored::vectors_type(source_width), false),
            field("matrix", stored::vectors_type(target_width), false),
            field("target_mean", stored::vectors_type(target_width), false),
            field("scale", DataType::Float64, false),
            field("length", DataType::Utf8, false),
            field("unit_output", DataType::Boolean, false),
            field("source_directions", stored::vectors_type(source_width), false),
            field("source_variances", stored::numbers_type(), false),
            field("calibration", stored::numbers_type(), true),
            field("fingerprint", stored::numbers_type(), true),
            field("diagnostics", DataType::Utf8, false),
        ]);
        stored::struct_type(fields)
    }

    /// d_x and d_y of a translator's type; the error says why it is no translator.
    pub fn widths_of(data_type: &DataType) -> Result<(usize, usize), String> {
        if Kind::of(data_type) != Some(Kind::Translator) {
            return Err("a translator (made by emb_fit, emb_translator or `babelake fit`)".into());
        }
        let source = stored::vectors_width(Kind::Translator, data_type, "source_mean")?;
        Ok((source, stored::vectors_width(Kind::Translator, data_type, "matrix")?))
    }

    /// As a struct of one row.
    pub fn to_array(&self) -> Result<StructArray> {
        let (source, target) = (self.source_width, self.target_width);
        Builder::default()
            .integer("format", Kind::Translator.format())
            .text("tool_version", stored::TOOL_VERSION)
            .text("source_encoder", &self.source_encoder)
            .text("target_encoder", &self.target_encoder)
            .text("digest", &self.digest)
            .text("method", &self.method)
            .text("settings", &self.settings)
            .text("keys_digest", &self.keys_digest)
            .vectors("source_mean", source, &self.source_mean)?
            .vectors("matrix", target, &self.matrix)?
            .vectors("target_mean", target, &self.target_mean)?
            .number("scale", self.scale)
            .text("length", self.length.name())
            .flag("unit_output", self.unit_output)
            .vectors("source_directions", source, &self.source_directions)?
            .numbers("source_variances", &self.source_variances)?
            .optional_numbers("calibration", self.calibration.as_ref().map(Calibration::numbers))?
            .optional_numbers("fingerprint", self.fingerprint.as_ref().map(Traits::numbers))?
            .text("diagnostics", &self.diagnostics)
            .build()
    }

    /// Row `row` of a column of translators, `None` where it is NULL. Numbers are shared, not copied; the digest is checked.
    pub fn read(array: &StructArray, row: usize) -> Result<Option<Self>> {
        let Some(stored) = Stored::new(Kind::Translator, array, row)? else { return Ok(None) };
        let (source_width, source_mean) = stored.vectors("source_mean")?;
        let (target_width, matrix) = stored.vectors("matrix")?;
        let length = if stored.has("length") { stored.text("length")? } else { Length::default().name().to_owned() };
        let Some(length) = Length::ALL.into_iter().find(|known| known.name() == length) else {
            return Err(Error::Invalid(format!(
                "the translator's length '{length}' is of a newer babelake: use that one"
            )));
        };
        let calibration = match stored.has("calibration") {
            true => Some(Calibration::from_numbers(&stored.numbers("calibration")?).ok_or_else(|| {
                Error::Invalid("the translator's calibration is of another babelake: fit it again".into())
            })?),
            false => None,
        };
        let translator = Self {
            source_encoder: stored.text("source_encoder")?,
            target_encoder: stored.text("target_encoder")?,
            method: stored.text("method")?,
            settings: stored.text("settings")?,
            keys_digest: stored.text("keys_digest")?,
            source_width,
            target_width,
            source_mean,
            matrix,
            target_mean: stored.vectors("target_mean")?.1,
            scale: stored.number("scale")?,
            length,
            unit_output: stored.flag("unit_output")?,
            source_directions: stored.vectors("source_directions")?.1,
            source_variances: stored.numbers("source_variances")?,
            calibration,
            fingerprint: stored.fingerprint()?,
            digest: stored.text("digest")?,
            diagnostics: stored.text("diagnostics")?,
        };
        let lengths_fit = translator.source_mean.len() == source_width
            && translator.target_mean.len() == target_width
            && translator.matrix.len() == source_width * target_width;
        if !lengths_fit {
            return Err(Error::Invalid("the translator's parts do not fit together: fit it again".into()));
        }
        stored.check_digest(&translator.compute_digest())?;
        Ok(Some(translator))
    }
}

impl Side<'_> {
    fn anchors(&self, name: &str, keys: &Keys) -> Result<KeyedAnchors> {
        KeyedAnchors::fit(keys, self.rows, self.encoder, self.mean).map_err(|error| match error {
            Error::Kernel(error) => Error::Invalid(format!("{name}: {error}")),
            other => other,
        })
    }
}

/// The anchors of both spaces whose keys both have, and how many of each have no twin.
pub(super) fn matched(
    source: &KeyedAnchors,
    target: &KeyedAnchors,
) -> Result<((KeyedAnchors, KeyedAnchors), (usize, usize))> {
    if source.keys.kind() != target.keys.kind() {
        return Err(Error::Invalid(format!(
            "the source's keys are {}s and the target's are {}s: CAST one of them so that they can meet",
            source.keys.kind(),
            target.keys.kind()
        )));
    }
    let pairs = matches(&source.keys, &target.keys);
    if pairs.len() < 2 {
        return Err(Error::Invalid(format!(
            "{} of {} source and {} target anchors have a common key: at least two pairs are needed",
            pairs.len(),
            source.keys.len(),
            target.keys.len()
        )));
    }
    let (from, to): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let without_twin = (source.keys.len() - pairs.len(), target.keys.len() - pairs.len());
    Ok(((source.select(&from), target.select(&to)), without_twin))
}

/// The target's anchors that have no twin, as the encoder gave them: those that are drawn first.
fn unseen(target: &KeyedAnchors, matching: &KeyedAnchors) -> Vec<f32> {
    let mut has_twin = vec![false; target.keys.len()];
    matches(&target.keys, &matching.keys).into_iter().for_each(|(row, _)| has_twin[row] = true);
    let mut rows: Vec<usize> =
        target.keys.drawn("pool", UNSEEN_SEED).into_iter().filter(|&row| !has_twin[row]).collect();
    rows.truncate(MAX_UNSEEN);
    if rows.is_empty() { Vec::new() } else { target.select(&rows).rows() }
}

/// An inverse's conditioning for people.
fn conditioning_json(conditioning: &Conditioning) -> Value {
    json!({
        "rank": conditioning.rank,
        "sigma_1": conditioning.sigma_max,
        "sigma_min_kept": conditioning.sigma_min_kept,
        "condition_number": conditioning.condition_number(),
    })
}

/// The members of an ensemble for people.
pub(super) fn members_json(members: &[Member]) -> Value {
    let member = |member: &Member| {
        let mut json = conditioning_json(&member.conditioning);
        json["anchors"] = member.chosen.len().into();
        json
    };
    members.iter().map(member).collect()
}
