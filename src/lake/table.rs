//! Two tables with keys: which rows belong together, and then the vectors of the rows wanted.
//!
//! Keys are read first, without touching a vector; the vectors are read for the rows that a fit needs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use serde_json::Value;

use super::Source;
use super::condition::{Compiled, Condition};
use super::file::{File, VectorColumn};
use super::inputs::Inputs;
use super::vectors::VectorBatches;
use crate::column::buffers::Buffers;
use crate::column::keys::KeyFlaw;
use crate::column::{Embeddings, Flaw, KeyKind, Keys};
use crate::kernel::keyed::Draw;
use crate::kernel::mean::MeanSum;
use crate::kernel::norm::is_finite;
use crate::{Error, Result};

/// A row: its file, and its row in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    file: u32,
    /// From 0.
    pub row: u64,
}

/// A table: one Parquet file, or the files of a folder or a pattern.
#[derive(Debug)]
pub struct Table {
    files: Vec<File>,
    shown: String,
}

/// Conditions and groups over a table's columns.
#[derive(Default)]
pub struct Conditions<'a> {
    /// Rows that may be anchors, and the option that says so; all rows where absent.
    pub anchors: Option<Condition<'a>>,
    /// Rows that are held out.
    pub evaluate: Option<Condition<'a>>,
    /// A column whose values keep rows together.
    pub group: Option<&'a str>,
}

/// Rows with their keys; what has no place among anchors nor held-out rows is left out.
#[derive(Debug)]
struct Keyed {
    keys: Keys,
    at: Vec<At>,
    /// Whether the row may be an anchor.
    anchor: Vec<bool>,
    /// Whether the row is one that a condition holds out.
    evaluate: Vec<bool>,
    /// The row's group, `None` where it is NULL or nobody asked.
    group: Vec<Option<Arc<str>>>,
}

/// Rows of a table by ascending key.
pub struct KeyedRows {
    /// The keys.
    pub keys: Keys,
    /// Where they are.
    pub at: Vec<At>,
    /// Their groups, `None` where NULL or nobody asked.
    pub group: Vec<Option<Arc<str>>>,
}

/// Rows of two tables that have the same key, by ascending key.
#[derive(Debug)]
pub struct Pairs {
    /// The keys.
    pub keys: Keys,
    /// The source's rows.
    pub source: Vec<At>,
    /// The target's rows.
    pub target: Vec<At>,
    /// Whether a pair may be an anchor.
    pub anchor: Vec<bool>,
    /// Whether a pair is one that a condition holds out.
    pub evaluate: Vec<bool>,
    /// The source row's group.
    pub group: Vec<Option<Arc<str>>>,
    /// Source rows that no target row has the key of.
    pub source_without_twin: u64,
    /// Target rows that no source row has the key of.
    pub target_without_twin: u64,
    /// Target rows drawn for a pool, by ascending draw; no more than asked for.
    pub pool: Vec<At>,
}

/// How many target rows to draw, and by what.
#[derive(Debug, Clone, Copy)]
pub struct PoolDraw {
    /// Rows at most.
    pub size: usize,
    /// The seed.
    pub seed: u64,
}

impl Table {
    /// Opens every file of a table.
    pub fn open(inputs: &Inputs) -> Result<Self> {
        let files = inputs.select()?.files.into_iter().map(File::open).collect::<Result<Vec<_>>>()?;
        Ok(Self { files, shown: inputs.shown().to_owned() })
    }

    /// Opens a file that is a table itself.
    pub fn file(source: Source) -> Result<Self> {
        let shown = source.shown().to_owned();
        Ok(Self { files: vec![File::open(source)?], shown })
    }

