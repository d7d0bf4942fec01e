//! `babelake hub`.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};

use crate::tester::World;

/// Tables of `sample_data/parallel/`, copied.
fn world(languages: &[&str]) -> World {
    let tester = World::new();
    for language in languages {
        let file = format!("{}/sample_data/parallel/{language}.parquet", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(file, tester.path(&format!("{language}.parquet"))).unwrap();
    }
    tester
}

const TRAIN: &str = "split = 'train'";

fn add_first(tester: &World, name: &str) -> String {
    let table = format!("{name}.parquet");
    let args =
        ["hub", "add", "hub", "--name", name, "--table", &table, "--key", "id", "--where", TRAIN, "--anchors", "512"];
    tester.run(&args).expect(0, &[]).stdout
}

/// P@1 of test rows of `translated` among those of `native`.
fn p_at_1(tester: &World, translated: &str, native: &str) -> f64 {
    let sql = format!(
        "SELECT emb_retrieval(t.id, t.embedding, n.embedding, {{metric: 'centred_cosine'}})['p_at_1'] AS p FROM '{translated}' t JOIN \
         '{native}' n USING (id) WHERE t.split = 'test'"
    );
    let csv = tester.run(&["sql", "--format", "csv", "-c", &sql]).expect(0, &[]).stdout;
    csv.lines().last().unwrap().parse().unwrap()
}

#[test]
fn codes_are_decoded_into_a_space_that_came_when_the_source_was_gone() {
    let tester = world(&["fr", "en"]);
    let said = add_first(&tester, "fr");
    assert!(said.contains("fr: 64 numbers, 512 of 512 anchors, frame parseval"), "{said}");
    assert!(
        said.contains("a code takes 2,048 bytes and an embedding 256, 8.0 times as large: keep embeddings"),
        "{said}"
    );
    tester.ok("hub encode hub fr.parquet --from fr --to codes.parquet");
    let fr = tester.bytes("fr.parquet");
    std::fs::remove_file(tester.path("fr.parquet")).unwrap();

    tester.ok("hub add hub --name en --table en.parquet --key id");
    tester.ok("hub translate hub codes.parquet --into en --to decoded.parquet");
    let found = p_at_1(&tester, "decoded.parquet", "en.parquet");
    assert!(found > 0.8, "{found}");
    // Other columns stay, and the footer says the whole way.
    let described = tester.ok("describe decoded.parquet").stdout;
    for words in ["method: decode", "after: a translation before", "method: code", "direction: fr -> codes of fr"] {
        assert!(described.contains(words), "{described}");
    }
    assert_eq!(tester.read("decoded.parquet").schema().field(2).name(), "text");

    // The same as the direct way, and as the functions give it.
    std::fs::write(tester.path("fr.parquet"), fr).unwrap();
    tester.ok("hub translate hub fr.parquet --from fr --into en --to direct.parquet");
    let numbers = |name: &str| {
        let batch = tester.read(name);
        batch
            .column_by_name("embedding")
            .unwrap()
            .as_fixed_size_list()
            .values()
            .as_primitive::<Float32Type>()
            .values()
            .to_vec()
    };
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near(&numbers("direct.parquet"), &numbers("decoded.parquet")));
    let spaces = |name: &str| tester.data(&format!("hub/{name}")).pop().unwrap();
    let sql = format!(
        "COPY (SELECT id, emb_decode(emb_relative(embedding, (SELECT space FROM 'hub/fr/{}')), (SELECT decoder FROM 'hub/en/{}')) AS \
         embedding FROM 'fr.parquet' ORDER BY id) TO 'by_sql.parquet'",
        spaces("fr"),
        spaces("en")
    );
    tester.run(&["sql", "-c", &sql]).expect(0, &[]);
    assert!(near(&numbers("by_sql.parquet"), &numbers("decoded.parquet")));

    // Run again it has nothing to do; files that are no codes are refused.
    tester.run("hub translate hub codes.parquet --into en --to decoded.parquet").expect(0, &["1 current"]);
    tester.fails(
        "hub translate hub fr.parquet --into en --to other.parquet",
        &["fr.parquet", "holds no codes", "--from"],
    );
    tester.fails(
        "hub translate hub fr.parquet --from it --into en --to other.parquet",
        &["has no space 'it'", "'en', 'fr'"],
    );
    assert!(!tester.exists("other.parquet"));
}

