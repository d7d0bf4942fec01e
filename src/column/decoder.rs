//! A decoder: a target space's inverse, which needs no source.

use arrow::array::StructArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use serde_json::json;

use super::settings::{Map, Method, MethodOptions, Scale};
use super::space::{Frame, Space};
use super::stored::{self, Builder, Digest, Kind, Stored, field};
use super::translator::members_json;
use crate::kernel;
use crate::kernel::decode::Decoding;
use crate::kernel::space::median;
use crate::kernel::svd::round;
use crate::{Error, Result};

/// A decoder as it is stored.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// The target encoder's name; may be empty.
    pub encoder: String,
    /// The method's name: `irp` for codes of plain anchors, `parseval` for codes of Parseval frames.
    pub method: String,
    /// The method's settings, JSON.
    pub settings: String,
    /// Digest of the anchors' keys: codes of other keys cannot be decoded.
    pub keys_digest: String,
    /// Numbers in a decoded vector, d.
    pub width: usize,
    /// K x d.
    pub matrix: ScalarBuffer<f32>,
    /// The space's mean, d.
    pub mean: ScalarBuffer<f32>,
    /// The space's scale.
    pub scale: f64,
    /// Whether decoded vectors are brought to unit length.
    pub unit_output: bool,
    /// Blake3 of its numbers, names and settings: equal values have equal digests.
    pub digest: String,
    /// JSON for people; no part of the digest.
    pub diagnostics: String,
}

impl Decoder {
    /// The inverse of `space`. Codes and decoders of different frames never mix: irp inverts plain anchors, parseval is for
    /// spaces with a Parseval frame.
    pub fn fit(space: &Space, method: &Method) -> Result<Self> {
        let anchors = &space.anchors;
        let (matrix, members): (ScalarBuffer<f32>, _) = match (method.map, &space.frame) {
            (Map::Irp(irp), Frame::Anchors) => {
                if irp.prune_source || irp.polar {
                    return Err(Error::Invalid(
                        "a decoder knows no source, and prune_space: 'source' and orthogonalise: 'polar' need one: make the \
                         translator with emb_translator or emb_fit"
                            .into(),
                    ));
                }
                let starts = anchors.starts(irp.omega, irp.seed);
                let ensemble = irp.ensemble(&starts, method.rcond);
                let decoder = kernel::decoder::irp(anchors.unit(), anchors.unit(), &ensemble)?;
                (round(decoder.matrix.as_ref()).into(), decoder.members)
            }
            (Map::Parseval, Frame::Parseval(frame)) => (frame.clone(), Vec::new()),
            (Map::Irp(_) | Map::Parseval, _) => {
                return Err(Error::Invalid(format!(
                    "method '{}' cannot decode codes of a space whose frame is '{}': make the space with {{frame: '{}'}}, \
                     or drop the method",
                    method.name(),
                    space.frame_name(),
                    if method.name() == "irp" { "anchors" } else { "parseval" },
                )));
            }
            _ => {
                return Err(Error::Invalid(format!(
                    "method '{}' needs the rows of both spaces, and a decoder has one: make the translator with \
                     emb_translator or emb_fit",
                    method.name()
                )));
            }
        };
        let scale = match method.scale {
            Scale::MeanNorm => anchors.scale,
            Scale::MedianNorm => median(&anchors.norms),
            Scale::None => 1.0,
            Scale::Energy | Scale::Source | Scale::Unit => {
                return Err(Error::Invalid(format!(
                    "scale '{}' is not one factor that a space alone can give: a decoder takes 'mean_norm', 'median_norm' or \
                     'none'; make the translator with emb_translator or emb_fit",
                    method.scale.name()
                )));
            }
        };
        let diagnostics = json!({ "anchors": space.anchors.keys.len(), "members": members_json(&members) });
        let mut decoder = Self {
            encoder: space.anchors.encoder.clone(),
            method: method.name().to_owned(),
            settings: method.settings().to_string(),
            keys_digest: space.anchors.keys.digest(),
            width: space.anchors.width,
            matrix,
            mean: space.anchors.mean.clone(),
            scale,
            unit_output: space.anchors.unit_vectors,
            digest: String::new(),
            diagnostics: diagnostics.to_string(),
        };
        decoder.digest = decoder.compute_digest();
        Ok(decoder)
    }

