//! The footer of an output: the input's with new vectors in it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema};
use parquet::basic::{Compression, Encoding, LogicalType, PageType, Repetition, Type as Physical, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};
use serde_json::{Value, json};

use super::notes;
use super::vectors::{Numbers, Vector};
use super::{Codec, Recipe};
use crate::lake::file::File;
use crate::lake::lineage::KEY;
use crate::{Error, Result};

/// A dictionary that held all values of an input's column chunk may grow to this, so that long texts that are there once
/// are not written once a row.
const DICTIONARY_BYTES: usize = 16 << 20;

/// Where a leaf of the output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// A leaf of the input.
    Copied(usize),
    /// A translated column; after the last of them the scales of codes, then the confidence.
    Vector(usize),
    /// The column that names encoder and translator.
    Origin,
}

/// How an output is laid out.
pub struct Layout {
    /// The columns.
    pub schema: SchemaDescPtr,
    /// Where they come from.
    pub leaves: Vec<Leaf>,
    /// How they are written.
    pub properties: WriterPropertiesPtr,
}

impl Layout {
    /// The output of `file` with these vectors; with indexes of its pages or without.
    pub fn new(file: &File, recipe: &Recipe, vectors: &[Vector], page_index: bool) -> Result<Self> {
        let input = file.metadata().file_metadata().schema_descr();
        let beside = recipe.settings.output_column.is_some();
        let (mut fields, mut sources) = (Vec::new(), Vec::new());
        for (index, field) in input.root_schema().get_fields().iter().enumerate() {
            let vector = vectors.iter().position(|vector| vector.column.index == index);
            if vector.is_none() || beside {
                fields.push(Arc::clone(field));
                sources.push(Root::Kept(index));
            }
            if let Some(number) = vector {
                fields.push(Arc::new(vector_type(field, &vectors[number], beside)?));
                sources.push(Root::Vector(number));
                if let Some(scale) = &vectors[number].scale {
                    let before = vectors[..number].iter().filter(|vector| vector.scale.is_some()).count();
                    fields.push(Arc::new(number_type(scale)?));
                    sources.push(Root::Vector(vectors.len() + before));
                }
            }
        }
        if let Some(name) = &recipe.settings.confidence_column {
            fields.push(Arc::new(number_type(&confidence_field(name))?));
            let scales = vectors.iter().filter(|vector| vector.scale.is_some()).count();
            sources.push(Root::Vector(vectors.len() + scales));
        }
        if let Some(name) = &recipe.settings.origin_column {
            let text = Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::String));
            fields.push(Arc::new(text.build()?));
            sources.push(Root::Origin);
        }
        let root = Type::group_type_builder(input.root_schema().name()).with_fields(fields).build()?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let leaves = leaves(input, &schema, &sources);
        let entries = entries(file, recipe, vectors)?;
        let properties = Arc::new(properties(file, recipe, vectors, &schema, &leaves, entries, page_index)?);
        Ok(Self { schema, leaves, properties })
    }

    /// The parts of the schema that are translated columns alone, in the order of the vectors, the scales and the confidence.
    pub fn vectors(&self) -> Result<TypePtr> {
        let mut fields: Vec<(usize, TypePtr)> = self
            .leaves
            .iter()
            .enumerate()
            .filter_map(|(leaf, source)| match source {
                Leaf::Vector(number) => Some((*number, self.schema.get_column_root_ptr(leaf))),
                _ => None,
            })
            .collect();
        fields.sort_by_key(|(number, _)| *number);
        let fields = fields.into_iter().map(|(_, field)| field).collect();
        Ok(Arc::new(Type::group_type_builder(self.schema.name()).with_fields(fields).build()?))
    }
}

/// Where a column of the output comes from.
enum Root {
    Kept(usize),
    Vector(usize),
    Origin,
}

fn leaves(input: &SchemaDescriptor, output: &SchemaDescriptor, sources: &[Root]) -> Vec<Leaf> {
    let first = |root: usize| (0..input.num_columns()).find(|&leaf| input.get_column_root_idx(leaf) == root);
    let (mut leaves, mut current, mut within) = (Vec::new(), usize::MAX, 0);
    for leaf in 0..output.num_columns() {
        let root = output.get_column_root_idx(leaf);
        within = if root == current { within + 1 } else { 0 };
        current = root;
        leaves.push(match &sources[root] {
            Root::Kept(source) => Leaf::Copied(first(*source).unwrap_or_default() + within),
            Root::Vector(number) => Leaf::Vector(*number),
            Root::Origin => Leaf::Origin,
        });
    }
    leaves
}

fn repetition(field: &Field) -> Repetition {
    if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED }
}

