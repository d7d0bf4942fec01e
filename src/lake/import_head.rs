//! Heads from outside: linear layers in a safetensors file, as PyTorch names them and as scikit-learn's logistic regression is exported, or
//! in an ONNX file.

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::Place;
use super::import::floats;
use super::stored::write_values;
use crate::column::{Head, Keys};
use crate::kernel::head::{Activation, Layer};
use crate::{Error, Result};

#[cfg(feature = "onnx")]
mod onnx;

/// What to make a head of.
#[derive(Debug)]
pub struct Request {
    /// The file: safetensors, or ONNX in builds that read it.
    pub file: Place,
    /// The tensors of each layer, the first layer first: its weight (outputs x inputs), and its bias where it has one. Found where none are named.
    pub layers: Vec<(String, Option<String>)>,
    /// What is between layers.
    pub activation: Option<Activation>,
    /// The classes' labels, in the order of the logits; where absent those of the file, or 0, 1, ...
    pub labels: Option<Keys>,
    /// The name of the encoder whose vectors it reads.
    pub encoder: String,
}

/// What a file holds.
struct Found {
    layers: Vec<Layer>,
    labels: Option<Keys>,
    /// What it was read from, for people.
    diagnostics: Value,
}

/// Reads the head.
pub fn import_head(request: &Request) -> Result<Head> {
    let shown = request.file.shown();
    let wrong = |message: String| Error::file(shown, message);
    let bytes = request.file.file()?.read()?;
    let found = if is_onnx(request.file.name(), &bytes) {
        read_onnx(request, &bytes)
    } else {
        read_safetensors(request, &bytes)
    };
    let Found { mut layers, labels, diagnostics } = found.map_err(wrong)?;
    if let Some(last) = layers.last_mut().filter(|last| last.outputs == 1) {
        // One logit for two classes is the difference of theirs.
        last.outputs = 2;
        last.weight = last.weight.iter().flat_map(|&weight| [0.0, weight]).collect();
        last.bias.insert(0, 0.0);
    }
    let classes = layers.last().map_or(0, |last| last.outputs);
    let labels = match request.labels.as_ref().or(labels.as_ref()) {
        Some(labels) if labels.len() != classes => {
            let whose = if request.labels.is_some() { "are named" } else { "are in the file" };
            return Err(wrong(format!("gives {classes} logits, and {} labels {whose}", labels.len())));
        }
        Some(labels) => labels.clone(),
        None => Keys::Int((0..classes as i64).collect()),
    };
    let head = Head {
        encoder: request.encoder.clone(),
        labels,
        mean: vec![0.0; layers.first().map_or(0, |first| first.inputs)].into(),
        layers,
        settings: json!({ "kind": "imported", "file": blake3::hash(&bytes).to_hex().to_string() }).to_string(),
        digest: String::new(),
        diagnostics: diagnostics.to_string(),
    };
    head.checked().map_err(|error| wrong(error.to_string()))
}

/// ONNX begins with the number of its first field, safetensors with a length of 8 bytes and a brace.
fn is_onnx(name: &str, bytes: &[u8]) -> bool {
    let named = name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("onnx"));
    named || (bytes.first() == Some(&8) && bytes.get(8) != Some(&b'{'))
}

#[cfg(feature = "onnx")]
fn read_onnx(request: &Request, bytes: &[u8]) -> Result<Found, String> {
    if !request.layers.is_empty() || request.activation.is_some() {
        return Err(
            "is an ONNX file, which tells its layers and what is between them: leave out --layer and --activation"
                .to_owned(),
        );
    }
    onnx::read(bytes)
}

#[cfg(not(feature = "onnx"))]
fn read_onnx(_: &Request, _: &[u8]) -> Result<Found, String> {
    let message =
        "is an ONNX file, and this babelake reads none: build it with `--features onnx`, or export safetensors";
    Err(message.to_owned())
}

