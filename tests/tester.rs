//! A folder of its own for a test, the binary run in it, and tables made from seeds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch,
};
use arrow::buffer::NullBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type};
use babelake::column::{Embeddings, Translator};
use babelake::lake::{Place, stored::read_translator};
use babelake::session::stores::{Access, Stores};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

/// A folder that is gone after the test.
pub struct World(TempDir);

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Run {
    /// Fails the test unless the command ended like this, with all of `parts` on stderr.
    #[track_caller]
    pub fn expect(self, code: i32, parts: &[&str]) -> Self {
        let told = parts.iter().all(|part| self.stderr.contains(part));
        assert!(self.code == Some(code) && told, "expected {code} and {parts:?}, got {self:#?}");
        self
    }
}

/// Arguments of the binary: a line, split at spaces (`"..."` stays together), or one by one.
pub trait Arguments {
    fn arguments(&self) -> Vec<String>;
}

impl Arguments for str {
    fn arguments(&self) -> Vec<String> {
        let parts = self.split('"').enumerate();
        parts
            .flat_map(|(i, part)| match i % 2 {
                1 => vec![part.to_owned()],
                _ => part.split_whitespace().map(str::to_owned).collect(),
            })
            .collect()
    }
}

impl Arguments for String {
    fn arguments(&self) -> Vec<String> {
        self.as_str().arguments()
    }
}

impl Arguments for [&str] {
    fn arguments(&self) -> Vec<String> {
        self.iter().map(|part| (*part).to_owned()).collect()
    }
}

impl<const N: usize> Arguments for [&str; N] {
    fn arguments(&self) -> Vec<String> {
        self.as_slice().arguments()
    }
}

impl World {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// All files below a folder, relative to it, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        fn walk(folder: PathBuf, prefix: &str, found: &mut Vec<String>) {
            let Ok(entries) = std::fs::read_dir(folder) else { return };
            for entry in entries {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
                if entry.path().is_dir() {
                    walk(entry.path(), &format!("{name}/"), found);
                } else {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.path(folder), "", &mut found);
        found.sort();
        found
    }

    /// The Parquet files below a folder, relative to it, sorted.
    pub fn data(&self, folder: &str) -> Vec<String> {
        let mut files = self.files(folder);
        files.retain(|name| name.ends_with(".parquet"));
        files
    }

    /// Writes a file of text.
    pub fn file(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command in this folder, ready to be spawned.
    pub fn command(&self, arguments: &(impl Arguments + ?Sized)) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_babelake"));
        command.args(arguments.arguments()).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &(impl Arguments + ?Sized)) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    pub fn run_with_stdin(&self, arguments: &(impl Arguments + ?Sized), stdin: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    pub fn ok(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}\n{}", run.stderr);
        run
    }

    /// Runs what must fail, with all `words` in its message.
    pub fn fails(&self, line: &str, words: &[&str]) -> Run {
        let run = self.run(line);
        assert!(run.code.is_some_and(|code| code != 0), "{line} did not fail\n{}", run.stdout);
        for word in words {
            assert!(run.stderr.contains(word), "{line}\nhas no {word:?} in\n{}", run.stderr);
        }
        run
    }

    pub fn write(&self, name: &str, batch: &RecordBatch) {
        self.write_groups(name, batch, 1 << 20);
    }

    /// Writes a table in row groups of so many rows, zstd.
    pub fn write_groups(&self, name: &str, batch: &RecordBatch, rows: usize) {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(rows));
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    }

    pub fn read(&self, name: &str) -> RecordBatch {
        let file = std::fs::File::open(self.path(name)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    }

    pub fn translator(&self, name: &str) -> Translator {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let stores = Stores::new(Access::default()).unwrap();
        read_translator(&Place::new(self.path(name).to_str().unwrap(), &stores, runtime.handle()).unwrap()).unwrap()
    }

    /// A parseval translator `x` -> `y` of these widths in `t.parquet`, fitted on 60 random rows.
    pub fn fitted(&self, source_width: usize, target_width: usize) -> Translator {
        self.write("x.parquet", &table(0..60, source_width, 1));
        self.write("y.parquet", &table(0..60, target_width, 2));
        self.ok("fit --source x.parquet --target y.parquet --key id -o t.parquet --method parseval");
        self.translator("t.parquet")
    }
}

/// Whether two files are the same, or two translations but for what their stores call the version of the source.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let parts = |file: &[u8]| {
        let footer = ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(file)).ok()?;
        let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        let entries = footer.file_metadata().key_value_metadata().cloned().unwrap_or_default().into_iter();
        let entries = entries.map(|entry| match (entry.key.as_str(), &entry.value) {
            ("babelake", Some(value)) => {
                let mut lineage: serde_json::Value = serde_json::from_str(value).unwrap();
                lineage["source"]["hint"].take();
                KeyValue::new(entry.key, lineage.to_string())
            }
            _ => entry,
        });
        Some((file[..file.len() - 8 - length].to_vec(), entries.collect::<Vec<_>>(), footer.row_groups().to_vec()))
    };
    a == b || parts(a).is_some_and(|parts_of_a| Some(parts_of_a) == parts(b))
}

/// Copies all that is in a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Numbers in [-1, 1) that depend on the seed and their place alone.
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let number = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count as u64).map(number).collect()
}

/// The vector of a key: its own random numbers, the same wherever the row stands.
pub fn vector(key: i64, width: usize, seed: u64) -> Vec<f32> {
    random(seed.wrapping_add(1000 * key.unsigned_abs() + 7), width)
}

/// Vectors as other writers store them: nullable items named `element`.
pub fn vectors(values: Vec<f32>, width: usize, nulls: Option<NullBuffer>) -> FixedSizeListArray {
    let item = Arc::new(Field::new("element", DataType::Float32, true));
    FixedSizeListArray::new(item, width as i32, Arc::new(Float32Array::from(values)), nulls)
}

/// These vectors with a NaN in row `row`.
pub fn poison(vectors: &ArrayRef, row: usize) -> FixedSizeListArray {
    let vectors = vectors.as_fixed_size_list();
    let width = vectors.value_length() as usize;
    let mut values = vectors.values().as_primitive::<Float32Type>().values().to_vec();
    values[row * width] = f32::NAN;
    self::vectors(values, width, None)
}

/// Columns `id` and `embedding` of these keys.
pub fn table(keys: impl IntoIterator<Item = i64>, width: usize, seed: u64) -> RecordBatch {
    let keys: Vec<i64> = keys.into_iter().collect();
    let values = keys.iter().flat_map(|&key| vector(key, width, seed)).collect();
    with_id(keys, vectors(values, width, None))
}

/// The rows of an embedding column of any form.
pub fn rows(column: &dyn Array) -> Vec<Option<Vec<f32>>> {
    let view = Embeddings::of(column).unwrap();
    (0..view.len()).map(|row| view.row(row).map(<[f32]>::to_vec)).collect()
}

/// The rows as f16 holds them.
pub fn halves(rows: &[Option<Vec<f32>>]) -> Vec<Option<Vec<f32>>> {
    let half = |x: &f32| <Float16Type as ArrowPrimitiveType>::Native::from_f32(*x).to_f32();
    rows.iter().map(|row| Some(row.as_ref()?.iter().map(half).collect())).collect()
}

pub fn with_id(keys: Vec<i64>, embedding: FixedSizeListArray) -> RecordBatch {
    columns(vec![("id", Arc::new(Int64Array::from(keys))), ("embedding", Arc::new(embedding))])
}

pub fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}
