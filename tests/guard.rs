//! Files of another encoder than the translator's, though of the same width.

use crate::tester::{World, vector, vectors, with_id};

/// Rows of an encoder: few causes, mixed by numbers of its own, so that rows of two encoders vary in different directions.
fn encoder(world: &World, name: &str, seed: u64, keys: std::ops::Range<i64>) {
    world.write(name, &rows(seed, keys));
}

fn rows(seed: u64, keys: std::ops::Range<i64>) -> arrow::array::RecordBatch {
    const WIDTH: usize = 64;
    let mix = vector(0, 8 * WIDTH, seed);
    let keys: Vec<i64> = keys.collect();
    let row = |&key: &i64| {
        let (causes, noise) = (vector(key, 8, 1), vector(key, WIDTH, seed));
        let mixed = |j: usize| causes.iter().enumerate().map(|(i, x)| x * mix[i * WIDTH + j]).sum::<f32>();
        (0..WIDTH).map(|j| 0.5 + mixed(j) + 0.3 * noise[j]).collect::<Vec<_>>()
    };
    let values = keys.iter().flat_map(row).collect();
    with_id(keys, vectors(values, WIDTH, None))
}

#[test]
fn a_file_of_another_encoder_ends_the_job() {
    let world = World::new();
    encoder(&world, "a.parquet", 2, 0..900);
    encoder(&world, "b.parquet", 3, 0..900);
    world.ok("fit --source a.parquet --target b.parquet --key id --method parseval -o t.parquet");
    encoder(&world, "lake/1.parquet", 2, 900..1400);
    // A slice: rows with a large first cause.
    world.ok("sql -c \"COPY (SELECT * FROM a.parquet WHERE embedding[1] > 0.6) TO 'lake/2.parquet'\""
        .replace("a.parquet", "'a.parquet'")
        .as_str());
    world.ok("translate lake/ --to out/ --translator t.parquet");
    // Too few rows tell nothing.
    encoder(&world, "lake/3.parquet", 4, 0..150);
    world.ok("translate lake/ --to out/ --translator t.parquet");

    encoder(&world, "lake/4.parquet", 4, 0..900);
    let job = "translate lake/ --to out/ --translator t.parquet";
    let words = [
        "lake/4.parquet: column `embedding`: its rows are not of the encoder",
        "a, though",
        "babelake inspect",
        "--force",
    ];
    world.run(job).expect(4, &words);
    assert!(!world.path("out/4.parquet").exists());
    world.run(&format!("{job} --dry-run")).expect(4, &words[..1]);
    let skipped = world.run(&format!("{job} --on-bad skip-file"));
    assert!(skipped.stderr.contains(words[0]) && !world.path("out/4.parquet").exists(), "{skipped:?}");
    world.ok(&format!("{job} --force"));
    assert_eq!(world.read("out/4.parquet").num_rows(), 900);
    // In SQL it is a matter of rows.
    world.ok("sql -c \"SELECT count(emb_translate(embedding, t)) FROM 'lake/4.parquet' CROSS JOIN 't.parquet'\"");
}

#[cfg(feature = "delta")]
#[test]
fn a_delta_table_of_another_encoder_is_refused() {
    let world = World::new();
    encoder(&world, "a.parquet", 2, 0..900);
    encoder(&world, "b.parquet", 3, 0..900);
    encoder(&world, "other.parquet", 4, 0..900);
    world.ok("fit --source a.parquet --target b.parquet --key id --method parseval -o t.parquet");
    for name in ["a", "other"] {
        let sql = format!("COPY (SELECT * FROM '{name}.parquet') TO '{name}/' STORED AS DELTA");
        world.run(&["sql", "-c", &sql]).expect(0, &[]);
    }
    world.ok("translate a --to out --translator t.parquet");
    let words = ["other: column `embedding`: its rows are not of the encoder", "--force"];
    world.run("translate other --to no --translator t.parquet").expect(4, &words);
    assert!(!world.path("no").exists());
    world.ok("translate other --to no --translator t.parquet --force");
}

#[test]
fn rows_that_mirror_the_anchors_are_told_by_their_skewness() {
    let world = World::new();
    // The same directions, spread and mean; what is rare on one side is rare on the other.
    let sql =
        "COPY (SELECT value AS id, [{}] AS embedding FROM generate_series(1, 3000) AS t (value)) TO '{name}.parquet'";
    let number = |axis: usize, sign: i32| {
        let turn = format!("(value * {} % 1009) / 1009.0", 7919 * (axis + 1) + 13);
        let weight = 4.0 / (axis + 1) as f64;
        format!("arrow_cast({sign} * {weight} * (power({turn}, 3) - 0.25), 'Float32')")
    };
    for (name, sign) in [("same", 1), ("mirror", -1)] {
        let numbers: Vec<String> = (0..48).map(|axis| number(axis, sign)).collect();
        let query = sql.replace("{}", &numbers.join(", ")).replace("{name}", name);
        world.run(&["sql", "-c", &query]).expect(0, &[]);
    }
    world.ok("fit --source same.parquet --target same.parquet --key id --method procrustes -o t.parquet");
    world.ok("translate same.parquet --to out.parquet --translator t.parquet");
    world
        .run("translate mirror.parquet --to mirrored.parquet --translator t.parquet")
        .expect(4, &["their skewness along its leading directions"]);
}

#[test]
fn inspect_groups_files_by_model() {
    let world = World::new();
    for (name, seed, keys) in [("x/1", 2, 0..900), ("x/2", 2, 900..1500), ("y/1", 4, 0..700), ("y/2", 2, 2000..2100)] {
        encoder(&world, &format!("lake/{name}.parquet"), seed, keys);
    }
    world.run(&["sql", "-c", "COPY (SELECT 1 AS id, [1.0, 2.0, 3.0] AS embedding) TO 'lake/z.parquet'"]).expect(0, &[]);
    let run = world.ok("inspect lake/ -o files.parquet");
    for line in [
        "| A     |    64 |     2 | 1,500 |",
        "| B     |    64 |     1 |   700 |",
        "y/1.parquet",
        "100 rows: too few to tell",
    ] {
        assert!(run.stdout.contains(line), "no {line} in {}", run.stdout);
    }
    assert!(!run.stdout.contains("x/1.parquet"), "{}", run.stdout);
    let csv = world.ok("inspect lake/ --format csv").stdout;
    assert!(csv.starts_with("path,model,column,rows,width,") && csv.lines().count() == 6, "{csv}");
    assert_eq!(world.read("files.parquet").num_rows(), 5);
    world.run("inspect lake/ -o lake/files.parquet").expect(1, &["would be a file of this lake"]);

    encoder(&world, "b.parquet", 3, 0..900);
    world.ok("fit --source lake/x/1.parquet --target b.parquet --key id --method parseval -o t.parquet");
    world.run("inspect lake/ --translator t.parquet").expect(4, &["1 of 5 files are not of the translator's source"]);
    let own = world.ok("inspect lake/x --translator t.parquet");
    assert!(own.stdout.contains("All that can be judged are of the translator's source."), "{}", own.stdout);
    // Translations are of the translator that made them.
    world.ok("translate lake/x/ --to lake/translated/ --translator t.parquet");
    let run = world.ok("inspect lake/");
    assert!(run.stdout.contains("1 -> b, translator"), "{}", run.stdout);
    std::fs::write(world.path("lake/broken.parquet"), "PAR1").unwrap();
    world.run("inspect lake/").expect(1, &["lake/broken.parquet"]);
}