fn read_safetensors(request: &Request, bytes: &[u8]) -> Result<Found, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("is no safetensors file: {error}"))?;
    let names = if request.layers.is_empty() { find(&tensors)? } else { request.layers.clone() };
    let last = names.len() - 1;
    if last > 0 && request.activation.is_none() {
        return Err(format!("has {} layers: say what is between them, --activation relu, tanh or cos", names.len()));
    }
    let mut layers = Vec::with_capacity(names.len());
    for (i, (weight, bias)) in names.iter().enumerate() {
        let (shape, rows) = read(&tensors, weight)?;
        let [outputs, inputs] = shape[..] else {
            return Err(format!(
                "tensor `{weight}` has {} dimensions: a layer's weight has 2, outputs and inputs",
                shape.len()
            ));
        };
        let bias = match bias {
            Some(bias) => read(&tensors, bias)?.1,
            None => vec![0.0; outputs],
        };
        if bias.len() != outputs {
            return Err(format!("layer {i}: the weight has {outputs} outputs and the bias {} numbers", bias.len()));
        }
        let activation = if i == last { Activation::Identity } else { request.activation.unwrap_or(Activation::Relu) };
        layers.push(Layer { inputs, outputs, activation, weight: transposed(&rows, outputs, inputs), bias });
    }
    let diagnostics = json!({ "tensors": names.iter().map(|(weight, _)| weight).collect::<Vec<_>>() });
    Ok(Found { layers, labels: None, diagnostics })
}

/// The transpose of `rows` x `columns` numbers.
fn transposed(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|at| numbers[(at % rows) * columns + at / rows]).collect()
}

/// Stores a head as a file of one row; see [`Place::check_writable`] for what is not replaced.
pub fn store(head: &Head, place: &Place, overwrite: bool) -> Result<()> {
    place.check_writable(overwrite)?;
    write_values(place, vec![("h", head.to_array()?)])
}

/// The layers of a file that nobody has named: `coef_` and `intercept_`, or every `X.weight` of two dimensions with its `X.bias`, in the
/// order of their names, numbers by value. What is left over is an error: something else than linear layers is between them.
fn find(tensors: &SafeTensors<'_>) -> Result<Vec<(String, Option<String>)>, String> {
    let names = tensors.names();
    let has = |name: &str| names.contains(&name).then(|| name.to_owned());
    if let Some(coefficients) = has("coef_").or_else(|| has("coef")) {
        return Ok(vec![(coefficients, has("intercept_").or_else(|| has("intercept")))]);
    }
    let of = |weight: &str| format!("{}bias", weight.strip_suffix("weight").unwrap_or_default());
    let is_layer = |name: &&&str| {
        (**name == "weight" || name.ends_with(".weight"))
            && tensors.tensor(name).is_ok_and(|tensor| tensor.shape().len() == 2)
    };
    let mut weights: Vec<&str> = names.iter().filter(is_layer).copied().collect();
    weights.sort_by_key(|name| natural(name));
    let layers: Vec<_> = weights.iter().map(|weight| ((*weight).to_owned(), has(&of(weight)))).collect();
    let known = |name: &&&str| layers.iter().any(|(weight, bias)| weight == **name || bias.as_deref() == Some(**name));
    let mut others: Vec<&str> = names.iter().filter(|name| !known(name)).copied().collect();
    others.sort_unstable();
    match (layers.is_empty(), others.is_empty()) {
        (true, _) => Err(format!(
            "has no linear layer that its name tells: name them with --layer; it has {}",
            others.join(", ")
        )),
        (false, false) => Err(format!(
            "has tensors that are no linear layers ({}): name the layers of the head with --layer",
            others.join(", ")
        )),
        (false, true) => Ok(layers),
    }
}

/// A name in pieces, numbers as numbers.
fn natural(name: &str) -> Vec<(u64, String)> {
    name.split('.')
        .map(|piece| piece.parse().map_or_else(|_| (u64::MAX, piece.to_owned()), |n| (n, String::new())))
        .collect()
}

/// Shape and numbers of a tensor.
fn read(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let tensor = tensors.tensor(name).map_err(|_| {
        let mut names = tensors.names();
        names.sort_unstable();
        format!("has no tensor `{name}`: it has {}", names.join(", "))
    })?;
    let numbers = floats(tensor.dtype(), tensor.data())
        .ok_or_else(|| format!("tensor `{name}` is {:?}: F32, F64, F16 and BF16 can be read", tensor.dtype()))?;
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(place) => Err(format!("tensor `{name}`, number {place}, is NaN or infinite")),
        None => Ok((tensor.shape().to_vec(), numbers)),
    }
}