    /// As the person named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What its encoder is called where nobody names it: the name of the file or folder, without `.parquet`.
    pub fn name(&self) -> String {
        let name = self.shown.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".parquet").unwrap_or(name).to_owned()
    }

    /// Rows of all files, as their footers say.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(File::rows).sum()
    }

    /// The file and the row, for people.
    pub fn place_of(&self, at: At) -> String {
        let file = self.files.get(at.file as usize).map_or("", |file| file.shown());
        format!("{file} row {}", at.row)
    }

    /// The embedding column of every file, and their one width.
    pub fn vectors(&self, named: Option<&str>) -> Result<Vectors<'_>> {
        let mut columns = Vec::with_capacity(self.files.len());
        let mut width: Option<(usize, &str)> = None;
        for file in &self.files {
            let column = file.vector_column(named)?;
            if let Some(found) = file.width(&column)? {
                match width {
                    Some((first, path)) if first != found => {
                        return Err(Error::file(
                            file.shown(),
                            format!(
                                "column `{}` has vectors of {found} numbers, and {path} has {first}: a table holds vectors \
                                 of one encoder and one width",
                                column.name
                            ),
                        ));
                    }
                    Some(_) => {}
                    None => width = Some((found, file.shown())),
                }
            }
            columns.push(column);
        }
        match width {
            Some((width, _)) => Ok(Vectors { table: self, columns, width, seen: None }),
            None => Err(Error::file(&self.shown, "every embedding is NULL: there is nothing to fit from")),
        }
    }

    /// The rows that `conditions` select, by ascending key. A key that occurs twice is an error.
    pub fn keys(&self, key: &[String], conditions: &Conditions<'_>) -> Result<KeyedRows> {
        let mut all: Option<Keyed> = None;
        self.scan(key, conditions, &mut None, |batch| {
            match &mut all {
                Some(all) => all.append(&batch),
                none => *none = Some(batch),
            }
            Ok(())
        })?;
        let Some(all) = all else { return Err(Error::file(&self.shown, "has no rows")) };
        let order = all.keys.order();
        if let Some(pair) = order.windows(2).find(|pair| all.keys.compare(pair[0], &all.keys, pair[1]).is_eq()) {
            return Err(self.duplicate(&all.keys.display(pair[0]), all.at[pair[0]], all.at[pair[1]]));
        }
        Ok(KeyedRows {
            keys: all.keys.select(&order),
            at: order.iter().map(|&row| all.at[row]).collect(),
            group: order.iter().map(|&row| all.group[row].clone()).collect(),
        })
    }

    /// These columns of the rows `wanted`, in that order.
    pub fn take(&self, names: &[&str], wanted: &[At]) -> Result<RecordBatch> {
        let mut by_file: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        wanted.iter().for_each(|at| by_file.entry(at.file).or_default().push(at.row));
        let (mut batches, mut place, mut first): (Vec<RecordBatch>, HashMap<At, u32>, Option<SchemaRef>) =
            Default::default();
        for (number, mut rows) in by_file {
            let Some(file) = self.files.get(number as usize) else { continue };
            rows.sort_unstable();
            let columns = names.iter().map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
            let schema = Arc::new(file.schema().project(&columns)?);
            let first = first.get_or_insert_with(|| Arc::clone(&schema));
            let types = first.fields().iter().zip(schema.fields()).find(|(a, b)| a.data_type() != b.data_type());
            if let Some((a, b)) = types {
                let message =
                    format!("column `{}` is {}, and in another file {}", b.name(), b.data_type(), a.data_type());
                return Err(Error::file(file.shown(), message));
            }
            let (sorted, order) = reading_order(&columns);
            let mut begin = 0u64;
            for (group, metadata) in file.metadata().row_groups().iter().enumerate() {
                let end = begin + u64::try_from(metadata.num_rows()).unwrap_or(0);
                let inside = &rows[rows.partition_point(|row| *row < begin)..rows.partition_point(|row| *row < end)];
                if !inside.is_empty() {
                    for row in inside {
                        place.insert(At { file: number, row: *row }, u32::try_from(place.len()).unwrap_or(u32::MAX));
                    }
                    let part = (group, Some(selection(begin..end, inside)));
                    for batch in file.read(&sorted, file.batch_rows(&sorted, None), Some(part))? {
                        batches.push(batch?.project(&order)?.with_schema(Arc::clone(first))?);
                    }
                }
                begin = end;
            }
        }
        let schema = first.unwrap_or_else(|| Arc::new(Schema::empty()));
        let order: UInt32Array = wanted.iter().map(|at| place.get(at).copied()).collect();
        Ok(take_record_batch(&concat_batches(&schema, &batches)?, &order)?)
    }

    /// Where the rows with these keys are, which are keys of the table `like`; `None` where there is no such row. One of them
    /// that occurs twice is an error.
    pub fn find(&self, key: &[String], keys: &Keys, like: (&Self, &[String])) -> Result<Vec<Option<At>>> {
        let mut kinds = None;
        like.0.check_keys(like.1, &mut kinds)?;
        self.find_of(key, keys, kinds)
    }

    /// The same of keys whose table is gone.
    pub fn find_keys(&self, key: &[String], keys: &Keys) -> Result<Vec<Option<At>>> {
        let mut kinds = None;
        self.check_keys(key, &mut kinds)?;
        let kind = match kinds.as_ref().map(|(kinds, _)| kinds.as_slice()) {
            Some([only]) => *only,
            _ => KeyKind::Text,
        };
        if kind != keys.kind() {
            return Err(Error::file(
                &self.shown,
                format!(
                    "the keys `{}` are {kind}s, and those looked for are {}s: write the table again with the key CAST",
                    key.join(","),
                    keys.kind()
                ),
            ));
        }
        self.find_of(key, keys, kinds)
    }

    fn find_of(
        &self,
        key: &[String],
        keys: &Keys,
        mut kinds: Option<(Vec<KeyKind>, String)>,
    ) -> Result<Vec<Option<At>>> {
        let index = KeyIndex::new(keys, |_, _| ());
        let mut found: Vec<Option<At>> = vec![None; keys.len()];
        self.scan(key, &Conditions::default(), &mut kinds, |batch| {
            for (row, &at) in batch.at.iter().enumerate() {
                let Some(place) = index.get(&batch.keys, row) else { continue };
                if let Some(first) = found[place].replace(at) {
                    return Err(self.duplicate(&keys.display(place), first, at));
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Checks that every file has this column.
    pub fn check_column(&self, name: &str) -> Result<()> {
        self.files.iter().try_for_each(|file| file.column(name).map(|_| ()))
    }

    /// Checks that every file has these key columns, of the kinds found before.
    pub fn check_keys(&self, key: &[String], kinds: &mut Option<(Vec<KeyKind>, String)>) -> Result<()> {
        self.files.iter().try_for_each(|file| {
            let columns = key.iter().map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
            check_kinds(file, key, &columns, kinds)
        })
    }

    /// Reads some columns of all files, batch by batch, with the file and the batch's first row in it. The columns of a batch
    /// are in the order asked for.
    pub fn columns(&self, names: &[&str], mut each: impl FnMut(&File, u64, &[ArrayRef]) -> Result<()>) -> Result<()> {
        for file in &self.files {
            let wanted = names.iter().map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
            let (columns, order) = reading_order(&wanted);
            let mut first = 0u64;
            for batch in file.read(&columns, file.batch_rows(&columns, None), None)? {
                let batch = batch?;
                let parts: Vec<ArrayRef> = order.iter().map(|&place| Arc::clone(batch.column(place))).collect();
                each(file, first, &parts)?;
                first += batch.num_rows() as u64;
            }
        }
        Ok(())
    }

    /// The keys of all rows of a row group, and its first row in the file.
    pub fn keys_of_group(&self, key: &[String], (number, group): (usize, usize)) -> Result<(u64, Keys)> {
        let file = &self.files[number];
        let wanted = key.iter().map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
        let (columns, order) = reading_order(&wanted);
        let begin = self.group_begin(number, group);
        let mut keys: Option<Keys> = None;
        let mut first = begin;
        for batch in file.read(&columns, file.batch_rows(&columns, None), Some((group, None)))? {
            let batch = batch?;
            let parts: Vec<ArrayRef> = order.iter().map(|&place| Arc::clone(batch.column(place))).collect();
            let rows: Vec<usize> = (0..batch.num_rows()).collect();
            let read = read_keys(file, key, &parts, first, &rows)?;
            first += rows.len() as u64;
            match &mut keys {
                Some(keys) => keys.append(&read),
                none => *none = Some(read),
            }
        }
        Ok((begin, keys.unwrap_or(Keys::Int(Vec::new()))))
    }

    fn group_begin(&self, number: usize, group: usize) -> u64 {
        let groups = self.files[number].metadata().row_groups().iter().take(group);
        groups.map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).sum()
    }

    fn duplicate(&self, key: &str, first: At, second: At) -> Error {
        Error::file(
            &self.shown,
            format!(
                "key {key} occurs more than once: {} and {}; a key must name one row (drop one of them, or select with \
                 --where)",
                self.place_of(first),
                self.place_of(second)
            ),
        )
    }

    /// Reads keys and what the conditions need, and hands over the rows that count, batch by batch in the order of the files.
    fn scan(
        &self,
        key: &[String],
        conditions: &Conditions<'_>,
        kinds: &mut Option<(Vec<KeyKind>, String)>,
        mut each: impl FnMut(Keyed) -> Result<()>,
    ) -> Result<()> {
        for (number, file) in self.files.iter().enumerate() {
            let keys = key.iter().map(|name| file.column(name)).collect::<Result<Vec<_>>>()?;
            check_kinds(file, key, &keys, kinds)?;
            let group = conditions.group.map(|name| file.column(name)).transpose()?;
            let anchors = conditions
                .anchors
                .map(|condition| Compiled::parse(condition, file.schema(), file.shown()))
                .transpose()?;
            let evaluate = conditions
                .evaluate
                .map(|condition| Compiled::parse(condition, file.schema(), file.shown()))
                .transpose()?;

            let mut columns: Vec<usize> = keys.iter().copied().chain(group).collect();
            columns.extend(anchors.iter().chain(&evaluate).flat_map(|compiled| compiled.columns.iter().copied()));
            columns.sort_unstable();
            columns.dedup();
            let projected = file.schema().project(&columns)?;
            let position = |column: usize| columns.binary_search(&column).unwrap_or(0);
            let anchors = anchors.map(|compiled| compiled.plan(&projected)).transpose()?;
            let evaluate = evaluate.map(|compiled| compiled.plan(&projected)).transpose()?;

            let mut first = 0u64;
            for batch in file.read(&columns, file.batch_rows(&columns, None), None)? {
                let batch = batch?;
                let rows = batch.num_rows();
                let evaluate = evaluate.as_ref().map(|condition| condition.rows(&batch)).transpose()?;
                let anchor = match &anchors {
                    Some(condition) => condition.rows(&batch)?,
                    None => vec![true; rows],
                };
                let evaluate = evaluate.unwrap_or_else(|| vec![false; rows]);
                let wanted: Vec<usize> = (0..rows).filter(|&row| anchor[row] || evaluate[row]).collect();
                let parts: Vec<ArrayRef> =
                    keys.iter().map(|&column| Arc::clone(batch.column(position(column)))).collect();
                let group = group.map(|column| as_text(file, batch.column(position(column)))).transpose()?;
                let keyed = Keyed {
                    keys: read_keys(file, key, &parts, first, &wanted)?,
                    at: wanted
                        .iter()
                        .map(|&row| At { file: u32::try_from(number).unwrap_or(u32::MAX), row: first + row as u64 })
                        .collect(),
                    anchor: wanted.iter().map(|&row| anchor[row]).collect(),
                    evaluate: wanted.iter().map(|&row| evaluate[row]).collect(),
                    group: wanted
                        .iter()
                        .map(|&row| group.as_ref().filter(|group| group.is_valid(row)).map(|group| text(group, row)))
                        .collect(),
                };
                first += rows as u64;
                each(keyed)?;
            }
        }
        Ok(())
    }
}

/// A row of the streamed table that has a twin.
struct Match {
    /// The twin's place among the rows held.
    held: usize,
    at: At,
    anchor: bool,
    evaluate: bool,
    group: Option<Arc<str>>,
}

/// Matches the rows of two tables by key. The smaller table's keys are held in memory, the other's stream by.
///
/// A key that occurs twice in a table, in rows that have a twin, is an error; so is a NULL key.
pub fn pairs(
    source: &Table,
    target: &Table,
    key: &[String],
    conditions: &Conditions<'_>,
    draw: PoolDraw,
) -> Result<Pairs> {
    let none = Conditions::default();
    let mut kinds = None;
    let mut pool = Pool { draw, drawn: BinaryHeap::new() };
    let hold_source = source.rows() <= target.rows();
    let (held_table, held_conditions, other_table, other_conditions) =
        if hold_source { (source, conditions, target, &none) } else { (target, &none, source, conditions) };

    let mut held: Option<Keyed> = None;
    held_table.scan(key, held_conditions, &mut kinds, |batch| {
        if !hold_source {
            pool.offer(&batch);
        }
        match &mut held {
            Some(held) => held.append(&batch),
            none => *none = Some(batch),
        }
        Ok(())
    })?;
    let Some(held) = held else {
        return Err(Error::file(held_table.shown(), "has no rows"));
    };
    let (index, twice) = held.index();

    let mut twins: Vec<Option<At>> = vec![None; held.at.len()];
    let mut matched: Vec<Match> = Vec::new();
    let (mut other_rows, mut other_sample) = (0u64, None);
    other_table.scan(key, other_conditions, &mut kinds, |batch| {
        if hold_source {
            pool.offer(&batch);
        }
        other_rows += batch.at.len() as u64;
        if other_sample.is_none() && !batch.at.is_empty() {
            other_sample = Some(batch.keys.display(0));
        }
        for row in 0..batch.at.len() {
            let Some(found) = index.get(&batch.keys, row) else { continue };
            if let Some(&second) = twice.get(&found) {
                return Err(held_table.duplicate(&batch.keys.display(row), held.at[found], second));
            }
            if let Some(first) = twins[found] {
                return Err(other_table.duplicate(&batch.keys.display(row), first, batch.at[row]));
            }
            twins[found] = Some(batch.at[row]);
            matched.push(Match {
                held: found,
                at: batch.at[row],
                anchor: batch.anchor[row],
                evaluate: batch.evaluate[row],
                group: batch.group[row].clone(),
            });
        }
        Ok(())
    })?;

    let (held_rows, pairs) = (held.at.len() as u64, matched.len() as u64);
    if matched.is_empty() {
        let sample = |keys: Option<String>| keys.map_or("no rows".to_owned(), |key| format!("keys like {key}"));
        let (held_sample, other) = (sample((held_rows > 0).then(|| held.keys.display(0))), sample(other_sample));
        return Err(Error::Invalid(format!(
            "no key `{}` is in both tables: {} has {held_sample}, {} has {other}{}",
            key.join(","),
            held_table.shown(),
            other_table.shown(),
            if conditions.anchors.is_some() { " (of the rows that --where selects)" } else { "" },
        )));
    }
    matched.sort_by(|a, b| held.keys.compare(a.held, &held.keys, b.held));
    let of_held: Vec<usize> = matched.iter().map(|pair| pair.held).collect();
    let (held_at, other_at) = (
        of_held.iter().map(|&i| held.at[i]).collect::<Vec<_>>(),
        matched.iter().map(|pair| pair.at).collect::<Vec<_>>(),
    );
    let keys = held.keys.select(&of_held);
    let pool = pool.drawn();
    Ok(if hold_source {
        Pairs {
            keys,
            source: held_at,
            target: other_at,
            anchor: of_held.iter().map(|&i| held.anchor[i]).collect(),
            evaluate: of_held.iter().map(|&i| held.evaluate[i]).collect(),
            group: of_held.iter().map(|&i| held.group[i].clone()).collect(),
            source_without_twin: held_rows - pairs,
            target_without_twin: other_rows - pairs,
            pool,
        }
    } else {
        Pairs {
            keys,
            source: other_at,
            target: held_at,
            anchor: matched.iter().map(|pair| pair.anchor).collect(),
            evaluate: matched.iter().map(|pair| pair.evaluate).collect(),
            group: matched.into_iter().map(|pair| pair.group).collect(),
            source_without_twin: other_rows - pairs,
            target_without_twin: held_rows - pairs,
            pool,
        }
    })
}

impl Pairs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.source.len()
    }
}

impl Keyed {
    fn append(&mut self, other: &Self) {
        // Kinds were checked before any key was read.
        self.keys.append(&other.keys);
        self.at.extend_from_slice(&other.at);
        self.anchor.extend_from_slice(&other.anchor);
        self.evaluate.extend_from_slice(&other.evaluate);
        self.group.extend_from_slice(&other.group);
    }

    /// Where each key is, and the second row of each key that occurs twice.
    fn index(&self) -> (KeyIndex<'_>, HashMap<usize, At>) {
        let mut twice = HashMap::new();
        let index = KeyIndex::new(&self.keys, |first: usize, second: usize| {
            twice.entry(first).or_insert(self.at[second]);
        });
        (index, twice)
    }
}

/// Where each key is in a list of keys.
pub enum KeyIndex<'a> {
    Int(HashMap<i64, usize>),
    Text(HashMap<&'a str, usize>),
}

impl<'a> KeyIndex<'a> {
    /// Of `keys`; `repeated` is told of a key's first place and of each later one.
    pub fn new(keys: &'a Keys, mut repeated: impl FnMut(usize, usize)) -> Self {
        match keys {
            Keys::Int(keys) => Self::Int(index_of(keys.iter().copied(), &mut repeated)),
            Keys::Text(keys) => Self::Text(index_of(keys.iter().map(String::as_str), &mut repeated)),
        }
    }

    /// The place of key `row` of `keys`.
    pub fn get(&self, keys: &Keys, row: usize) -> Option<usize> {
        match (self, keys) {
            (Self::Int(index), Keys::Int(keys)) => index.get(&keys[row]).copied(),
            (Self::Text(index), Keys::Text(keys)) => index.get(keys[row].as_str()).copied(),
            _ => None,
        }
    }
}

fn index_of<K: std::hash::Hash + Eq>(
    keys: impl ExactSizeIterator<Item = K>,
    repeated: &mut impl FnMut(usize, usize),
) -> HashMap<K, usize> {
    let mut index = HashMap::with_capacity(keys.len());
    for (row, key) in keys.enumerate() {
        match index.entry(key) {
            Entry::Occupied(first) => repeated(*first.get(), row),
            Entry::Vacant(place) => {
                place.insert(row);
            }
        }
    }
    index
}

/// The target rows whose keys are drawn first.
struct Pool {
    draw: PoolDraw,
    drawn: BinaryHeap<(Draw, At)>,
}

impl Pool {
    fn offer(&mut self, rows: &Keyed) {
        for row in 0..rows.at.len() {
            let draw = rows.keys.draw("pool", self.draw.seed, row);
            if self.drawn.len() < self.draw.size {
                self.drawn.push((draw, rows.at[row]));
            } else if self.drawn.peek().is_some_and(|last| draw < last.0) {
                self.drawn.pop();
                self.drawn.push((draw, rows.at[row]));
            }
        }
    }

    fn drawn(self) -> Vec<At> {
        self.drawn.into_sorted_vec().into_iter().map(|(_, at)| at).collect()
    }
}

/// Checks that key columns have the kinds that the first file's have.
fn check_kinds(
    file: &File,
    names: &[String],
    columns: &[usize],
    kinds: &mut Option<(Vec<KeyKind>, String)>,
) -> Result<()> {
    let mut found = Vec::with_capacity(columns.len());
    for (name, &column) in names.iter().zip(columns) {
        let data_type = file.schema().field(column).data_type();
        let kind = KeyKind::of(data_type).ok_or_else(|| {
            Error::file(file.shown(), format!("column `{name}`: {}", KeyFlaw::Type(data_type.clone())))
        })?;
        found.push(kind);
    }
    let Some((expected, first)) = kinds else {
        *kinds = Some((found, file.shown().to_owned()));
        return Ok(());
    };
    match names.iter().zip(expected.iter().zip(&found)).find(|(_, (a, b))| a != b) {
        Some((name, (expected, found))) => Err(Error::file(
            file.shown(),
            format!(
                "key `{name}` is {found}, and in {first} it is {expected}: write one of the tables again with the key CAST \
                 to the other's type"
            ),
        )),
        None => Ok(()),
    }
}

/// The keys of the `wanted` rows. Several columns make a composite key: the JSON array of their values.
pub fn read_keys(file: &File, names: &[String], parts: &[ArrayRef], first: u64, wanted: &[usize]) -> Result<Keys> {
    let mut normal = Vec::with_capacity(parts.len());
    for (name, part) in names.iter().zip(parts) {
        let array = Keys::normalize(part).map_err(|flaw| match flaw {
            KeyFlaw::TooLarge { row } => file.row_error(name, first + row as u64, flaw.to_string()),
            flaw => Error::file(file.shown(), format!("column `{name}`: {flaw}")),
        })?;
        if let Some(&row) = wanted.iter().find(|&&row| array.is_null(row)) {
            let message = "the key is NULL: give it a key, or leave the row out (--where selects rows of the source)";
            return Err(file.row_error(name, first + row as u64, message));
        }
        normal.push(array);
    }
    if let [only] = normal.as_slice() {
        let mut keys = Keys::new(KeyKind::of(only.data_type()).unwrap_or(KeyKind::Text));
        wanted.iter().for_each(|&row| keys.push(only, row));
        return Ok(keys);
    }
    let composite = |row: usize| {
        let values = normal.iter().map(|part| match part.data_type() {
            DataType::Int64 => Value::from(part.as_primitive::<Int64Type>().value(row)),
            _ => Value::from(part.as_string::<i32>().value(row)),
        });
        Value::Array(values.collect()).to_string()
    };
    Ok(Keys::Text(wanted.iter().map(|&row| composite(row)).collect()))
}

fn as_text(file: &File, column: &ArrayRef) -> Result<ArrayRef> {
    cast(column, &DataType::Utf8).map_err(|_| {
        Error::file(
            file.shown(),
            format!("{} cannot be a group: a column of numbers or strings can", column.data_type()),
        )
    })
}

fn text(column: &ArrayRef, row: usize) -> Arc<str> {
    Arc::from(column.as_string::<i32>().value(row))
}

/// Columns as a file is read, ascending and each once, and the place among them of each one that is wanted.
fn reading_order(wanted: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut columns = wanted.to_vec();
    columns.sort_unstable();
    columns.dedup();
    let order = wanted.iter().map(|column| columns.binary_search(column).unwrap_or(0)).collect();
    (columns, order)
}

/// Of a row group with the rows `all` these, ascending, each once.
fn selection(all: Range<u64>, rows: &[u64]) -> RowSelection {
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    let mut selectors = Vec::with_capacity(2 * rows.len() + 1);
    let mut next = all.start;
    for &row in rows {
        selectors.push(RowSelector::skip(count(row - next)));
        selectors.push(RowSelector::select(1));
        next = row + 1;
    }
    selectors.push(RowSelector::skip(count(all.end - next)));
    RowSelection::from(selectors)
}

/// A row's vector; `None` where it is NULL.
type Seen = Option<Box<[f32]>>;

/// The embedding columns of a table's files.
#[derive(Debug)]
pub struct Vectors<'a> {
    table: &'a Table,
    columns: Vec<VectorColumn>,
    width: usize,
    /// What was read already, where it is kept.
    seen: Option<Mutex<HashMap<At, Seen>>>,
}

