//! Heads in ONNX files: graphs that are a chain of linear layers, and scikit-learn's logistic regression as `skl2onnx` writes it.
//!
//! The graph is read, not run. A node that is neither part of the chain nor known to come after the logits is an error.

use std::collections::HashMap;

use half::{bf16, f16};
use serde_json::json;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::tract_hir::prelude::Framework;

use super::{Found, transposed};
use crate::column::Keys;
use crate::kernel::head::{Activation, Layer};

/// What ends the chain: probabilities and labels, which a head makes of its logits itself.
const ENDS: [&str; 4] = ["ArgMax", "LogSoftmax", "Sigmoid", "Softmax"];
/// What may come after that, and changes no class.
const AFTER: [&str; 13] = [
    "ArgMax",
    "ArrayFeatureExtractor",
    "Cast",
    "Constant",
    "Flatten",
    "Identity",
    "LabelEncoder",
    "Normalizer",
    "Reshape",
    "Shape",
    "Squeeze",
    "Unsqueeze",
    "ZipMap",
];
/// The other class of two, where there is one logit.
const OTHER: [&str; 2] = ["Sub", "Concat"];

/// The layers of a file's graph, and its labels where it has them.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let no_onnx = |why: String| format!("is no ONNX file: {why}");
    let model: ModelProto =
        tract_onnx::onnx().proto_model_for_read(&mut &*bytes).map_err(|error| no_onnx(format!("{error:#}")))?;
    let graph = model.graph.ok_or_else(|| no_onnx("it has no graph".to_owned()))?;
    let mut chain = Chain::new(&graph)?;
    for (place, node) in graph.node.iter().enumerate() {
        chain.take(node).map_err(|error| {
            let name = if node.name.is_empty() { place.to_string() } else { format!("`{}`", node.name) };
            format!("node {name} ({}) {error}", node.op_type)
        })?;
    }
    if chain.layers.is_empty() {
        return Err("has no linear layer: Gemm, MatMul or LinearClassifier".to_owned());
    }
    let classes = chain.layers.last().map_or(0, |last| last.outputs);
    let labels = chain.labels.or_else(|| labels_beside(&graph, classes));
    let diagnostics = json!({ "nodes": chain.nodes, "producer": model.producer_name });
    Ok(Found { layers: chain.layers, labels, diagnostics })
}

/// Numbers that do not depend on the input.
#[derive(Clone)]
struct Constant {
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

/// The graph as far as it was read.
struct Chain<'g> {
    tensors: HashMap<&'g str, &'g TensorProto>,
    /// What nodes made of tensors.
    made: HashMap<&'g str, Constant>,
    /// The names of what the layers so far give; of the graph's input before the first one.
    value: Vec<&'g str>,
    layers: Vec<Layer>,
    labels: Option<Keys>,
    /// The names of what the layers give.
    nodes: Vec<&'g str>,
    /// The operator that ended the chain.
    ended: Option<&'g str>,
}

impl<'g> Chain<'g> {
    fn new(graph: &'g GraphProto) -> Result<Self, String> {
        if let Some(values) = graph.sparse_initializer.first().map(|sparse| sparse.values.as_ref()) {
            let name = values.map_or("", |values| &values.name);
            return Err(format!("tensor `{name}` is sparse: dense ones can be read"));
        }
        let tensors: HashMap<_, _> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let inputs: Vec<&str> =
            graph.input.iter().map(|input| input.name.as_str()).filter(|name| !tensors.contains_key(name)).collect();
        let [value] = inputs[..] else {
            return Err(format!("has {} inputs ({}): a head has one", inputs.len(), inputs.join(", ")));
        };
        Ok(Self {
            tensors,
            made: HashMap::new(),
            value: vec![value],
            layers: Vec::new(),
            labels: None,
            nodes: Vec::new(),
            ended: None,
        })
    }