#[test]
fn what_a_space_lacks_is_listed_and_pairs_use_the_common_anchors() {
    let tester = world(&["fr", "en", "de"]);
    add_first(&tester, "fr");
    tester.ok("hub add hub --name en --table en.parquet --key id");
    let part = "COPY (SELECT * FROM 'de.parquet' WHERE id % 3 > 0) TO 'part.parquet'";
    tester.run(&["sql", "-c", part]).expect(0, &[]);
    let said = tester.ok("hub add hub --name de --table part.parquet --key id").stdout;
    assert!(said.contains("of 512 anchors") && said.contains("anchors are missing"), "{said}");

    tester.ok("hub encode hub fr.parquet --from fr --to codes.parquet");
    tester.fails(
        "hub translate hub codes.parquet --into de --to no.parquet",
        &["the space of 'de' has", "of the 512 anchors that these codes are made with", "hub check"],
    );
    let ended = tester.run("hub translate hub fr.parquet --from fr --into de --to fr_as_de.parquet");
    ended.expect(0, &["fr holds 512 anchors and de", "their frames are rebuilt on the"]);
    let found = p_at_1(&tester, "fr_as_de.parquet", "de.parquet");
    assert!(found > 0.7, "{found}");

    let ended = tester.run("hub check hub --codes codes.parquet --missing missing.parquet --svg hub.svg --format csv");
    let ended =
        ended.expect(3, &["caution: de lacks", "codes.parquet: can be decoded into en", "cannot be decoded into de"]);
    assert_eq!(ended.stdout.lines().count(), 7, "{}", ended.stdout);
    assert!(tester.text("hub.svg").contains("there and back"));
    let missing = tester.read("missing.parquet");
    let common: usize = 512 - missing.num_rows();
    assert!(common > 300 && ended.stderr.contains("fitted on"), "{}", ended.stderr);

    // The rows that were missing are embedded: a new version, into which the codes can be decoded.
    tester.ok("hub add hub --name de --table de.parquet --key id");
    tester.ok("hub translate hub codes.parquet --into de --to fr_as_de_2.parquet");
    let list = tester.run("hub list hub --format csv").expect(0, &[]).stdout;
    assert!(list.lines().any(|line| line.starts_with("de,64,512,") && line.ends_with(",2")), "{list}");
    tester.ok("hub check hub --codes codes.parquet");
}

#[test]
fn a_space_under_wrong_keys_is_odd() {
    let tester = world(&["fr", "en", "de"]);
    add_first(&tester, "fr");
    tester.ok("hub add hub --name en --table en.parquet --key id");
    let shifted = "COPY (SELECT (id + 7) % 2400 AS id, * EXCEPT (id) FROM 'de.parquet') TO 'shifted.parquet'";
    tester.run(&["sql", "-c", shifted]).expect(0, &[]);
    tester.ok("hub add hub --name de --table shifted.parquet --key id");
    let ended = tester.run("hub check hub --format csv").expect(3, &["de is odd: pairs with it reach"]);
    assert!(!ended.stderr.contains("fr is odd"), "{}", ended.stderr);
    std::fs::remove_dir_all(tester.path("hub/en")).unwrap();
    tester.run("hub check hub").expect(3, &["no two spaces have anything in common"]);
    let cells: Vec<Vec<&str>> = ended.stdout.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let cycle = |from: &str, into: &str| -> f64 {
        cells.iter().find(|row| row[0] == from && row[1] == into).unwrap()[4].parse().unwrap()
    };
    assert!(cycle("fr", "en") > cycle("fr", "de") + 0.2, "{}", ended.stdout);
}

#[test]
fn a_hub_refuses_what_would_not_fit() {
    let tester = world(&["fr", "en"]);
    tester.fails("hub list hub", &["hub", "is no hub, or has no space yet"]);
    tester.fails("hub add hub --name a/b --table fr.parquet --key id", &["cannot be a space's name"]);
    tester.fails(
        "hub add hub --name fr --table fr.parquet --key id --anchors 50",
        &["has embeddings of 50 of the 50 anchors"],
    );
    assert!(!tester.exists("hub"));
    add_first(&tester, "fr");
    tester.fails("hub add hub --name en --table en.parquet --key id --anchors 99", &["has its anchors already"]);
    tester.fails("hub add hub --name en --table en.parquet --key id --method irp", &["'fr' has frame 'parseval'"]);
    tester.fails("hub add hub --name en --table en.parquet --key id --method ridge", &["parseval or irp"]);
    tester.fails(
        "hub add hub --name en --table en.parquet --key text",
        &["the keys `text` are strings, and those looked for are integers"],
    );
    tester.fails("hub check hub", &["one space alone"]);
    assert_eq!(tester.data("hub").len(), 2);
    // Added again it is the same version.
    let said = tester.ok("hub add hub --name fr --table fr.parquet --key id").stdout;
    assert!(said.contains("(there already)"), "{said}");
}

