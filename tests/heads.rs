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
struct Given {
    linear: Vec<Vec<f64>>,
    binary: Vec<f64>,
    stack: Vec<Vec<f64>>,
}

#[test]
fn heads_of_scikit_learn_give_the_same_logits_here() {
    let tester = World::new();
    let data = |name: &str| format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let given: Given = serde_json::from_str(&std::fs::read_to_string(data("heads.json")).unwrap()).unwrap();
    let import = |name: &str, more: &[&str]| {
        let (from, to) = (data(&format!("head_{name}.safetensors")), format!("{name}.parquet"));
        tester.run(&[&["import-head", &from, "-o", &to][..], more].concat()[..]).expect(0, &[]).stdout
    };
    let numbers = |name: &str, call: &str| -> Vec<Vec<f64>> {
        let sql = format!(
            "SELECT unnest(l) AS l FROM (SELECT id, {call}(embedding, (SELECT h FROM '{name}.parquet')) AS l FROM '{}' WHERE id < 20 ORDER BY id)",
            digits("mlp_a")
        );
        let csv = tester.run(&["sql", "--format", "csv", "--max-rows", "0", "-c", &sql]).expect(0, &[]).stdout;
        let all: Vec<f64> = csv.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        all.chunks(all.len() / 20).map(<[f64]>::to_vec).collect()
    };
    let near = |got: &[Vec<f64>], want: &[Vec<f64>]| {
        assert_eq!(got.len(), want.len());
        let pairs = got.iter().flatten().zip(want.iter().flatten());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)), "{:?}", pairs.collect::<Vec<_>>());
    };
    let said = import("linear", &["--encoder", "mlp_a"]);
    assert!(said.contains("widths: 64 -> 10") && said.contains("encoder: mlp_a"), "{said}");
    near(&numbers("linear", "emb_logits"), &given.linear);
    // The one logit of two classes is that of the second, beside 0.
    import("binary", &["--labels", "small,large"]);
    near(&numbers("binary", "emb_logits"), &given.binary.iter().map(|&z| vec![0.0, z]).collect::<Vec<_>>());
    let said = import("stack", &["--activation", "relu"]);
    assert!(said.contains("widths: 64 -> 12 (relu) -> 8 (relu) -> 10"), "{said}");
    near(&numbers("stack", "emb_probabilities"), &given.stack);
}

#[test]
fn heads_that_cannot_be_read_are_said() {
    let tester = World::new();
    let data = |name: &str| format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
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
