//! Figures as a file format: `COPY (SELECT ...) TO 'figure.svg' STORED AS SVG OPTIONS (x 'delta', y 'cosine')`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result, exec_err, plan_err};
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::FileSinkConfig;
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use object_store::ObjectStoreExt;

use super::plot::{COLORS, Line, Panel, Scale, Values, svg};
use crate::session;
use crate::session::write_only::{WriteOnly, Writes};

/// What a statement's OPTIONS may say of a figure.
const OPTIONS: [&str; 9] = ["kind", "x", "y", "series", "panel", "columns", "deviation", "log", "title"];
/// Rows of a figure at most: they are held until it is drawn.
const MAX_ROWS: usize = 10_000_000;
/// Panels side by side, where nobody says how many.
const COLUMNS: usize = 3;

/// Lets COPY write SVG.
pub fn register(context: &SessionContext) -> crate::Result<()> {
    session::register_format(context, Arc::new(SvgFactory))
}

#[derive(Debug)]
struct SvgFactory;

impl GetExt for SvgFactory {
    fn get_ext(&self) -> String {
        Svg::NAME.to_owned()
    }
}

impl FileFormatFactory for SvgFactory {
    fn create(&self, _: &dyn Session, options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        let mut drawn = Drawn::default();
        for (key, value) in options {
            let name = key.strip_prefix("format.").unwrap_or(key);
            match name {
                "kind" => match value.as_str() {
                    "lines" => drawn.histogram = false,
                    "histogram" => drawn.histogram = true,
                    other => return plan_err!("SVG: kind '{other}' is unknown: 'lines' and 'histogram' are known"),
                },
                "log" => match value.as_str() {
                    "x" => drawn.log.0 = true,
                    "y" => drawn.log.1 = true,
                    "xy" => drawn.log = (true, true),
                    other => return plan_err!("SVG: log '{other}' is unknown: 'x', 'y' and 'xy' are known"),
                },
                "x" => drawn.x = Some(value.clone()),
                "y" => drawn.y = Some(value.clone()),
                "series" => drawn.series = Some(value.clone()),
                "panel" => drawn.panel = Some(value.clone()),
                "deviation" => drawn.deviation = Some(value.clone()),
                "columns" => match value.parse().ok().filter(|columns| (1..=20).contains(columns)) {
                    Some(columns) => drawn.columns = Some(columns),
                    None => return plan_err!("SVG: columns '{value}' is not from 1 to 20"),
                },
                "title" => drawn.title.clone_from(value),
                _ => return plan_err!("SVG: option `{name}` is unknown: {} and mode are known", OPTIONS.join(", ")),
            }
        }
        Ok(Arc::new(WriteOnly(Svg(Arc::new(drawn)))))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(WriteOnly(Svg(Arc::default())))
    }
}

/// A figure as a statement describes it; columns are by name.
#[derive(Debug, Clone, Default)]
struct Drawn {
    /// How often values of x are, in place of lines.
    histogram: bool,
    x: Option<String>,
    y: Option<String>,
    /// A line, or a histogram, for each value.
    series: Option<String>,
    /// A panel for each value.
    panel: Option<String>,
    /// How many of them side by side.
    columns: Option<usize>,
    /// What y varies by to both sides.
    deviation: Option<String>,
    /// Whether x and y are laid out in even factors.
    log: (bool, bool),
    title: String,
}

#[derive(Debug)]
struct Svg(Arc<Drawn>);

#[async_trait]
impl Writes for Svg {
    const NAME: &'static str = "svg";
    const UNREAD: &'static str = "SVG files are written, not read";

    async fn plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = Columns::find(&self.0, &config.output_schema)?;
        let sink = SvgSink { drawn: Arc::clone(&self.0), columns, config };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), order)))
    }
}

/// The places of the columns of a figure.
#[derive(Debug, Clone)]
struct Columns {
    x: usize,
    y: Option<usize>,
    series: Option<usize>,
    panel: Option<usize>,
    deviation: Option<usize>,
}

impl Columns {
    fn find(drawn: &Drawn, schema: &SchemaRef) -> Result<Self> {
        let names = || schema.fields().iter().map(|field| format!("`{}`", field.name())).collect::<Vec<_>>().join(", ");
        let place = |option: &str, name: &Option<String>, numeric: bool| -> Result<Option<usize>> {
            let Some(name) = name else { return Ok(None) };
            match schema.column_with_name(name) {
                None => plan_err!("SVG: {option} is `{name}`, and the query has no such column: it has {}", names()),
                Some((_, field)) if numeric && !field.data_type().is_numeric() => {
                    plan_err!("SVG: {option} is `{name}`, which is {}: a number is needed", field.data_type())
                }
                Some((place, _)) => Ok(Some(place)),
            }
        };
        let y = place("y", &drawn.y, true)?;
        let deviation = place("deviation", &drawn.deviation, true)?;
        let Some(x) = place("x", &drawn.x, true)? else {
            return plan_err!("SVG: say what is drawn, OPTIONS (x 'COLUMN', y 'COLUMN'): the query has {}", names());
        };
        match (drawn.histogram, y) {
            (false, None) => {
                plan_err!("SVG: lines need y: OPTIONS (x 'COLUMN', y 'COLUMN'), or kind 'histogram' of x alone")
            }
            (true, Some(_)) => plan_err!("SVG: a histogram counts values of x: drop y"),
            _ => {
                let series = place("series", &drawn.series, false)?;
                Ok(Self { x, y, series, panel: place("panel", &drawn.panel, false)?, deviation })
            }
        }
    }
}

