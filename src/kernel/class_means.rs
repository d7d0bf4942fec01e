//! A classifier of native rows without settings: the nearest class mean (Rocchio 1971).
//!
//! It stands for the classifiers that people have on top of a target encoder: translated rows that it tells apart as it does
//! native rows keep their classes.

use super::Rows;
use super::center::{Centered, center_normalize_into, noise_floor};
use super::mean::MeanSum;
use super::norm::{dot, norm};

/// The directions in which classes lie from a centre.
#[derive(Debug, Clone)]
pub struct ClassMeans {
    center: Vec<f32>,
    noise_floor: f64,
    /// The classes that have rows, the most frequent first, then by number.
    classes: Vec<usize>,
    /// Of each of them `nu(mean of its rows - center)`, row-major; zero where the mean equals the center.
    directions: Vec<f32>,
}

impl ClassMeans {
    /// Of `rows`, row i of class `classes[i]`; directions are seen from `center`.
    pub fn new(rows: Rows<'_>, classes: &[usize], center: &[f32]) -> Self {
        let count = classes.iter().max().map_or(0, |class| class + 1);
        let mut sums = vec![MeanSum::default(); count];
        rows.iter().zip(classes).for_each(|(row, &class)| sums[class].add(row));
        let mut order: Vec<usize> = (0..count).filter(|&class| sums[class].count > 0).collect();
        order.sort_by_key(|&class| std::cmp::Reverse(sums[class].count));
        let noise_floor = noise_floor(norm(center));
        let mut directions = vec![0.0; order.len() * center.len()];
        for (&class, direction) in order.iter().zip(directions.chunks_exact_mut(center.len().max(1))) {
            let mean: Vec<f32> = sums[class].mean().unwrap_or_default().into_iter().map(|m| m as f32).collect();
            center_normalize_into(&mean, center, noise_floor, direction);
        }
        Self { center: center.to_vec(), noise_floor, classes: order, directions }
    }

    /// The class whose mean is nearest to `v` by cosine, both seen from the center. Ties go to the class of more rows, so that
    /// a row that equals the center, which is as near to every class, gets the most frequent one. `None` where there is no
    /// class, or `v` is not finite.
    pub fn nearest(&self, v: &[f32]) -> Option<usize> {
        let mut direction = vec![0.0; v.len()];
        if center_normalize_into(v, &self.center, self.noise_floor, &mut direction) == Centered::NotFinite {
            return None;
        }
        let means = Rows::new(&self.directions, self.center.len());
        let mut nearest: Option<(usize, f64)> = None;
        for (&class, mean) in self.classes.iter().zip(means.iter()) {
            let cosine = dot(&direction, mean);
            if nearest.is_none_or(|(_, best)| cosine > best) {
                nearest = Some((class, cosine));
            }
        }
        nearest.map(|(class, _)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::golden;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        rows: golden::Matrix,
        classes: Vec<usize>,
        center: Vec<f64>,
        asked: golden::Matrix,
        nearest: Vec<usize>,
    }

    #[test]
    fn nearest_classes_are_golden() {
        for case in golden::cases::<Case>(include_str!("../../tests/golden/class_means.json")) {
            let (rows, asked) = (case.rows.narrow(), case.asked.narrow());
            let d = case.rows.columns;
            let means = ClassMeans::new(Rows::new(&rows, d), &case.classes, &golden::narrow(&case.center));
            let nearest: Vec<usize> = Rows::new(&asked, d).iter().filter_map(|v| means.nearest(v)).collect();
            assert_eq!(nearest, case.nearest, "{}", case.name);
        }
    }

    #[test]
    fn a_row_at_the_center_gets_the_most_frequent_class() {
        let rows = Rows::new(&[1.0, 0.0, 0.0, 1.0, 0.0, 2.0], 2);
        let means = ClassMeans::new(rows, &[0, 2, 2], &[0.0, 0.0]);
        assert_eq!(means.nearest(&[0.0, 0.0]), Some(2));
        assert_eq!(means.nearest(&[3.0, 1.0]), Some(0));
        assert_eq!(means.nearest(&[f32::NAN, 1.0]), None);
        assert_eq!(ClassMeans::new(Rows::new(&[], 2), &[], &[0.0, 0.0]).nearest(&[1.0, 0.0]), None);
    }
}
