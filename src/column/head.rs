//! A classification head: layers on top of an encoder's vectors, and the labels of its classes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int32Array, ListViewArray, StringArray, StructArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Int32Type};
use serde_json::json;

use super::keys::{KeyKind, Keys};
use super::stored::{self, Builder, Digest, Kind, Stored, field};
use crate::kernel::head::train::{Progress, Trained, Training, train};
use crate::kernel::head::{Activation, Layer};
use crate::kernel::{Rows, mean};
use crate::{Error, Result};

/// A head as it is stored.
#[derive(Debug, Clone)]
pub struct Head {
    /// The name of the encoder whose vectors it reads; may be empty.
    pub encoder: String,
    /// Of the classes, in the order of the logits.
    pub labels: Keys,
    /// The mean of the rows it was trained on, d; zeros where nothing is known of them.
    pub mean: ScalarBuffer<f32>,
    /// The layers.
    pub layers: Vec<Layer>,
    /// How it was trained, JSON.
    pub settings: String,
    /// Blake3 of its numbers, names and settings: equal values have equal digests.
    pub digest: String,
    /// JSON for people; no part of the digest.
    pub diagnostics: String,
}

impl Head {
    /// Trains on rows with their labels, in the order of `keys`, so that the order they come in changes nothing. Duplicate keys and fewer than two classes
    /// are errors.
    pub fn train(keys: &Keys, rows: Rows<'_>, labels: &Keys, encoder: &str, training: &Training) -> Result<Self> {
        Self::train_watched(keys, rows, labels, encoder, (training, &Progress::default()))
    }

    /// The same, telling how far it is.
    pub fn train_watched(
        keys: &Keys,
        rows: Rows<'_>,
        labels: &Keys,
        encoder: &str,
        (training, progress): (&Training, &Progress),
    ) -> Result<Self> {
        let order = keys.unique_order("a row's key must be unique")?;
        let sorted = rows.select(&order);
        let (rows, labels) = (Rows::new(&sorted, rows.width()), labels.select(&order));
        let classes = distinct(&labels);
        if classes.len() < 2 {
            let found =
                if classes.is_empty() { "no rows".to_owned() } else { format!("one class, {}", classes.display(0)) };
            return Err(Error::Invalid(format!("{found}: a head tells at least two classes apart")));
        }
        let of = places(&labels, &classes)?;
        let Trained { layers, loss, iterations, converged, accuracy } =
            train(rows, &of, classes.len(), training, progress)?;
        let diagnostics = json!({
            "rows": rows.len(),
            "classes": classes.len(),
            "loss": loss,
            "iterations": iterations,
            "converged": converged,
            "accuracy_on_these_rows": accuracy,
        });
        let kind = if training.hidden.is_empty() { "linear" } else { "mlp" };
        let mut settings = json!({ "kind": kind, "l2": training.l2, "iterations": training.iterations, "tolerance": training.tolerance });
        if !training.hidden.is_empty() {
            settings["hidden"] = training.hidden.clone().into();
            settings["activation"] = training.activation.name().into();
            settings["seed"] = training.seed.into();
        }
        let mean: Vec<f32> = mean::mean(rows).into_iter().map(|m| m as f32).collect();
        Self {
            encoder: encoder.to_owned(),
            labels: classes,
            mean: mean.into(),
            layers,
            settings: settings.to_string(),
            digest: String::new(),
            diagnostics: diagnostics.to_string(),
        }
        .checked()
    }

    /// The same with its digest, the layers checked to fit together.
    pub fn checked(mut self) -> Result<Self> {
        let mut width = self.mean.len();
        for (i, layer) in self.layers.iter().enumerate() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            if inputs != width || layer.weight.len() != inputs * outputs || layer.bias.len() != outputs {
                return Err(Error::Invalid(format!(
                    "layer {i} of the head takes {inputs} numbers to {outputs}, with {} weights and {} biases, and {width} come in",
                    layer.weight.len(),
                    layer.bias.len()
                )));
            }
            width = outputs;
        }
        if width != self.labels.len() || self.layers.is_empty() {
            return Err(Error::Invalid(format!("the head has {} labels and {width} logits", self.labels.len())));
        }
        self.digest = self.compute_digest();
        Ok(self)
    }

    /// Numbers in a vector that it reads.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    fn compute_digest(&self) -> String {
        let mut digest = Digest::new(Kind::Head);
        digest.text(&self.encoder).text(&self.labels.digest()).text(&self.settings).floats(&self.mean);
        for layer in &self.layers {
            digest.text(layer.activation.name()).numbers(&[layer.inputs as f64, layer.outputs as f64]);
            digest.floats(&layer.weight).floats(&layer.bias);
        }
        digest.hex()
    }

    /// The type of heads over vectors of width d with labels of a kind.
    pub fn data_type(kind: KeyKind, width: usize) -> DataType {
        let mut fields = stored::head_fields();
        fields.extend([
            field("encoder", DataType::Utf8, false),
            field("digest", DataType::Utf8, false),
            field("labels", stored::keys_type(kind), false),
            field("mean", stored::vectors_type(width), false),
            field("layers", DataType::ListView(layer_field()), false),
            field("settings", DataType::Utf8, false),
            field("diagnostics", DataType::Utf8, false),
        ]);
        stored::struct_type(fields)
    }

    /// Kind of labels, and width, of a head's type; the error says why it is no head.
    pub fn shape(data_type: &DataType) -> Result<(KeyKind, usize), String> {
        stored::keyed_shape(Kind::Head, data_type, ("labels", "mean"))
            .ok_or_else(|| "a head (made by emb_head or `babelake import-head`)".to_owned())?
    }

    /// As a struct of one row.
    pub fn to_array(&self) -> Result<StructArray> {
        Builder::default()
            .integer("format", Kind::Head.format())
            .text("tool_version", stored::TOOL_VERSION)
            .text("encoder", &self.encoder)
            .text("digest", &self.digest)
            .keys("labels", &self.labels)?
            .vectors("mean", self.width(), &self.mean)?
            .list("layers", layers_array(&self.layers)?)?
            .text("settings", &self.settings)
            .text("diagnostics", &self.diagnostics)
            .build()
    }

    /// Row `row` of a column of heads, `None` where it is NULL. The digest is checked.
    pub fn read(array: &StructArray, row: usize) -> Result<Option<Self>> {
        let Some(stored) = Stored::new(Kind::Head, array, row)? else { return Ok(None) };
        let head = Self {
            encoder: stored.text("encoder")?,
            labels: stored.keys("labels")?,
            mean: stored.vectors("mean")?.1,
            layers: read_layers(&stored.list("layers")?).ok_or_else(|| {
                Error::Invalid("the head's layers cannot be read: make it again with babelake".into())
            })?,
            settings: stored.text("settings")?,
            digest: String::new(),
            diagnostics: stored.text("diagnostics")?,
        };
        let head = head.checked()?;
        stored.check_digest(&head.digest)?;
        Ok(Some(head))
    }
}