/// Draws when all rows have come.
struct SvgSink {
    drawn: Arc<Drawn>,
    columns: Columns,
    config: FileSinkConfig,
}

impl fmt::Debug for SvgSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SvgSink").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl DisplayAs for SvgSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SvgSink")
    }
}

/// x, y and the deviation of a row; y and the deviation are NaN where nobody asks.
type Point = [f64; 3];
/// Points by panel, then by series.
type Points = BTreeMap<Name, BTreeMap<Name, Vec<Point>>>;

/// The bits of a number, or `u64::MAX`, and the text: numbers come in their order, then other names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name(u64, String);

impl Name {
    fn of(text: &str) -> Self {
        // The order of positive numbers is that of their bits.
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0);
        Self(number.map_or(u64::MAX, f64::to_bits), text.to_owned())
    }
}

#[async_trait]
impl DataSink for SvgSink {
    fn schema(&self) -> &SchemaRef {
        &self.config.output_schema
    }

    async fn write_all(&self, mut data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        let named = self.config.original_url.as_str();
        let Some(url) = self.config.table_paths.first().filter(|url| !url.is_collection()) else {
            return exec_err!("SVG: {named} is a folder: a figure is one file, name it like figure.svg");
        };
        let (mut points, mut rows) = (Points::new(), 0);
        while let Some(batch) = data.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            if rows > MAX_ROWS {
                return exec_err!(
                    "SVG: there are more than {MAX_ROWS} rows: draw some of them, for example WHERE id % 10 = 0"
                );
            }
            self.collect(batch.columns(), &mut points)?;
        }
        if points.is_empty() {
            return exec_err!("SVG: {named}: there is nothing to draw: of {rows} rows none has finite numbers");
        }
        let store = context.runtime_env().object_store(&self.config.object_store_url)?;
        store.put(url.prefix(), self.draw(points).into()).await?;
        Ok(rows as u64)
    }
}

impl SvgSink {
    fn collect(&self, columns: &[ArrayRef], points: &mut Points) -> Result<()> {
        let numbers = |place: Option<usize>| place.map(|place| cast(&columns[place], &DataType::Float64)).transpose();
        let texts = |place: Option<usize>| place.map(|place| cast(&columns[place], &DataType::Utf8)).transpose();
        let Columns { x, y, series, panel, deviation } = self.columns;
        let (x, y, deviation) = (numbers(Some(x))?, numbers(y)?, numbers(deviation)?);
        let (panel, series) = (texts(panel)?, texts(series)?);
        let number = |column: &Option<ArrayRef>, row: usize| {
            let column = column.as_ref().map(|column| column.as_primitive::<Float64Type>());
            column.filter(|column| column.is_valid(row)).map_or(f64::NAN, |column| column.value(row))
        };
        let name = |column: &Option<ArrayRef>, row: usize| {
            let column = column.as_ref().map(|column| column.as_string::<i32>());
            Name::of(column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row)))
        };
        for row in 0..columns.first().map_or(0, |column| column.len()) {
            let point = [number(&x, row), number(&y, row), number(&deviation, row)];
            if !point[0].is_finite() || (y.is_some() && !point[1].is_finite()) {
                continue;
            }
            points.entry(name(&panel, row)).or_default().entry(name(&series, row)).or_default().push(point);
        }
        Ok(())
    }

    /// The same figure whatever the order of rows.
    fn draw(&self, points: Points) -> String {
        let Drawn { histogram, x, y, series, panel, columns, log, title, .. } = self.drawn.as_ref();
        // A series has one colour in all panels.
        let mut names: Vec<&Name> = points.values().flat_map(BTreeMap::keys).collect();
        names.sort();
        names.dedup();
        let colors: BTreeMap<Name, &'static str> = names.into_iter().cloned().zip(COLORS.into_iter().cycle()).collect();
        let legend = |name: &Name| match series {
            None => String::new(),
            Some(_) if name.0 == u64::MAX => name.1.clone(),
            Some(series) => format!("{series} = {}", name.1),
        };
        let scale = |log: bool| if log { Scale::Logarithmic } else { Scale::Linear };
        let panels = points.into_iter().map(|(name, all)| {
            let mut drawn = Panel {
                title: if panel.is_some() { name.1 } else { String::new() },
                x_label: x.clone().unwrap_or_default(),
                y_label: if *histogram { "rows".to_owned() } else { y.clone().unwrap_or_default() },
                x_scale: scale(log.0),
                scale: scale(log.1),
                lines: Vec::new(),
                histograms: Vec::new(),
            };
            for (name, mut points) in all {
                let color = colors.get(&name).copied().unwrap_or(COLORS[0]);
                points.sort_by(|a, b| {
                    a.iter().zip(b).fold(std::cmp::Ordering::Equal, |so_far, (a, b)| so_far.then(a.total_cmp(b)))
                });
                if *histogram {
                    let values = points.into_iter().map(|[x, ..]| x).collect();
                    drawn.histograms.push(Values { name: legend(&name), color, values });
                } else {
                    let deviations = points.iter().map(|point| point[2]).collect::<Vec<_>>();
                    drawn.lines.push(Line {
                        name: legend(&name),
                        color,
                        dashed: false,
                        points: points.iter().map(|point| (point[0], point[1])).collect(),
                        deviations: if deviations.iter().any(|by| by.is_nan()) { Vec::new() } else { deviations },
                    });
                }
            }
            drawn
        });
        let panels: Vec<Panel> = panels.collect();
        svg(title, panels.len().min(columns.unwrap_or(COLUMNS)), panels)
    }
}
