//! `emb_translator(source_space, target_space, {method, ...})`: a translator from two spaces, their anchors matched by key.
//!
//! Each space keeps its own mean and scale; all else uses the common keys. Without `method` it is `parseval`. The
//! same as `emb_fit` bit for bit where both spaces hold the same keys. Options may come from columns (a grid). A NULL space,
//! keys of different kinds and fewer than two common keys are errors.

use arrow::array::StructArray;
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, StoredColumn, failed};
use super::memo::Memo;
use super::options::{BY, METHOD};
use super::scalar::Scalar;
use crate::column::{Space, Translator};

/// See the module.
#[derive(Debug, Default)]
pub struct EmbTranslator {
    translators: Memo<StructArray>,
}

#[cfg(test)]
impl EmbTranslator {
    /// How many fits were computed.
    pub fn fits(&self) -> usize {
        self.translators.computed()
    }
}

impl Scalar for EmbTranslator {
    const NAME: &'static str = "emb_translator";
    const SYNTAX: &'static str = "emb_translator(source_space, target_space, {method: 'parseval'})";
    const DESCRIPTION: &'static str = "A translator from two spaces, their anchors matched by key.";
    const STORED: &'static [usize] = &[0, 1];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(2, 3)?;
        call.options(2, &[&METHOD[..], &[BY]].concat())?;
        let ((source_keys, source), (target_keys, target)) =
            (call.space(0, "source_space")?, call.space(1, "target_space")?);
        if source_keys != target_keys {
            return plan_err!(
                "emb_translator: the source space's keys are {source_keys}s and the target space's are {target_keys}s: CAST \
                 the key where one of the spaces is made"
            );
        }
        Ok(Translator::data_type(source, target))
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (sources, targets, options) = (batch.stored(0)?, batch.stored(1)?, batch.options(2)?);
        let null = |i, name| batch.null_value(i, name, "space");
        let key = |row| {
            let source = sources.digest(row).ok_or_else(|| null(0, "source_space"))?;
            let target = targets.digest(row).ok_or_else(|| null(1, "target_space"))?;
            Ok(format!("{source} {target} {:?}", options.choice(row, "parseval")?))
        };
        batch.stored_result(key, |row, key| {
            self.translators.get(key, || {
                let read = |spaces: &StoredColumn, i, name| {
                    let space = Space::read(&spaces.array, spaces.index(row));
                    space.map_err(|error| failed(Self::NAME, error))?.ok_or_else(|| null(i, name))
                };
                let (source, target) = (read(&sources, 0, "source_space")?, read(&targets, 1, "target_space")?);
                let choice = options.choice(row, "parseval")?;
                let translator = Translator::fit(&source.anchors, &target.anchors, &choice);
                translator.and_then(|fitted| fitted.to_array()).map_err(|error| failed(Self::NAME, error))
            })
        })
    }
}
