//! What the measures share: options that choose rows, and a struct of numbers as the result.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

use super::arguments::Call;
use super::collect::{Collected, FromAll};
use super::options::{Kind, Options, Spec, spec};
use crate::kernel::Rows;
use crate::kernel::bootstrap::Estimate;
use crate::kernel::search::Metric;

/// The options that choose rows.
pub const POOL: [Spec; 2] = [spec("pool", Kind::Integer), spec("seed", Kind::Integer)];
/// Rows of a pool where nobody says how many.
const DEFAULT_POOL: i64 = 10_000;

/// The width of two embedding arguments after the key, which must be the same.
pub fn common_width(call: &Call<'_>, names: &[&'static str; 2]) -> Result<usize> {
    let width = call.fixed_embedding(1, names[0])?;
    call.fixed_embedding(2, names[1])?;
    call.embedding_of(2, names[1], width, names[0])?;
    Ok(width)
}

/// The type of `names` measured over keyed pairs, the arguments checked; options are the last one, argument `at`.
pub fn return_type(
    call: &Call<'_>,
    at: usize,
    known: &[Spec],
    vectors: &[&'static str; 2],
    names: &[Named],
) -> Result<DataType> {
    call.count(at, at + 1)?;
    call.options(at, &[known, &POOL].concat())?;
    call.key(0, "key")?;
    common_width(call, vectors)?;
    Ok(data_type(names))
}

/// What an accumulator over keyed pairs sends on.
pub fn state(call: &Call<'_>, names: &'static [&'static str; 2]) -> Result<Vec<(&'static str, DataType)>> {
    Ok(Collected::state_types(names, call.key(0, "key")?, &[common_width(call, names)?; 2]))
}

/// The option `seed`, 0 where absent.
pub fn seed(function: &str, options: &Options<'_>) -> Result<u64> {
    match u64::try_from(options.integer("seed", 0)?.unwrap_or(0)) {
        Ok(seed) => Ok(seed),
        Err(_) => exec_err!("{function}: seed is negative: use 0 or more"),
    }
}

/// The option `metric`, the cosine where absent.
pub fn metric(function: &str, options: &Options<'_>) -> Result<Metric> {
    let name = options.text("metric", 0)?;
    match name.as_deref().map_or(Some(Metric::default()), Metric::named) {
        Some(metric) => Ok(metric),
        None => exec_err!(
            "{function}: metric '{}' is unknown: 'cosine', 'centred_cosine', 'inner_product' and 'l2' are known",
            name.unwrap_or_default()
        ),
    }
}

/// A number of rows, at least 1.
pub fn rows(function: &str, options: &Options<'_>, name: &str, default: i64) -> Result<usize> {
    let given = options.integer(name, 0)?.unwrap_or(default);
    match usize::try_from(given) {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => exec_err!("{function}: {name} {given} is too small: use 1 or more"),
    }
}

/// Collects keyed pairs, those of the pool.
pub fn pairs(
    function: &'static str,
    call: &Call<'_>,
    names: &'static [&'static str; 2],
    options: &Options<'_>,
) -> Result<Collected> {
    let size = rows(function, options, "pool", DEFAULT_POOL)?;
    let width = common_width(call, names)?;
    let collected = Collected::new(function, names, call.key(0, "key")?, vec![width; 2]);
    Ok(collected.pool(size, seed(function, options)?))
}

/// A measured number, or three of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// `Int64`.
    Count(usize),
    /// `Float64`.
    Number(Option<f64>),
    /// `Float64`, and the same with `_low` and `_high` behind the name: its interval.
    Estimate(Estimate),
}

/// A name and the kind of [`Measure`] that it has.
pub type Named = (&'static str, Shape);

/// The kinds of [`Measure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// See [`Measure::Count`].
    Count,
    /// See [`Measure::Number`].
    Number,
    /// See [`Measure::Estimate`].
    Estimate,
}

fn fields(names: &[Named]) -> Fields {
    let field = |name: String, data_type: DataType| Field::new(name, data_type, true);
    let fields = names.iter().flat_map(|(name, shape)| match shape {
        Shape::Count => vec![field((*name).into(), DataType::Int64)],
        Shape::Number => vec![field((*name).into(), DataType::Float64)],
        Shape::Estimate => ["", "_low", "_high"].map(|end| field(format!("{name}{end}"), DataType::Float64)).into(),
    });
    fields.collect()
}

/// The type of a struct of measures.
pub fn data_type(names: &[Named]) -> DataType {
    DataType::Struct(fields(names))
}

/// A struct of measures; NULL without.
pub fn value(names: &[Named], measures: Option<Vec<Measure>>) -> crate::Result<ScalarValue> {
    let Some(measures) = measures else { return Ok(ScalarValue::try_from(&data_type(names))?) };
    let number = |x: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![x])) };
    let columns = measures.into_iter().flat_map(|measure| match measure {
        Measure::Count(count) => vec![Arc::new(Int64Array::from(vec![count as i64])) as ArrayRef],
        Measure::Number(x) => vec![number(x)],
        Measure::Estimate(Estimate { mean, low, high }) => [mean, low, high].map(|x| number(Some(x))).into(),
    });
    let columns = columns.collect();
    Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields(names), columns, None)?)))
}

/// An accumulator that measures the pairs it has collected, in the order of their keys. `measure` sees the two sides and the
/// places of the rows in `rows`; it gives `None` where there is nothing to measure.
pub fn accumulator(
    rows: Collected,
    names: &'static [Named],
    measure: impl Fn(Rows<'_>, Rows<'_>, &Collected, &[usize]) -> crate::Result<Option<Vec<Measure>>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn Accumulator> {
    Box::new(FromAll::new(rows, move |rows: &Collected| {
        let order = rows.keys().order();
        let width = rows.rows(0).width();
        let sorted = |i: usize| rows.rows(i).select(&order);
        let (a, b) = rayon::join(|| sorted(0), || sorted(1));
        value(names, measure(Rows::new(&a, width), Rows::new(&b, width), rows, &order)?)
    }))
}