    /// Number of anchors, K: the length of a code.
    pub fn anchors(&self) -> usize {
        self.matrix.len() / self.width.max(1)
    }

    /// The method it was fitted by, with its settings.
    pub fn method(&self) -> Result<Method> {
        let settings: serde_json::Value = serde_json::from_str(&self.settings).unwrap_or_default();
        let text = |name: &str| settings[name].as_str().map(str::to_owned);
        let options = MethodOptions {
            method: Some(self.method.clone()),
            omega: settings["omega"].as_i64(),
            delta: settings["delta"].as_f64(),
            seed: settings["seed"].as_i64(),
            lambda: settings["lambda"].as_f64(),
            scale: text("scale"),
            rcond: settings["rcond"].as_f64(),
            ..MethodOptions::default()
        };
        Method::new(&options, &self.method)
    }

    /// The numbers that decode.
    pub fn decoding(&self) -> Decoding<'_> {
        Decoding {
            matrix: &self.matrix,
            anchors: self.anchors(),
            mean: &self.mean,
            scale: self.scale,
            unit_output: self.unit_output,
        }
    }

    fn compute_digest(&self) -> String {
        let mut digest = Digest::new(Kind::Decoder);
        digest.text(&self.encoder).text(&self.method).text(&self.settings).text(&self.keys_digest);
        digest.floats(&self.matrix).floats(&self.mean);
        digest.numbers(&[self.scale, f64::from(u8::from(self.unit_output))]);
        digest.hex()
    }

    /// The type of decoders into vectors of width d.
    pub fn data_type(width: usize) -> DataType {
        let mut fields = stored::head_fields();
        fields.extend([
            field("encoder", DataType::Utf8, false),
            field("digest", DataType::Utf8, false),
            field("method", DataType::Utf8, false),
            field("settings", DataType::Utf8, false),
            field("keys_digest", DataType::Utf8, false),
            field("matrix", stored::vectors_type(width), false),
            field("mean", stored::vectors_type(width), false),
            field("scale", DataType::Float64, false),
            field("unit_output", DataType::Boolean, false),
            field("diagnostics", DataType::Utf8, false),
        ]);
        stored::struct_type(fields)
    }

    /// The width of a decoder's type; the error says why it is no decoder.
    pub fn width_of(data_type: &DataType) -> Result<usize, String> {
        if Kind::of(data_type) != Some(Kind::Decoder) {
            return Err("a decoder (made by emb_decoder)".into());
        }
        stored::vectors_width(Kind::Decoder, data_type, "matrix")
    }

    /// As a struct of one row.
    pub fn to_array(&self) -> Result<StructArray> {
        Builder::default()
            .integer("format", Kind::Decoder.format())
            .text("tool_version", stored::TOOL_VERSION)
            .text("encoder", &self.encoder)
            .text("digest", &self.digest)
            .text("method", &self.method)
            .text("settings", &self.settings)
            .text("keys_digest", &self.keys_digest)
            .vectors("matrix", self.width, &self.matrix)?
            .vectors("mean", self.width, &self.mean)?
            .number("scale", self.scale)
            .flag("unit_output", self.unit_output)
            .text("diagnostics", &self.diagnostics)
            .build()
    }

    /// Row `row` of a column of decoders, `None` where it is NULL. Numbers are shared, not copied; the digest is checked.
    pub fn read(array: &StructArray, row: usize) -> Result<Option<Self>> {
        let Some(stored) = Stored::new(Kind::Decoder, array, row)? else { return Ok(None) };
        let (width, matrix) = stored.vectors("matrix")?;
        let decoder = Self {
            encoder: stored.text("encoder")?,
            method: stored.text("method")?,
            settings: stored.text("settings")?,
            keys_digest: stored.text("keys_digest")?,
            width,
            matrix,
            mean: stored.vectors("mean")?.1,
            scale: stored.number("scale")?,
            unit_output: stored.flag("unit_output")?,
            digest: stored.text("digest")?,
            diagnostics: stored.text("diagnostics")?,
        };
        if decoder.mean.len() != width {
            return Err(Error::Invalid(
                "the decoder's parts do not fit together: make it again with emb_decoder".into(),
            ));
        }
        stored.check_digest(&decoder.compute_digest())?;
        Ok(Some(decoder))
    }
}
