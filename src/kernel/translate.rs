//! Applying a translator: `y = s nu(x - mu_x) T + mu_y`, in `f32`, or with another [`Length`].

use super::block::{BLOCK_ROWS, Factor, Scratch, multiply};
use super::center::{Centered, center_normalize_row, centered_norm, noise_floor};
use super::norm::norm;
use super::normalize::normalize_in_place;

/// How long a translated row `y' = nu(x - mu_x) T` is made before the target's mean is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// `s y'`.
    #[default]
    Scaled,
    /// `s |x - mu_x| y'`: the row keeps its own length.
    Source,
    /// `s nu(y')`: all rows are as long.
    Unit,
}

impl Length {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scaled, Self::Source, Self::Unit];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Source => "source",
            Self::Unit => "unit",
        }
    }
}

/// A translator's numbers, borrowed from wherever they are.
#[derive(Debug, Clone, Copy)]
pub struct Translation<'a> {
    /// mu_x, d_x.
    pub source_mean: &'a [f32],
    /// T, d_x x d_y row-major.
    pub matrix: &'a [f32],
    /// mu_y, d_y.
    pub target_mean: &'a [f32],
    /// s: the mean length of the target's centred anchors, or what takes its place.
    pub scale: f64,
    /// What s multiplies.
    pub length: Length,
    /// Whether the result is brought to unit length at the end.
    pub unit_output: bool,
}

/// The first row that has an item that is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    /// Its index.
    pub row: usize,
}

impl Translation<'_> {
    /// Translates `count` rows to `out` (count x d_y). `row(i)` gives row i, or `None` for a NULL one, whose output is zeros.
    /// A row that equals the source mean becomes the target mean.
    pub fn apply<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NotFinite> {
        self.apply_seen(count, row, scratch, out, |_, _| ())
    }

    /// The lengths `|y'|` of the unscaled results of `count` rows; 0 of a NULL one.
    pub fn lengths<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
    ) -> Result<Vec<f64>, NotFinite> {
        let mut lengths = vec![0.0; count];
        let mut out = vec![0.0; BLOCK_ROWS.min(count) * self.target_mean.len()];
        for first in (0..count).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(count - first);
            let out = &mut out[..rows * self.target_mean.len()];
            self.apply_seen(rows, |i| row(first + i), scratch, out, |i, y| lengths[first + i] = norm(y))
                .map_err(|bad| NotFinite { row: first + bad.row })?;
        }
        Ok(lengths)
    }

    /// [`Translation::apply`], where `see(i, y')` sees the unscaled result of every row that is not NULL.
    pub fn apply_seen<'r>(
        &self,
        count: usize,
        row: impl Fn(usize) -> Option<&'r [f32]>,
        scratch: &mut Scratch,
        out: &mut [f32],
        mut see: impl FnMut(usize, &[f32]),
    ) -> Result<(), NotFinite> {
        let floor = noise_floor(norm(self.source_mean));
        let shape = (self.source_mean.len(), self.target_mean.len());
        multiply(
            count,
            shape,
            Factor::Plain(self.matrix),
            scratch,
            out,
            #[inline(always)]
            |i, input| match center_normalize_row(row(i), self.source_mean, floor, input) {
                Centered::NotFinite => Err(NotFinite { row: i }),
                _ => Ok(()),
            },
            #[inline(always)]
            |i, output| {
                let Some(x) = row(i) else { return output.fill(0.0) };
                see(i, output);
                let scale = match self.length {
                    Length::Scaled => self.scale,
                    Length::Source => self.scale * centered_norm(x, self.source_mean),
                    Length::Unit => {
                        normalize_in_place(output);
                        self.scale
                    }
                };
                restore(output, scale as f32, self.target_mean, self.unit_output);
            },
        )
    }
}

