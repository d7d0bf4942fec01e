//! Conditions in SQL over the columns of a table.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::{Error, Result};

/// A condition in SQL.
#[derive(Clone, Copy)]
pub struct Condition<'a> {
    /// The option it was given by.
    pub option: &'static str,
    /// The text.
    pub sql: &'a str,
    /// What understands it.
    pub session: &'a SessionContext,
}

/// A condition understood against the columns of a table.
pub struct Compiled<'a> {
    condition: Condition<'a>,
    /// What has the columns, for messages.
    of: &'a str,
    expression: Expr,
    /// The columns it needs, by their places.
    pub columns: Vec<usize>,
}

impl<'a> Compiled<'a> {
    /// Understands `condition` against the columns that `of` has.
    pub fn parse(condition: Condition<'a>, schema: &Schema, of: &'a str) -> Result<Self> {
        let columns = DFSchema::try_from(schema.clone())?;
        let expression = condition
            .session
            .parse_sql_expr(condition.sql, &columns)
            .map_err(|error| condition.wrong(of, &Error::from(error)))?;
        let columns = expression.column_refs().into_iter().map(|column| Ok(schema.index_of(&column.name)?));
        let columns = columns.collect::<Result<_>>().map_err(|error| condition.wrong(of, &error))?;
        Ok(Self { condition, of, expression, columns })
    }

    /// As an expression over batches of the projected columns.
    pub fn plan(self, projected: &Schema) -> Result<Planned<'a>> {
        let Self { condition, of, expression, .. } = self;
        let wrong = |error| condition.wrong(of, &Error::from(error));
        let schema = DFSchema::try_from(projected.clone())?;
        let expression = condition.session.create_physical_expr(expression, &schema).map_err(wrong)?;
        let data_type = expression.data_type(projected).map_err(wrong)?;
        if data_type != DataType::Boolean {
            return Err(Error::Invalid(format!(
                "{} {}: is {data_type}, not a condition (true or false)",
                condition.option, condition.sql
            )));
        }
        Ok(Planned { condition, of, expression })
    }
}

impl Condition<'_> {
    fn wrong(&self, of: &str, error: &Error) -> Error {
        Error::Invalid(format!("{} {}: {error} (of {of})", self.option, self.sql))
    }
}

/// A condition ready to run.
pub struct Planned<'a> {
    condition: Condition<'a>,
    of: &'a str,
    expression: Arc<dyn PhysicalExpr>,
}

impl Planned<'_> {
    /// Which rows hold; NULL is no.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Vec<bool>> {
        let value = self.expression.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
        let value = value.map_err(|error| self.condition.wrong(self.of, &Error::from(error)))?;
        let holds: &BooleanArray = value.as_boolean();
        Ok(holds.iter().map(|holds| holds == Some(true)).collect())
    }
}