/// The labels that there are, ascending.
pub fn distinct(labels: &Keys) -> Keys {
    let mut order = labels.order();
    order.dedup_by(|i, j| labels.compare(*i, labels, *j).is_eq());
    labels.select(&order)
}

/// The place of each label among `classes`, which are ascending. One that is none of them is an error.
pub fn places(labels: &Keys, classes: &Keys) -> Result<Vec<usize>> {
    let all: Vec<usize> = (0..classes.len()).collect();
    let place = |i: usize| {
        let found = all.binary_search_by(|&class| classes.compare(class, labels, i));
        found.map_err(|_| Error::Invalid(format!("label {} is none that the head knows", labels.display(i))))
    };
    (0..labels.len()).map(place).collect()
}

fn numbers_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

fn layer_fields() -> Fields {
    let numbers = || DataType::ListView(numbers_field());
    Fields::from(vec![
        Field::new("rows", DataType::Int32, false),
        Field::new("columns", DataType::Int32, false),
        Field::new("activation", DataType::Utf8, false),
        Field::new("weight", numbers(), false),
        Field::new("bias", numbers(), false),
    ])
}

fn layer_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(layer_fields()), false))
}

fn layers_array(layers: &[Layer]) -> Result<ArrayRef> {
    let integer = |of: fn(&Layer) -> usize| -> ArrayRef {
        Arc::new(layers.iter().map(|layer| i32::try_from(of(layer)).ok()).collect::<Int32Array>())
    };
    let numbers = |of: fn(&Layer) -> &Vec<f32>| -> Result<ArrayRef> {
        let all: Vec<f32> = layers.iter().flat_map(|layer| of(layer).iter().copied()).collect();
        let sizes = layers.iter().map(|layer| i32::try_from(of(layer).len())).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| Error::Invalid("a layer has too many numbers for a stored value".to_owned()))?;
        let begins = sizes.iter().scan(0i32, |end, size| Some(std::mem::replace(end, end.saturating_add(*size))));
        let (begins, items) = (begins.collect::<Vec<_>>(), Arc::new(Float32Array::from(all)));
        Ok(Arc::new(ListViewArray::try_new(numbers_field(), begins.into(), sizes.into(), items, None)?))
    };
    let activations: StringArray = layers.iter().map(|layer| Some(layer.activation.name())).collect();
    let columns = vec![
        integer(|layer| layer.inputs),
        integer(|layer| layer.outputs),
        Arc::new(activations) as ArrayRef,
        numbers(|layer| &layer.weight)?,
        numbers(|layer| &layer.bias)?,
    ];
    Ok(Arc::new(StructArray::try_new(layer_fields(), columns, None)?))
}

fn read_layers(items: &ArrayRef) -> Option<Vec<Layer>> {
    let items = items.as_struct_opt()?;
    let integers = |name: &str| cast(items.column_by_name(name)?, &DataType::Int32).ok();
    let (rows, columns) = (integers("rows")?, integers("columns")?);
    let activations = cast(items.column_by_name("activation")?, &DataType::Utf8).ok()?;
    let numbers = |name: &str, i: usize| -> Option<Vec<f32>> {
        let lists = items.column_by_name(name)?;
        let list = match lists.data_type() {
            DataType::ListView(_) => lists.as_list_view_opt::<i32>()?.value(i),
            DataType::List(_) => lists.as_list_opt::<i32>()?.value(i),
            _ => return None,
        };
        Some(list.as_primitive_opt::<Float32Type>()?.values().to_vec())
    };
    let layer = |i: usize| {
        let size = |of: &ArrayRef| usize::try_from(of.as_primitive::<Int32Type>().value(i)).ok();
        Some(Layer {
            inputs: size(&rows)?,
            outputs: size(&columns)?,
            activation: Activation::named(activations.as_string::<i32>().value(i))?,
            weight: numbers("weight", i)?,
            bias: numbers("bias", i)?,
        })
    };
    (0..items.len()).map(layer).collect()
}
