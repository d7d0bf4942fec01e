//! Jobs that are killed at any moment: what is visible is whole at all times, and the next run ends as if nothing had happened.
//!
//! A few kills run with the other tests; two hundred of each kind with `cargo test -- --ignored --nocapture two_hundred_kills`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::s3_server::Server;
use crate::tester::{Run, World, random, table};

/// A job over a lake of ten files of about 1 MB translated, and one that goes in parts.
struct Job {
    world: World,
    server: Option<Server>,
    line: String,
    /// Whether it takes up what a killed one has done: those that write all files in the end begin again.
    resumes: bool,
}

/// Files by name. Of names that are drawn anew by every run the drawn part is left out, and several may be equal.
type Files = BTreeMap<String, Vec<Bytes>>;

const PIPELINE: &str = "
COPY (
    SELECT id, emb_translate(embedding, (SELECT t FROM '{{ root }}t.parquet')) AS embedding
    FROM '{{ root }}in/' ORDER BY id
) TO '{{ root }}out/one.parquet' OPTIONS (mode 'overwrite');
COPY (
    SELECT id, emb_translate(embedding, (SELECT t FROM '{{ root }}t.parquet')) AS embedding, id % 3 AS part
    FROM '{{ root }}in/' ORDER BY id
) TO '{{ root }}out/parts/' STORED AS PARQUET PARTITIONED BY (part) OPTIONS (mode 'overwrite');
";

impl Job {
    fn new(on_s3: bool, resumes: bool) -> Self {
        let world = World::new();
        world.fitted(8, 256);
        for i in 0..10 {
            world.write(&format!("in/part={}/{i:02}.parquet", i % 3), &table(i * 1000..(i + 1) * 1000, 8, 3));
        }
        world.write("in/part=1/large.parquet", &table(10_000..20_000, 8, 3));
        world.file("copy.sql", PIPELINE);
        let server = on_s3.then(Server::start);
        if let Some(server) = &server {
            server.put_files(&world, "in");
            server.put_files(&world, "t.parquet");
        }
        let root = if on_s3 { "s3://lake/" } else { "" };
        let line = match resumes {
            true => format!("translate {root}in --to {root}out --translator {root}t.parquet"),
            false => format!("run copy.sql --set root={root}"),
        };
        Self { world, server, line, resumes }
    }

    fn command(&self) -> Command {
        match &self.server {
            Some(server) => server.command(&self.world, &self.line),
            None => self.world.command(&self.line),
        }
    }

    /// Names of the objects, or of the files that are not hidden.
    fn names(&self) -> Vec<String> {
        let names = match &self.server {
            Some(server) => server.keys("out/").into_iter().map(|key| key["out/".len()..].to_owned()).collect(),
            None => self.world.files("out"),
        };
        let data = |name: &String| name.ends_with(".parquet") && !name.split('/').any(|part| part.starts_with('.'));
        names.into_iter().filter(data).collect()
    }

    /// `None` where the file has gone meanwhile.
    fn read(&self, name: &str) -> Option<Bytes> {
        match &self.server {
            Some(server) => server.get(&format!("out/{name}")),
            None => std::fs::read(self.world.path(&format!("out/{name}"))).ok().map(Bytes::from),
        }
    }

    fn visible(&self) -> Files {
        let mut files = Files::new();
        for name in self.names() {
            let stable = match name.rsplit_once('/') {
                Some((folder, _)) if name.starts_with("parts/") => folder.to_owned(),
                _ => name.clone(),
            };
            files.entry(stable).or_default().extend(self.read(&name));
        }
        files.values_mut().for_each(|same| same.sort());
        files
    }

    fn clear(&self) {
        match &self.server {
            Some(server) => server.keys("out/").iter().for_each(|key| server.delete(key)),
            None => std::fs::remove_dir_all(self.world.path("out")).unwrap(),
        }
    }

    /// Reads every visible file whole, again and again, until told to stop; how many it has read.
    fn read_on(&self, stop: &AtomicBool) -> usize {
        let mut read = 0;
        while !stop.load(Ordering::Relaxed) {
            for file in self.names().iter().filter_map(|name| self.read(name)) {
                let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
                let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
                assert!(rows >= 1000, "{rows}");
                read += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        read
    }

    fn kills(&self, count: usize) {
        let run = || Run::from(self.command().output().unwrap()).expect(0, &[]);
        let begin = Instant::now();
        run();
        let whole = begin.elapsed();
        let undisturbed = self.visible();
        let total: usize = undisturbed.values().map(Vec::len).sum();
        let (mut halfway, mut read) = (0, 0);
        for moment in random(7, count) {
            self.clear();
            let stop = AtomicBool::new(false);
            read += std::thread::scope(|scope| {
                let reader = scope.spawn(|| self.read_on(&stop));
                let mut child = self.command().spawn().unwrap();
                std::thread::sleep(whole.mul_f32((moment + 1.0) / 2.0));
                child.kill().unwrap();
                child.wait().unwrap();
                stop.store(true, Ordering::Relaxed);
                reader.join().unwrap()
            });
            let left = self.visible();
            for (name, files) in &left {
                assert!(files.iter().all(|file| undisturbed[name].contains(file)), "{name} is another file");
            }
            let done: usize = left.values().map(Vec::len).sum();
            halfway += usize::from(0 < done && done < total);
            let again = run();
            if self.resumes {
                let written =
                    again.stderr.lines().find_map(|line| line.split_once(" written, ")?.0.parse::<usize>().ok());
                let written = written.unwrap();
                // A server may have gone on with what a killed client had sent it.
                assert!(written == total - done || self.server.is_some() && written < total - done, "{}", again.stderr);
            }
            let found = self.visible();
            assert!(found == undisturbed, "{:?} and {:?}", found.keys(), undisturbed.keys());
            let leftovers: Vec<_> = self.world.files("").into_iter().filter(|name| name.contains("staged")).collect();
            assert!(leftovers.is_empty(), "{leftovers:?}");
        }
        println!(
            "{}: {count} kills within {whole:?}: {halfway} with some of {total} files done; {read} files read whole \
             meanwhile",
            self.line
        );
    }
}

#[test]
fn a_killed_job_leaves_whole_files_and_the_next_run_ends_it() {
    Job::new(false, true).kills(4);
}

#[test]
fn a_job_killed_on_s3_leaves_whole_objects_and_the_next_run_ends_it() {
    Job::new(true, true).kills(2);
}

#[test]
fn a_killed_pipeline_leaves_whole_files_and_the_next_run_ends_it() {
    Job::new(false, false).kills(2);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills() {
    Job::new(false, true).kills(200);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_on_s3() {
    Job::new(true, true).kills(200);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_of_a_pipeline() {
    Job::new(false, false).kills(200);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_of_a_pipeline_on_s3() {
    Job::new(true, false).kills(200);
}
