//! A space: one encoder's anchors made ready, by key.

use arrow::array::StructArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use faer::Mat;
use serde_json::json;

use super::keys::{KeyKind, Keys};
use super::stored::{self, Builder, Digest, Kind, Stored, field};
use crate::kernel::fingerprint::Traits;
use crate::kernel::space::{Anchors, centred, directions, spectrum};
use crate::kernel::svd::{DEFAULT_RCOND, polar_factor, round, widen};
use crate::kernel::{self, Rows};
use crate::{Error, Result};

/// Anchors of one space with their keys, sorted by key, centred by their mean and of unit length.
#[derive(Debug, Clone)]
pub struct KeyedAnchors {
    /// The encoder's name, as the user gave it; may be empty.
    pub encoder: String,
    /// Keys of the anchors that differ from the mean, K, ascending.
    pub keys: Keys,
    /// Numbers in a vector, d.
    pub width: usize,
    /// Mean of all anchors, or the one that was given, d.
    pub mean: ScalarBuffer<f32>,
    /// Unit rows, K x d.
    pub unit: ScalarBuffer<f32>,
    /// Lengths after centring, K.
    pub norms: Vec<f64>,
    /// Mean of `norms`.
    pub scale: f64,
    /// Whether the anchors are unit vectors as the encoder gives them.
    pub unit_vectors: bool,
    /// Whether `mean` is not that of the anchors.
    pub mean_given: bool,
}

impl KeyedAnchors {
    /// Sorts rows by key, centres and normalises them; by their own mean, or by one that is given (d numbers). Duplicate
    /// keys and fewer than two different rows are errors.
    pub fn fit(keys: &Keys, rows: Rows<'_>, encoder: &str, mean: Option<&[f32]>) -> Result<Self> {
        let order = keys.unique_order("an anchor's key must be unique (SELECT DISTINCT ON, or GROUP BY the key)")?;
        let sorted = rows.select(&order);
        let sorted = Rows::new(&sorted, rows.width());
        let anchors = match mean {
            None => Anchors::new(sorted)?,
            Some(mean) => Anchors::about(sorted, mean.iter().map(|&m| f64::from(m)).collect())?,
        };
        let kept: Vec<usize> = anchors.kept.iter().map(|&i| order[i]).collect();
        Ok(Self {
            encoder: encoder.to_owned(),
            keys: keys.select(&kept),
            width: anchors.width,
            mean: anchors.mean.into(),
            unit: anchors.unit.into(),
            norms: anchors.norms,
            scale: anchors.scale,
            unit_vectors: anchors.unit_anchors,
            mean_given: mean.is_some(),
        })
    }

    /// The unit anchors, K x d.
    pub fn unit(&self) -> Rows<'_> {
        Rows::new(&self.unit, self.width)
    }

    /// The anchors at `indexes`; mean and scale stay those of the whole space.
    pub fn select(&self, indexes: &[usize]) -> Self {
        if indexes.len() == self.keys.len() {
            return self.clone();
        }
        Self {
            keys: self.keys.select(indexes),
            unit: self.unit().select(indexes).into(),
            norms: indexes.iter().map(|&i| self.norms[i]).collect(),
            ..self.clone()
        }
    }

    /// The centred anchors with their lengths, K x d.
    pub fn centred(&self) -> Mat<f64> {
        centred(self.unit(), &self.norms)
    }

    /// The rows as the encoder gave them, K x d, to the last place or so.
    pub fn rows(&self) -> Vec<f32> {
        let row = |(unit, norm): (&'_ [f32], &f64)| -> Vec<f32> {
            let number = |(&u, &m): (&f32, &f32)| (f64::from(m) + norm * f64::from(u)) as f32;
            unit.iter().zip(self.mean.iter()).map(number).collect()
        };
        self.unit().iter().zip(&self.norms).flat_map(row).collect()
    }

    /// Where subspace i starts, of `omega`: the anchor whose key is drawn first by seed + i.
    pub fn starts(&self, omega: usize, seed: u64) -> Vec<usize> {
        let canonical: Vec<Vec<u8>> = (0..self.keys.len()).map(|i| self.keys.canonical(i)).collect();
        let start = |i: usize| kernel::keyed::first("start", seed.wrapping_add(i as u64), &canonical);
        (0..omega).filter_map(start).collect()
    }
}