/// The Parquet type of a column with a number for every vector.
fn number_type(field: &Field) -> Result<Type> {
    let number = Type::primitive_type_builder(field.name(), Physical::FLOAT).with_repetition(repetition(field));
    Ok(number.build()?)
}

/// The Parquet type of a translated column: names and field ids as in the source, where the new column takes its place.
fn vector_type(source: &Type, vector: &Vector, beside: bool) -> Result<Type> {
    let repetition = repetition(&vector.field);
    let id = |source: &Type| {
        let info = source.get_basic_info();
        (info.has_id() && !beside).then(|| info.id())
    };
    if vector.numbers == Numbers::Bytes {
        let bytes = vector.width * size_of::<f32>();
        let length = i32::try_from(bytes).map_err(|_| Error::Invalid(format!("{bytes} bytes a row are too many")))?;
        let bytes = Type::primitive_type_builder(vector.field.name(), Physical::FIXED_LEN_BYTE_ARRAY);
        return Ok(bytes.with_repetition(repetition).with_length(length).with_id(id(source)).build()?);
    }
    // Other writers' older forms of lists are written in the standard one.
    let standard = source.is_group().then(|| source.get_fields()).and_then(|fields| match fields {
        [list] if list.is_group() => match list.get_fields() {
            [item] if item.is_primitive() => Some((list, item)),
            _ => None,
        },
        _ => None,
    });
    let (list, item) = standard.map_or(("list", "element"), |(list, item)| (list.name(), item.name()));
    let item =
        match vector.numbers {
            Numbers::F16 => Type::primitive_type_builder(item, Physical::FIXED_LEN_BYTE_ARRAY)
                .with_length(2)
                .with_logical_type(Some(LogicalType::Float16)),
            Numbers::Codes => Type::primitive_type_builder(item, Physical::INT32)
                .with_logical_type(Some(LogicalType::integer(8, true))),
            Numbers::Signs => Type::primitive_type_builder(item, Physical::INT32)
                .with_logical_type(Some(LogicalType::integer(8, false))),
            Numbers::F32 | Numbers::Bytes => Type::primitive_type_builder(item, Physical::FLOAT),
        };
    let nullable = matches!(vector.field.data_type(), DataType::FixedSizeList(item, _) if item.is_nullable());
    let item = item
        .with_repetition(if nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED })
        .with_id(standard.and_then(|(_, item)| id(item)))
        .build()?;
    let list = Type::group_type_builder(list)
        .with_repetition(Repetition::REPEATED)
        .with_id(standard.and_then(|(list, _)| id(list)))
        .with_fields(vec![Arc::new(item)]);
    let column = Type::group_type_builder(vector.field.name())
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::List))
        .with_id(id(source))
        .with_fields(vec![Arc::new(list.build()?)]);
    Ok(column.build()?)
}

/// The Arrow field of a translated column: as `source` was where it takes its place, with another type.
pub fn vector_field(source: &Field, name: &str, nullable: bool, numbers: Numbers, width: usize, beside: bool) -> Field {
    let item = match source.data_type() {
        DataType::FixedSizeList(item, _)
        | DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => item.as_ref().clone(),
        _ => Field::new("element", DataType::Float32, false),
    };
    if beside {
        let item = item.with_metadata(HashMap::new());
        return Field::new(name, numbers.data_type(item, width), nullable);
    }
    let data_type = numbers.data_type(item, width);
    let metadata = of_this_width(source.metadata().clone(), &data_type, width);
    Field::new(name, data_type, nullable).with_metadata(metadata)
}

/// The name of the column of scales beside a column of codes.
pub fn scale_name(column: &str) -> String {
    format!("{column}_scale")
}

/// The Arrow field of the scales beside a column of codes; NULL where the vector is.
pub fn scale_field(column: &str, nullable: bool) -> FieldRef {
    Arc::new(Field::new(scale_name(column), DataType::Float32, nullable))
}

/// The Arrow field of a column of confidences; NULL where the vector is.
pub fn confidence_field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Float32, true))
}

const EXTENSION: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// A field's metadata. An extension type that says the old width says the new one, or is left out where that cannot be said.
fn of_this_width(mut metadata: HashMap<String, String>, data_type: &DataType, width: usize) -> HashMap<String, String> {
    let tensor = metadata.get(EXTENSION).is_some_and(|name| name == "arrow.fixed_shape_tensor")
        && matches!(data_type, DataType::FixedSizeList(..));
    let about = metadata.remove(EXTENSION_METADATA).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    match about {
        Some(mut about) if tensor && about["shape"].as_array().is_some_and(|shape| shape.len() == 1) => {
            about["shape"] = json!([width]);
            metadata.insert(EXTENSION_METADATA.to_owned(), about.to_string());
        }
        _ => drop(metadata.remove(EXTENSION)),
    }
    metadata
}

