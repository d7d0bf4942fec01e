//! What the kernel's tests share: the golden values of `tests/golden`, tolerances, random rows.

use faer::{Mat, MatRef};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Rows;
use super::decoder::Ensemble;
use super::svd::DEFAULT_RCOND;

/// A matrix as the golden files hold it, row-major.
#[derive(Debug, Clone, Deserialize)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// All numbers.
    pub data: Vec<f64>,
}

impl Matrix {
    /// In `f64`.
    pub fn mat(&self) -> Mat<f64> {
        MatRef::from_row_major_slice(&self.data, self.rows, self.columns).to_owned()
    }

    /// In `f32`: exact for inputs.
    pub fn narrow(&self) -> Vec<f32> {
        narrow(&self.data)
    }
}

/// Rounded to `f32`.
pub fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| x as f32).collect()
}

/// In `f64`.
pub fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&x| f64::from(x)).collect()
}

/// Row-major numbers of a matrix.
pub fn flat(a: MatRef<'_, f64>) -> Vec<f64> {
    a.row_iter().flat_map(|row| row.iter().copied().collect::<Vec<_>>()).collect()
}

/// The cases of a golden file.
pub fn cases<T: DeserializeOwned>(json: &str) -> Vec<T> {
    serde_json::from_str(json).expect("a golden file")
}

/// Every number within `tolerance` of what is wanted, relative to the largest one wanted.
#[track_caller]
pub fn assert_near(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: how many numbers");
    let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * largest, "{what}, number {i}: {g}, wanted {w}");
    }
}

/// [`assert_near`] to 1e-5, the promise for golden values.
#[track_caller]
pub fn assert_golden(got: &[f64], want: &[f64], what: &str) {
    assert_near(got, want, 1e-5, what);
}

/// An ensemble of plain pseudo-inverses at the default cut-off.
pub fn ensemble(starts: &[usize], delta: f64) -> Ensemble<'_> {
    Ensemble { starts, delta, lambda: 0.0, rcond: DEFAULT_RCOND }
}

/// Random numbers that are the same everywhere (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// About normal, variance 1: the sum of twelve uniform numbers.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    /// `count` numbers about a common offset of a row's width.
    pub fn rows(&mut self, count: usize, width: usize) -> Vec<f32> {
        let offset: Vec<f64> = (0..width).map(|_| self.normal()).collect();
        (0..count * width).map(|i| (self.normal() + offset[i % width]) as f32).collect()
    }

    /// The numbers below `n` in random order.
    pub fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }

    /// A random n x m matrix with orthonormal rows, n <= m: Gram and Schmidt, twice.
    pub fn orthonormal(&mut self, n: usize, m: usize) -> Mat<f64> {
        let mut q = Mat::<f64>::from_fn(n, m, |_, _| self.normal());
        for i in 0..n {
            for _ in 0..2 {
                for j in 0..i {
                    let along: f64 = (0..m).map(|c| q[(i, c)] * q[(j, c)]).sum();
                    for c in 0..m {
                        q[(i, c)] -= along * q[(j, c)];
                    }
                }
            }
            let length = (0..m).map(|c| q[(i, c)] * q[(i, c)]).sum::<f64>().sqrt();
            for c in 0..m {
                q[(i, c)] /= length;
            }
        }
        q
    }
}

/// `s x Q + t` row by row, rounded to `f32`.
pub fn similar(x: Rows<'_>, q: MatRef<'_, f64>, s: f64, t: &[f64]) -> Vec<f32> {
    let row =
        |x: &[f32], c: usize| s * x.iter().enumerate().map(|(r, &x)| f64::from(x) * q[(r, c)]).sum::<f64>() + t[c];
    x.iter().flat_map(|x| (0..q.ncols()).map(move |c| row(x, c) as f32)).collect()
}

/// The bits of every number.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// Runs `work` on a pool of its own with `threads` threads.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(work)
}

/// Parseval frames of unit anchors, see [`super::alignment::parseval`].
pub fn parseval(source: Rows<'_>, target: Rows<'_>, rcond: f64) -> super::translator::Fitted {
    super::alignment::parseval(&spanned(source, rcond), &spanned(target, rcond))
}

/// Unit anchors decomposed.
pub fn spanned(unit: Rows<'_>, rcond: f64) -> super::alignment::Spanned {
    super::alignment::Spanned::of_anchors(unit, rcond).unwrap()
}