/// What relative representations of a space are made with.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The unit anchors themselves: codes are cosines.
    Anchors,
    /// Their Parseval frame, K x d.
    Parseval(ScalarBuffer<f32>),
}

/// A space as it is stored.
#[derive(Debug, Clone)]
pub struct Space {
    /// The anchors.
    pub anchors: KeyedAnchors,
    /// Singular values of the unit anchors, descending.
    pub singular_values: Vec<f64>,
    /// How many of them exceed 1e-6 of the largest.
    pub rank: usize,
    /// Leading principal directions of the centred anchors, at most 32, m x d.
    pub directions: ScalarBuffer<f32>,
    /// Variances along them, m.
    pub variances: Vec<f64>,
    /// What the anchors are like along them, where there are enough; no part of the digest.
    pub fingerprint: Option<Traits>,
    /// What codes are made with.
    pub frame: Frame,
    /// Blake3 of its numbers, names and settings: equal values have equal digests.
    pub digest: String,
    /// JSON for people; no part of the digest.
    pub diagnostics: String,
}

impl Space {
    /// Makes anchors ready as a space, see [`KeyedAnchors::fit`]. `parseval` stores their Parseval frame with them.
    pub fn fit(keys: &Keys, rows: Rows<'_>, encoder: &str, mean: Option<&[f32]>, parseval: bool) -> Result<Self> {
        Self::of_anchors(KeyedAnchors::fit(keys, rows, encoder, mean)?, keys.len(), parseval)
    }

    /// Makes anchors a space; `given` is how many there were, those equal to the mean included.
    pub(super) fn of_anchors(anchors: KeyedAnchors, given: usize, parseval: bool) -> Result<Self> {
        let spectrum = spectrum(anchors.unit())?;
        let directions = directions(anchors.unit(), &anchors.norms)?;
        let frame = if parseval {
            let (frame, _) = polar_factor(widen(anchors.unit()).as_ref(), DEFAULT_RCOND)?;
            Frame::Parseval(round(frame.as_ref()).into())
        } else {
            Frame::Anchors
        };
        let diagnostics = json!({
            "anchors_given": given,
            "anchors": anchors.keys.len(),
            "equal_to_the_mean": given - anchors.keys.len(),
            "rank": spectrum.conditioning.rank,
            "sigma_1": spectrum.conditioning.sigma_max,
            "sigma_min_kept": spectrum.conditioning.sigma_min_kept,
            "condition_number": spectrum.conditioning.condition_number(),
        });
        let fingerprint =
            Traits::new(Rows::new(&anchors.rows(), anchors.width), Rows::new(&directions.directions, anchors.width))?;
        let mut space = Self {
            fingerprint,
            rank: spectrum.conditioning.rank,
            singular_values: spectrum.singular_values,
            directions: directions.directions.into(),
            variances: directions.variances,
            frame,
            digest: String::new(),
            diagnostics: diagnostics.to_string(),
            anchors,
        };
        space.digest = space.compute_digest();
        Ok(space)
    }

