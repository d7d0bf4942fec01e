//! The relative space as a bridge: translators that are put together from spaces and decoders, each fitted alone.
//!
//! A row's code is `r = nu(x - mu_x) F^T` with the space's frame F, and what a decoder makes of it `y = s r H + mu_y`. Both steps are
//! translators too, so that codes are stored and read by the same job as everything else.

use serde_json::{Value, json};

use super::keys::{Keys, matches};
use super::{Decoder, Space, Translator};
use crate::kernel::Rows;
use crate::kernel::svd::{product, round, widen};
use crate::kernel::translate::Length;
use crate::{Error, Result};

/// The method of a translator that encodes.
pub const CODE: &str = "code";
/// The method of a translator that decodes codes.
pub const DECODE: &str = "decode";

/// What stored codes are: in the settings of the translator that made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The frame of the space: `anchors` or `parseval`.
    pub frame: String,
    /// Digest of the keys.
    pub keys: String,
    /// Digest of the space.
    pub space: String,
}

impl Code {
    /// Of the rows of `space`.
    pub fn of(space: &Space) -> Self {
        Self { frame: space.frame_name().to_owned(), keys: space.anchors.keys.digest(), space: space.digest.clone() }
    }

    fn to_json(&self) -> Value {
        json!({ "frame": self.frame, "keys": self.keys, "space": self.space })
    }

    /// From the settings of a translator of method [`CODE`].
    pub fn from_json(settings: &Value) -> Option<Self> {
        let text = |name: &str| settings[name].as_str().map(str::to_owned);
        Some(Self { frame: text("frame")?, keys: text("keys")?, space: text("space")? })
    }
}

impl Space {
    /// The space of these of its keys alone, ascending; mean and scale stay those of the whole. The error says how many there
    /// are not.
    pub fn restricted(&self, keys: &Keys) -> Result<Self> {
        let found: Vec<usize> = matches(&self.anchors.keys, keys).into_iter().map(|(place, _)| place).collect();
        if found.len() < keys.len() {
            return Err(Error::Invalid(format!(
                "the space of '{}' has {} of the {} anchors that these codes are made with: codes need all of them (`babelake hub \
                 check` lists the missing ones, so that they can be embedded)",
                self.anchors.encoder,
                found.len(),
                keys.len()
            )));
        }
        if found.len() == self.anchors.keys.len() {
            return Ok(self.clone());
        }
        Self::of_anchors(self.anchors.select(&found), found.len(), self.frame_name() == "parseval")
    }
}

impl Translator {
    /// From the space into the decoder's, `T = F^T H` (equation (5) applied to the identity): nothing is fitted. Keys and frames
    /// must be the same.
    pub fn compose(space: &Space, decoder: &Decoder) -> Result<Self> {
        check(&Code::of(space), decoder)?;
        if decoder.anchors() != space.anchors.keys.len() {
            return Err(Error::Invalid(format!(
                "the decoder of '{}' is damaged: add its space again",
                decoder.encoder
            )));
        }
        let frame = widen(space.frame_rows());
        let inverse = widen(Rows::new(&decoder.matrix, decoder.width));
        let matrix = product(frame.transpose(), inverse.as_ref());
        let anchors = &space.anchors;
        let diagnostics = json!({
            "anchors": anchors.keys.len(),
            "composed_of": { "space": space.digest, "decoder": decoder.digest },
        });
        Ok(sealed(Self {
            source_encoder: anchors.encoder.clone(),
            target_encoder: decoder.encoder.clone(),
            method: decoder.method.clone(),
            settings: decoder.settings.clone(),
            keys_digest: decoder.keys_digest.clone(),
            source_width: anchors.width,
            target_width: decoder.width,
            source_mean: anchors.mean.clone(),
            matrix: round(matrix.as_ref()).into(),
            target_mean: decoder.mean.clone(),
            scale: decoder.scale,
            length: Length::Scaled,
            unit_output: decoder.unit_output,
            source_directions: space.directions.clone(),
            source_variances: space.variances.clone(),
            calibration: None,
            fingerprint: space.fingerprint.clone(),
            digest: String::new(),
            diagnostics: diagnostics.to_string(),
        }))
    }

    /// From the space to its codes: `r = nu(x - mu) F^T` (equation (1)).
    pub fn encoding(space: &Space) -> Self {
        let (anchors, frame) = (&space.anchors, widen(space.frame_rows()));
        let k = anchors.keys.len();
        sealed(Self {
            source_encoder: anchors.encoder.clone(),
            target_encoder: format!("codes of {}", anchors.encoder),
            method: CODE.to_owned(),
            settings: Code::of(space).to_json().to_string(),
            keys_digest: anchors.keys.digest(),
            source_width: anchors.width,
            target_width: k,
            source_mean: anchors.mean.clone(),
            matrix: round(frame.transpose()).into(),
            target_mean: vec![0.0; k].into(),
            scale: 1.0,
            length: Length::Scaled,
            unit_output: false,
            source_directions: space.directions.clone(),
            source_variances: space.variances.clone(),
            calibration: None,
            fingerprint: space.fingerprint.clone(),
            digest: String::new(),
            diagnostics: json!({ "anchors": k }).to_string(),
        })
    }

