//! The classes of pairs: each value of a column of the source is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::table::{At, Pairs, Table};
use crate::column::{Head, Keys};
use crate::{Error, Result};

/// The classes of some pairs.
#[derive(Debug, Default)]
pub struct Classes {
    of: HashMap<usize, usize>,
    /// Of all classes, ascending.
    names: Vec<String>,
}

impl Classes {
    /// Reads those of the pairs `wanted`. A NULL is an error, as is a column that is neither of numbers nor of strings.
    pub fn read(source: &Table, column: &str, pairs: &Pairs, wanted: impl Iterator<Item = usize>) -> Result<Self> {
        let wanted: Vec<usize> = wanted.collect::<BTreeSet<_>>().into_iter().collect();
        let at: Vec<At> = wanted.iter().map(|&pair| pairs.source[pair]).collect();
        let values = source.take(&[column], &at)?;
        let Some(values) = values.columns().first() else { return Ok(Self::default()) };
        let texts = cast(values, &DataType::Utf8).map_err(|_| {
            let found = values.data_type();
            Error::Invalid(format!(
                "--label `{column}` of {} is {found}: a column of numbers or strings names classes",
                source.shown()
            ))
        })?;
        if let Some(null) = (0..texts.len()).find(|&i| texts.is_null(i)) {
            return Err(Error::Invalid(format!(
                "{}: column `{column}` is NULL: an anchor and a held-out row need a class (\"{column} IS NOT NULL\" in \
                 --where and --eval-where leaves rows out)",
                source.place_of(at[null])
            )));
        }
        let texts = texts.as_string::<i32>();
        let names: BTreeSet<&str> = texts.iter().flatten().collect();
        let numbers: BTreeMap<&str, usize> =
            names.into_iter().enumerate().map(|(number, name)| (name, number)).collect();
        let classes = texts.iter().map(|name| name.and_then(|name| numbers.get(name)).copied().unwrap_or_default());
        let of = wanted.into_iter().zip(classes).collect();
        Ok(Self { of, names: numbers.into_keys().map(str::to_owned).collect() })
    }

    /// The classes of pairs that were read.
    pub fn of(&self, pairs: &[usize]) -> Vec<usize> {
        pairs.iter().filter_map(|pair| self.of.get(pair)).copied().collect()
    }
    /// The names of the classes of pairs that were read.
    pub fn labels(&self, pairs: &[usize]) -> Keys {
        Keys::Text(self.of(pairs).into_iter().filter_map(|class| self.names.get(class)).cloned().collect())
    }

    /// The classes of pairs as places among the labels of a head. A class that is none of them is an error.
    pub fn of_head(&self, pairs: &[usize], head: &Head) -> Result<Vec<usize>> {
        let labels: HashMap<String, usize> = (0..head.labels.len()).map(|i| (head.labels.text(i), i)).collect();
        let place = |class: usize| {
            let name = self.names.get(class).map_or("", String::as_str);
            labels.get(name).copied().ok_or_else(|| {
                let known = (0..head.labels.len()).map(|i| head.labels.text(i)).collect::<Vec<_>>().join(", ");
                Error::Invalid(format!("class {name} is none that the head knows: it knows {known}"))
            })
        };
        self.of(pairs).into_iter().map(place).collect()
    }
}
