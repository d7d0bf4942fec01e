//! Maps fitted to pairs: unlike frames and inverses they need the rows of both spaces at once.
//!
//! All look at the source through its thin SVD `A = P S V^T` over sigma > rcond sigma_1, so a direction that no anchor has is
//! cut, and what is decomposed next has as many rows as A has rank, however wide the spaces are.

use faer::{Mat, MatRef};

use super::svd::{Conditioning, ThinSvd, polar_factor, product, ridge_weight, thin_svd, widen};
use super::translator::Fitted;
use super::{Error, Rows};

/// Orthogonal Procrustes: the T with orthonormal rows (columns, where d_x > d_y) that minimises `|U_x T - U_y|_F` where the
/// widths agree: the polar factor of `U_x^T U_y` (Schönemann 1966). Other widths take the same factor of the thin SVD.
pub fn procrustes(source: &Spanned, target: Rows<'_>) -> Result<Fitted, Error> {
    source.polar(|sigma| sigma, widen(target).as_ref())
}

/// Least squares with a ridge: `T = (U_x^T U_x + lambda sigma_1^2 I)^-1 U_x^T U_y`. With `lambda` = 0 the plain least squares
/// solution, of least norm where there are many.
pub fn linear(source: &Spanned, target: Rows<'_>, lambda: f64) -> Fitted {
    source.solve(lambda, widen(target).as_ref())
}

/// The least squares map made orthogonal: the polar factor of [`linear`].
pub fn l_ortho(source: &Spanned, target: Rows<'_>) -> Result<Fitted, Error> {
    source.polar(|sigma| 1.0 / sigma, widen(target).as_ref())
}

/// Parseval frames: `T = F_x^T F_y` with `F = P V^T` of each space's unit anchors, each space alone. Nothing is pruned.
pub fn parseval(source: &Spanned, target: &Spanned) -> Fitted {
    let matrix = product(source.frame().transpose(), target.frame().as_ref());
    let conditioning = vec![("source_frame", source.kept), ("target_frame", target.kept)];
    Fitted { matrix, members: Vec::new(), conditioning }
}

/// The affine map of rows with their lengths, `y = x T + shift`, by least squares; `shift` has d_y numbers.
pub fn affine(source: MatRef<'_, f64>, target: MatRef<'_, f64>, rcond: f64) -> Result<(Fitted, Vec<f64>), Error> {
    let mean = |a: MatRef<'_, f64>| -> Vec<f64> {
        a.col_iter().map(|column| column.iter().sum::<f64>() / a.nrows() as f64).collect()
    };
    let (from, mut shift) = (mean(source), mean(target));
    let centred = |a: MatRef<'_, f64>, mean: &[f64]| Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] - mean[j]);
    let (source, target) = (centred(source, &from), centred(target, &shift));
    let fitted = Spanned::of(source.as_ref(), rcond)?.solve(0.0, target.as_ref());
    for (j, shift) in shift.iter_mut().enumerate() {
        *shift -= from.iter().enumerate().map(|(i, m)| m * fitted.matrix[(i, j)]).sum::<f64>();
    }
    Ok((fitted, shift))
}

/// Rows as their thin SVD, cut at rcond. Several maps may be fitted to one.
#[derive(Debug)]
pub struct Spanned {
    svd: ThinSvd,
    kept: Conditioning,
    rcond: f64,
}

impl Spanned {
    /// Of unit anchors.
    pub fn of_anchors(unit: Rows<'_>, rcond: f64) -> Result<Self, Error> {
        Self::of(widen(unit).as_ref(), rcond)
    }

    /// Of the rows of `a`.
    pub fn of(a: MatRef<'_, f64>, rcond: f64) -> Result<Self, Error> {
        let svd = thin_svd(a)?;
        Ok(Self { kept: svd.conditioning(rcond), svd, rcond })
    }

    /// Their Parseval frame `P V^T`: see [`polar_factor`].
    fn frame(&self) -> Mat<f64> {
        self.svd.polar_factor(self.kept.rank)
    }

    /// `diag(weight(sigma)) P^T right`, rank x d_y.
    fn through(&self, weight: impl Fn(f64) -> f64, right: MatRef<'_, f64>) -> Mat<f64> {
        let (p, sigma) = (&self.svd.u, &self.svd.sigma);
        let weighted = Mat::from_fn(self.kept.rank, p.nrows(), |j, i| p[(i, j)] * weight(sigma[j]));
        product(weighted.as_ref(), right)
    }

