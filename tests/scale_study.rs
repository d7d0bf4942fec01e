//! Transformers, a layer rescaled at a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use babelake::column::{Head, Keys};
use babelake::kernel::Rows;
use babelake::kernel::block::Scratch;
use babelake::kernel::head::train::Training;
use babelake::kernel::head::{Activation, logits};
use babelake::lake::Place;
use babelake::lake::scale_study::encoder::{Encoder, Pooling, Tokens};
use babelake::session::stores::{Access, Stores};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::tester::World;

fn open(folder: &str) -> Encoder {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let stores = Stores::new(Access::default()).unwrap();
    Encoder::open(&Place::new(folder, &stores, runtime.handle()).unwrap(), None).unwrap()
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn encode(encoder: &Encoder, tokens: &[Tokens], rescaled: Option<(usize, f64)>, pooling: Pooling) -> Vec<f32> {
    encoder.model(rescaled).unwrap().encode(tokens, pooling, |_| ()).unwrap()
}

/// The largest difference, of numbers of which one counts.
fn apart(got: &[f32], want: impl Iterator<Item = f64>) -> f64 {
    let want: Vec<f64> = want.collect();
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (f64::from(*a) - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

/// What transformers makes of the same texts (tests/golden/encoder.py), text by text where they are a padded batch here.
#[test]
fn encodings_are_those_of_transformers() {
    let given: Value = serde_json::from_str(&std::fs::read_to_string(golden("encoder.json")).unwrap()).unwrap();
    let texts: Vec<&str> = given["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for name in ["bert", "roberta"] {
        let encoder = open(&golden(&format!("encoder_{name}")));
        assert_eq!((encoder.layers(), encoder.width()), (3, 16));
        let tokens = encoder.tokens(&texts).unwrap();
        let check = |rescaled: Option<(usize, f64)>, want: &Value| {
            for (pooling, of) in [(Pooling::Mean, "mean"), (Pooling::Cls, "cls")] {
                let rows = want[of].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
                let most = apart(&encode(&encoder, &tokens, rescaled, pooling), rows.map(|x| x.as_f64().unwrap()));
                println!("{name} {rescaled:?} {of}: within {most:.1e}");
                assert!(most < 1e-4, "{name} {rescaled:?} {of}: {most}");
            }
        };
        check(None, &given[name]["unscaled"]);
        let runs = given["rescaled"].as_array().unwrap().iter().zip(given[name]["rescaled"].as_array().unwrap());
        for (by, want) in runs {
            check(Some((by[0].as_u64().unwrap() as usize, by[1].as_f64().unwrap())), want);
        }
    }
}

#[test]
fn the_last_layer_comes_out_multiplied() {
    let encoder = open(&golden("encoder_bert"));
    let tokens = encoder.tokens(&["the river runs", "stars over a bridge, and the sea"]).unwrap();
    let plain = encode(&encoder, &tokens, None, Pooling::Mean);
    for alpha in [0.1, 3.0, 100.0] {
        let scaled = encode(&encoder, &tokens, Some((encoder.layers(), alpha)), Pooling::Mean);
        assert!(apart(&scaled, plain.iter().map(|x| alpha * f64::from(*x))) < 1e-5);
        let first = encode(&encoder, &tokens, Some((0, alpha)), Pooling::Mean);
        assert!(apart(&first, plain.iter().map(|x| alpha * f64::from(*x))) > 1e-2);
    }
    // Multiplied by 1 it is the same, bit for bit.
    assert_eq!(encode(&encoder, &tokens, Some((1, 1.0)), Pooling::Mean), plain);
}

const WORDS: [&str; 20] = [
    "tide", "harbour", "sailor", "wave", "coral", "anchor", "comet", "orbit", "planet", "crater", "eclipse", "nebula",
    "the", "a", "of", "near", "and", "some", "old", "far",
];
const SPECIAL: [&str; 4] = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"];

/// A generator of numbers (Knuth's), the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From -0.5 to 0.5.
    fn number(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32 - 0.5
    }
}

/// Writes a model of 2 layers and 32 numbers with random weights; tensors that `keep` refuses are left out.
fn write_model(tester: &World, name: &str, kind: &str, keep: impl Fn(&str) -> bool) {
    const WIDTH: usize = 32;
    std::fs::create_dir_all(tester.path(name)).unwrap();
    let positions = 16;
    let config = json!({
        "model_type": kind, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "vocab_size": 24, "max_position_embeddings": positions, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5,
    });
    tester.file(&format!("{name}/config.json"), &config.to_string());
    let vocabulary: serde_json::Map<String, Value> =
        SPECIAL.iter().chain(&WORDS).enumerate().map(|(i, word)| ((*word).to_owned(), i.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 0]},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    tester.file(&format!("{name}/tokenizer.json"), &tokenizer.to_string());

    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![24, WIDTH]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![positions, WIDTH]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![1, WIDTH]),
    ];
    let mut module = |name: String, shape: Vec<usize>| {
        shapes.push((format!("{name}.bias"), vec![shape[0]]));
        shapes.push((format!("{name}.weight"), shape));
    };
    module("embeddings.LayerNorm".to_owned(), vec![WIDTH]);
    for layer in 0..2 {
        let at = format!("encoder.layer.{layer}");
        for of in ["self.query", "self.key", "self.value", "output.dense"] {
            module(format!("{at}.attention.{of}"), vec![WIDTH, WIDTH]);
        }
        module(format!("{at}.attention.output.LayerNorm"), vec![WIDTH]);
        module(format!("{at}.intermediate.dense"), vec![48, WIDTH]);
        module(format!("{at}.output.dense"), vec![WIDTH, 48]);
        module(format!("{at}.output.LayerNorm"), vec![WIDTH]);
    }
    let mut random = Random(5);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let count = shape.iter().product::<usize>();
            let bytes = (0..count).flat_map(|_| (centre + 0.4 * random.number()).to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().filter(|(name, ..)| keep(name)).map(|(name, shape, bytes)| {
        (format!("{kind}.{name}"), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(tester.path(&format!("{name}/model.safetensors")), bytes).unwrap();
}

/// Texts of three to seven words, of which a third tells the class.
fn texts(rows: usize) -> (Vec<Option<String>>, Vec<Option<&'static str>>, Vec<&'static str>) {
    let mut random = Random(11);
    let mut draw = |from: usize, count: usize| WORDS[from + random.next() as usize % count];
    let (mut texts, mut labels, mut splits) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let sky = row % 2;
        let words = (0..3 + row % 5).map(|word| if word % 3 == 1 { draw(6 * sky, 6) } else { draw(12, 8) });
        texts.push(Some(words.collect::<Vec<_>>().join(" ")));
        labels.push(Some(["sea", "sky"][sky]));
        splits.push(["train", "train", "test", "other"][row / 2 % 4]);
    }
    (texts, labels, splits)
}

fn table(texts: Vec<Option<String>>, labels: Vec<Option<&str>>, splits: Vec<&str>) -> RecordBatch {
    let (texts, labels): (StringArray, StringArray) = (texts.into_iter().collect(), labels.into_iter().collect());
    let columns: [(&str, ArrayRef); 3] =
        [("text", Arc::new(texts)), ("label", Arc::new(labels)), ("split", Arc::new(StringArray::from(splits)))];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn layers_are_rescaled_and_read_by_one_head() {
    let tester = World::new();
    let (rows, labels, splits) = texts(240);
    tester.write("texts.parquet", &table(rows, labels, splits));
    for kind in ["bert", "roberta"] {
        write_model(&tester, kind, kind, |_| true);
        let run = ["scale-study", "--model", kind, "--data", "texts.parquet", "--alpha", "0.5,1,4,64"];
        let (out, svg) = (format!("{kind}.parquet"), format!("{kind}.svg"));
        let said = tester.run(&[&run[..], &["-o", &out, "--svg", &svg]].concat()[..]).expect(0, &["12 rows in"]).stdout;
        println!("{said}");
        let words =
            [&format!("{kind}: 2 layers after the embeddings; 2 classes"), "120 rows to train on, 60 to test on"];
        assert!(words.iter().all(|word| said.contains(*word)), "{said}");
        assert!(said.contains("| 0, embeddings |") && said.contains("α = 64"), "{said}");
        assert!(tester.text(&svg).contains("layer 2"));

        let found = tester.read(&out);
        let column = |name: &str| found.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
        let (accuracy, unscaled, agreement) = (column("accuracy"), column("unscaled"), column("agreement"));
        assert!(unscaled.iter().all(|x| *x == unscaled[0]) && unscaled[0] > 0.9, "{unscaled:?}");
        for (place, alpha) in column("alpha").into_iter().enumerate() {
            if alpha == 1.0 {
                assert_eq!((accuracy[place], agreement[place]), (unscaled[0], 1.0));
            }
        }
        // The last layer's output goes to the head as it is: multiplied, and read by the head of what is not.
        for (found, alpha) in accuracy[8..].iter().zip([0.5, 1.0, 4.0, 64.0]) {
            assert!((found - multiplied(&tester.path(kind), alpha)).abs() < 1e-9, "{kind} {alpha}");
        }

        tester.run(&[&run[..], &["-o", &out]].concat()[..]).expect(1, &["exists: give --overwrite to replace it"]);
        let fewer = ["--limit", "40", "--pooling", "cls", "--max-tokens", "6", "--format", "csv"];
        let csv = tester.run(&[&run[..], &fewer].concat()[..]).expect(0, &[]).stdout;
        assert!(csv.starts_with("layer,alpha,accuracy,unscaled,agreement\n") && csv.lines().count() == 13, "{csv}");
    }
}

/// The accuracy of a head on vectors that were multiplied after the model was run.
fn multiplied(model: &std::path::Path, alpha: f32) -> f64 {
    let encoder = open(model.to_str().unwrap());
    let (rows, labels, splits) = texts(240);
    let part = |name: &str| {
        let places: Vec<usize> = (0..240).filter(|&row| splits[row] == name).collect();
        let texts: Vec<&str> = places.iter().map(|&row| rows[row].as_deref().unwrap()).collect();
        let vectors = encode(&encoder, &encoder.tokens(&texts).unwrap(), None, Pooling::Mean);
        let labels: Vec<String> = places.iter().map(|&row| labels[row].unwrap().to_owned()).collect();
        (Keys::Int(places.iter().map(|&row| row as i64).collect()), vectors, labels)
    };
    let training = Training {
        hidden: Vec::new(),
        activation: Activation::Relu,
        l2: 1e-4,
        seed: 0,
        iterations: 500,
        tolerance: 1e-4,
    };
    let (keys, vectors, labels) = part("train");
    let head = Head::train(&keys, Rows::new(&vectors, 32), &Keys::Text(labels), "", &training).unwrap();
    let (_, mut vectors, labels) = part("test");
    vectors.iter_mut().for_each(|x| *x *= alpha);
    let row = |i: usize| Some(&vectors[i * 32..][..32]);
    let found = logits(&head.layers, labels.len(), row, &mut Scratch::default()).unwrap();
    let right = found.chunks(2).zip(&labels).filter(|(z, label)| (z[1] > z[0]) == (*label == "sky")).count();
    right as f64 / labels.len() as f64
}

#[test]
fn models_that_cannot_be_run_are_said() {
    let tester = World::new();
    let (rows, labels, splits) = texts(40);
    tester.write("texts.parquet", &table(rows, labels, splits));
    let refused = |model: &str, more: &[&str], words: &[&str]| {
        let run = ["scale-study", "--data", "texts.parquet", "--alpha", "2", "-o", "out.parquet", "--model", model];
        tester.run(&[&run[..], more].concat()[..]).expect(1, words);
        assert!(!tester.exists("out.parquet"));
    };
    refused("nowhere", &[], &["nowhere/config.json: there is no such file: --model is a folder with config.json"]);
    write_model(&tester, "m", "bert", |_| true);
    for alpha in ["0", "-1", "inf", "NaN"] {
        refused("m", &[&format!("--alpha={alpha}")], &["a finite number above 0 is expected"]);
    }
    refused("m", &["--max-tokens", "17"], &["reads 16 tokens: --max-tokens 17 is more"]);
    refused("m", &["--max-tokens", "2"], &["adds 2 tokens to each text: --max-tokens 2 leaves none"]);
    let config = tester.text("m/config.json");
    let changed = |from: &str, to: &str| tester.file("m/config.json", &config.replace(from, to));
    for kind in ["gpt2", "roberta-prelayernorm"] {
        changed("\"bert\"", &format!("\"{kind}\""));
        let words = [
            &*format!("m/config.json: is of a model of type `{kind}`"),
            "bert, camembert, roberta, xlm-roberta can be run, whose layers end in a normalisation",
        ];
        refused("m", &[], &words);
    }
    changed("\"model_type\"", "\"type\"");
    refused("m", &[], &["m/config.json: has no `model_type`: bert, "]);
    changed("\"hidden_size\"", "\"size\"");
    refused("m", &[], &["m/config.json: has no number `hidden_size`"]);
    changed("}", ",\"position_embedding_type\":\"relative_key\"}");
    refused("m", &[], &["has `position_embedding_type` relative_key: absolute ones can be run"]);
    changed("\"vocab_size\":24", "\"vocab_size\":9");
    refused("m", &[], &["m/model.safetensors"]);
    tester.file("m/config.json", &config);

    write_model(&tester, "less", "bert", |name| name != "encoder.layer.1.output.dense.weight");
    refused("less", &[], &["less/model.safetensors: ", "encoder.layer.1.output.dense.weight"]);
    let tokenizer = tester.text("m/tokenizer.json");
    tester.file("m/tokenizer.json", "{}");
    refused("m", &[], &["m/tokenizer.json: is no tokenizer"]);
    tester.file("m/tokenizer.json", &tokenizer.replace("\"tide\":4", "\"tide\":99"));
    refused(
        "m",
        &[],
        &["column `text`, row ", "gives token 99, and the model knows 24: tokenizer.json is not this model's"],
    );
    std::fs::remove_file(tester.path("m/tokenizer.json")).unwrap();
    refused("m", &[], &["m/tokenizer.json: there is no such file"]);
    tester.file("m/tokenizer.json", &tokenizer);
    tester.file("m/model.safetensors", "nothing");
    refused("m", &[], &["m/model.safetensors: cannot be read"]);
    std::fs::remove_file(tester.path("m/model.safetensors")).unwrap();
    tester.file("m/pytorch_model.bin", "pickled");
    refused("m", &[], &["m/model.safetensors: there is no such file, but pytorch_model.bin: convert it"]);
}

#[test]
fn rows_that_cannot_be_read_are_said() {
    let tester = World::new();
    write_model(&tester, "m", "roberta", |_| true);
    let refused = |batch: &RecordBatch, more: &[&str], words: &[&str]| {
        tester.write("texts.parquet", batch);
        let run = ["scale-study", "--data", "texts.parquet", "--alpha", "2", "--model", "m"];
        tester.run(&[&run[..], more].concat()[..]).expect(1, words);
    };
    let (rows, labels, splits) = texts(40);
    let made = || table(rows.clone(), labels.clone(), splits.clone());
    refused(&made(), &["--text", "words"], &["texts.parquet", "`words`"]);
    refused(&made(), &["--split", "label"], &["texts.parquet: no row of 40 has 'train' in column `label`"]);
    let without = |part: &'static str| splits.iter().map(|split| if *split == part { "none" } else { split }).collect();
    refused(&table(rows.clone(), labels.clone(), without("test")), &[], &["no row of 40 has 'test' in column `split`"]);
    let mut null = rows.clone();
    null[9] = None;
    refused(&table(null.clone(), labels.clone(), splits.clone()), &[], &["column `text`, row 9: is NULL"]);
    // A row of no part may be NULL.
    null[9] = rows[9].clone();
    null[7] = None;
    tester.write("texts.parquet", &table(null, labels.clone(), splits.clone()));
    tester.run(&["scale-study", "--data", "texts.parquet", "--alpha", "2", "--model", "m"]).expect(0, &[]);
    let mut null = labels.clone();
    null[12] = None;
    refused(&table(rows.clone(), null, splits.clone()), &[], &["column `label`, row 12: is NULL"]);
    let one = vec![Some("sea"); 40];
    refused(&table(rows.clone(), one.clone(), splits.clone()), &[], &["rows to train on: one class, 'sea'"]);
    let mut new = labels.clone();
    new[4] = Some("moon");
    refused(
        &table(rows.clone(), new, splits.clone()),
        &[],
        &["label 'moon' is none that the head knows", "is not among those"],
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
    let batch = made();
    let columns = [("text", numbers), ("label", batch.column(1).clone()), ("split", batch.column(2).clone())];
    refused(&RecordBatch::try_from_iter(columns).unwrap(), &[], &["column `text` is Int64: texts are strings"]);
}

/// A model and texts of one's own: `BABELAKE_MODEL` and `BABELAKE_TEXTS` name them.
#[test]
fn a_real_model_is_rescaled() {
    let (Ok(model), Ok(texts)) = (std::env::var("BABELAKE_MODEL"), std::env::var("BABELAKE_TEXTS")) else { return };
    let tester = World::new();
    let run =
        ["scale-study", "--model", &model, "--data", &texts, "--alpha", "1,2", "--limit", "50", "--max-tokens", "32"];
    let csv = tester.run(&[&run[..], &["--format", "csv"]].concat()[..]).expect(0, &[]).stdout;
    for line in csv.lines().skip(1).filter(|line| line.split(',').nth(1) == Some("1.0")) {
        let numbers: Vec<&str> = line.split(',').collect();
        assert_eq!((numbers[2], numbers[4]), (numbers[3], "1.0"), "{csv}");
    }
}
