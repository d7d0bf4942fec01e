//! The classes of pairs: each value of a column of the source is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::table::{At, Pairs, Table};
use crate::{Error, Result};

/// The classes of some pairs.
#[derive(Debug)]
pub struct Classes {
    of: HashMap<usize, usize>,
}

impl Classes {
    /// Reads those of the pairs `wanted`. A NULL is an error, as is a column that is neither of numbers nor of strings.
    pub fn read(source: &Table, column: &str, pairs: &Pairs, wanted: impl Iterator<Item = usize>) -> Result<Self> {
        let wanted: Vec<usize> = wanted.collect::<BTreeSet<_>>().into_iter().collect();
        let at: Vec<At> = wanted.iter().map(|&pair| pairs.source[pair]).collect();
        let values = source.take(&[column], &at)?;
        let Some(values) = values.columns().first() else { return Ok(Self { of: HashMap::new() }) };
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
        Ok(Self { of: wanted.into_iter().zip(classes).collect() })
    }

    /// The classes of pairs that were read.
    pub fn of(&self, pairs: &[usize]) -> Vec<usize> {
        pairs.iter().filter_map(|pair| self.of.get(pair)).copied().collect()
    }
}