#[test]
fn codes_are_found_in_the_column_that_holds_them() {
    let tester = world(&["fr", "en"]);
    let args = ["hub", "add", "hub", "--name", "fr", "--table", "fr.parquet", "--key", "id", "--where", TRAIN];
    tester.run(&[&args[..], &["--anchors", "128"]].concat()[..]).expect(0, &[]);
    tester.ok("hub add hub --name en --table en.parquet --key id");
    // Beside the embeddings, in a column of its own.
    tester.ok("hub encode hub fr.parquet --from fr --to codes.parquet --output-column code");
    tester.ok("hub translate hub codes.parquet --into en --to by_code.parquet");
    tester.ok("hub encode hub fr.parquet --from fr --to plain.parquet");
    tester.ok("hub translate hub plain.parquet --into en --to plain_as_en.parquet");
    let values = |name: &str, column: &str| {
        let batch = tester.read(name);
        batch
            .column_by_name(column)
            .unwrap()
            .as_fixed_size_list()
            .values()
            .as_primitive::<Float32Type>()
            .values()
            .to_vec()
    };
    assert_eq!(values("by_code.parquet", "code"), values("plain_as_en.parquet", "embedding"));
    assert_eq!(values("by_code.parquet", "embedding"), values("fr.parquet", "embedding"));
    let line = "hub translate hub codes.parquet --into en --column embedding --to no.parquet";
    tester.fails(line, &["holds no codes", "in column `embedding`"]);
    // Only the files of the job are looked at.
    std::fs::create_dir(tester.path("lake")).unwrap();
    std::fs::copy(tester.path("plain.parquet"), tester.path("lake/a.parquet")).unwrap();
    std::fs::copy(tester.path("fr.parquet"), tester.path("lake/b.parquet")).unwrap();
    tester.fails("hub translate hub lake --into en --to out", &["b.parquet", "holds no codes"]);
    tester.file("list.txt", "a.parquet\n");
    tester.ok("hub translate hub lake --into en --to out --manifest list.txt");
    // A hub holds spaces alone.
    for to in ["hub/keys.parquet", "hub/fr_as_en/", "hub/fr/x.parquet"] {
        tester.fails(
            &format!("hub translate hub lake --into en --to {to} --overwrite --manifest list.txt"),
            &["is in the hub"],
        );
    }
    // What an addition leaves that was killed before its end is no space.
    std::fs::create_dir(tester.path("hub/aa")).unwrap();
    std::fs::copy(tester.path("en.parquet"), tester.path("hub/aa/x.parquet")).unwrap();
    let list = tester.run("hub list hub --format csv").expect(0, &[]).stdout;
    assert!(list.lines().count() == 3 && !list.contains("aa"), "{list}");
    tester.file("hub/fr/current.json", "{\"digest\": \"../en/x\"}");
    tester.fails("hub list hub", &["hub/fr/current.json", "names no version"]);
}

/// Every pair of sample languages by irp, codes that are cosines.
#[test]
fn a_hub_of_the_papers_method_has_codes_of_cosines() {
    let tester = world(&["fr", "en"]);
    let args = [
        "hub",
        "add",
        "hub",
        "--name",
        "fr",
        "--table",
        "fr.parquet",
        "--key",
        "id",
        "--where",
        TRAIN,
        "--method",
        "irp",
    ];
    tester.run(&[&args[..], &["--anchors", "256", "--delta", "0.5"]].concat()[..]).expect(0, &[]);
    let said = tester.ok("hub add hub --name en --table en.parquet --key id").stdout;
    assert!(said.contains("frame anchors") && said.contains("\"delta\":0.5"), "{said}");
    tester.ok("hub encode hub fr.parquet --from fr --to codes.parquet");
    let sql =
        "SELECT max(emb_norm(embedding)) AS norm, max(array_max(embedding)) AS most FROM 'codes.parquet' WHERE id = 1";
    let batch = tester.run(&["sql", "--format", "csv", "-c", sql]).expect(0, &[]).stdout;
    let most: f64 = batch.lines().last().unwrap().split(',').nth(1).unwrap().parse().unwrap();
    assert!((0.3..=1.0001).contains(&most), "{batch}");
    tester.ok("hub translate hub codes.parquet --into en --to decoded.parquet");
    let decoded = tester.read("decoded.parquet");
    assert_eq!(decoded.column_by_name("embedding").unwrap().null_count(), 0);
    assert!(decoded.column_by_name("id").is_some_and(|id| id.as_primitive_opt::<Float64Type>().is_none()));
}
