//! Encoders of the BERT family, as the transformers library saves them in a folder, run by candle on the processor.
//!
//! What is rescaled is a layer's output: the weight and bias of the normalisation that it ends in are multiplied, and the model stays as it is.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, xlm_roberta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use crate::lake::Place;
use crate::{Error, Result};

/// Model types, and how they are run.
const KNOWN: [(&str, Family); 4] = [
    ("bert", Family::Bert),
    ("camembert", Family::Roberta),
    ("roberta", Family::Roberta),
    ("xlm-roberta", Family::Roberta),
];

/// What tensors' names may begin with.
const PREFIXES: [&str; 2] = ["bert.", "roberta."];

/// Tokens of a batch at most, padding included, unless one text has more.
const BATCH: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Bert,
    Roberta,
}

/// What a text's vector is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of its tokens' vectors.
    Mean,
    /// The vector of its first token.
    Cls,
}

/// A text as the model reads it.
pub type Tokens = Vec<u32>;

/// An encoder.
pub struct Encoder {
    shown: String,
    family: Family,
    config: Value,
    tensors: HashMap<String, Tensor>,
    tokenizer: Tokenizer,
    layers: usize,
    width: usize,
    vocabulary: usize,
    pad: u32,
}

impl Encoder {
    /// Opens the folder of a model: `config.json`, `tokenizer.json` and `model.safetensors`. Texts are cut to `max_tokens`, or to as many as
    /// the model reads.
    pub fn open(folder: &Place, max_tokens: Option<usize>) -> Result<Self> {
        let wrong = |name: &str, message: String| Error::file(format!("{}/{name}", folder.shown()), message);
        let config = read(folder, "config.json")?;
        let config: Value =
            serde_json::from_slice(&config).map_err(|error| wrong("config.json", format!("is no JSON: {error}")))?;
        let (family, config) = checked(config).map_err(|error| wrong("config.json", error))?;
        let number = |name: &str| {
            let found = config[name].as_u64().and_then(|number| usize::try_from(number).ok());
            found.ok_or_else(|| wrong("config.json", format!("has no number `{name}`")))
        };
        let pad = number("pad_token_id")?;
        let positions = number("max_position_embeddings")?;
        let most = match family {
            Family::Bert => positions,
            // The positions up to that of padding are no token's.
            Family::Roberta => positions.saturating_sub(pad + 1),
        };
        let tokenizer = read(folder, "tokenizer.json")?;
        let tokenizer = tokenizer_of(&tokenizer, max_tokens, most).map_err(|error| wrong("tokenizer.json", error))?;
        let tensors = tensors(folder)?;
        let encoder = Self {
            shown: folder.shown().to_owned(),
            family,
            layers: number("num_hidden_layers")?,
            width: number("hidden_size")?,
            vocabulary: number("vocab_size")?,
            pad: u32::try_from(pad).unwrap_or(u32::MAX),
            config,
            tensors,
            tokenizer,
        };
        // What is missing is said before any text is read.
        encoder.model(None)?;
        Ok(encoder)
    }

    /// Layers after the embeddings.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Numbers in a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tokens of texts. The error names a text that has none, or one that the model does not know.
    pub fn tokens(&self, texts: &[&str]) -> Result<Vec<Tokens>, Untokenized> {
        let whole = |message: String| Untokenized { text: None, message };
        let encoded = self.tokenizer.encode_batch(texts.to_vec(), true);
        let encoded = encoded.map_err(|error| whole(format!("texts cannot be tokenized: {error}")))?;
        let tokens: Vec<Tokens> = encoded.iter().map(|text| text.get_ids().to_vec()).collect();
        for (text, tokens) in tokens.iter().enumerate() {
            let bad = |message: String| Err(Untokenized { text: Some(text), message });
            if tokens.is_empty() {
                return bad("no tokens come of the text: leave the row out".to_owned());
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= self.vocabulary) {
                return bad(format!(
                    "gives token {token}, and the model knows {}: tokenizer.json is not this model's",
                    self.vocabulary
                ));
            }
        }
        Ok(tokens)
    }