    /// `V core`, with the conditioning of what made it.
    fn map(&self, core: MatRef<'_, f64>, conditioning: Vec<(&'static str, Conditioning)>) -> Fitted {
        let matrix = product(self.svd.v.get(.., ..self.kept.rank), core);
        Fitted { matrix, members: Vec::new(), conditioning }
    }

    /// The solution T of `A T = right` by least squares with a ridge, see [`linear`].
    fn solve(&self, lambda: f64, right: MatRef<'_, f64>) -> Fitted {
        let core = self.through(|sigma| 1.0 / ridge_weight(sigma, lambda, self.kept.sigma_max), right);
        self.map(core.as_ref(), vec![("source_anchors", self.kept)])
    }

    /// The polar factor of `V diag(weight(sigma)) P^T right`: with the singular values themselves, of `A^T right`.
    pub fn polar(&self, weight: impl Fn(f64) -> f64, right: MatRef<'_, f64>) -> Result<Fitted, Error> {
        let (factor, of_factor) = polar_factor(self.through(weight, right).as_ref(), self.rcond)?;
        Ok(self.map(factor.as_ref(), vec![("source_anchors", self.kept), ("orthogonalised", of_factor)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::decoder::Ensemble;
    use crate::kernel::golden::{self, Random, assert_golden, assert_near, flat, similar, spanned, with_threads};
    use crate::kernel::space::{Anchors, centred, median, spectrum};
    use crate::kernel::svd::DEFAULT_RCOND;
    use crate::kernel::translator::{energy_scale, irp, irp_polar};
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        source: golden::Matrix,
        target: golden::Matrix,
        source_norms: Vec<f64>,
        target_norms: Vec<f64>,
        rcond: f64,
        starts: Vec<usize>,
        delta: f64,
        lambda: f64,
        members: Vec<Vec<usize>>,
        irp_pruned_by_source: golden::Matrix,
        irp_ridge: golden::Matrix,
        irp_polar: golden::Matrix,
        energy_scale: f64,
        median: f64,
        procrustes: golden::Matrix,
        linear: golden::Matrix,
        ridge: golden::Matrix,
        l_ortho: golden::Matrix,
        affine_rows: usize,
        affine: golden::Matrix,
        affine_shift: Vec<f64>,
    }

    #[test]
    fn methods_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/methods.json")) {
            let (name, rcond, x, y) = (&case.name, case.rcond, case.source.narrow(), case.target.narrow());
            let (x, y) = (Rows::new(&x, case.source.columns), Rows::new(&y, case.target.columns));
            let golden = |fitted: &Fitted, want: &golden::Matrix, what: &str| {
                assert_golden(&flat(fitted.matrix.as_ref()), &want.data, &format!("{name}: {what}"));
            };
            let source = spanned(x, rcond);
            golden(&procrustes(&source, y).unwrap(), &case.procrustes, "procrustes");
            golden(&linear(&source, y, 0.0), &case.linear, "linear");
            golden(&linear(&source, y, case.lambda), &case.ridge, "ridge");
            golden(&l_ortho(&source, y).unwrap(), &case.l_ortho, "l_ortho");
            let some = |rows: Rows<'_>, norms: &[f64]| {
                let some = &rows.as_slice()[..case.affine_rows * rows.width()];
                centred(Rows::new(some, rows.width()), norms)
            };
            let (from, to) = (some(x, &case.source_norms), some(y, &case.target_norms));
            let (fitted, shift) = affine(from.as_ref(), to.as_ref(), rcond).unwrap();
            golden(&fitted, &case.affine, "affine");
            assert_golden(&shift, &case.affine_shift, name);

            let plain = Ensemble { starts: &case.starts, delta: case.delta, lambda: 0.0, rcond };
            let pruned = irp(x, y, x, &plain).unwrap();
            let chosen: Vec<_> = pruned.members.iter().map(|member| member.chosen.clone()).collect();
            assert_eq!(chosen, case.members, "{name}");
            golden(&pruned, &case.irp_pruned_by_source, "prune_space");
            golden(&irp(x, y, y, &Ensemble { lambda: case.lambda, ..plain }).unwrap(), &case.irp_ridge, "irp, ridge");
            golden(&irp_polar(x, y, y, &plain).unwrap(), &case.irp_polar, "irp, polar");
            let matrix = irp(x, y, y, &plain).unwrap().matrix;
            assert_golden(&[energy_scale(x, matrix.as_ref(), &case.target_norms)], &[case.energy_scale], name);
            assert_golden(&[median(&case.target_norms)], &[case.median], name);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Y = s X Q + t: every method finds the rotation, affine with the scale and the shift.
        #[test]
        fn a_rotated_scaled_shifted_space_is_found(seed: u64, d_x in 2usize..9, wider in 0usize..4, s in 0.01..100f64) {
            let mut random = Random(seed);
            let (d_y, k) = (d_x + wider, 4 * d_x + 4);
            let x = random.rows(k, d_x);
            let x = Rows::new(&x, d_x);
            let q = random.orthonormal(d_x, d_y);
            let t: Vec<f64> = (0..d_y).map(|_| s * random.normal()).collect();
            let y = similar(x, q.as_ref(), s, &t);
            let y = Rows::new(&y, d_y);
            let (source, target) = (Anchors::new(x).unwrap(), Anchors::new(y).unwrap());
            prop_assume!(spectrum(source.unit()).unwrap().conditioning.condition_number() < 100.0);
            let spanned = spanned(source.unit(), 1e-3);
            let fits = [procrustes, l_ortho, |x: &Spanned, y: Rows<'_>| Ok(linear(x, y, 0.0))];
            for fit in fits {
                let fitted = fit(&spanned, target.unit()).unwrap();
                assert_near(&flat(fitted.matrix.as_ref()), &flat(q.as_ref()), 1e-4, "the rotation");
            }
            let (fitted, shift) = affine(widen(x).as_ref(), widen(y).as_ref(), DEFAULT_RCOND).unwrap();
            assert_near(&flat(fitted.matrix.as_ref()), &flat((faer::Scale(s) * &q).as_ref()), 1e-3, "the map");
            let error = shift.iter().zip(&t).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            prop_assert!(error < 1e-3 * s * (1.0 + k as f64), "{shift:?}, wanted {t:?}");
        }

        /// Least squares fits best, a ridge shrinks, and what is made orthogonal keeps lengths.
        #[test]
        fn the_methods_are_what_their_names_say(seed: u64, k in 3usize..40, d_x in 2usize..9, d_y in 2usize..9) {
            let mut random = Random(seed);
            let source = Anchors::new(Rows::new(&random.rows(k, d_x), d_x)).unwrap();
            let target = Anchors::new(Rows::new(&random.rows(k, d_y), d_y)).unwrap();
            let (x, y) = (source.unit(), target.unit());
            let residual = |fitted: &Fitted| {
                (product(widen(x).as_ref(), fitted.matrix.as_ref()) - widen(y)).squared_norm_l2()
            };
            let spanned = spanned(x, DEFAULT_RCOND);
            let (plain, ridge) = (linear(&spanned, y, 0.0), linear(&spanned, y, 0.1));
            prop_assert!(ridge.matrix.norm_l2() <= plain.matrix.norm_l2() + 1e-9);
            for other in [&ridge, &procrustes(&spanned, y).unwrap(), &l_ortho(&spanned, y).unwrap()] {
                prop_assert!(residual(&plain) <= residual(other) + 1e-9);
            }
            for fit in [procrustes, l_ortho] {
                let sigma = thin_svd(fit(&spanned, y).unwrap().matrix.as_ref()).unwrap().sigma;
                prop_assert!(sigma.iter().all(|&s| (s - 1.0).abs() < 1e-9 || s < 1e-9), "{sigma:?}");
            }
        }

        #[test]
        fn a_fit_has_the_same_bits_on_one_thread_and_on_two(seed: u64) {
            let mut random = Random(seed);
            let (x, y) = (random.rows(70, 24), random.rows(70, 33));
            let fit = || {
                let source = Anchors::new(Rows::new(&x, 24)).unwrap();
                let target = Anchors::new(Rows::new(&y, 33)).unwrap();
                let spanned = spanned(source.unit(), DEFAULT_RCOND);
                let fits = [procrustes, l_ortho, |x: &Spanned, y: Rows<'_>| Ok(linear(x, y, 0.1))];
                let fitted = fits.map(|fit| fit(&spanned, target.unit()).unwrap().matrix);
                fitted.map(|matrix| flat(matrix.as_ref()).iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            prop_assert_eq!(with_threads(1, fit), with_threads(2, fit));
        }
    }
}
