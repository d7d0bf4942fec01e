//! A lake job that is run again and again: it does what is left to do, and says so.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::tester::{Run, World, copy, poison, table, with_id};

/// Three files, translated to `out`.
fn lake() -> World {
    let world = World::new();
    world.fitted(4, 5);
    for (name, keys) in [("a", 0..20), ("lang=fr/b", 20..50), ("lang=fr/c", 50..60)] {
        world.write(&format!("in/{name}.parquet"), &table(keys, 4, 3));
    }
    world
}

fn nightly(world: &World) -> Run {
    world.run("translate in --to out --translator t.parquet")
}

fn says(run: &Run, words: &str) {
    assert!(run.stderr.contains(words), "no {words:?} in\n{}", run.stderr);
}

/// The data files of a folder with their bytes and times.
fn look(world: &World, folder: &str) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let names = world.data(folder).into_iter();
    names
        .map(|name| {
            let path = format!("{folder}/{name}");
            let changed = std::fs::metadata(world.path(&path)).unwrap().modified().unwrap();
            (name, (world.bytes(&path), changed))
        })
        .collect()
}

#[test]
fn a_second_run_does_what_is_left_to_do() {
    let world = lake();
    says(&nightly(&world).expect(0, &[]), "3 written, 0 current; 60 rows");
    let before = look(&world, "out");
    let success = world.text("out/_SUCCESS");
    says(&nightly(&world).expect(0, &[]), "0 written, 3 current; 0 rows");
    assert_eq!(look(&world, "out"), before);
    assert_eq!(world.text("out/_SUCCESS"), success);

    // Without our notes the footers say the same.
    std::fs::remove_file(world.path("out/_babelake/seen.json")).unwrap();
    says(&nightly(&world).expect(0, &[]), "0 written, 3 current; 0 rows");

    // One changed, of the same size even; one new.
    world.write("in/a.parquet", &table(0..20, 4, 4));
    world.write("in/d.parquet", &table(60..70, 4, 3));
    says(&nightly(&world).expect(0, &[]), "2 written, 2 current; 30 rows");
    let after = look(&world, "out");
    assert_ne!(after["a.parquet"].0, before["a.parquet"].0);
    assert_eq!(after["lang=fr/b.parquet"], before["lang=fr/b.parquet"]);
    let success: serde_json::Value = serde_json::from_str(&world.text("out/_SUCCESS")).unwrap();
    assert_eq!((&success["files"], &success["rows"]), (&4.into(), &70.into()));
}

#[test]
fn a_run_over_some_files_leaves_the_others_and_says_nothing_of_the_whole() {
    let world = lake();
    nightly(&world).expect(0, &[]);
    let success = world.text("out/_SUCCESS");
    world.write("in/lang=fr/d.parquet", &table(60..70, 4, 3));
    let some = "translate in --to out --translator t.parquet --filter \"lang = 'fr'\"";
    says(&world.ok(some), "1 written, 2 current; 10 rows");
    assert_eq!(world.text("out/_SUCCESS"), success);
    let seen: serde_json::Value = serde_json::from_str(&world.text("out/_babelake/seen.json")).unwrap();
    assert_eq!(seen["files"].as_object().unwrap().len(), 4);
    says(&nightly(&world).expect(0, &[]), "0 written, 4 current; 0 rows");
    assert_ne!(world.text("out/_SUCCESS"), success);
}

