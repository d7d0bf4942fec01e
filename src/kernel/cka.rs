//! Linear centred kernel alignment (Kornblith et al. 2019).

use super::moments::Moments;

/// `|A^T B|^2 / (|A^T A| |B^T B|)` of the centred rows, Frobenius norms: in [0, 1], 1 for spaces that are equal up to a
/// rotation and a scale. `None` where a side does not vary.
pub fn cka(moments: &Moments) -> Option<f64> {
    let squares = |products: &[f64]| products.iter().map(|x| x * x).sum::<f64>();
    moments.vary().then(|| {
        let lengths = squares(&moments.aa).sqrt() * squares(&moments.bb).sqrt();
        (squares(&moments.ab) / lengths).min(1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Rows;
    use crate::kernel::golden::{self, assert_near};
    use crate::kernel::svcca::{self, svcca};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        a: golden::Matrix,
        b: golden::Matrix,
        cka: f64,
        svcca: f64,
        svcca_half: f64,
    }

    #[test]
    fn alignments_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/cka.json")) {
            let (a, b) = (case.a.narrow(), case.b.narrow());
            let (a, b) = (Rows::new(&a, case.a.columns), Rows::new(&b, case.b.columns));
            let (mut ab, mut ba, mut aa) = (
                Moments::new(a.width(), b.width()),
                Moments::new(b.width(), a.width()),
                Moments::new(a.width(), a.width()),
            );
            ab.add(a, b);
            ba.add(b, a);
            aa.add(a, a);
            let all = |moments: &Moments| {
                let share = |share| svcca(moments, share).unwrap().unwrap();
                [cka(moments).unwrap(), share(svcca::VARIANCE), share(0.5)]
            };
            let want = [case.cka, case.svcca, case.svcca_half];
            assert_near(&all(&ab), &want, 1e-9, &case.name);
            assert_near(&all(&ba), &want, 1e-9, &case.name);
            assert_near(&all(&aa), &[1.0; 3], 1e-9, &case.name);
        }
    }

    #[test]
    fn one_row_has_no_alignment() {
        let mut moments = Moments::new(2, 2);
        moments.add(Rows::new(&[1.0, 2.0], 2), Rows::new(&[3.0, 4.0], 2));
        assert_eq!(cka(&moments), None);
        assert_eq!(svcca(&moments, 0.99), Ok(None));
    }
}
