//! The mean vector, summed in `f64`.

use super::Rows;

/// A running sum of vectors; sums of parts can be added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeanSum {
    /// Sum of every component; empty until the first vector.
    pub sum: Vec<f64>,
    /// How many vectors were added.
    pub count: u64,
}

impl MeanSum {
    /// Adds one vector.
    pub fn add(&mut self, v: &[f32]) {
        self.sum.resize(v.len(), 0.0);
        for (s, &x) in self.sum.iter_mut().zip(v) {
            *s += f64::from(x);
        }
        self.count += 1;
    }

    /// Adds the sum of another part.
    pub fn merge(&mut self, sum: &[f64], count: u64) {
        self.sum.resize(sum.len(), 0.0);
        for (s, &x) in self.sum.iter_mut().zip(sum) {
            *s += x;
        }
        self.count += count;
    }

    /// The mean, or `None` of nothing.
    pub fn mean(&self) -> Option<Vec<f64>> {
        (self.count > 0).then(|| self.sum.iter().map(|s| s / self.count as f64).collect())
    }
}

/// The mean of `rows`, added up in their order.
pub fn mean(rows: Rows<'_>) -> Vec<f64> {
    let mut sum = MeanSum::default();
    for row in rows.iter() {
        sum.add(row);
    }
    sum.mean().unwrap_or_else(|| vec![0.0; rows.width()])
}