    /// The model, one layer's output rescaled: 0 is that of the embeddings.
    pub fn model(&self, rescaled: Option<(usize, f64)>) -> Result<Model<'_>> {
        let failed =
            |error: candle_core::Error| Error::file(format!("{}/model.safetensors", self.shown), error.to_string());
        let mut tensors = self.tensors.clone();
        if let Some((layer, alpha)) = rescaled {
            let module = match layer {
                0 => "embeddings.LayerNorm".to_owned(),
                layer => format!("encoder.layer.{}.output.LayerNorm", layer - 1),
            };
            for name in ["weight", "bias"].map(|of| format!("{module}.{of}")) {
                let Some(tensor) = tensors.get_mut(&name) else {
                    return Err(Error::Invalid(format!("{} has no layer {layer}: `{name}` is missing", self.shown)));
                };
                *tensor = (&*tensor * alpha).map_err(failed)?;
            }
        }
        let tensors = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let network = match self.family {
            Family::Bert => Network::Bert(bert::BertModel::load(tensors, &self.config()?).map_err(failed)?),
            Family::Roberta => {
                Network::Roberta(xlm_roberta::XLMRobertaModel::new(&self.config()?, tensors).map_err(failed)?)
            }
        };
        Ok(Model { encoder: self, network })
    }

    fn config<C: DeserializeOwned>(&self) -> Result<C> {
        let config = serde_json::from_value(self.config.clone());
        config.map_err(|error| Error::file(format!("{}/config.json", self.shown), error.to_string()))
    }
}

/// Why texts have no tokens.
#[derive(Debug)]
pub struct Untokenized {
    /// The place of the text, where it is one's fault.
    pub text: Option<usize>,
    /// What is wrong.
    pub message: String,
}

enum Network {
    Bert(bert::BertModel),
    Roberta(xlm_roberta::XLMRobertaModel),
}

/// An encoder that can be run.
pub struct Model<'e> {
    encoder: &'e Encoder,
    network: Network,
}

impl Model<'_> {
    /// The vectors of texts, one after the other; `done` is told of every batch. Texts of like length are run together, in the same batches whatever
    /// was rescaled.
    pub fn encode(&self, texts: &[Tokens], pooling: Pooling, mut done: impl FnMut(usize)) -> Result<Vec<f32>> {
        let width = self.encoder.width;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| std::cmp::Reverse(texts[text].len()));
        let mut vectors = vec![0.0; texts.len() * width];
        let mut rest = &order[..];
        while let Some(longest) = rest.first().map(|&text| texts[text].len()) {
            let (batch, others) = rest.split_at((BATCH / longest.max(1)).clamp(1, rest.len()));
            let hidden = self
                .run(texts, batch, longest)
                .map_err(|error| Error::Invalid(format!("{}: the model cannot be run: {error}", self.encoder.shown)))?;
            for (&text, hidden) in batch.iter().zip(hidden.chunks_exact((longest * width).max(1))) {
                let vector = &mut vectors[text * width..][..width];
                match pooling {
                    Pooling::Cls => vector.copy_from_slice(&hidden[..width]),
                    Pooling::Mean => mean(hidden, texts[text].len(), vector),
                }
            }
            done(batch.len());
            rest = others;
        }
        Ok(vectors)
    }

    /// What the last layer gives for a batch padded to `longest`: texts x tokens x width.
    fn run(&self, texts: &[Tokens], batch: &[usize], longest: usize) -> candle_core::Result<Vec<f32>> {
        let shape = (batch.len(), longest);
        let padded = |of: &dyn Fn(u32) -> u32, padding: u32| {
            let row = |&text: &usize| {
                let tokens = texts[text].iter().map(|&token| of(token));
                tokens.chain(std::iter::repeat(padding)).take(longest).collect::<Vec<_>>()
            };
            Tensor::from_vec(batch.iter().flat_map(row).collect::<Vec<u32>>(), shape, &Device::Cpu)
        };
        let (ids, mask) = (padded(&|token| token, self.encoder.pad)?, padded(&|_| 1, 0)?);
        let types = ids.zeros_like()?;
        let hidden = match &self.network {
            Network::Bert(model) => model.forward(&ids, &types, Some(&mask))?,
            Network::Roberta(model) => model.forward(&ids, &mask, &types, None, None, None)?,
        };
        hidden.flatten_all()?.to_vec1()
    }
}

/// The mean of the first `count` vectors.
fn mean(hidden: &[f32], count: usize, mean: &mut [f32]) {
    let width = mean.len();
    for (place, mean) in mean.iter_mut().enumerate() {
        let sum: f64 = (0..count).map(|token| f64::from(hidden[token * width + place])).sum();
        *mean = (sum / count as f64) as f32;
    }
}