/// `y = s y' + mu`, then to unit length where the target space is one of unit vectors.
#[inline(always)]
pub fn restore(y: &mut [f32], scale: f32, mean: &[f32], unit_output: bool) {
    for (y, &m) in y.iter_mut().zip(mean) {
        *y = scale * *y + m;
    }
    if unit_output {
        normalize_in_place(y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Rows;
    use crate::kernel::decode::Decoding;
    use crate::kernel::golden::{self, Random, assert_golden, assert_near, bits, ensemble, flat, narrow, wide};
    use crate::kernel::relative::relative;
    use crate::kernel::space::Anchors;
    use crate::kernel::svd::{DEFAULT_RCOND, polar_factor, round, widen};
    use crate::kernel::{decoder, translator};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        method: String,
        source: golden::Matrix,
        target: golden::Matrix,
        starts: Vec<usize>,
        delta: f64,
        members: Vec<Vec<usize>>,
        matrix: golden::Matrix,
        source_mean: Vec<f64>,
        target_mean: Vec<f64>,
        scale: f64,
        rows: golden::Matrix,
        codes: golden::Matrix,
        translated: golden::Matrix,
        translated_unit: golden::Matrix,
        decoded: golden::Matrix,
    }

    /// From raw anchors to translated rows, and the same through relative codes.
    #[test]
    fn translated_rows_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/apply.json")) {
            let name = &case.name;
            let (d_x, d_y) = (case.source.columns, case.target.columns);
            let source = Anchors::new(Rows::new(&case.source.narrow(), d_x)).unwrap();
            let target = Anchors::new(Rows::new(&case.target.narrow(), d_y)).unwrap();
            let (fitted, encode, decode) = if case.method == "paper" {
                let (x, y) = (source.unit(), target.unit());
                let ensemble = ensemble(&case.starts, case.delta);
                let fitted = translator::irp(x, y, y, &ensemble).unwrap();
                let inverse = decoder::irp(y, y, &ensemble).unwrap();
                (fitted, source.unit.clone(), round(inverse.matrix.as_ref()))
            } else {
                let frame = |unit| round(polar_factor(widen(unit).as_ref(), DEFAULT_RCOND).unwrap().0.as_ref());
                let fitted = golden::parseval(source.unit(), target.unit(), DEFAULT_RCOND);
                (fitted, frame(source.unit()), frame(target.unit()))
            };
            let chosen: Vec<_> = fitted.members.iter().map(|member| member.chosen.clone()).collect();
            assert_eq!(chosen, case.members, "{name}");
            assert_golden(&flat(fitted.matrix.as_ref()), &case.matrix.data, name);
            assert_golden(&wide(&source.mean), &case.source_mean, name);
            assert_golden(&wide(&target.mean), &case.target_mean, name);
            assert_golden(&[target.scale], &[case.scale], name);

            let (rows, matrix) = (case.rows.narrow(), round(fitted.matrix.as_ref()));
            let (count, rows) = (case.rows.rows, Rows::new(&rows, d_x));
            let mut out = vec![0.0; count * d_y];
            for (unit_output, want) in [(false, &case.translated), (true, &case.translated_unit)] {
                let translation = Translation {
                    source_mean: &source.mean,
                    matrix: &matrix,
                    target_mean: &target.mean,
                    scale: target.scale,
                    length: Length::Scaled,
                    unit_output,
                };
                translation.apply(count, |i| Some(rows.row(i)), &mut Scratch::default(), &mut out).unwrap();
                assert_golden(&wide(&out), &want.data, name);
            }

            let anchors = Rows::new(&encode, d_x);
            let mut codes = vec![0.0; count * anchors.len()];
            relative(&source.mean, anchors, count, |i| Some(rows.row(i)), &mut Scratch::default(), &mut codes).unwrap();
            assert_golden(&wide(&codes), &case.codes.data, name);

            let codes = narrow(&case.codes.data);
            let decoding = Decoding {
                matrix: &decode,
                anchors: anchors.len(),
                mean: &target.mean,
                scale: target.scale,
                unit_output: false,
            };
            let code = |i: usize| Some(&codes[i * anchors.len()..(i + 1) * anchors.len()]);
            decoding.apply(count, code, &mut Scratch::default(), &mut out).unwrap();
            assert_golden(&wide(&out), &case.decoded.data, name);
        }
    }

    /// A translator of random numbers.
    struct Sample {
        source_mean: Vec<f32>,
        matrix: Vec<f32>,
        target_mean: Vec<f32>,
    }

    impl Sample {
        fn new(d_x: usize, d_y: usize) -> Self {
            let mut random = Random(9);
            Self { source_mean: random.rows(1, d_x), matrix: random.rows(d_x, d_y), target_mean: random.rows(1, d_y) }
        }

        fn translate(&self, rows: &[Option<&[f32]>], unit_output: bool) -> Result<Vec<f32>, NotFinite> {
            self.translate_as(Length::Scaled, rows, unit_output)
        }

        fn translate_as(
            &self,
            length: Length,
            rows: &[Option<&[f32]>],
            unit_output: bool,
        ) -> Result<Vec<f32>, NotFinite> {
            let translation = Translation {
                source_mean: &self.source_mean,
                matrix: &self.matrix,
                target_mean: &self.target_mean,
                scale: 3.5,
                length,
                unit_output,
            };
            let mut out = vec![f32::NAN; rows.len() * self.target_mean.len()];
            translation.apply(rows.len(), |i| rows[i], &mut Scratch::default(), &mut out).map(|()| out)
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        let (d_x, d_y) = (48, 37);
        let translator = Sample::new(d_x, d_y);
        let mut random = Random(10);
        let data = random.rows(700, d_x);
        // Some rows are NULL, some equal the mean.
        let row = |i: usize| match i % 11 {
            3 => None,
            7 => Some(translator.source_mean.as_slice()),
            _ => Some(&data[i * d_x..(i + 1) * d_x]),
        };
        for unit_output in [false, true] {
            let alone: Vec<_> =
                (0..700).map(|i| bits(&translator.translate(&[row(i)], unit_output).unwrap())).collect();
            for count in [255, 256, 257, 700] {
                let order = random.shuffled(700);
                let rows: Vec<_> = order[..count].iter().map(|&i| row(i)).collect();
                let out = translator.translate(&rows, unit_output).unwrap();
                for (got, &i) in out.chunks_exact(d_y).zip(&order) {
                    assert_eq!(bits(got), alone[i], "row {i} of {count}");
                }
            }
        }
    }

    #[test]
    fn null_is_zeros_and_the_mean_becomes_the_mean() {
        let translator = Sample::new(5, 3);
        let rows = [None, Some(translator.source_mean.as_slice())];
        let out = translator.translate(&rows, false).unwrap();
        assert_eq!((&out[..3], &out[3..]), (&[0.0; 3][..], &translator.target_mean[..]));
        let out = translator.translate(&rows, true).unwrap();
        let length = norm(&translator.target_mean);
        assert_eq!(&out[..3], [0.0; 3]);
        assert_golden(
            &wide(&out[3..]),
            &wide(&translator.target_mean).iter().map(|m| m / length).collect::<Vec<_>>(),
            "",
        );
    }

    #[test]
    fn a_row_that_is_not_finite_is_named() {
        let translator = Sample::new(5, 3);
        let good = vec![1.0; 5];
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = good.clone();
            row[2] = bad;
            let mut rows = vec![Some(good.as_slice()); 300];
            rows[280] = Some(&row);
            assert_eq!(translator.translate(&rows, false), Err(NotFinite { row: 280 }));
        }
        // The difference to the mean overflows.
        let far = Sample { source_mean: vec![-f32::MAX; 5], ..translator };
        assert_eq!(far.translate(&[Some(&[f32::MAX; 5])], false), Err(NotFinite { row: 0 }));
    }

    #[test]
    fn the_length_of_a_row_does_not_matter() {
        let translator = Sample { source_mean: vec![0.0; 6], ..Sample::new(6, 4) };
        let row = Random(4).rows(1, 6);
        let want = wide(&translator.translate(&[Some(&row)], false).unwrap());
        for scale in [1e-36f32, 1e-32, 1e-3, 1e30, 1e37] {
            let scaled: Vec<f32> = row.iter().map(|x| x * scale).collect();
            assert_golden(&wide(&translator.translate(&[Some(&scaled)], false).unwrap()), &want, "scaled");
        }
    }

    /// Of the same row, all lengths give one direction from the target's mean; and each the length that it promises.
    #[test]
    fn lengths_are_what_they_promise() {
        let translator = Sample::new(6, 4);
        let rows = Random(4).rows(300, 6);
        let rows: Vec<_> = rows.chunks_exact(6).map(Some).chain([Some(&translator.source_mean[..]), None]).collect();
        let away = |length| {
            let out = translator.translate_as(length, &rows, false).unwrap();
            let centred = |y: &[f32]| y.iter().zip(&translator.target_mean).map(|(y, m)| f64::from(y - m)).collect();
            out.chunks_exact(4).map(centred).collect::<Vec<Vec<f64>>>()
        };
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let [scaled, source, unit] = Length::ALL.map(away);
        for (i, row) in rows.iter().flatten().enumerate().take(300) {
            let carried = centered_norm(row, &translator.source_mean);
            let stretched: Vec<f64> = scaled[i].iter().map(|x| x * carried).collect();
            assert_near(&source[i], &stretched, 1e-4, "source");
            let levelled: Vec<f64> = scaled[i].iter().map(|x| x * 3.5 / norm(&scaled[i])).collect();
            assert_near(&unit[i], &levelled, 1e-4, "unit");
        }
        for far in [&scaled, &source, &unit] {
            assert_eq!(far[300], [0.0; 4], "the mean becomes the mean");
        }
    }
}
