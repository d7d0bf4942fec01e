//! Jobs that are killed at any moment: what is visible is whole at all times, and the next run ends as if nothing had happened.
//!
//! A few kills run with the other tests; two hundred with `cargo test -- --ignored --nocapture two_hundred_kills`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::tester::{Run, World, random, table};

const TRANSLATE: &str = "translate in --to out --translator t.parquet";

/// Twelve files of about 4 MB translated.
fn lake() -> World {
    let world = World::new();
    world.fitted(8, 1024);
    for i in 0..12 {
        world.write(&format!("in/part={}/{i:02}.parquet", i % 3), &table(i * 1000..(i + 1) * 1000, 8, 3));
    }
    world
}

/// The visible files of the output, with their bytes.
fn visible(world: &World) -> BTreeMap<String, Vec<u8>> {
    let names = world.data("out").into_iter().filter(|name| !name.split('/').any(|part| part.starts_with('.')));
    names.map(|name| (name.clone(), world.bytes(&format!("out/{name}")))).collect()
}

/// Reads every visible file whole, again and again, until told to stop; how many it has read.
fn read_on(world: &World, stop: &AtomicBool) -> usize {
    let read = AtomicUsize::new(0);
    while !stop.load(Ordering::Relaxed) {
        for name in world.data("out").into_iter().filter(|name| !name.contains("/.") && !name.starts_with('.')) {
            // A file that is replaced or removed between the two steps is no fault.
            let Ok(file) = std::fs::File::open(world.path(&format!("out/{name}"))) else { continue };
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
            assert_eq!(rows, 1000, "{name}");
            read.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    read.into_inner()
}

fn kills(count: usize) {
    let world = lake();
    let begin = Instant::now();
    world.ok(TRANSLATE);
    let whole = begin.elapsed();
    let undisturbed = visible(&world);
    let moments = random(7, count);
    let (mut halfway, mut read) = (0, 0);
    for moment in moments {
        std::fs::remove_dir_all(world.path("out")).unwrap();
        let stop = AtomicBool::new(false);
        read += std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_on(&world, &stop));
            let mut child = world.command(TRANSLATE).spawn().unwrap();
            std::thread::sleep(whole.mul_f32((moment + 1.0) / 2.0));
            child.kill().unwrap();
            child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        });
        let left = visible(&world);
        for (name, bytes) in &left {
            assert!(undisturbed[name] == *bytes, "{name} is another file");
        }
        halfway += usize::from(!left.is_empty() && left.len() < undisturbed.len());
        let again: Run = world.run(TRANSLATE);
        assert!(again.stderr.contains(&format!("{} written", undisturbed.len() - left.len())), "{}", again.stderr);
        assert!(visible(&world) == undisturbed);
        let leftovers: Vec<_> = world.files("out").into_iter().filter(|name| name.contains("staged")).collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
        assert!(world.exists("out/_SUCCESS"));
    }
    println!("{count} kills within {whole:?}: {halfway} with some files done; {read} files read whole meanwhile");
}

#[test]
fn a_killed_job_leaves_whole_files_and_the_next_run_ends_it() {
    kills(4);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills() {
    kills(200);
}
