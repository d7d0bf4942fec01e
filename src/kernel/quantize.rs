//! Vectors in fewer bits: half precision, eight-bit codes, signs, the first dimensions.

use std::borrow::Cow;

use half::f16;

use super::Rows;
use super::search::Metric;

/// What the numbers of a vector are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes a number.
    F32,
    /// Two bytes a number, rounded to the nearest.
    F16,
    /// A byte a number, and four bytes a row: see [`int8`].
    Int8,
    /// A bit a number: see [`binary`].
    Binary,
}

impl Precision {
    /// As options name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Binary => "binary",
        }
    }

    /// Bytes of a row of `width` numbers.
    pub fn bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => 4 * width,
            Self::F16 => 2 * width,
            Self::Int8 => width + size_of::<f32>(),
            Self::Binary => width.div_ceil(8),
        }
    }
}

/// Codes of a row's numbers and what a code is worth: `scale = max |x| / 127`, `code = round(x / scale)`, halves to even, so a
/// number is off by half of `scale` at most. All codes are 0 where the scale is (of the zero row).
pub fn int8(row: &[f32], codes: &mut [i8]) -> f32 {
    let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
    for (code, x) in codes.iter_mut().zip(row) {
        // A conversion saturates: a scale that lost digits, next to 0, gives no more than 127.
        *code = if scale > 0.0 { ((x / scale).round_ties_even() as i8).max(-127) } else { 0 };
    }
    scale
}

/// The signs of a row's numbers, eight to a byte, the first one highest; 1 where a number is above 0. As numpy's `packbits(x > 0)`;
/// what is left of the last byte is 0.
pub fn binary(row: &[f32], bytes: &mut [u8]) {
    for (byte, numbers) in bytes.iter_mut().zip(row.chunks(8)) {
        *byte = numbers.iter().enumerate().fold(0, |byte, (i, x)| byte | u8::from(*x > 0.0) << (7 - i));
    }
}

/// A way to keep vectors, and to search those that are kept so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// What numbers become.
    pub precision: Precision,
    /// How many of them are kept, from the first.
    pub dimensions: usize,
    /// Whether queries become signs, too, where documents do: then nearness is the number of equal signs, d less the Hamming
    /// distance. Otherwise queries stay as they are, but for the dimensions.
    pub signs_ask: bool,
}

impl Kept {
    /// The usual ways for vectors of this width; the first is as they are.
    pub fn usual(width: usize) -> Vec<Self> {
        use Precision::{Binary, F16, F32, Int8};
        let all = |precision| Self { precision, dimensions: width, signs_ask: false };
        let mut ways = vec![all(F32), all(F16), all(Int8), all(Binary), Self { signs_ask: true, ..all(Binary) }];
        for part in [2, 4, 8].into_iter().filter(|part| width / part > 0) {
            ways.push(Self { dimensions: width / part, ..all(F32) });
        }
        ways.extend((width > 1).then(|| Self { dimensions: width / 2, ..all(Int8) }));
        ways
    }

    /// Bytes of a row.
    pub fn bytes(self) -> usize {
        self.precision.bytes(self.dimensions)
    }

    /// Its name, where rows have `width` numbers.
    pub fn name(self, width: usize) -> String {
        let queries = if self.signs_ask { ", binary queries" } else { "" };
        let first = if self.dimensions < width { format!(", first {}", self.dimensions) } else { String::new() };
        format!("{}{first}{queries}", self.precision.name())
    }