impl Vectors<'_> {
    /// The table they are of.
    pub fn table(&self) -> &Table {
        self.table
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The same, keeping what is read: where other pairs will ask for the same rows.
    pub fn remembering(self) -> Self {
        Self { seen: Some(Mutex::default()), ..self }
    }

    /// The vectors of the rows `wanted`, in that order; `None` where a row is NULL. Bad rows are errors.
    pub fn read(&self, wanted: &[At]) -> Result<Vec<Option<Box<[f32]>>>> {
        let Some(seen) = &self.seen else { return self.read_anew(wanted) };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<At> = wanted.iter().copied().filter(|at| !seen.contains_key(at)).collect();
        let read = self.read_anew(&missing)?;
        seen.extend(missing.into_iter().zip(read));
        Ok(wanted.iter().map(|at| seen.get(at).cloned().flatten()).collect())
    }

    fn read_anew(&self, wanted: &[At]) -> Result<Vec<Option<Box<[f32]>>>> {
        let mut found: Vec<Option<Box<[f32]>>> = vec![None; wanted.len()];
        let mut by_file: BTreeMap<u32, Vec<(u64, usize)>> = BTreeMap::new();
        for (index, at) in wanted.iter().enumerate() {
            by_file.entry(at.file).or_default().push((at.row, index));
        }
        for (number, mut rows) in by_file {
            let number = number as usize;
            let (Some(file), Some(column)) = (self.table.files.get(number), self.columns.get(number)) else { continue };
            rows.sort_unstable();
            let mut begin = 0u64;
            for (group, metadata) in file.metadata().row_groups().iter().enumerate() {
                let end = begin + u64::try_from(metadata.num_rows()).unwrap_or(0);
                let inside =
                    &rows[rows.partition_point(|(row, _)| *row < begin)..rows.partition_point(|(row, _)| *row < end)];
                if !inside.is_empty() {
                    self.read_group(file, column, (group, begin, end), inside, &mut found)?;
                }
                begin = end;
            }
        }
        Ok(found)
    }

    /// The mean of all rows that are not NULL, whether or not they have a twin: what `emb_mean` gives.
    pub fn mean(&self) -> Result<Vec<f32>> {
        let (mut sum, buffers) = (MeanSum::default(), Buffers::new(1));
        for group in self.groups() {
            self.scan(group, &buffers, |_, vector| {
                sum.add(vector);
                Ok(())
            })?;
        }
        Ok(sum.mean().unwrap_or_default().into_iter().map(|m| m as f32).collect())
    }

    /// The row groups of all files: places of the file, and of the group in it.
    pub fn groups(&self) -> Vec<(usize, usize)> {
        let files = self.table.files.iter().enumerate();
        files.flat_map(|(file, of)| (0..of.metadata().num_row_groups()).map(move |group| (file, group))).collect()
    }

    /// Reads a row group; `each` sees where each row is that is not NULL, and its vector. Bad rows are errors.
    pub fn scan(
        &self,
        (number, group): (usize, usize),
        buffers: &Buffers<f32>,
        mut each: impl FnMut(At, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let (file, column) = (&self.table.files[number], &self.columns[number]);
        let batch_rows = file.batch_rows(&[column.index], Some((column, self.width)));
        let mut batches = VectorBatches::new(file, column, self.width, batch_rows, group, buffers)?;
        let mut first = self.table.group_begin(number, group);
        while let Some(batch) = batches.next(batch_rows)? {
            let flaw = |flaw: Flaw| file.flaw(column, first, &flaw);
            let view = Embeddings::of(&batch).map_err(flaw)?;
            for row in 0..batch.len() {
                let Some(vector) = view.row_of(row, self.width).map_err(flaw)? else { continue };
                if !is_finite(vector) {
                    return Err(flaw(Flaw::NotFinite { row }));
                }
                each(At { file: u32::try_from(number).unwrap_or(u32::MAX), row: first + row as u64 }, vector)?;
            }
            first += batch.len() as u64;
        }
        Ok(())
    }

    /// Reads rows (ascending, with their places in `found`) of one row group.
    fn read_group(
        &self,
        file: &File,
        column: &VectorColumn,
        (group, begin, end): (usize, u64, u64),
        rows: &[(u64, usize)],
        found: &mut [Option<Box<[f32]>>],
    ) -> Result<()> {
        let mut distinct: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
        distinct.dedup();
        let selection = selection(begin..end, &distinct);

        let (mut wanted, mut read) = (rows.iter().peekable(), distinct.iter());
        let batch_rows = file.batch_rows(&[column.index], Some((column, self.width)));
        for batch in file.read(&[column.index], batch_rows, Some((group, Some(selection))))? {
            let batch = batch?;
            let taken: Vec<u64> = read.by_ref().take(batch.num_rows()).copied().collect();
            // Rows of a batch are the selected ones: a flaw's row is counted among them.
            let flaw = |flaw: Flaw| match flaw.row().and_then(|row| taken.get(row)) {
                Some(&row) => file.row_error(&column.name, row, flaw.to_string()),
                None => file.flaw(column, 0, &flaw),
            };
            let view = Embeddings::of(batch.column(0)).map_err(flaw)?;
            for (i, &row) in taken.iter().enumerate() {
                let vector = view.row_of(i, self.width).map_err(flaw)?;
                if vector.is_some_and(|vector| !vector.iter().all(|x| x.is_finite())) {
                    return Err(flaw(Flaw::NotFinite { row: i }));
                }
                while let Some((_, place)) = wanted.next_if(|(wanted, _)| *wanted == row) {
                    found[*place] = vector.map(Box::from);
                }
            }
        }
        Ok(())
    }
}
