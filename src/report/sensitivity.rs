//! How irp depends on omega and delta: Figure 3 of the paper, and Figure 6 where rows have classes.

use super::plot::{COLORS, Line, Panel, Scale, svg};
use crate::lake::sweep::{MEASURES, Spaces, Spread, Sweep};

/// A panel's measure, what its axis says, and how it is laid out. The first one is drawn where there is no accuracy.
const PANELS: [(&str, &str, Scale); 5] = [
    ("centred_cosine", "centred cosine", Scale::Linear),
    ("cosine", "similarity (cosine)", Scale::Linear),
    ("accuracy", "accuracy", Scale::Linear),
    ("condition_number", "condition number", Scale::Logarithmic),
    ("kept_anchors", "kept anchors", Scale::Logarithmic),
];

/// What is drawn beside irp, from one side to the other.
const REFERENCES: [(&str, &str); 2] = [("parseval", "#000000"), ("mean-only", "#999999")];
/// Heads on their own encoders' rows.
const NATIVE: (&str, &str) = ("native", "#666666");

/// Similarity, centred cosine (where rows have classes, accuracy in its place), condition number and kept anchors over delta, a line for each
/// omega; bands are a standard deviation over pairs and seeds to both sides. Spaces into themselves are on the left, between spaces on the
/// right, where both were measured.
pub fn figure(sweep: &Sweep) -> String {
    let columns: Vec<Spaces> = [Spaces::Intra, Spaces::Inter]
        .into_iter()
        .filter(|of| sweep.rows.iter().any(|row| row.spaces == *of))
        .collect();
    let panel = |(measure, label, scale): (&str, &str, Scale), spaces: Spaces| {
        let title = match spaces {
            Spaces::Intra => "a space into itself",
            Spaces::Inter => "between spaces",
        };
        let title = if columns.len() > 1 { title.to_owned() } else { String::new() };
        Panel {
            title,
            x_label: "pruning threshold δ".to_owned(),
            y_label: label.to_owned(),
            x_scale: Scale::Linear,
            scale,
            lines: lines(sweep, spaces, measure, scale),
            histograms: Vec::new(),
        }
    };
    let unwanted = if sweep.native_accuracy.is_some() { "centred_cosine" } else { "accuracy" };
    let panels = PANELS.into_iter().filter(|(measure, ..)| *measure != unwanted);
    let panels = panels.flat_map(|of| columns.iter().map(move |&spaces| (of, spaces)));
    let panels = panels.map(|(of, spaces)| panel(of, spaces)).collect();
    svg(&title(sweep), 2, panels)
}

fn title(sweep: &Sweep) -> String {
    let anchors = sweep.anchors.1;
    match sweep.encoders.as_slice() {
        [only] => format!("{only}, {anchors} anchors"),
        [source, target] if sweep.pairs == 1 => format!("{source} → {target}, {anchors} anchors"),
        encoders => format!("{} encoders, {} ordered pairs, {anchors} anchors", encoders.len(), sweep.pairs),
    }
}

fn lines(sweep: &Sweep, spaces: Spaces, measure: &str, scale: Scale) -> Vec<Line> {
    let place = MEASURES.iter().position(|name| *name == measure).unwrap_or_default();
    let rows = || sweep.rows.iter().filter(|row| row.spaces == spaces);
    let mut lines = Vec::new();
    let deltas = || rows().filter_map(|row| row.delta);
    // Neither prunes nor inverts.
    let references = REFERENCES.into_iter().chain((measure == "accuracy").then_some(NATIVE));
    for (name, color) in references.filter(|_| scale == Scale::Linear) {
        let found = match name == NATIVE.0 {
            true => sweep.native_accuracy,
            false => rows().find(|row| row.method == name).and_then(|row| row.measures[place]),
        };
        let (Some(spread), Some(from), Some(to)) = (found, deltas().reduce(f64::min), deltas().reduce(f64::max)) else {
            continue;
        };
        let points = vec![(from, spread.mean), (to, spread.mean)];
        lines.push(Line { name: name.to_owned(), color, dashed: true, points, deviations: Vec::new() });
    }
    let mut omegas: Vec<usize> = rows().filter_map(|row| row.omega).collect();
    omegas.dedup();
    for (omega, color) in omegas.into_iter().zip(COLORS.into_iter().cycle()) {
        let of_omega = rows().filter(|row| row.omega == Some(omega));
        let found: Vec<(f64, Spread)> = of_omega.filter_map(|row| row.delta.zip(row.measures[place])).collect();
        lines.push(Line {
            name: format!("ω = {omega}"),
            color,
            dashed: false,
            points: found.iter().map(|(delta, spread)| (*delta, spread.mean)).collect(),
            // That of condition numbers is often larger than their mean.
            deviations: match scale {
                Scale::Linear => found.iter().filter_map(|(_, spread)| spread.deviation).collect(),
                Scale::Logarithmic => Vec::new(),
            },
        });
    }
    lines
}
