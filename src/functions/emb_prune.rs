//! `emb_prune(space, {delta, seed})`: keys of the anchors that farthest-point sampling keeps, in the order chosen, as a list
//! (equations (3) and (4) of the paper, on the unit anchors).
//!
//! `delta` in [0, 1), default 0.7: the smallest distance 1 - |cosine| between kept anchors; 0 keeps all. `seed`, default 0,
//! draws the anchor it starts from. A NULL space is an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::arguments::{Batch, Call, distinct, failed};
use super::memo::Memo;
use super::options::{Kind, Spec, spec};
use super::scalar::Scalar;
use crate::column::{KeyKind, Keys, Map, Method, MethodOptions, Space, embedding};
use crate::kernel::prune::farthest_point;

/// See the module.
#[derive(Debug, Default)]
pub struct EmbPrune {
    pruned: Memo<Keys>,
}

const OPTIONS: [Spec; 2] = [spec("delta", Kind::Number), spec("seed", Kind::Integer)];

fn item(kind: KeyKind) -> FieldRef {
    Arc::new(Field::new_list_field(kind.data_type(), false))
}

impl Scalar for EmbPrune {
    const NAME: &'static str = "emb_prune";
    const SYNTAX: &'static str = "emb_prune(space, {delta: 0.7, seed: 0})";
    const DESCRIPTION: &'static str =
        "Keys of the anchors kept by farthest-point sampling: each at least delta from all kept before it.";
    const STORED: &'static [usize] = &[0];

    fn return_type(&self, call: &Call<'_>) -> Result<DataType> {
        call.count(1, 2)?;
        call.options(1, &OPTIONS)?;
        Ok(DataType::List(item(call.space(0, "space")?.0)))
    }

    fn invoke(&self, batch: &Batch<'_>) -> Result<ColumnarValue> {
        let (spaces, options) = (batch.stored(0)?, batch.options(1)?);
        let kind = match batch.args.return_type() {
            DataType::List(item) => KeyKind::of(item.data_type()),
            _ => None,
        };
        let kind = kind.unwrap_or(KeyKind::Int);
        let method = |row| {
            let options = MethodOptions {
                method: Some("irp".into()),
                omega: Some(1),
                delta: options.number("delta", row)?,
                seed: options.integer("seed", row)?,
                ..Default::default()
            };
            Method::new(&options, "irp").map_err(|error| failed(Self::NAME, error))
        };
        let null = || batch.null_value(0, "space", "space");
        let key = |row| Ok(format!("{} {:?}", spaces.digest(row).ok_or_else(null)?, method(row)?));
        let (kept, places) = distinct(batch.rows(), key, |row, key| {
            self.pruned.get(key, || {
                let space = Space::read(&spaces.array, spaces.index(row)).map_err(|error| failed(Self::NAME, error))?;
                prune(&space.ok_or_else(null)?, &method(row)?)
            })
        })?;
        let columns: Vec<ArrayRef> = kept.iter().map(|keys| keys.to_array()).collect();
        let columns: Vec<_> = columns.iter().map(AsRef::as_ref).collect();
        let values = if columns.is_empty() { Keys::new(kind).to_array() } else { concat(&columns)? };
        let offsets = embedding::offsets(kept.iter().map(|keys| keys.len()))?;
        let lists = ListArray::try_new(item(kind), offsets, values, None)?;
        batch.result(take(&lists, &UInt64Array::from(places), None)?)
    }
}

fn prune(space: &Space, method: &Method) -> Result<Keys> {
    let anchors = &space.anchors;
    let Map::Irp(irp) = method.map else { return Ok(Keys::new(anchors.keys.kind())) };
    let start = anchors.starts(irp.omega, irp.seed).first().copied().unwrap_or(0);
    Ok(anchors.keys.select(&farthest_point(anchors.unit(), start, irp.delta)))
}