/// The input's entries in their order, what they say of the vectors mended; without our own.
fn entries(file: &File, recipe: &Recipe, vectors: &[Vector]) -> Result<Vec<KeyValue>> {
    let entries = file.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let mut output = Vec::new();
    for entry in entries.filter(|entry| entry.key != KEY) {
        let value = match (&entry.value, entry.key.as_str()) {
            (Some(text), ARROW_SCHEMA_META_KEY) => {
                let stored = stored_schema(text).ok_or_else(|| {
                    Error::file(file.shown(), format!("its {ARROW_SCHEMA_META_KEY} cannot be read: write it again"))
                })?;
                Some(encode_arrow_schema(&arrow_schema(&stored, recipe, vectors)))
            }
            (Some(text), key) => Some(notes::mended(key, text, recipe, vectors)),
            (None, _) => None,
        };
        output.push(KeyValue { key: entry.key.clone(), value });
    }
    Ok(output)
}

/// The Arrow schema that the writer of the input has stored.
fn stored_schema(text: &str) -> Option<Schema> {
    try_schema_from_ipc_buffer(&base64(text)?).ok()
}

fn arrow_schema(stored: &Schema, recipe: &Recipe, vectors: &[Vector]) -> Schema {
    let beside = recipe.settings.output_column.is_some();
    let mut fields = Vec::new();
    for (index, field) in stored.fields().iter().enumerate() {
        let vector = vectors.iter().find(|vector| vector.column.index == index);
        if vector.is_none() || beside {
            fields.push(Arc::clone(field));
        }
        fields.extend(vector.map(|vector| {
            let name = if beside { vector.field.name() } else { field.name() };
            Arc::new(vector_field(field, name, vector.field.is_nullable(), vector.numbers, vector.width, beside))
        }));
        fields.extend(vector.and_then(|vector| vector.scale.clone()));
    }
    fields.extend(recipe.settings.confidence_column.as_deref().map(confidence_field));
    fields.extend(recipe.settings.origin_column.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, false))));
    let notes = stored.metadata().iter();
    let notes = notes.map(|(key, text)| (key.clone(), notes::mended(key, text, recipe, vectors)));
    Schema::new_with_metadata(fields, notes.collect())
}

/// The bytes of a base64 text.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Other columns are written as they were, as far as they are written anew; vectors plain, without dictionary and
/// statistics.
fn properties(
    file: &File,
    recipe: &Recipe,
    vectors: &[Vector],
    schema: &SchemaDescriptor,
    leaves: &[Leaf],
    entries: Vec<KeyValue>,
    page_index: bool,
) -> Result<WriterProperties> {
    let first = file.metadata().row_groups().iter().find(|group| group.num_rows() > 0);
    let mut properties = WriterProperties::builder()
        .set_key_value_metadata(Some(entries))
        .set_sorting_columns(sorting(file, leaves))
        .set_offset_index_disabled(!page_index)
        .set_statistics_enabled(if page_index { EnabledStatistics::Page } else { EnabledStatistics::Chunk });
    let input = file.metadata().file_metadata().schema_descr();
    for (leaf, source) in leaves.iter().enumerate() {
        let path = schema.column(leaf).path().clone();
        let source = match source {
            Leaf::Origin => {
                properties = properties.set_column_compression(path, Compression::ZSTD(ZstdLevel::default()));
                continue;
            }
            // Scales and confidences: as good as every value is another one.
            Leaf::Vector(number) if *number >= vectors.len() => {
                let zstd = Compression::ZSTD(ZstdLevel::default());
                properties =
                    properties.set_column_compression(path.clone(), zstd).set_column_dictionary_enabled(path, false);
                continue;
            }
            Leaf::Copied(source) => *source,
            Leaf::Vector(number) => {
                let root = vectors[*number].column.index;
                (0..input.num_columns()).find(|&leaf| input.get_column_root_idx(leaf) == root).unwrap_or_default()
            }
        };
        let chunk = first.map(|group| group.column(source));
        let is_vector = matches!(leaves[leaf], Leaf::Vector(_));
        // Plain, a code would be as long as the number it is for; a place in a dictionary of all codes has eight bits.
        let has_codes = |number: usize| matches!(vectors[number].numbers, Numbers::Codes | Numbers::Signs);
        let is_short = matches!(leaves[leaf], Leaf::Vector(number) if has_codes(number));
        let compression = match recipe.settings.codec {
            Codec::None if is_vector => Compression::UNCOMPRESSED,
            Codec::Zstd if is_vector => Compression::ZSTD(ZstdLevel::default()),
            _ => chunk.map_or(Compression::ZSTD(ZstdLevel::default()), codec),
        };
        properties = properties.set_column_compression(path.clone(), compression);
        if is_vector {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), is_short)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_encoding(path, Encoding::PLAIN);
        } else if let Some(chunk) = chunk {
            properties = properties.set_column_dictionary_enabled(path.clone(), has_dictionary(chunk));
            if is_all_dictionary(chunk) {
                properties = properties.set_column_dictionary_page_size_limit(path.clone(), DICTIONARY_BYTES);
            }
            if let Some(encoding) = chunk.encodings().find(|encoding| is_of_values(*encoding, chunk.column_type())) {
                properties = properties.set_column_encoding(path.clone(), encoding);
            }
            if chunk.bloom_filter_offset().is_some() {
                properties = properties.set_column_bloom_filter_enabled(path, true);
            }
        }
    }
    Ok(properties.build())
}

