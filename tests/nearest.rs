//! `babelake nearest`.

use crate::tester::{World, table};

fn world() -> World {
    let tester = World::new();
    std::fs::create_dir(tester.path("en")).unwrap();
    // Keys fall from file to file, so that their order is not that of the files.
    for (part, first) in [200i64, 100, 0].into_iter().enumerate() {
        tester.write_groups(&format!("en/{part}.parquet"), &table(first..first + 100, 8, 1), 30);
    }
    tester.write("fr.parquet", &table(0..40, 8, 1));
    tester
}

#[test]
fn the_nearest_rows_are_those_that_sql_finds() {
    let tester = world();
    for (metric, option) in
        [("cosine", ""), ("l2", ""), ("centred_cosine", ", mean: (SELECT emb_mean(embedding) FROM 'en/')")]
    {
        let args = ["nearest", "--of", "fr.parquet", "--in", "en/", "--key", "id", "--k", "3", "--metric", metric];
        let args = [&args[..], &["--format", "csv", "--max-rows", "0", "--where", "id >= 10"]].concat();
        let found = tester.run(&args[..]).expect(0, &["30 queries, 300 rows searched"]).stdout;
        let sql = format!(
            "SELECT n['query'] AS query, n['rank'] AS rank, n['score'] AS score, n['key'] AS key FROM (SELECT unnest(emb_nearest(id, embedding,
             (SELECT emb_queries(id, embedding) FROM 'fr.parquet' WHERE id >= 10), {{k: 3, metric: '{metric}'{option}}})) AS n FROM 'en/')"
        );
        let by_sql = tester.run(&["sql", "--format", "csv", "--max-rows", "0", "-c", &sql]).expect(0, &[]).stdout;
        assert_eq!(found.lines().count(), 91, "{found}");
        assert_eq!(found, by_sql, "{metric}");
    }
}

#[test]
fn what_is_found_can_be_read_and_stored() {
    let tester = world();
    let labels = "COPY (SELECT id, 'row ' || id AS text, embedding FROM 'en/') TO 'texts.parquet'";
    tester.run(&["sql", "-c", labels]).expect(0, &[]);
    let line = "nearest --of texts.parquet --in texts.parquet --key id --sample 2 --k 2 --text text --format csv";
    let found = tester.run(line).expect(0, &["2 queries, 300 rows searched"]).stdout;
    let rows: Vec<Vec<&str>> = found.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["query", "query_text", "rank", "score", "key", "text"]);
    // A row is nearest to itself.
    assert!(
        (rows[1][0] == rows[1][4]) && (rows[1][1] == rows[1][5]) && rows[1][5] == format!("row {}", rows[1][4]),
        "{found}"
    );
    assert_eq!(rows.len(), 5);

    tester.run("nearest --of fr.parquet --in en/ --key id -o found.parquet").expect(0, &["found.parquet: 400 rows"]);
    assert_eq!(tester.read("found.parquet").num_rows(), 400);
    tester.fails("nearest --of fr.parquet --in en/ --key id -o found.parquet", &["found.parquet", "--overwrite"]);
    tester.fails("nearest --of fr.parquet --in en/ --key id -o en/0.parquet", &["is an input of this search"]);
}

#[test]
fn what_cannot_be_searched_is_said() {
    let tester = world();
    tester.write("wide.parquet", &table(0..10, 9, 1));
    tester.fails(
        "nearest --of wide.parquet --in en/ --key id",
        &["vectors of 9 numbers", "of 8", "translate the queries"],
    );
    tester.fails("nearest --of fr.parquet --in en/ --key id --text text", &["fr.parquet", "text"]);
    tester.run("nearest --of fr.parquet --in en/ --key id --k 10001").expect(2, &["1..=10000"]);
    tester.fails("nearest --of fr.parquet --in en/ --key nothing", &["nothing"]);
    let args = ["nearest", "--of", "fr.parquet", "--in", "en/", "--key", "id", "--where", "id > 999"];
    tester.run(&args).expect(1, &["has no row"]);
    tester
        .run("nearest --of fr.parquet --in en/ --key id --metric l3")
        .expect(2, &["cosine, centred_cosine, inner_product, l2"]);
}