    /// The rows that codes are made with, K x d.
    pub fn frame_rows(&self) -> Rows<'_> {
        match &self.frame {
            Frame::Anchors => self.anchors.unit(),
            Frame::Parseval(frame) => Rows::new(frame, self.anchors.width),
        }
    }

    /// The name of the frame: `anchors` or `parseval`.
    pub fn frame_name(&self) -> &'static str {
        match self.frame {
            Frame::Anchors => "anchors",
            Frame::Parseval(_) => "parseval",
        }
    }

    fn compute_digest(&self) -> String {
        let anchors = &self.anchors;
        let mut digest = Digest::new(Kind::Space);
        digest.text(&anchors.encoder).text(&anchors.keys.digest()).text(self.frame_name());
        digest.floats(&anchors.mean).floats(&anchors.unit).numbers(&anchors.norms);
        digest.numbers(&[anchors.scale, f64::from(u8::from(anchors.unit_vectors))]);
        digest.numbers(&self.singular_values).floats(&self.directions).numbers(&self.variances);
        if let Frame::Parseval(frame) = &self.frame {
            digest.floats(frame);
        }
        digest.hex()
    }

    /// The type of spaces of vectors of width d with keys of a kind.
    pub fn data_type(kind: KeyKind, width: usize) -> DataType {
        let mut fields = stored::head_fields();
        fields.extend([
            field("encoder", DataType::Utf8, false),
            field("digest", DataType::Utf8, false),
            field("keys", stored::keys_type(kind), false),
            field("anchors", stored::vectors_type(width), false),
            field("norms", stored::numbers_type(), false),
            field("mean", stored::vectors_type(width), false),
            field("scale", DataType::Float64, false),
            field("unit_vectors", DataType::Boolean, false),
            field("mean_given", DataType::Boolean, false),
            field("rank", DataType::Int32, false),
            field("singular_values", stored::numbers_type(), false),
            field("directions", stored::vectors_type(width), false),
            field("variances", stored::numbers_type(), false),
            field("fingerprint", stored::numbers_type(), true),
            field("frame", stored::vectors_type(width), true),
            field("diagnostics", DataType::Utf8, false),
        ]);
        stored::struct_type(fields)
    }

    /// Width and kind of keys of a space's type; the error says why it is no space.
    pub fn shape(data_type: &DataType) -> Result<(KeyKind, usize), String> {
        stored::keyed_shape(Kind::Space, data_type, ("keys", "anchors"))
            .ok_or_else(|| "a space (made by emb_space)".to_owned())?
    }

    /// As a struct of one row.
    pub fn to_array(&self) -> Result<StructArray> {
        let anchors = &self.anchors;
        let width = anchors.width;
        let frame = match &self.frame {
            Frame::Anchors => None,
            Frame::Parseval(frame) => Some(frame),
        };
        Builder::default()
            .integer("format", Kind::Space.format())
            .text("tool_version", stored::TOOL_VERSION)
            .text("encoder", &anchors.encoder)
            .text("digest", &self.digest)
            .keys("keys", &anchors.keys)?
            .vectors("anchors", width, &anchors.unit)?
            .numbers("norms", &anchors.norms)?
            .vectors("mean", width, &anchors.mean)?
            .number("scale", anchors.scale)
            .flag("unit_vectors", anchors.unit_vectors)
            .flag("mean_given", anchors.mean_given)
            .integer("rank", i32::try_from(self.rank).unwrap_or(i32::MAX))
            .numbers("singular_values", &self.singular_values)?
            .vectors("directions", width, &self.directions)?
            .numbers("variances", &self.variances)?
            .optional_numbers("fingerprint", self.fingerprint.as_ref().map(Traits::numbers))?
            .optional_vectors("frame", width, frame)?
            .text("diagnostics", &self.diagnostics)
            .build()
    }

    /// Row `row` of a column of spaces, `None` where it is NULL. Numbers are shared, not copied; the digest is checked.
    pub fn read(array: &StructArray, row: usize) -> Result<Option<Self>> {
        let Some(stored) = Stored::new(Kind::Space, array, row)? else { return Ok(None) };
        let (width, unit) = stored.vectors("anchors")?;
        let space = Self {
            anchors: KeyedAnchors {
                encoder: stored.text("encoder")?,
                keys: stored.keys("keys")?,
                width,
                mean: stored.vectors("mean")?.1,
                unit,
                norms: stored.numbers("norms")?,
                scale: stored.number("scale")?,
                unit_vectors: stored.flag("unit_vectors")?,
                mean_given: stored.has("mean_given") && stored.flag("mean_given")?,
            },
            singular_values: stored.numbers("singular_values")?,
            rank: usize::try_from(stored.integer("rank")?).unwrap_or(0),
            directions: stored.vectors("directions")?.1,
            variances: stored.numbers("variances")?,
            fingerprint: stored.fingerprint()?,
            frame: stored.optional_vectors("frame")?.map_or(Frame::Anchors, |(_, frame)| Frame::Parseval(frame)),
            digest: stored.text("digest")?,
            diagnostics: stored.text("diagnostics")?,
        };
        let anchors = &space.anchors;
        let (k, d) = (anchors.keys.len(), anchors.width);
        let lengths_fit = anchors.unit.len() == k * d
            && anchors.norms.len() == k
            && anchors.mean.len() == d
            && space.frame_rows().len() == k;
        if !lengths_fit {
            return Err(Error::Invalid("the space's parts do not fit together: make it again with emb_space".into()));
        }
        stored.check_digest(&space.compute_digest())?;
        Ok(Some(space))
    }
}
