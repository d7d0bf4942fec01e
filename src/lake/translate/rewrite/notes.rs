//! What other tools note in a footer about the columns, as JSON.

use serde_json::{Value, json};

use super::Recipe;
use super::vectors::{Numbers, Vector};

/// The entry `key` of a footer as it is right for the output.
pub fn mended(key: &str, text: &str, recipe: &Recipe, vectors: &[Vector]) -> String {
    let mend = match key {
        "huggingface" => huggingface,
        "pandas" => pandas,
        _ => return text.to_owned(),
    };
    let mended = serde_json::from_str(text).ok().and_then(|note| mend(note, recipe, vectors));
    mended.map_or_else(|| text.to_owned(), |note| note.to_string())
}

/// `datasets` notes the feature that a column is: a vector is a list of some length. It ignores a feature that does not agree
/// with its column.
fn huggingface(mut note: Value, recipe: &Recipe, vectors: &[Vector]) -> Option<Value> {
    let features = note.pointer_mut("/info/features")?.as_object_mut()?;
    for (name, feature) in std::mem::take(features) {
        let vector = vectors.iter().find(|vector| vector.column.name == name);
        let translated = vector.map(|vector| (vector.field.name().clone(), vector_feature(&feature, vector)));
        if translated.is_none() || recipe.settings.output_column.is_some() {
            features.insert(name, feature);
        }
        features.extend(translated);
        let scale = vector.and_then(|vector| vector.scale.as_ref());
        features.extend(scale.map(|scale| (scale.name().clone(), json!({"dtype": "float32", "_type": "Value"}))));
    }
    if let Some(name) = &recipe.settings.confidence_column {
        features.insert(name.clone(), json!({"dtype": "float32", "_type": "Value"}));
    }
    if let Some(name) = &recipe.settings.origin_column {
        features.insert(name.clone(), json!({"dtype": "string", "_type": "Value"}));
    }
    Some(note)
}

fn vector_feature(source: &Value, vector: &Vector) -> Value {
    let item = match vector.numbers {
        Numbers::F32 => "float32",
        Numbers::F16 => "float16",
        Numbers::Codes => "int8",
        Numbers::Signs => "uint8",
        Numbers::Bytes => return json!({"dtype": "binary", "_type": "Value"}),
    };
    // Older versions know no `List`.
    let kind = if source["_type"] == "List" { "List" } else { "Sequence" };
    let item = json!({"dtype": item, "_type": "Value"});
    json!({"feature": item, "length": vector.numbers.items(vector.width), "_type": kind})
}

/// pandas names the type of every column, as pyarrow names it.
fn pandas(mut note: Value, recipe: &Recipe, vectors: &[Vector]) -> Option<Value> {
    let columns = note.get_mut("columns")?.as_array_mut()?;
    let of_type = |name: &str, kind: &str, numpy: &str| json!({"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": null});
    let new = |name: &str, kind: &str| of_type(name, kind, "object");
    for mut column in std::mem::take(columns) {
        let vector = vectors.iter().find(|vector| column["field_name"] == *vector.column.name);
        let kind = vector.map(|vector| if vector.numbers == Numbers::Bytes { "bytes" } else { "object" });
        let beside = recipe.settings.output_column.as_ref().zip(kind).map(|(name, kind)| new(name, kind));
        if let (Some(kind), None) = (kind, &beside) {
            column["pandas_type"] = json!(kind);
        }
        columns.push(column);
        columns.extend(beside);
        let scale = vector.and_then(|vector| vector.scale.as_ref());
        columns.extend(scale.map(|scale| of_type(scale.name(), "float32", "float32")));
    }
    columns.extend(recipe.settings.confidence_column.iter().map(|name| of_type(name, "float32", "float32")));
    columns.extend(recipe.settings.origin_column.iter().map(|name| new(name, "unicode")));
    Some(note)
}
