//! An aggregate function as we write it, and as the engine wants it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature};
use datafusion::physical_expr::utils::collect_columns;

use super::arguments::Call;
use super::options::Options;
use super::scalar::{documentation, signature};

/// What an aggregate function says of itself and does.
pub trait Aggregate: fmt::Debug + Send + Sync + 'static {
    /// The name in SQL.
    const NAME: &'static str;
    /// How it is called.
    const SYNTAX: &'static str;
    /// What it does, in a sentence or two.
    const DESCRIPTION: &'static str;

    /// Checks the arguments' types and gives the result's.
    fn return_type(&self, call: &Call<'_>) -> Result<DataType>;

    /// What an accumulator sends to the one that merges: names and types.
    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>>;

    /// A new accumulator.
    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>>;
}

/// The options argument `i` of an aggregate. It must be a literal: an aggregate has one set of options.
pub fn literal_options<'a>(function: &'a str, args: &AccumulatorArgs<'_>, i: usize) -> Result<Options<'a>> {
    let Some(expr) = args.exprs.get(i) else { return Ok(Options::none(function)) };
    if !collect_columns(expr).is_empty() {
        return plan_err!(
            "{function}: an aggregate takes its options as one literal; for a grid of fits make the spaces with emb_space and \
             call emb_translator(source, target, {{omega: o.omega}}) FROM spaces CROSS JOIN omegas o"
        );
    }
    let value = expr.evaluate(&RecordBatch::new_empty(Arc::new(args.schema.clone())))?.into_array(1)?;
    Ok(Options::new(function, value.as_struct_opt().cloned(), true))
}

/// The type of a list of `item`s in an accumulator's state or result.
pub fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// All of `items` as one list.
pub fn one_list(items: ArrayRef) -> Result<ScalarValue> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, items, None)?)))
}

/// The function as the engine takes it.
pub fn udaf<F: Aggregate>(function: F) -> AggregateUDF {
    let documentation = documentation(F::DESCRIPTION, F::SYNTAX);
    AggregateUDF::from(Engine { function, documentation })
}

#[derive(Debug)]
struct Engine<F> {
    function: F,
    documentation: Documentation,
}

impl<F: Aggregate> PartialEq for Engine<F> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<F: Aggregate> Eq for Engine<F> {}

impl<F: Aggregate> Hash for Engine<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        F::NAME.hash(state);
    }
}

fn call<'a, F: Aggregate>(fields: &'a [FieldRef]) -> Call<'a> {
    Call { function: F::NAME, syntax: F::SYNTAX, fields, literals: &[] }
}

impl<F: Aggregate> AggregateUDFImpl for Engine<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn signature(&self) -> &Signature {
        signature()
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    // An error here reaches the user wrapped twice: all is accepted, and checked in `return_field`.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("{} is planned by return_field", F::NAME)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(F::NAME, self.function.return_type(&call::<F>(fields))?, true)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let state = self.function.state(&call::<F>(args.input_fields))?;
        let field = |(name, data_type)| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(state.into_iter().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let name = F::NAME;
            return plan_err!("{name}: DISTINCT is not supported here: SELECT {name}(...) FROM (SELECT DISTINCT ...)");
        }
        self.function.accumulator(&call::<F>(args.expr_fields), &args)
    }

    // Rows are sorted by key where the order matters: the engine's own order within partitions is of no use.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