#[test]
fn a_lake_that_was_moved_is_read_and_not_written() {
    let world = lake();
    nightly(&world).expect(0, &[]);
    for folder in ["in", "out"] {
        copy(&world.path(folder), &world.path(&format!("elsewhere/{folder}")));
    }
    let before = look(&world, "elsewhere/out");
    let again = || world.run("translate elsewhere/in --to elsewhere/out --translator t.parquet").expect(0, &[]);
    says(&again(), "0 written, 3 current, 3 read again; 0 rows");
    says(&again(), "0 written, 3 current; 0 rows");
    assert_eq!(look(&world, "elsewhere/out"), before);
    // Rewritten with the same content: read, and left alone.
    let bytes = world.bytes("elsewhere/in/a.parquet");
    std::fs::remove_file(world.path("elsewhere/in/a.parquet")).unwrap();
    std::fs::write(world.path("elsewhere/in/a.parquet"), bytes).unwrap();
    says(&again(), "0 written, 3 current, 1 read again; 0 rows");
    assert_eq!(look(&world, "elsewhere/out"), before);
}

#[test]
fn outputs_whose_source_is_gone_are_listed_and_removed_when_told() {
    let world = lake();
    world.write("out/of_another.parquet", &table(0..3, 4, 1));
    nightly(&world).expect(0, &[]);
    std::fs::remove_file(world.path("in/lang=fr/b.parquet")).unwrap();
    let run = nightly(&world).expect(4, &["orphaned (its source is gone): lang=fr/b.parquet", "--delete-orphans"]);
    says(&run, "2 of 2 files done");
    assert!(world.exists("out/lang=fr/b.parquet") && !world.exists("out/_SUCCESS"));
    let delete = "translate in --to out --translator t.parquet --delete-orphans";
    world.run(delete).expect(4, &["would remove 1 of 4 files, more than a tenth", "--yes"]);
    assert!(world.exists("out/lang=fr/b.parquet"));
    says(&world.run(&format!("{delete} --yes")).expect(0, &[]), "1 removed (orphaned)");
    assert_eq!(world.data("out"), ["a.parquet", "lang=fr/c.parquet", "of_another.parquet"]);
    assert!(world.exists("out/_SUCCESS"));
}

#[test]
fn a_folder_belongs_to_one_translator() {
    let world = lake();
    nightly(&world).expect(0, &[]);
    let before = look(&world, "out");
    world.ok("fit --source x.parquet --target y.parquet --key id -o other.parquet --method irp");
    let other = "translate in --to out --translator other.parquet";
    world.run(other).expect(1, &["out: belongs to another translation (x -> y, translator", "--overwrite"]);
    // The footers say so where the folder does not.
    std::fs::remove_dir_all(world.path("out/_babelake")).unwrap();
    world.run(other).expect(1, &["3 of 3 outputs exist", "out/a.parquet is another translation (x -> y, translator"]);
    assert_eq!(look(&world, "out"), before);
    world.ok(&format!("{other} --overwrite"));
    assert_ne!(look(&world, "out"), before);
    nightly(&world).expect(1, &["belongs to another translation"]);
}

#[test]
fn what_another_tool_has_rewritten_is_not_replaced_unasked() {
    let world = lake();
    nightly(&world).expect(0, &[]);
    let batch = world.read("out/a.parquet");
    let schema = batch.schema().as_ref().clone().with_metadata(Default::default());
    world.write("out/a.parquet", &RecordBatch::try_new(schema.into(), batch.columns().to_vec()).unwrap());
    let run = nightly(&world);
    run.expect(
        1,
        &["out/a.parquet: exists and does not say any more where it comes from: another tool has rewritten it"],
    );
    says(&world.ok("translate in --to out --translator t.parquet --overwrite"), "1 written, 2 current");
}