/// A file of the folder.
fn read(folder: &Place, name: &str) -> Result<bytes::Bytes> {
    let place = folder.below(name)?;
    if place.look()?.is_some() {
        return place.file()?.read();
    }
    let there = |name: &str| Ok::<_, Error>(folder.below(name)?.look()?.is_some());
    let message = if name != "model.safetensors" {
        "there is no such file: --model is a folder with config.json, tokenizer.json and model.safetensors"
    } else if there("model.safetensors.index.json")? {
        "there is no such file, but one in parts: save the model in one (save_pretrained with a large max_shard_size)"
    } else if there("pytorch_model.bin")? {
        "there is no such file, but pytorch_model.bin: convert it (load it with transformers, save_pretrained writes safetensors)"
    } else {
        "there is no such file: models are read from safetensors"
    };
    Err(Error::file(place.shown(), message))
}

/// How a model of this config is run, and the config with what it leaves to its library.
fn checked(mut config: Value) -> Result<(Family, Value), String> {
    let known = || KNOWN.map(|(name, _)| name).join(", ");
    let Some(name) = config["model_type"].as_str() else {
        return Err(format!("has no `model_type`: {} can be run", known()));
    };
    let Some((_, family)) = KNOWN.into_iter().find(|(known, _)| *known == name) else {
        return Err(format!(
            "is of a model of type `{name}`: {} can be run, whose layers end in a normalisation",
            known()
        ));
    };
    if config["is_decoder"] == true {
        return Err("is of a decoder: encoders can be run".to_owned());
    }
    let positions = config["position_embedding_type"].as_str().unwrap_or("absolute");
    if positions != "absolute" {
        return Err(format!("has `position_embedding_type` {positions}: absolute ones can be run"));
    }
    let defaults = json!({
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "pad_token_id": if family == Family::Bert { 0 } else { 1 },
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
    });
    if let Value::Object(defaults) = defaults {
        for (name, value) in defaults {
            if config[&name].is_null() {
                config[&name] = value;
            }
        }
    }
    let (width, heads) = (config["hidden_size"].as_u64(), config["num_attention_heads"].as_u64());
    if let Some((width, heads)) = width.zip(heads).filter(|(width, heads)| width.checked_rem(*heads) != Some(0)) {
        return Err(format!("has {heads} attention heads for {width} numbers: as many for each are expected"));
    }
    Ok((family, config))
}

fn tokenizer_of(bytes: &[u8], max_tokens: Option<usize>, most: usize) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| format!("is no tokenizer: {error}"))?;
    let max_length = max_tokens.unwrap_or(most);
    if max_length > most {
        return Err(format!("is of a model that reads {most} tokens: --max-tokens {max_length} is more"));
    }
    let added = tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(false));
    if max_length <= added {
        return Err(format!("adds {added} tokens to each text: --max-tokens {max_length} leaves none to it"));
    }
    // Batches are padded here, and the file may ask for a fixed length.
    tokenizer.with_padding(None);
    let cut = TruncationParams { max_length, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(cut)).map_err(|error| format!("cannot cut texts: {error}"))?;
    Ok(tokenizer)
}

/// The tensors of an encoder as `f32`, by the names they have without a head on it.
fn tensors(folder: &Place) -> Result<HashMap<String, Tensor>> {
    let bytes = read(folder, "model.safetensors")?;
    let wrong = |error: candle_core::Error| {
        Error::file(format!("{}/model.safetensors", folder.shown()), format!("cannot be read: {error}"))
    };
    let mut tensors = HashMap::new();
    for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(wrong)? {
        let plain = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
        if !(plain.starts_with("embeddings.") || plain.starts_with("encoder.")) || !tensor.dtype().is_float() {
            continue;
        }
        // As models were saved that came from TensorFlow.
        let plain = match plain.strip_suffix("LayerNorm.gamma").map(|module| (module, "weight")) {
            None => plain.strip_suffix("LayerNorm.beta").map(|module| (module, "bias")),
            gamma => gamma,
        }
        .map_or_else(|| plain.to_owned(), |(module, of)| format!("{module}LayerNorm.{of}"));
        tensors.insert(plain, tensor.to_dtype(DType::F32).map_err(wrong)?);
    }
    Ok(tensors)
}
