//! Panels of lines and squares of numbers, drawn: the only place that knows the plotting crate.

use kuva::backend::svg::SvgBackend;
use kuva::plot::heatmap::{ColorMap, Heatmap};
use kuva::plot::histogram::BinMethod;
use kuva::plot::legend::LegendPosition;
use kuva::plot::line::LineStyle;
use kuva::plot::{Histogram, LinePlot};
use kuva::render::figure::Figure;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

/// Told apart by people who see colours in other ways, too (Okabe and Ito 2008).
pub const COLORS: [&str; 6] = ["#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#0072B2"];

/// Lines, or histograms, over one x axis.
#[derive(Debug)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Below the x axis.
    pub x_label: String,
    /// Beside the y axis.
    pub y_label: String,
    /// How x is laid out.
    pub x_scale: Scale,
    /// How y is laid out.
    pub scale: Scale,
    /// The lines, the first one at the bottom.
    pub lines: Vec<Line>,
    /// The histograms, the first one at the bottom.
    pub histograms: Vec<Values>,
}

/// How an axis is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Even steps.
    Linear,
    /// Even factors; a y axis from 1 on.
    Logarithmic,
}

/// Values to count in bins, with a legend where they have a name.
#[derive(Debug)]
pub struct Values {
    /// In the legend.
    pub name: String,
    /// CSS.
    pub color: &'static str,
    /// Finite.
    pub values: Vec<f64>,
}

/// A line, with a legend where it has a name.
#[derive(Debug)]
pub struct Line {
    /// In the legend: panels share it, and a name stands there once.
    pub name: String,
    /// CSS.
    pub color: &'static str,
    /// Dashes: for what does not depend on x.
    pub dashed: bool,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// What y varies by to both sides, of each point; empty where nothing is to be drawn.
    pub deviations: Vec<f64>,
}

const PANEL: (f64, f64) = (430.0, 300.0);
/// Of bands: those of several lines lie over each other.
const OPACITY: f64 = 0.15;

/// The figure as SVG: panels row by row, with one legend on the right.
pub fn svg(title: &str, columns: usize, panels: Vec<Panel>) -> String {
    let rows = panels.len().div_ceil(columns.max(1));
    let is_named = |panel: &Panel| {
        panel.lines.iter().any(|line| !line.name.is_empty())
            || panel.histograms.iter().any(|values| !values.name.is_empty())
    };
    let has_legend = panels.iter().any(is_named);
    let (layouts, plots) = panels.into_iter().map(draw).unzip();
    let figure = Figure::new(rows, columns)
        // Between dollars stand formulas.
        .with_title(title.replace('$', r"\$"))
        .with_title_size(16)
        .with_cell_size(PANEL.0, PANEL.1)
        .with_plots(plots)
        .with_layouts(layouts);
    let figure = if has_legend { figure.with_shared_legend_right_top() } else { figure };
    SvgBackend::new().render_scene(&figure.render())
}

fn draw(panel: Panel) -> (Layout, Vec<Plot>) {
    let line = |line: Line| {
        let (below, above): (Vec<f64>, Vec<f64>) =
            line.points.iter().zip(&line.deviations).map(|((_, y), by)| (y - by, y + by)).unzip();
        let style = if line.dashed { LineStyle::Dashed } else { LineStyle::Solid };
        let plot = LinePlot::new().with_data(line.points).with_color(line.color).with_line_style(style);
        let mut plot = if line.name.is_empty() { plot } else { plot.with_legend(line.name) };
        if !below.is_empty() {
            plot = plot.with_band(below, above);
            plot.band = plot.band.map(|band| band.with_opacity(OPACITY));
        }
        Plot::Line(plot)
    };
    let range = panel.histograms.iter().flat_map(|values| values.values.iter().copied());
    let range = range.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), x| (from.min(x), to.max(x)));
    // Values that are all the same have a bin, too.
    let range = if range.0 < range.1 { range } else { (range.0 - 0.5, range.1 + 0.5) };
    let histogram = |values: Values| {
        let plot = Histogram::new().with_data(values.values).with_range(range).with_color(values.color);
        let plot = plot.with_bin_method(BinMethod::FreedmanDiaconis);
        Plot::Histogram(if values.name.is_empty() { plot } else { plot.with_legend(values.name) })
    };
    let plots: Vec<Plot> =
        panel.histograms.into_iter().map(histogram).chain(panel.lines.into_iter().map(line)).collect();
    let layout = Layout::auto_from_plots(&plots)
        .with_title(panel.title)
        .with_title_size(14)
        .with_x_label(panel.x_label)
        .with_y_label(panel.y_label)
        .with_x_tick_format(TickFormat::Auto)
        .with_legend_position(LegendPosition::OutsideRightTop);
    let layout = if panel.x_scale == Scale::Logarithmic { layout.with_log_x() } else { layout };
    let layout = if panel.scale == Scale::Logarithmic { layout.with_log_y().with_y_axis_min(1.0) } else { layout };
    (layout, plots)
}

/// A square of numbers, rows from and columns into the same names.
#[derive(Debug)]
pub struct Grid {
    /// Above it.
    pub title: String,
    /// Of rows and columns.
    pub names: Vec<String>,
    /// The numbers, row by row.
    pub cells: Vec<Vec<f64>>,
}

/// Wide enough for a number, and for so many letters of a name.
const CELL: f64 = 70.0;
const LETTER: f64 = 8.0;

/// The squares as SVG, side by side, each with its numbers.
pub fn grids(title: &str, grids: Vec<Grid>) -> String {
    let side = |grid: &Grid| {
        let letters = grid.names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
        grid.names.len() as f64 * CELL.max(letters * LETTER) + 140.0
    };
    let side = grids.iter().map(side).fold(PANEL.1, f64::max);
    let columns = grids.len();
    let (layouts, plots) = grids.into_iter().map(square).unzip();
    let figure = Figure::new(1, columns)
        .with_title(title.replace('$', r"\$"))
        .with_title_size(16)
        .with_cell_size(side, side)
        .with_plots(plots)
        .with_layouts(layouts);
    SvgBackend::new().render_scene(&figure.render())
}

fn square(grid: Grid) -> (Layout, Vec<Plot>) {
    let names = grid.names.clone();
    let map = Heatmap::new().with_data(grid.cells).with_color_map(ColorMap::Viridis).with_values();
    let plots = vec![Plot::Heatmap(map)];
    let layout = Layout::auto_from_plots(&plots)
        .with_title(grid.title)
        .with_title_size(14)
        .with_x_label("into")
        .with_y_label("from")
        .with_x_categories(names.clone())
        .with_y_categories(names);
    (layout, plots)
}