#[test]
fn a_translation_is_translated_only_when_told_and_says_so() {
    let world = lake();
    nightly(&world).expect(0, &[]);
    world.ok("fit --source y.parquet --target x.parquet --key id -o back.parquet");
    let back = "translate out --to back --translator back.parquet";
    world.run(back).expect(1, &["is itself a translation (to 'y'): translate from the original"]);
    world.ok(&format!("{back} --allow-chain"));
    let text = world.ok("describe back/a.parquet").stdout;
    let (direct, before) = text.split_once("after: a translation before").unwrap();
    assert!(direct.contains("direction: y -> x") && before.contains("direction: x -> y"), "{text}");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let world = lake();
    let dry = "translate in --to out --translator t.parquet --dry-run";
    let said = world.ok(dry).stdout;
    for line in ["new: 3", "changed: 0", "current: 0", "orphaned: 0", "rows: 60", "estimated hours: 0.00"] {
        assert!(said.lines().any(|said| said == line), "{line} is not in\n{said}");
    }
    assert!(!world.exists("out"));
    nightly(&world).expect(0, &[]);
    let before = world.files("out");
    std::fs::remove_file(world.path("in/a.parquet")).unwrap();
    world.write("in/d.parquet", &table(60..70, 4, 3));
    let said = world.run(dry).expect(4, &[]).stdout;
    assert!(said.contains("new: 1\n") && said.contains("current: 2\n") && said.contains("orphaned: 1\n"), "{said}");
    assert_eq!(world.files("out"), before);
}

#[test]
fn all_bad_files_are_reported_and_may_be_left_out() {
    let world = lake();
    for (name, keys) in [("e", 60..70), ("f", 70..80)] {
        let batch = table(keys.clone(), 4, 3);
        world.write(&format!("in/{name}.parquet"), &with_id(keys.collect(), poison(batch.column(1), 3)));
    }
    world.write("in/g.parquet", &table(0..5, 7, 3));
    let run = nightly(&world);
    run.expect(1, &["in/g.parquet", "vectors of 7 numbers"]);
    assert!(world.data("out").is_empty());
    std::fs::remove_file(world.path("in/g.parquet")).unwrap();

    let run = nightly(&world)
        .expect(1, &["in/e.parquet: column `embedding`, row 3: ", "in/f.parquet: column `embedding`, row 3: "]);
    says(&run, "3 of 5 files done, none half-written");
    assert!(!world.exists("out/_SUCCESS"));
    let run = world.ok("translate in --to out --translator t.parquet --on-bad skip-file");
    says(&run, "0 written, 3 current, 2 left out");
    says(&run, "left out: in/e.parquet: column `embedding`, row 3");
    world
        .run("translate in --to new --translator t.parquet --on-bad skip-file --max-bad 0.1")
        .expect(4, &["of 80 rows are bad", "--max-bad 0.1"]);
    assert!(!world.exists("new/_SUCCESS"));
}

#[test]
fn two_jobs_at_once_end_with_the_same_lake_or_one_is_refused() {
    let world = lake();
    world.ok("fit --source x.parquet --target y.parquet --key id -o other.parquet --method irp");
    nightly(&world).expect(0, &[]);
    let alone =
        world.data("out").into_iter().map(|name| (world.bytes(&format!("out/{name}")), name)).collect::<Vec<_>>();
    for round in 0..5 {
        let pair = |second: &str| {
            let first = world.command(&format!("translate in --to {second}{round} --translator t.parquet"));
            let other = if second == "same" { "t" } else { "other" };
            let second = world.command(&format!("translate in --to {second}{round} --translator {other}.parquet"));
            let children = [first, second].map(|mut command| command.spawn().unwrap());
            children.map(|child| Run::from(child.wait_with_output().unwrap()))
        };
        let same = pair("same");
        assert!(same.iter().all(|run| run.code == Some(0)), "{same:#?}");
        for (bytes, name) in &alone {
            assert_eq!(&world.bytes(&format!("same{round}/{name}")), bytes, "{name}");
        }
        let mut codes = pair("mixed").map(|run| run.code);
        codes.sort();
        assert_eq!(codes, [Some(0), Some(1)]);
        let translators = world.data(&format!("mixed{round}")).into_iter().map(|name| {
            let text = world.ok(&format!("describe mixed{round}/{name}")).stdout;
            text.lines().find(|line| line.starts_with("translator digest")).unwrap().to_owned()
        });
        let translators: std::collections::BTreeSet<_> = translators.collect();
        assert_eq!(translators.len(), 1);
    }
}
