//! What gives rows their classes: the nearest class mean, or a head.

use super::Rows;
use super::block::Scratch;
use super::class_means::ClassMeans;
use super::head::{self, Layer};

/// A classifier of a space's rows.
#[derive(Debug, Clone)]
pub enum Classifier<'a> {
    /// By the nearest class mean.
    Means(ClassMeans),
    /// By the layers of a head: class i is its logit i.
    Head(&'a [Layer]),
}

impl Classifier<'_> {
    /// Of each row whether it gets the class it has; a row that is not finite gets none.
    pub fn is_right(&self, rows: Rows<'_>, classes: &[usize]) -> Vec<bool> {
        let found: Vec<Option<usize>> = match self {
            Self::Means(means) => rows.iter().map(|row| means.nearest(row)).collect(),
            Self::Head(layers) => {
                let finite = |i: usize| Some(rows.row(i)).filter(|row| row.iter().all(|x| x.is_finite()));
                let all = head::classes(layers, rows.len(), finite, &mut Scratch::default()).unwrap_or_default();
                all.into_iter().enumerate().map(|(i, class)| finite(i).and(class)).collect()
            }
        };
        found.iter().zip(classes).map(|(found, own)| *found == Some(*own)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::head::Activation;

    #[test]
    fn a_row_gets_the_class_of_its_logit_or_of_its_mean() {
        let rows = [3.0, 0.0, 0.0, 2.0, f32::NAN, 1.0, 0.5, 1.0];
        let rows = Rows::new(&rows, 2);
        let layers = [Layer {
            inputs: 2,
            outputs: 2,
            activation: Activation::Identity,
            weight: vec![1.0, 0.0, 0.0, 1.0],
            bias: vec![0.0, 0.0],
        }];
        let head = Classifier::Head(&layers);
        assert_eq!(head.is_right(rows, &[0, 1, 0, 0]), [true, true, false, false]);
        let means = ClassMeans::new(Rows::new(&[1.0, 0.0, 0.0, 1.0], 2), &[0, 1], &[0.0, 0.0]);
        assert_eq!(Classifier::Means(means).is_right(rows, &[0, 1, 1, 1]), [true, true, false, true]);
    }
}
