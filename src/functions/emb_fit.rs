//! `emb_fit(key, source, target, {method, ..., source_encoder, target_encoder, source_mean, target_mean})`: a translator from
//! parallel anchors in one step: bit for bit what `emb_translator` gives of two spaces over the same rows.
//!
//! Without `method` it is `parseval`. `calibrate: true` calibrates its confidence, see `emb_confidence`. Rows are centred by the
//! anchors' means, or by those given. Pairs with a NULL side are left out, but for method `best`: it searches target rows
//! with a key and without a source too (`FROM target LEFT JOIN source`), up to 4,096, as `babelake fit` does. Duplicate keys, fewer than two
//! pairs, more than 20,000 pairs, a NULL key beside vectors, a NULL or non-finite item, a mean of another width are errors.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{and, filter, is_not_null, is_null};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::aggregate::{Aggregate, literal_options};
use super::arguments::{Call, failed};
use super::collect::Collected;
use super::options::{BY, CALIBRATE, Kind, METHOD, Spec, spec};
use crate::column::best::{Against, MAX_UNSEEN, UNSEEN_SEED};
use crate::column::{Choice, Side, Translator};
use crate::kernel::Rows;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbFit;

const SIDES: [Spec; 5] = [
    BY,
    spec("source_encoder", Kind::Text),
    spec("target_encoder", Kind::Text),
    spec("source_mean", Kind::Vector),
    spec("target_mean", Kind::Vector),
];
const VECTORS: [&str; 2] = ["source", "target"];

fn widths(call: &Call<'_>) -> Result<[usize; 2]> {
    Ok([call.fixed_embedding(1, "source")?, call.fixed_embedding(2, "target")?])
}

impl Aggregate for EmbFit {
    const NAME: &'static str = "emb_fit";
    const SYNTAX: &'static str = "emb_fit(key, source, target, {method: 'parseval'})";
    const DESCRIPTION: &'static str = "A translator fitted from rows embedded by both encoders.";

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(3, 4)?;
        call.options(3, &[&METHOD[..], &[CALIBRATE], &SIDES].concat())?;
        call.key(0, "key")?;
        let [source, target] = widths(call)?;
        Ok(Translator::data_type(source, target))
    }

    fn state(&self, call: &Call<'_>) -> Result<Vec<(&'static str, DataType)>> {
        let (kind, widths) = (call.key(0, "key")?, widths(call)?);
        let unseen = Collected::state_types(&UNSEEN, kind, &widths[1..]);
        let named = unseen.into_iter().zip(["unseen_keys", "unseen"]).map(|((_, data_type), name)| (name, data_type));
        Ok(Collected::state_types(&VECTORS, kind, &widths).into_iter().chain(named).collect())
    }

    fn accumulator(&self, call: &Call<'_>, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let options = literal_options(Self::NAME, args, 3)?;
        let widths = widths(call)?;
        let kind = call.key(0, "key")?;
        let names = ["source_encoder", "target_encoder"].map(|name| options.text(name, 0));
        let means = [("source_mean", widths[0]), ("target_mean", widths[1])];
        let means = means.map(|(name, width)| options.vector(name, 0, width));
        let [source, target] = names;
        let [source_mean, target_mean] = means;
        Ok(Box::new(Fitting {
            pairs: Collected::new(Self::NAME, &VECTORS, kind, widths.to_vec()),
            unseen: Collected::new(Self::NAME, &UNSEEN, kind, widths[1..].to_vec())
                .pool(MAX_UNSEEN, UNSEEN_SEED)
                .with_first_argument(3),
            choice: options.choice(0, "parseval")?,
            calibrate: options.calibrate(0)?,
            encoders: [source?.unwrap_or_default(), target?.unwrap_or_default()],
            means: [source_mean?, target_mean?],
        }))
    }
}

/// The name of the vectors without a source.
const UNSEEN: [&str; 1] = ["target"];

/// Pairs, and what is fitted from them.
#[derive(Debug)]
struct Fitting {
    pairs: Collected,
    /// Target rows without a source, where methods are compared.
    unseen: Collected,
    choice: Choice,
    calibrate: bool,
    encoders: [String; 2],
    means: [Option<Vec<f32>>; 2],
}

impl Fitting {
    fn fit(&self) -> crate::Result<Translator> {
        let side =
            |i: usize| Side { rows: self.pairs.rows(i), encoder: &self.encoders[i], mean: self.means[i].as_deref() };
        let (keys, source, target) = (self.pairs.keys(), side(0), side(1));
        let chosen = match &self.choice {
            Choice::Method(_) => None,
            Choice::Best(best) => {
                // Ties go to the row that comes first.
                let unseen = self.unseen.rows(0).select(&self.unseen.keys().drawn("pool", UNSEEN_SEED));
                let against = Against { unseen: Rows::new(&unseen, target.rows.width()), classes: None };
                Some(Translator::compare(keys, &source, &target, &against, best)?.choose(best.by))
            }
        };
        let choice = chosen.as_ref().map_or(self.choice, |chosen| Choice::Method(chosen.method));
        let (source, target) = Translator::anchors(keys, &source, &target)?;
        let fit = if self.calibrate { Translator::fit_calibrated } else { Translator::fit };
        let mut translator = fit(&source, &target, &choice)?;
        if let Some(chosen) = chosen {
            translator.tell("best", chosen.compared);
        }
        Ok(translator)
    }
}

impl Accumulator for Fitting {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.pairs.update(values)?;
        if matches!(self.choice, Choice::Best(_)) {
            // A join may have no key where it has no source.
            let without_source: BooleanArray = and(&is_null(&values[1])?, &is_not_null(&values[0])?)?;
            let unseen = [&values[0], &values[2]].map(|array| filter(array, &without_source));
            self.unseen.update(&unseen.into_iter().collect::<std::result::Result<Vec<_>, _>>()?)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.pairs.state()?, self.unseen.state()?].concat())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (pairs, unseen) = states.split_at(1 + VECTORS.len());
        self.pairs.merge(pairs)?;
        self.unseen.merge(unseen)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let fitted = self.fit().and_then(|translator| translator.to_array());
        Ok(ScalarValue::Struct(fitted.map_err(|error| failed(EmbFit::NAME, error))?.into()))
    }

    fn size(&self) -> usize {
        self.pairs.size() + self.unseen.size()
    }
}
