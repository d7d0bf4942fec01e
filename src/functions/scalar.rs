//! A scalar function as we write it, and as the engine wants it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, DocumentationBuilder, Expr, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arguments::{Batch, Call};

/// What a scalar function says of itself and does.
pub trait Scalar: fmt::Debug + Send + Sync + 'static {
    /// The name in SQL.
    const NAME: &'static str;
    /// How it is called.
    const SYNTAX: &'static str;
    /// What it does, in a sentence or two.
    const DESCRIPTION: &'static str;
    /// Arguments that are stored values. They are declared as lazily evaluated, which keeps the engine from turning a scalar
    /// subquery that occurs twice into a column that repeats it for every row.
    const STORED: &'static [usize] = &[];

    /// Checks the arguments' types and gives the result's.
    fn return_type(&self, call: &Call<'_>) -> Result<DataType>;

    /// Computes a batch.
    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue>;
}

/// The section our functions are listed under.
pub static SECTION: DocSection =
    DocSection { include: true, label: "Embedding Functions", description: Some("Embeddings, spaces and translators") };

static ANY_ARGUMENTS: LazyLock<Signature> = LazyLock::new(|| Signature::user_defined(Volatility::Immutable));

/// The documentation the engine lists.
pub fn documentation(description: &str, syntax: &str) -> Documentation {
    DocumentationBuilder::new_with_details(SECTION.clone(), description, syntax).build()
}

/// The engine's signature of all our functions: types are checked in one place, with messages of our own.
pub fn signature() -> &'static Signature {
    &ANY_ARGUMENTS
}

/// The function as the engine takes it.
pub fn udf<F: Scalar>(function: F) -> ScalarUDF {
    let documentation = documentation(F::DESCRIPTION, F::SYNTAX);
    ScalarUDF::from(Engine { function: Arc::new(function), documentation })
}

#[derive(Debug)]
struct Engine<F> {
    // Shared: the engine clones and compares functions, and what one remembers must stay in one place.
    function: Arc<F>,
    documentation: Documentation,
}

impl<F: Scalar> PartialEq for Engine<F> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl<F: Scalar> Eq for Engine<F> {}

impl<F: Scalar> Hash for Engine<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        F::NAME.hash(state);
    }
}

impl<F: Scalar> ScalarUDFImpl for Engine<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn signature(&self) -> &Signature {
        signature()
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    // An error here reaches the user wrapped twice: all is accepted, and checked in `return_field_from_args`.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("{} is planned by return_field_from_args", F::NAME)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let call =
            Call { function: F::NAME, syntax: F::SYNTAX, fields: args.arg_fields, literals: args.scalar_arguments };
        Ok(Arc::new(Field::new(F::NAME, self.function.return_type(&call)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke(&Batch { function: F::NAME, args: &args })
    }

    fn short_circuits(&self) -> bool {
        !F::STORED.is_empty()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        if F::STORED.is_empty() {
            return None;
        }
        let (lazy, eager): (Vec<_>, Vec<_>) = args.iter().enumerate().partition(|(i, _)| F::STORED.contains(i));
        let only = |indexed: Vec<(usize, &'a Expr)>| indexed.into_iter().map(|(_, expr)| expr).collect();
        Some((only(eager), only(lazy)))
    }
}

/// The function behind the engine's.
#[cfg(test)]
pub fn inner_of<F: Scalar>(engine: &dyn std::any::Any) -> Option<&F> {
    engine.downcast_ref::<Engine<F>>().map(|engine| engine.function.as_ref())
}
