//! `emb_head(key, v, label, {kind, activation, hidden, l2, seed, iterations, tolerance, encoder})`: trains a classification head.
//!
//! `kind` is 'linear' (default: softmax regression) or 'mlp' (two hidden layers of `hidden`, 128, numbers each, without normalisation
//! layers, `activation` 'relu', 'tanh' or 'cos'). Minimised is the mean cross-entropy plus `l2` / 2 (1e-4) times the squared weights,
//! by L-BFGS over all rows (`iterations` 500 at most, until the gradient is shorter than `tolerance`, 1e-4). Labels are integers or
//! strings. The same rows give the same head, whatever their order. Rows with a NULL vector are left out; a NULL label or key beside a
//! vector, duplicate keys, one class alone, a NULL or non-finite item, more than 2,000,000 rows are errors. All rows are in memory.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::Call;
use super::collect::{Collected, FromAll};
use super::measures;
use super::options::{Kind, Options, Spec, spec};
use crate::Error;
use crate::column::{Head, KeyKind, Keys};
use crate::kernel::head::Activation;
use crate::kernel::head::train::{Progress, Training};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbHead {
    /// Of the training that runs.
    pub progress: Arc<Progress>,
}

const VECTORS: [&str; 1] = ["v"];
const OPTIONS: [Spec; 8] = [
    spec("kind", Kind::Text),
    spec("activation", Kind::Text),
    spec("hidden", Kind::Integer),
    spec("l2", Kind::Number),
    spec("seed", Kind::Integer),
    spec("iterations", Kind::Integer),
    spec("tolerance", Kind::Number),
    spec("encoder", Kind::Text),
];

/// Rows at most: a head gains little from more, and they are in memory.
const MAX_ROWS: usize = 2_000_000;

fn training(options: &Options<'_>) -> Result<Training> {
    let name = EmbHead::NAME;
    let linear = match options.text("kind", 0)?.as_deref() {
        None | Some("linear") => true,
        Some("mlp") => false,
        Some(other) => return exec_err!("{name}: kind '{other}' is unknown: 'linear' and 'mlp' are known"),
    };
    let activation = options.text("activation", 0)?;
    if linear && (activation.is_some() || options.integer("hidden", 0)?.is_some()) {
        return exec_err!("{name}: `activation` and `hidden` are of hidden layers: set kind: 'mlp', or drop them");
    }
    let known = activation.as_deref().map_or(Some(Activation::Relu), Activation::named);
    let Some(activation) = known.filter(|activation| *activation != Activation::Identity) else {
        let given = activation.unwrap_or_default();
        return exec_err!("{name}: activation '{given}' is unknown: 'relu', 'tanh' and 'cos' are known");
    };
    let positive = |option: &str, default: f64| match options.number(option, 0)?.unwrap_or(default) {
        number if number >= 0.0 && number.is_finite() => Ok(number),
        number => exec_err!("{name}: {option} {number} is below 0"),
    };
    let hidden = measures::rows(name, options, "hidden", 128)?;
    let default = Training::default();
    Ok(Training {
        hidden: if linear { Vec::new() } else { vec![hidden; 2] },
        activation,
        l2: positive("l2", default.l2)?,
        seed: measures::seed(name, options)?,
        iterations: measures::rows(name, options, "iterations", default.iterations as i64)? as u64,
        tolerance: positive("tolerance", default.tolerance)?,
    })
}

impl Aggregate for EmbHead {
    const NAME: &'static str = "emb_head";
    const SYNTAX: &'static str = "emb_head(key, v, label, {kind: 'linear', l2: 1e-4})";
    const DESCRIPTION: &'static str = "Trains a classification head on labelled rows.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(3, 4)?;
        call.options(3, &OPTIONS)?;
        call.key(0, "key")?;
        Ok(Head::data_type(call.key(2, "label")?, call.fixed_embedding(1, "v")?))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        let mut state = Collected::state_types(&VECTORS, call.key(0, "key")?, &[call.fixed_embedding(1, "v")?]);
        state.push(Collected::label_type("label"));
        Ok(state)
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let (training, encoder) = (training(&options)?, options.text("encoder", 0)?.unwrap_or_default());
        let (kind, width) = (call.key(2, "label")?, call.fixed_embedding(1, "v")?);
        let rows = Collected::new(Self::NAME, &VECTORS, call.key(0, "key")?, vec![width])
            .at_most(MAX_ROWS, "rows: train on some of them, for example WHERE id % 10 = 0")
            .with_label("label");
        let progress = Arc::clone(&self.progress);
        Ok(Box::new(FromAll::new(rows, move |rows: &Collected| {
            let labels = match kind {
                KeyKind::Text => Keys::Text(rows.labels().to_vec()),
                KeyKind::Int => {
                    let number = |label: &String| label.parse::<i64>();
                    let numbers = rows.labels().iter().map(number).collect::<Result<Vec<_>, _>>();
                    Keys::Int(numbers.map_err(|_| {
                        Error::Invalid("a label is beyond 64 signed bits: CAST labels to strings".into())
                    })?)
                }
            };
            let trained = (&training, progress.as_ref());
            let head = Head::train_watched(rows.keys(), rows.rows(0), &labels, &encoder, trained)?;
            Ok(ScalarValue::Struct(head.to_array()?.into()))
        })))
    }
}
