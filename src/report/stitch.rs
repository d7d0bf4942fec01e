//! Accuracies of stitched pairs with their marginals: Figure 7 of the paper.

use super::plot::{Grid, grids};
use crate::lake::stitch::{Row, Stitched};

/// A square for each method, from encoders (rows) into heads (columns), means over seeds: the diagonal is a head on its own encoder's
/// rows, the last row and column are means of the others. `modality` of an encoder stands behind its name, and encoders of one
/// modality together, so that pairs across modalities are blocks off the diagonal.
pub fn figure(stitched: &Stitched, modality: impl Fn(&str) -> Option<String>) -> String {
    let mut order: Vec<usize> = (0..stitched.encoders.len()).collect();
    order.sort_by_key(|&place| modality(&stitched.encoders[place]));
    let mut names: Vec<String> = order
        .iter()
        .map(|&place| {
            let name = &stitched.encoders[place];
            modality(name).map_or_else(|| name.clone(), |modality| format!("{name} ({modality})"))
        })
        .collect();
    names.push("mean".to_owned());
    let squares = stitched.methods.iter().enumerate().map(|(method, title)| {
        let mean = |keep: &dyn Fn(&Row) -> bool, of: &dyn Fn(&Row) -> f64| {
            let found: Vec<f64> =
                stitched.rows.iter().filter(|row| row.method == method && keep(row)).map(of).collect();
            found.iter().sum::<f64>() / found.len().max(1) as f64
        };
        let n = order.len();
        let mut cells = vec![vec![0.0; n + 1]; n + 1];
        for (i, &source) in order.iter().enumerate() {
            for (j, &target) in order.iter().enumerate() {
                cells[i][j] = if source == target {
                    mean(&|row| row.target == target, &|row| row.non_stitch)
                } else {
                    mean(&|row| (row.source, row.target) == (source, target), &|row| row.zero_shot)
                };
            }
            cells[i][n] = mean(&|row| row.source == source, &|row| row.zero_shot);
            cells[n][i] = mean(&|row| row.target == source, &|row| row.zero_shot);
        }
        cells[n][n] = mean(&|_| true, &|row| row.zero_shot);
        Grid { title: title.clone(), names: names.clone(), cells }
    });
    let squares = squares.collect();
    grids(&format!("accuracy of heads on translated rows, {} anchors", stitched.counts.2), squares)
}