    /// Takes the next node.
    fn take(&mut self, node: &'g NodeProto) -> Result<(), String> {
        let Some(output) = node.output.first().map(String::as_str) else {
            return Err("has no output".to_owned());
        };
        let operator = node.op_type.as_str();
        if let Some(end) = self.ended {
            let one = self.layers.last().is_some_and(|last| last.outputs == 1);
            let known = AFTER.contains(&operator) || (one && OTHER.contains(&operator));
            return known.then_some(()).ok_or_else(|| format!("comes after {end}, with which a head ends"));
        }
        if !node.input.iter().any(|input| self.is_value(input)) {
            return self.make(node, output);
        }
        let same = ["Cast", "Dropout", "Flatten", "Identity"].contains(&operator);
        match operator {
            "Identity" | "Dropout" => {}
            "Flatten" if integer(node, "axis", 1) == 1 => {}
            "Cast" => {
                let to = i32::try_from(integer(node, "to", 0)).ok().and_then(|to| DataType::try_from(to).ok());
                let floats = [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16];
                if !to.is_some_and(|to| floats.contains(&to)) {
                    return Err("makes what goes into a layer something else than floats".to_owned());
                }
            }
            "Relu" => self.activate(Activation::Relu)?,
            "Tanh" => self.activate(Activation::Tanh)?,
            "Cos" => self.activate(Activation::Cos)?,
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.multiply(node)?,
            "Add" => self.add(node)?,
            "LinearClassifier" => {
                self.classify(node)?;
                self.ended = Some(operator);
            }
            _ if ENDS.contains(&operator) && !self.layers.is_empty() => self.ended = Some(operator),
            _ => {
                return Err(
                    "is no part of a head: Gemm, or MatMul and Add, with Relu, Tanh or Cos between them, and LinearClassifier are"
                        .to_owned(),
                );
            }
        }
        if !same {
            self.value.clear();
        }
        self.value.push(output);
        if self.nodes.len() < self.layers.len() {
            self.nodes.push(output);
        }
        Ok(())
    }

    /// A node that reads nothing of the chain's end.
    fn make(&mut self, node: &'g NodeProto, output: &'g str) -> Result<(), String> {
        let first = node.input.first().map_or("", String::as_str);
        match node.op_type.as_str() {
            "Constant" => {
                let value = attribute(node, "value").and_then(|value| value.t.as_ref());
                // Those of other kinds, and of types that are no floats, are shapes and labels.
                if let Some(tensor) = value {
                    self.tensors.insert(output, tensor);
                }
                return Ok(());
            }
            "Identity" | "Cast" | "Transpose" if self.is_constant(first) => {}
            _ => return Err("reads something else than the layer before it: a head is one chain".to_owned()),
        }
        let mut constant = self.constant(first)?;
        if node.op_type == "Transpose" {
            constant = turned(&constant)?;
        }
        self.made.insert(output, constant);
        Ok(())
    }

    fn is_value(&self, name: &str) -> bool {
        self.value.contains(&name)
    }

    fn is_constant(&self, name: &str) -> bool {
        self.tensors.contains_key(name) || self.made.contains_key(name)
    }

