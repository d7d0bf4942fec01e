//! Classification heads.

use crate::tester::World;

/// `sample_data/digits_<name>.parquet`.
fn digits(name: &str) -> String {
    format!("{}/sample_data/digits_{name}.parquet", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_head_is_stored_and_reads_native_and_translated_rows() {
    let tester = World::new();
    let (a, b) = (digits("mlp_a"), digits("mlp_b"));
    let sql = format!(
        "COPY (SELECT emb_head(id, embedding, label, {{encoder: 'b'}}) AS h FROM '{b}' WHERE split = 'train') TO 'head.parquet'"
    );
    tester.run(&["sql", "-c", &sql]).expect(0, &[]);
    let described = tester.ok("describe head.parquet").stdout;
    for words in
        ["kind: head", "encoder: b", "widths: 96 -> 10", "labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "converged: true"]
    {
        assert!(described.contains(words), "{described}");
    }
    let fit =
        ["fit", "--source", &a, "--target", &b, "--key", "id", "--where", "split = 'train'", "--method", "procrustes"];
    tester.run(&[&fit[..], &["--eval-where", "split = 'test'", "-o", "t.parquet"]].concat()[..]).expect(0, &[]);
    tester.run(&["translate", &a, "--to", "a_as_b.parquet", "--translator", "t.parquet"]).expect(0, &[]);
    let accuracy = |table: &str| -> f64 {
        let sql = format!(
            "SELECT avg(CASE WHEN emb_classify(embedding, (SELECT h FROM 'head.parquet')) = label THEN 1.0 ELSE 0 END) AS accuracy
             FROM '{table}' WHERE split = 'test'"
        );
        let csv = tester.run(&["sql", "--format", "csv", "-c", &sql]).expect(0, &[]).stdout;
        csv.lines().last().unwrap().parse().unwrap()
    };
    // A linear head of scikit-learn reads 0.980 of the native test rows (sample_data/README.md).
    let (native, stitched) = (accuracy(&b), accuracy("a_as_b.parquet"));
    assert!((native - 0.980).abs() < 0.01 && stitched > 0.9, "{native} {stitched}");
    // With the head, fit measures and chooses by what it makes of held-out rows.
    let by_head = ["--label", "label", "--head", "head.parquet", "-o", "t.parquet", "--overwrite"];
    let fit = [&fit[..], &["--eval-where", "split = 'test'"], &by_head].concat();
    let quality = |translator: &str| -> serde_json::Value {
        serde_json::from_str(&tester.translator(translator).diagnostics).unwrap()
    };
    tester.run(&fit[..]).expect(0, &[]);
    let measured = quality("t.parquet")["quality"]["rows"][0]["accuracy"].as_f64().unwrap();
    assert!((measured - stitched).abs() < 1e-9, "{measured} {stitched}");
    let best: Vec<&str> = fit.iter().map(|word| if *word == "procrustes" { "best" } else { word }).collect();
    tester.run(&[&best[..], &["--by", "accuracy", "--gate", "accuracy >= 0.9"]].concat()[..]).expect(0, &[]);
    let compared = quality("t.parquet")["best"].clone();
    assert!(compared["by"] == "accuracy" && compared["rows"][0]["accuracy"].as_f64().unwrap() > 0.9, "{compared}");
    let gone: Vec<&str> = fit.iter().map(|word| if *word == "head.parquet" { "t.parquet" } else { word }).collect();
    tester.run(&gone[..]).expect(1, &["t.parquet: is a translator, not a head"]);
    let turned: Vec<&str> = fit
        .iter()
        .map(|word| {
            if *word == a {
                b.as_str()
            } else if *word == b {
                a.as_str()
            } else {
                word
            }
        })
        .collect();
    tester
        .run(&turned[..])
        .expect(1, &["head.parquet: the head reads vectors of width 96, and those of --target have 64"]);
    let text: Vec<&str> = fit.iter().map(|word| if *word == "label" { "split" } else { word }).collect();
    tester.run(&text[..]).expect(1, &["class test is none that the head knows: it knows 0, 1, 2"]);
    let other = format!("SELECT emb_classify(embedding, (SELECT h FROM 'head.parquet')) FROM '{a}'");
    tester.run(&["sql", "-c", &other]).expect(1, &["`v`) has width 64, and the head has width 96"]);
}

/// What scikit-learn gives for the first rows of `digits_mlp_a` (tests/data/make_heads.py).
#[derive(serde::Deserialize)]
#[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "some are of ONNX files only"))]
struct Given {
    linear: Vec<Vec<f64>>,
    binary: Vec<f64>,
    stack: Vec<Vec<f64>>,
    strings: Vec<Vec<f64>>,
    pair: Vec<f64>,
    torch: Vec<Vec<f64>>,
    plain: Vec<Vec<f64>>,
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn given() -> Given {
    serde_json::from_str(&std::fs::read_to_string(data("heads.json")).unwrap()).unwrap()
}

/// What `emb_logits` or `emb_probabilities` gives for those rows.
fn numbers(tester: &World, name: &str, call: &str) -> Vec<Vec<f64>> {
    let sql = format!(
        "SELECT unnest(l) AS l FROM (SELECT id, {call}(embedding, (SELECT h FROM '{name}.parquet')) AS l FROM '{}' WHERE id < 20 ORDER BY id)",
        digits("mlp_a")
    );
    let csv = tester.run(&["sql", "--format", "csv", "--max-rows", "0", "-c", &sql]).expect(0, &[]).stdout;
    let all: Vec<f64> = csv.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    all.chunks(all.len() / 20).map(<[f64]>::to_vec).collect()
}

fn near(got: &[Vec<f64>], want: &[Vec<f64>]) {
    assert_eq!(got.len(), want.len());
    let pairs = got.iter().flatten().zip(want.iter().flatten());
    let most = pairs.clone().map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
    println!("within {most:.1e}");
    assert!(most < 1e-5, "{:?}", pairs.collect::<Vec<_>>());
}

/// The one logit of two classes is that of the second, beside 0.
fn two(logits: &[f64]) -> Vec<Vec<f64>> {
    logits.iter().map(|&z| vec![0.0, z]).collect()
}

#[test]
fn heads_of_scikit_learn_give_the_same_logits_here() {
    let (tester, given) = (World::new(), given());
    let import = |name: &str, more: &[&str]| {
        let (from, to) = (data(&format!("head_{name}.safetensors")), format!("{name}.parquet"));
        tester.run(&[&["import-head", &from, "-o", &to][..], more].concat()[..]).expect(0, &[]).stdout
    };
    let said = import("linear", &["--encoder", "mlp_a"]);
    assert!(said.contains("widths: 64 -> 10") && said.contains("encoder: mlp_a"), "{said}");
    near(&numbers(&tester, "linear", "emb_logits"), &given.linear);
    import("binary", &["--labels", "small,large"]);
    near(&numbers(&tester, "binary", "emb_logits"), &two(&given.binary));
    let said = import("stack", &["--activation", "relu"]);
    assert!(said.contains("widths: 64 -> 12 (relu) -> 8 (relu) -> 10"), "{said}");
    near(&numbers(&tester, "stack", "emb_probabilities"), &given.stack);
}

/// As skl2onnx and PyTorch write them.
#[cfg(feature = "onnx")]
#[test]
fn heads_in_onnx_give_the_same_logits_here() {
    let (tester, given) = (World::new(), given());
    let import = |name: &str, more: &[&str], words: &[&str]| {
        let (from, to) = (data(&format!("head_{name}.onnx")), format!("{name}.parquet"));
        let said = tester.run(&[&["import-head", &from, "-o", &to][..], more].concat()[..]).expect(0, &[]).stdout;
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    let logits = |name: &str| numbers(&tester, name, "emb_logits");
    import("linear", &["--encoder", "mlp_a"], &["64 -> 10", "labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "encoder: mlp_a"]);
    near(&logits("linear"), &given.linear);
    import("binary", &[], &["64 -> 2", "labels: 0, 1"]);
    near(&logits("binary"), &two(&given.binary));
    import("strings", &[], &["64 -> 3", "labels: 'low', 'mid', 'top'"]);
    near(&logits("strings"), &given.strings);
    import("stack", &[], &["64 -> 12 (relu) -> 8 (relu) -> 10", "labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]);
    near(&numbers(&tester, "stack", "emb_probabilities"), &given.stack);
    import("pair", &[], &["64 -> 5 (tanh) -> 2", "labels: 'large', 'small'"]);
    let pair: Vec<Vec<f64>> = given.pair.iter().map(|&p| vec![1.0 - p, p]).collect();
    near(&numbers(&tester, "pair", "emb_probabilities"), &pair);
    import("torch", &["--labels", "x,y,z"], &["64 -> 6 (tanh) -> 3", "labels: 'x', 'y', 'z'"]);
    near(&logits("torch"), &given.torch);
    import("plain", &[], &["64 -> 6 (cos) -> 3", "labels: 0, 1, 2"]);
    near(&logits("plain"), &given.plain);

    // Told by its content where its name does not.
    std::fs::copy(data("head_torch.onnx"), tester.path("head.bin")).unwrap();
    tester.run(&["import-head", "head.bin", "-o", "bin.parquet"]).expect(0, &[]);
    near(&logits("bin"), &given.torch);
}

#[cfg(feature = "onnx")]
#[test]
fn onnx_files_that_are_no_heads_are_said() {
    let tester = World::new();
    let refused = |file: &str, more: &[&str], words: &[&str]| {
        tester.run(&[&["import-head", file, "-o", "h.parquet"][..], more].concat()[..]).expect(1, words);
        assert!(!tester.exists("h.parquet"));
    };
    let file = data("head_attention.onnx");
    refused(&file, &[], &["head_attention.onnx: node `/act/Erf` (Erf) is no part of a head: Gemm, or MatMul and Add"]);
    let words = ["head_outside.onnx: node `/0/Gemm` (Gemm) needs tensor `0.weight`, which is in another file"];
    refused(&data("head_outside.onnx"), &[], &words);
    let file = data("head_torch.onnx");
    refused(
        &file,
        &["--activation", "relu"],
        &["is an ONNX file, which tells its layers", "leave out --layer and --activation"],
    );
    refused(&file, &["--layer", "0.weight,0.bias"], &["leave out --layer and --activation"]);
    refused(&file, &["--labels", "a,b"], &["gives 3 logits, and 2 labels are named"]);
    tester.file("text.onnx", "no graph");
    refused("text.onnx", &[], &["text.onnx: is no ONNX file"]);
    tester.file("empty.onnx", "");
    refused("empty.onnx", &[], &["empty.onnx: is no ONNX file: it has no graph"]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(tester.path("short.onnx"), &whole[..whole.len() / 2]).unwrap();
    refused("short.onnx", &[], &["short.onnx: is no ONNX file"]);
}

#[cfg(not(feature = "onnx"))]
#[test]
fn onnx_files_need_another_build() {
    let tester = World::new();
    let words =
        ["is an ONNX file, and this babelake reads none: build it with `--features onnx`, or export safetensors"];
    tester.run(&["import-head", &data("head_linear.onnx"), "-o", "h.parquet"]).expect(1, &words);
    assert!(!tester.exists("h.parquet"));
}

#[test]
fn heads_that_cannot_be_read_are_said() {
    let tester = World::new();
    let refused = |file: &str, more: &[&str], words: &[&str]| {
        tester.run(&[&["import-head", file, "-o", "h.parquet"][..], more].concat()[..]).expect(1, words);
        assert!(!tester.exists("h.parquet"));
    };
    tester.file("text.safetensors", "no tensors");
    refused("text.safetensors", &[], &["text.safetensors: is no safetensors file"]);
    refused("nowhere.safetensors", &[], &["nowhere.safetensors"]);
    let (linear, stack) = (data("head_linear.safetensors"), data("head_stack.safetensors"));
    refused(&stack, &[], &["has 3 layers: say what is between them"]);
    refused(&linear, &["--labels", "a,b"], &["gives 10 logits, and 2 labels are named"]);
    refused(&linear, &["--layer", "fc.weight"], &["has no tensor `fc.weight`: it has coef_, intercept_"]);
    let layers = ["--layer", "net.0.weight,net.0.bias", "--layer", "net.4.weight,net.4.bias", "--activation", "tanh"];
    refused(&stack, &layers, &["layer 1 of the head takes 8 numbers to 10", "12 come in"]);
}

/// Three encoders of the sample digits, each read by the heads of the others.
#[test]
fn encoders_are_stitched() {
    let tester = World::new();
    let sample = format!("{}/sample_data/*.parquet", env!("CARGO_MANIFEST_DIR"));
    let args = [
        "stitch",
        &sample,
        "--key",
        "id",
        "--label",
        "label",
        "--anchors",
        "200",
        "--seeds",
        "2",
        "--method",
        "procrustes,paper",
    ];
    let outputs = ["-o", "out.parquet", "--svg", "out.svg", "--modality", "image=digits_rff"];
    let said = tester.run(&[&args[..], &outputs].concat()[..]).expect(0, &["24 rows in"]).stdout;
    for words in [
        "digits_mlp_a, digits_mlp_b, digits_rff: 6 ordered pairs; 10 classes",
        "1257 rows to train on, 200 anchors among them, 540 to test on",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.contains("0 of 6"), "{said}");
    let sql = "SELECT method, count(*) AS n, min(non_stitch) > 0.96 AS native, avg(zero_shot) > 0.85 AS stitched, count(absolute) AS a,
               max(omega) AS omega FROM 'out.parquet' GROUP BY method ORDER BY method";
    let found = tester.run(&["sql", "--format", "csv", "-c", sql]).expect(0, &[]).stdout;
    assert!(found.contains("procrustes,12,true,true,0,\n") && found.contains("paper,12,true,"), "{found}");
    assert!(tester.text("out.svg").contains("digits_rff (image)"));

    tester
        .run(&[&args[..], &["--modality", "image=nothing"]].concat()[..])
        .expect(1, &["there is no encoder 'nothing'"]);
    tester
        .run(&[&args[..], &["--train-where", "true"]].concat()[..])
        .expect(1, &["rows to train on are rows to test on"]);
    let fewer = ["--train-where", "split = 'train' AND label < 9"];
    tester
        .run(&[&args[..], &fewer].concat()[..])
        .expect(1, &["label '9' is none that the head knows", "is not among those to train on"]);
    let (train, test) = ("split = 'train' AND label = 3", "split = 'test' AND label = 3");
    let one = ["--anchors", "50", "--train-where", train, "--test-where", test];
    let one = [&args[..6], &one].concat();
    tester.run(&one[..]).expect(1, &["one class, '3'"]);
}
