//! Damaged files: whatever the bytes are, the job ends in bounded memory with an error that names the file, or with the rows
//! that an ordinary reader finds in it. Columns that are copied undecoded take their damage along.
//!
//! Some hundred cases run with the other tests; ten thousand with `cargo test -- --ignored --nocapture ten_thousand`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use babelake::column::{Translator, Width};
use babelake::kernel::block::Scratch;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::tester::{Run, World, columns, rows, table};

/// Kilobytes of address space that a job may take, its threads' stacks included.
const MEMORY: u64 = 4_000_000;

/// Draws numbers, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Small tables in the forms that writers choose among.
fn originals(world: &World) -> Vec<Vec<u8>> {
    let batch = table(0..60, 4, 3);
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..60).map(|i| format!("row {}", i % 7))));
    let batch = columns(vec![("id", batch.column(0).clone()), ("text", text), ("embedding", batch.column(1).clone())]);
    let mut files = Vec::new();
    for (codec, version, dictionary) in [
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, true),
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_2_0, false),
        (Compression::SNAPPY, WriterVersion::PARQUET_1_0, true),
        (Compression::ZSTD(ZstdLevel::default()), WriterVersion::PARQUET_2_0, true),
    ] {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_max_row_group_row_count(Some(25))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        files.push(bytes);
    }
    files.push(world.bytes("t.parquet"));
    files
}

/// The bytes with some of them changed, moved, or gone.
fn mutate(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw.below(3) {
        let at = draw.below(bytes.len());
        let length = draw.below(40.min(bytes.len() - at)) + 1;
        match draw.below(6) {
            0 => bytes[at] ^= 1 << draw.below(8),
            1 => bytes[at] = [0, 0x7f, 0x80, 0xff][draw.below(4)],
            2 => bytes.truncate(at + 1),
            3 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
            4 => bytes[at..].iter_mut().take(length).for_each(|byte| *byte = 0),
            _ => {
                let end = (at + length).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// A column as an ordinary reader finds it.
type Column = (DataType, Result<Vec<ArrayRef>, String>);

/// The columns of a file as an ordinary reader finds them: page after page, or where the footer says that pages are.
fn read(path: &Path) -> Result<Vec<Column>, String> {
    let open = |pages| {
        let options = ArrowReaderOptions::new().with_offset_index_policy(pages);
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        caught(|| Ok(ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?))
    };
    let values = |index: usize, pages: PageIndexPolicy| -> Result<Vec<ArrayRef>, String> {
        let reader = open(pages)?;
        let mask = ProjectionMask::roots(reader.parquet_schema(), [index]);
        caught(|| reader.with_projection(mask).build()?.map(|batch| Ok(batch?.column(0).clone())).collect())
    };
    let schema = open(PageIndexPolicy::Skip)?.schema().clone();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let read = values(index, PageIndexPolicy::Skip).or_else(|_| values(index, PageIndexPolicy::Optional));
        (field.data_type().clone(), read)
    });
    Ok(columns.collect())
}

fn caught<T>(read: impl FnOnce() -> Result<T, Box<dyn std::error::Error>>) -> Result<T, String> {
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.map_err(|_| "a panic".to_owned())?.map_err(|error| error.to_string())
}

/// Every embedding of these rows, translated.
fn translated(rows: &[Option<Vec<f32>>], translator: &Translator) -> Vec<Option<Vec<f32>>> {
    let mut out = vec![0.0; rows.len() * translator.target_width];
    let applied = translator.translation().apply(rows.len(), |i| rows[i].as_deref(), &mut Scratch::default(), &mut out);
    applied.unwrap();
    let translated = out.chunks(translator.target_width).zip(rows);
    translated.map(|(row, input)| input.as_ref().map(|_| row.to_vec())).collect()
}

/// Whether a column of an output is what the input's column says it must be: an embedding the translation; any other the
/// same, damage included.
fn is_right((data_type, input): &Column, (_, output): &Column, translator: &Translator) -> bool {
    let all = |arrays: &[ArrayRef]| arrays.iter().flat_map(|array| rows(array)).collect::<Vec<_>>();
    match (input, output) {
        (Ok(input), Ok(output)) if Width::of(data_type).is_some() => all(output) == translated(&all(input), translator),
        (Ok(input), Ok(output)) => input == output,
        (Err(_), Err(_)) => Width::of(data_type).is_none(),
        _ => false,
    }
}

fn mutations(count: usize) {
    let world = World::new();
    let translator = world.fitted(4, 5);
    world.write("good.parquet", &table(0..60, 4, 3));
    let originals = originals(&world);
    let (next, endings) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<&str, usize>::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= count {
                        return;
                    }
                    let ending = mutation(&world, &originals, &translator, case);
                    *endings.lock().unwrap().entry(ending).or_default() += 1;
                }
            });
        }
    });
    println!("{count} damaged files: {:?}", endings.into_inner().unwrap());
}

fn mutation(world: &World, originals: &[Vec<u8>], translator: &Translator, case: usize) -> &'static str {
    let mut draw = Draw(case as u64);
    let original = draw.below(originals.len());
    let is_translator = original == originals.len() - 1;
    let (input, output) = (format!("{case}.parquet"), format!("{case}.out.parquet"));
    std::fs::write(world.path(&input), mutate(&originals[original], &mut draw)).unwrap();
    let line = if is_translator {
        format!("translate good.parquet --to {output} --translator {input} --threads 1")
    } else {
        format!("translate {input} --to {output} --translator t.parquet --threads 1")
    };
    let job = world.command(&line);
    let shell = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
    let mut limited = Command::new("sh");
    limited.args(["-c", &shell]).arg(job.get_program()).args(job.get_args()).current_dir(world.path(""));
    let run = Run::from(limited.output().unwrap());
    let ending = match run.code {
        Some(0) if is_translator => "a translator that is whole all the same",
        Some(0) => {
            let (input, output) = (read(&world.path(&input)), read(&world.path(&output)));
            let input = input.unwrap_or_else(|error| panic!("case {case}: only we could read the input: {error}"));
            let output = output.unwrap_or_else(|error| panic!("case {case}: the output cannot be read: {error}"));
            assert_eq!(input.len(), output.len(), "case {case}");
            for (input, output) in input.iter().zip(&output) {
                assert!(is_right(input, output, translator), "case {case}: {input:?} became {output:?}");
            }
            "rows as an ordinary reader finds them"
        }
        Some(1) if run.stderr.contains("panicked") => "an error, after a panic in a reader",
        Some(1) => "an error",
        _ => panic!("case {case}: {run:#?}"),
    };
    if run.code == Some(1) {
        assert!(run.stderr.contains(&input) && !run.stderr.contains("please report"), "case {case}: {}", run.stderr);
        assert!(!world.exists(&output), "case {case}");
    }
    for name in [input, output] {
        std::fs::remove_file(world.path(&name)).ok();
    }
    ending
}

#[cfg(target_os = "linux")]
#[test]
fn damaged_files_are_errors_or_read_as_they_are() {
    mutations(150);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_damaged_files() {
    mutations(10_000);
}