    fn constant(&self, name: &str) -> Result<Constant, String> {
        match (self.made.get(name), self.tensors.get(name)) {
            (Some(made), _) => Ok(made.clone()),
            (None, Some(tensor)) => floats(tensor, name),
            (None, None) => Err(format!("reads `{name}`, which is no tensor of the file: a layer's weights are")),
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<(), String> {
        match self.layers.last_mut() {
            Some(last) if last.activation == Activation::Identity => {
                last.activation = activation;
                Ok(())
            }
            Some(_) => Err("follows another activation: a layer has one".to_owned()),
            None => Err("stands before the first layer".to_owned()),
        }
    }

    /// The second factor of a product whose first one is the chain's end, inputs x outputs.
    fn weight(&self, node: &NodeProto) -> Result<Constant, String> {
        let [first, second, ..] = &node.input[..] else { return Err("has fewer than two inputs".to_owned()) };
        if !self.is_value(first) {
            return Err("multiplies from the left: a layer's weight is the second factor".to_owned());
        }
        let weight = self.constant(second)?;
        if weight.shape.len() != 2 {
            return Err(format!("has a weight of {} dimensions: a layer's has 2", weight.shape.len()));
        }
        Ok(weight)
    }

    fn gemm(&mut self, node: &NodeProto) -> Result<(), String> {
        if integer(node, "transA", 0) != 0 {
            return Err("transposes its input (transA): rows are vectors here".to_owned());
        }
        let mut weight = self.weight(node)?;
        if integer(node, "transB", 0) != 0 {
            weight = turned(&weight)?;
        }
        let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
        weight.numbers.iter_mut().for_each(|number| *number *= alpha);
        self.push(weight);
        match node.input.get(2) {
            Some(bias) if !bias.is_empty() => {
                let bias = self.constant(bias)?;
                self.shift(&bias, beta)
            }
            _ => Ok(()),
        }
    }

    fn multiply(&mut self, node: &NodeProto) -> Result<(), String> {
        let weight = self.weight(node)?;
        self.push(weight);
        Ok(())
    }

    fn push(&mut self, weight: Constant) {
        let (inputs, outputs) = (weight.shape[0], weight.shape[1]);
        let bias = vec![0.0; outputs];
        let activation = Activation::Identity;
        self.layers.push(Layer { inputs, outputs, activation, weight: weight.numbers, bias });
    }

    fn add(&mut self, node: &NodeProto) -> Result<(), String> {
        let Some(other) = node.input.iter().find(|input| !self.is_value(input)) else {
            return Err("adds what the layer gives to itself".to_owned());
        };
        let bias = self.constant(other)?;
        self.shift(&bias, 1.0)
    }

    /// Adds to the last layer's bias.
    fn shift(&mut self, bias: &Constant, times: f32) -> Result<(), String> {
        let Some(last) = self.layers.last_mut().filter(|last| last.activation == Activation::Identity) else {
            return Err("adds to what is not a product: a bias follows its weight".to_owned());
        };
        let (width, leading) = match bias.shape.split_last() {
            Some((width, leading)) => (*width, leading),
            None => (1, &[][..]),
        };
        if leading.iter().any(|size| *size != 1) || (width != 1 && width != last.outputs) {
            return Err(format!("adds numbers of shape {:?} to a layer of {} outputs", bias.shape, last.outputs));
        }
        for (place, sum) in last.bias.iter_mut().enumerate() {
            *sum += times * bias.numbers[if width == 1 { 0 } else { place }];
        }
        Ok(())
    }

    fn classify(&mut self, node: &NodeProto) -> Result<(), String> {
        let list = |name: &str| attribute(node, name).map_or(&[][..], |found| &found.floats);
        let (coefficients, intercepts) = (list("coefficients"), list("intercepts"));
        let labels = labels(node)?;
        // Without intercepts the labels tell how many rows there are.
        let outputs = if intercepts.is_empty() { labels.as_ref().map_or(1, Keys::len) } else { intercepts.len() };
        if coefficients.is_empty() || !coefficients.len().is_multiple_of(outputs.max(1)) {
            return Err(format!("has {} coefficients for {outputs} logits", coefficients.len()));
        }
        let shape = vec![outputs, coefficients.len() / outputs];
        let rows = Constant { shape, numbers: coefficients.to_vec() };
        let mut bias = intercepts.to_vec();
        bias.resize(outputs, 0.0);
        if let Some(bad) = rows.numbers.iter().chain(&bias).find(|number| !number.is_finite()) {
            return Err(format!("has a number that is {bad}"));
        }
        let logistic = attribute(node, "post_transform").is_some_and(|how| how.s == b"LOGISTIC");
        let rows = match rows.numbers.split_at(rows.shape[1]) {
            // Each of two classes by its own logistic function: the logit, and the same with its sign changed. Their softmax would be
            // that of twice the logit.
            (first, second)
                if logistic && outputs == 2 && negated(first, second) && negated(&bias[..1], &bias[1..]) =>
            {
                bias.remove(0);
                Constant { shape: vec![1, second.len()], numbers: second.to_vec() }
            }
            _ => rows,
        };
        let all = Constant { shape: vec![bias.len()], numbers: bias };
        self.push(turned(&rows)?);
        self.labels = labels;
        self.shift(&all, 1.0)
    }
}

fn negated(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| *a == -b)
}

/// A classifier's own labels.
fn labels(node: &NodeProto) -> Result<Option<Keys>, String> {
    let found = |name: &str| attribute(node, name);
    if let Some(strings) = found("classlabels_strings").filter(|found| !found.strings.is_empty()) {
        let texts = strings.strings.iter().map(|text| String::from_utf8(text.clone())).collect::<Result<_, _>>();
        return Ok(Some(Keys::Text(texts.map_err(|_| "has a label that is not UTF-8".to_owned())?)));
    }
    Ok(found("classlabels_ints").filter(|found| !found.ints.is_empty()).map(|found| Keys::Int(found.ints.clone())))
}

/// The labels that the node after an ArgMax looks up, one for each class.
fn labels_beside(graph: &GraphProto, classes: usize) -> Option<Keys> {
    let lookup = graph.node.iter().find(|node| node.op_type == "ArrayFeatureExtractor")?;
    let name = lookup.input.first()?;
    let tensor = graph.initializer.iter().find(|tensor| tensor.name == *name)?;
    let keys = match DataType::try_from(tensor.data_type).ok()? {
        DataType::String => {
            let texts = tensor.string_data.iter().map(|text| String::from_utf8(text.clone()));
            Keys::Text(texts.collect::<Result<_, _>>().ok()?)
        }
        DataType::Int64 if !tensor.raw_data.is_empty() => {
            Keys::Int(tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
        }
        DataType::Int64 => Keys::Int(tensor.int64_data.clone()),
        DataType::Int32 if !tensor.raw_data.is_empty() => {
            Keys::Int(tensor.raw_data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect())
        }
        DataType::Int32 => Keys::Int(tensor.int32_data.iter().map(|label| i64::from(*label)).collect()),
        _ => return None,
    };
    // The one logit of two classes becomes two.
    (keys.len() == classes || (keys.len(), classes) == (2, 1)).then_some(keys)
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f)
}

fn turned(constant: &Constant) -> Result<Constant, String> {
    let [rows, columns] = constant.shape[..] else {
        return Err(format!("transposes a tensor of {} dimensions: a layer's weight has 2", constant.shape.len()));
    };
    Ok(Constant { shape: vec![columns, rows], numbers: transposed(&constant.numbers, rows, columns) })
}

/// Shape and numbers of a tensor.
fn floats(tensor: &TensorProto, name: &str) -> Result<Constant, String> {
    if tensor.data_location == Some(DataLocation::External as i32) {
        return Err(format!(
            "needs tensor `{name}`, which is in another file: export without (torch.onnx.export with external_data=False), or save what \
             onnx.load gives with onnx.save"
        ));
    }
    let raw = &tensor.raw_data;
    // Halves that are not raw stand in integers.
    let halves = |of: fn(u16) -> f32| -> Vec<f32> {
        match raw.is_empty() {
            true => tensor.int32_data.iter().map(|bits| of(*bits as u16)).collect(),
            false => raw.as_chunks().0.iter().map(|bytes| of(u16::from_le_bytes(*bytes))).collect(),
        }
    };
    let numbers: Vec<f32> = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.clone(),
        Ok(DataType::Float) => raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Ok(DataType::Double) if raw.is_empty() => tensor.double_data.iter().map(|number| *number as f32).collect(),
        Ok(DataType::Double) => raw.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        Ok(DataType::Float16) => halves(|bits| f16::from_bits(bits).to_f32()),
        Ok(DataType::Bfloat16) => halves(|bits| bf16::from_bits(bits).to_f32()),
        Ok(other) => {
            let known = "FLOAT, DOUBLE, FLOAT16 and BFLOAT16 can be read";
            return Err(format!("reads tensor `{name}` of type {}: {known}", other.as_str_name()));
        }
        Err(_) => return Err(format!("reads tensor `{name}` of a type that is not known ({})", tensor.data_type)),
    };
    let shape = tensor.dims.iter().map(|size| usize::try_from(*size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("reads tensor `{name}` of no fixed shape"))?;
    let size = shape.iter().try_fold(1usize, |size, by| size.checked_mul(*by));
    if size != Some(numbers.len()) {
        return Err(format!("reads tensor `{name}`, which has {} numbers and the shape {shape:?}", numbers.len()));
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(place) => Err(format!("reads tensor `{name}`, whose number {place} is NaN or infinite")),
        None => Ok(Constant { shape, numbers }),
    }
}
