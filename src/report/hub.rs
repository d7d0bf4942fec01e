//! How the spaces of a hub get on with each other: heat maps.

use super::plot::{Grid, grids};
use crate::lake::hub::check::{Checked, Pair};

/// Three squares, from (rows) into (columns): beside the target's own rows, there and back, and through the worst third space.
pub fn figure(checked: &Checked) -> String {
    let cells = |of: &dyn Fn(&Pair) -> Option<f64>| {
        // A space into itself is what it is.
        let mut cells = vec![vec![1.0; checked.names.len()]; checked.names.len()];
        for pair in &checked.pairs {
            cells[pair.from][pair.into] = of(pair).unwrap_or(1.0);
        }
        cells
    };
    let grid = |title: &str, cells| Grid { title: title.to_owned(), names: checked.names.clone(), cells };
    let mut squares =
        vec![grid("direct", cells(&|pair| Some(pair.direct))), grid("there and back", cells(&|pair| Some(pair.cycle)))];
    if checked.pairs.iter().any(|pair| pair.triangle.is_some()) {
        squares.push(grid("through the worst third", cells(&|pair| pair.triangle.map(|(near, _)| near))));
    }
    grids(&format!("{} spaces, centred cosine of anchors not fitted on", checked.names.len()), squares)
}
