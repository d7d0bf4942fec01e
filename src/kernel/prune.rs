//! Anchor pruning by farthest-point sampling, equations (3) and (4) of the paper.

use super::Rows;
use super::norm::dot;

/// `D(a, b) = 1 - |a . b|` of unit vectors, clamped to [0, 1]: equation (3), row by row.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    (1.0 - dot(a, b).abs()).clamp(0.0, 1.0)
}

/// The anchors kept, in the order chosen: starting from `start`, again and again the anchor farthest from all chosen
/// ones (ties: the lowest index), until that distance is below `delta`. `delta` = 0 keeps all.
///
/// K x |S| distances, no K x K matrix.
pub fn farthest_point(unit: Rows<'_>, start: usize, delta: f64) -> Vec<usize> {
    let mut chosen = vec![start];
    // Distance to the nearest chosen anchor; negative once chosen itself.
    let mut nearest = vec![f64::INFINITY; unit.len()];
    let mut latest = start;
    loop {
        nearest[latest] = -1.0;
        let mut farthest: Option<(usize, f64)> = None;
        let latest_row = unit.row(latest);
        for (j, row) in unit.iter().enumerate() {
            if nearest[j] < 0.0 {
                continue;
            }
            nearest[j] = nearest[j].min(distance(latest_row, row));
            if farthest.is_none_or(|(_, distance)| nearest[j] > distance) {
                farthest = Some((j, nearest[j]));
            }
        }
        match farthest {
            Some((j, distance)) if distance >= delta => {
                chosen.push(j);
                latest = j;
            }
            _ => return chosen,
        }
    }
}
