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
    let other = format!("SELECT emb_classify(embedding, (SELECT h FROM 'head.parquet')) FROM '{a}'");
    tester.run(&["sql", "-c", &other]).expect(1, &["`v`) has width 64, and the head has width 96"]);
}