/// A codec that can be written where there are some that can only be read.
fn codec(chunk: &ColumnChunkMetaData) -> Compression {
    match chunk.compression() {
        Compression::LZ4 => Compression::LZ4_RAW,
        Compression::LZO => Compression::ZSTD(ZstdLevel::default()),
        codec => codec,
    }
}

fn has_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    chunk.encodings().any(|encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY))
}

/// Whether no value of a chunk is outside of its dictionary.
fn is_all_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    let is_data = |page: &PageType| matches!(page, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
    chunk.page_encoding_stats().is_some_and(|pages| {
        pages
            .iter()
            .filter(|page| is_data(&page.page_type))
            .all(|page| matches!(page.encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY))
    })
}

/// Whether an encoding is one of such values, and not what is taken anyway.
fn is_of_values(encoding: Encoding, values: Physical) -> bool {
    use Physical::{BYTE_ARRAY, DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT, INT32, INT64};
    match encoding {
        Encoding::DELTA_BINARY_PACKED => matches!(values, INT32 | INT64),
        Encoding::DELTA_LENGTH_BYTE_ARRAY => matches!(values, BYTE_ARRAY),
        Encoding::DELTA_BYTE_ARRAY => matches!(values, BYTE_ARRAY | FIXED_LEN_BYTE_ARRAY),
        Encoding::BYTE_STREAM_SPLIT => matches!(values, INT32 | INT64 | FLOAT | DOUBLE | FIXED_LEN_BYTE_ARRAY),
        _ => false,
    }
}

/// What the rows of every row group are sorted by, where all say the same; up to the first column that is translated.
fn sorting(file: &File, leaves: &[Leaf]) -> Option<Vec<SortingColumn>> {
    let mut groups = file.metadata().row_groups().iter();
    let sorted = groups.next()?.sorting_columns()?;
    if !groups.all(|group| group.sorting_columns() == Some(sorted)) {
        return None;
    }
    let moved = sorted.iter().map_while(|column| {
        let source = usize::try_from(column.column_idx).ok()?;
        let leaf = leaves.iter().position(|leaf| *leaf == Leaf::Copied(source))?;
        Some(SortingColumn { column_idx: i32::try_from(leaf).ok()?, ..*column })
    });
    Some(moved.collect()).filter(|moved: &Vec<_>| !moved.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("TWFuMQ", "Man1")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(base64("a b"), None);
    }

    #[test]
    fn a_tensor_type_says_the_new_width_and_others_are_dropped() {
        let of = |name: &str, about: &str| {
            HashMap::from([
                (EXTENSION.to_owned(), name.to_owned()),
                (EXTENSION_METADATA.to_owned(), about.to_owned()),
                ("note".to_owned(), "kept".to_owned()),
            ])
        };
        let list = Numbers::F32.data_type(Field::new_list_field(DataType::Float32, true), 5);
        let tensor = of("arrow.fixed_shape_tensor", r#"{"shape":[3],"dim_names":["d"]}"#);
        let moved = of("arrow.fixed_shape_tensor", r#"{"shape":[5],"dim_names":["d"]}"#);
        let note = HashMap::from([("note".to_owned(), "kept".to_owned())]);
        assert_eq!(of_this_width(tensor.clone(), &list, 5), moved);
        assert_eq!(of_this_width(tensor, &DataType::FixedSizeBinary(20), 5), note);
        assert_eq!(of_this_width(of("arrow.fixed_shape_tensor", r#"{"shape":[1,3]}"#), &list, 5), note);
        assert_eq!(of_this_width(of("mine.vector", "3"), &list, 5), note);
    }
}