    /// Documents as they are read back, row-major: codes times their scale, signs as 1 and -1.
    pub fn documents(self, rows: Rows<'_>) -> Cow<'_, [f32]> {
        self.read_back(rows, self.precision)
    }

    /// Queries as they ask these documents.
    pub fn queries(self, rows: Rows<'_>) -> Cow<'_, [f32]> {
        self.read_back(rows, if self.signs_ask { self.precision } else { Precision::F32 })
    }

    /// What nearness is among them where it was `metric`: signs have no lengths, and are compared by the product.
    pub fn metric(self, metric: Metric) -> Metric {
        if self.precision == Precision::Binary { Metric::InnerProduct } else { metric }
    }

    fn read_back(self, rows: Rows<'_>, precision: Precision) -> Cow<'_, [f32]> {
        if precision == Precision::F32 && self.dimensions == rows.width() {
            return Cow::Borrowed(rows.as_slice());
        }
        let mut codes = vec![0i8; self.dimensions];
        let mut out = Vec::with_capacity(rows.len() * self.dimensions);
        for row in rows.iter().map(|row| &row[..self.dimensions]) {
            match precision {
                Precision::F32 => out.extend_from_slice(row),
                Precision::F16 => out.extend(row.iter().map(|x| f16::from_f32(*x).to_f32())),
                Precision::Int8 => {
                    let scale = int8(row, &mut codes);
                    out.extend(codes.iter().map(|code| f32::from(*code) * scale));
                }
                Precision::Binary => out.extend(row.iter().map(|x| if *x > 0.0 { 1.0 } else { -1.0 })),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden::{self, Random};
    use crate::kernel::ranking::{CUT, ranking};
    use crate::kernel::search::{Index, Prepare};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        rows: golden::Matrix,
        codes: Vec<Vec<i8>>,
        scales: Vec<f32>,
        bytes: Vec<Vec<u8>>,
    }

    #[derive(serde::Deserialize)]
    struct Recalls {
        queries: golden::Matrix,
        documents: golden::Matrix,
        relevant: Vec<Vec<usize>>,
        recalls: Vec<(String, f64)>,
    }

    #[test]
    fn codes_scales_and_signs_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/quantize.json")) {
            let (rows, width) = (case.rows.narrow(), case.rows.columns);
            for (i, row) in Rows::new(&rows, width).iter().enumerate() {
                let mut codes = vec![0; width];
                assert_eq!(int8(row, &mut codes), case.scales[i], "{}, row {i}", case.name);
                assert_eq!(codes, case.codes[i], "{}, row {i}", case.name);
                let mut bytes = vec![0; width.div_ceil(8)];
                binary(row, &mut bytes);
                assert_eq!(bytes, case.bytes[i], "{}, row {i}", case.name);
            }
        }
    }

    #[test]
    fn what_every_way_finds_is_golden() {
        let [case] = golden::cases::<Recalls>(include_str!("../../tests/golden/kept.json")).try_into().ok().unwrap();
        let (queries, documents, width) = (case.queries.narrow(), case.documents.narrow(), case.documents.columns);
        let (queries, documents) = (Rows::new(&queries, width), Rows::new(&documents, width));
        let ways = Kept::usual(width);
        assert_eq!(ways.len(), case.recalls.len());
        for (way, (name, recall)) in ways.into_iter().zip(&case.recalls) {
            assert_eq!(way.name(width), *name);
            let (asking, kept) = (way.queries(queries), way.documents(documents));
            let (asking, kept) = (Rows::new(&asking, way.dimensions), Rows::new(&kept, way.dimensions));
            let prepare = Prepare::new(way.metric(Metric::Cosine), kept);
            let found = Index::new(&prepare, kept).nearest(asking, CUT, false);
            let recalls = found.iter().zip(&case.relevant).map(|(found, relevant)| {
                let relevant: Vec<(usize, f64)> = relevant.iter().map(|&document| (document, 1.0)).collect();
                ranking(found.iter().map(|one| one.document), &relevant)[0]
            });
            let got = recalls.sum::<f64>() / queries.len() as f64;
            assert!((got - recall).abs() < 1e-9, "{name}: {got} for {recall}");
        }
    }

    #[test]
    fn a_number_is_off_by_half_a_scale_at_most() {
        let rows = Random(3).rows(200, 37);
        for row in rows.chunks(37).chain([&[0.0f32; 37][..], &[1e-44; 37], &[3e38; 37]]) {
            let mut codes = [0; 37];
            let scale = int8(row, &mut codes);
            let off = row.iter().zip(codes).map(|(x, code)| f64::from((x - f32::from(code) * scale).abs()));
            let most = off.fold(0.0, f64::max);
            // Next to 0 a scale has few digits left.
            assert!(most <= f64::from(scale) * 0.5001 + 1e-44 * 127.0, "{most} for {scale}");
        }
    }
}