    /// From codes of these keys and frame into the decoder's space: `y = s r H + mu`. A code's own length counts, so it is not taken
    /// from it: `s |r| nu(r) H`.
    pub fn decoding(code: &Code, decoder: &Decoder) -> Result<Self> {
        check(code, decoder)?;
        let k = decoder.anchors();
        Ok(sealed(Self {
            source_encoder: String::new(),
            target_encoder: decoder.encoder.clone(),
            method: DECODE.to_owned(),
            settings: json!({ "frame": code.frame, "keys": code.keys, "decoder": decoder.digest }).to_string(),
            keys_digest: decoder.keys_digest.clone(),
            source_width: k,
            target_width: decoder.width,
            source_mean: vec![0.0; k].into(),
            matrix: decoder.matrix.clone(),
            target_mean: decoder.mean.clone(),
            scale: decoder.scale,
            length: Length::Source,
            unit_output: decoder.unit_output,
            source_directions: Vec::new().into(),
            source_variances: Vec::new(),
            calibration: None,
            fingerprint: None,
            digest: String::new(),
            diagnostics: json!({ "anchors": k }).to_string(),
        }))
    }
}

fn sealed(mut translator: Translator) -> Translator {
    translator.digest = translator.compute_digest();
    translator
}

/// Codes and decoders of different keys or frames never mix.
fn check(code: &Code, decoder: &Decoder) -> Result<()> {
    let frame = if decoder.method == "parseval" { "parseval" } else { "anchors" };
    if code.frame != frame {
        return Err(Error::Invalid(format!(
            "codes of frame '{}' cannot be decoded by a decoder of method '{}'",
            code.frame, decoder.method
        )));
    }
    if code.keys != decoder.keys_digest {
        return Err(Error::Invalid(format!(
            "codes of anchors {:.16} cannot be decoded by a decoder of anchors {:.16} ('{}')",
            code.keys, decoder.keys_digest, decoder.encoder
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Choice, Method, MethodOptions};
    use crate::kernel::block::Scratch;
    use crate::kernel::golden::{Random, assert_near, wide};

    /// Two spaces over the same keys, and rows of the first.
    fn world(parseval: bool) -> (Space, Space, Vec<f32>) {
        let mut random = Random(21);
        let (k, d_x, d_y) = (40, 9, 7);
        let hidden = random.rows(k + 30, 6);
        let mix = |random: &mut Random, d: usize| {
            let by = random.rows(6, d);
            let cell = |i: usize, j: usize| (0..6).map(|m| hidden[i * 6 + m] * by[m * d + j]).sum::<f32>() + 0.5;
            (0..(k + 30) * d).map(|at| cell(at / d, at % d)).collect::<Vec<f32>>()
        };
        let (x, y) = (mix(&mut random, d_x), mix(&mut random, d_y));
        let keys = Keys::Int((0..k as i64).collect());
        let space =
            |v: &[f32], d: usize, name| Space::fit(&keys, Rows::new(&v[..k * d], d), name, None, parseval).unwrap();
        (space(&x, d_x, "x"), space(&y, d_y, "y"), x[k * d_x..].to_vec())
    }

    fn apply(translator: &Translator, rows: &[f32]) -> Vec<f32> {
        let rows = Rows::new(rows, translator.source_width);
        let mut out = vec![0.0; rows.len() * translator.target_width];
        let row = |i: usize| Some(rows.row(i));
        translator.translation().apply(rows.len(), row, &mut Scratch::default(), &mut out).unwrap();
        out
    }

    #[test]
    fn composed_and_coded_rows_are_those_of_a_fit() {
        for (frame, method) in [(true, "parseval"), (false, "irp")] {
            let (x, y, rows) = world(frame);
            let method = Method::new(&MethodOptions::default(), method).unwrap();
            let decoder = Decoder::fit(&y, &method).unwrap();
            let fitted = Translator::fit(&x.anchors, &y.anchors, &Choice::Method(method)).unwrap();
            let want = wide(&apply(&fitted, &rows));
            let composed = Translator::compose(&x, &decoder).unwrap();
            assert_near(&wide(&apply(&composed, &rows)), &want, 1e-4, "composed");
            let codes = apply(&Translator::encoding(&x), &rows);
            let decoding = Translator::decoding(&Code::of(&x), &decoder).unwrap();
            assert_near(&wide(&apply(&decoding, &codes)), &want, 1e-4, "decoded");
            // A row without a direction has the zero code, which decodes to the mean.
            let mean = apply(&decoding, &vec![0.0; decoder.anchors()]);
            assert_eq!(mean, y.anchors.mean.to_vec());
            assert_eq!(
                Code::from_json(&serde_json::from_str(&Translator::encoding(&x).settings).unwrap()),
                Some(Code::of(&x))
            );
        }
    }

    #[test]
    fn codes_of_fewer_keys_decode_into_a_space_that_has_them_all() {
        let (x, y, rows) = world(true);
        let keys = x.anchors.keys.select(&(0..30).collect::<Vec<_>>());
        let fewer = x.restricted(&keys).unwrap();
        let method = Method::new(&MethodOptions::default(), "parseval").unwrap();
        let decoder = Decoder::fit(&y, &method).unwrap();
        assert!(Translator::decoding(&Code::of(&fewer), &decoder).is_err());
        let decoder = Decoder::fit(&y.restricted(&keys).unwrap(), &method).unwrap();
        let decoding = Translator::decoding(&Code::of(&fewer), &decoder).unwrap();
        let fitted = Translator::fit(&fewer.anchors, &y.anchors, &Choice::Method(method)).unwrap();
        let got = apply(&decoding, &apply(&Translator::encoding(&fewer), &rows));
        assert_near(&wide(&got), &wide(&apply(&fitted, &rows)), 1e-4, "restricted");
        assert!(fewer.restricted(&x.anchors.keys).unwrap_err().to_string().contains("has 30 of the 40 anchors"));
    }
}
