//! Accuracy where a layer of a transformer is rescaled: Figure 2 of the paper.

use super::plot::{Line, Panel, Scale, svg};
use crate::lake::scale_study::Study;

/// From the first layer to the last: viridis, without its lightest.
const COLORS: [&str; 13] = [
    "#440154", "#481F70", "#443983", "#3B528B", "#31688E", "#287C8E", "#21918C", "#20A486", "#35B779", "#5EC962",
    "#90D743", "#BADE28", "#D8C71B",
];

/// A line for each layer over the factors, and the accuracy where nothing is rescaled.
pub fn figure(study: &Study) -> String {
    let last = study.layers.saturating_sub(1).max(1);
    let line = |layer: usize| Line {
        name: if layer == 0 { "embeddings".to_owned() } else { format!("layer {layer}") },
        color: COLORS[layer * (COLORS.len() - 1) / last],
        dashed: false,
        points: study.of_layer(layer),
        deviations: Vec::new(),
    };
    let ends = [f64::min, f64::max].map(|end| study.alphas.iter().copied().reduce(end).unwrap_or(1.0));
    let unscaled = Line {
        name: "unscaled".to_owned(),
        color: "#000000",
        dashed: true,
        points: ends.map(|alpha| (alpha, study.unscaled)).to_vec(),
        deviations: Vec::new(),
    };
    let panel = Panel {
        title: String::new(),
        x_label: "factor α".to_owned(),
        y_label: "accuracy".to_owned(),
        x_scale: Scale::Logarithmic,
        scale: Scale::Linear,
        lines: (0..study.layers).map(line).chain([unscaled]).collect(),
        histograms: Vec::new(),
    };
    svg(&format!("{}, one layer rescaled at a time", study.model), 1, vec![panel])
}
