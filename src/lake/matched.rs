//! Rows that several tables hold under the same key, and their vectors.

use super::table::{At, Conditions, KeyedRows, Table, Vectors};
use crate::column::Keys;
use crate::{Error, Result};

/// Rows of several tables that have the same key, by ascending key.
pub struct Matched<'a> {
    pub keys: Keys,
    /// For each table its vectors, and where the rows are.
    pub tables: Vec<(&'a Vectors<'a>, Vec<At>)>,
}

/// Rows that have a vector in every table.
pub struct Gathered {
    /// Their places.
    pub rows: Vec<usize>,
    /// Their vectors, row-major, table by table.
    pub vectors: Vec<Vec<f32>>,
    /// Rows passed over, for want of a vector.
    pub nulls: usize,
}

impl<'a> Matched<'a> {
    /// The queries of a table, or where there is one by the old model, too, those of both.
    pub fn queries(
        (table, vectors): (&Table, &'a Vectors<'a>),
        by_old: Option<(&Table, &'a Vectors<'a>)>,
        key: &[String],
    ) -> Result<Self> {
        let KeyedRows { keys, at, .. } = table.keys(key, &Conditions::default())?;
        let Some((old, old_vectors)) = by_old else { return Ok(Self { keys, tables: vec![(vectors, at)] }) };
        let found = old.find(key, &keys, (table, key))?;
        let both: Vec<usize> = (0..keys.len()).filter(|&row| found[row].is_some()).collect();
        if both.is_empty() {
            return Err(Error::file(
                old.shown(),
                format!(
                    "has none of the queries of {}: both must hold the same ones under the same keys",
                    table.shown()
                ),
            ));
        }
        let new = both.iter().map(|&row| at[row]).collect();
        let old = both.iter().filter_map(|&row| found[row]).collect();
        Ok(Self { keys: keys.select(&both), tables: vec![(vectors, new), (old_vectors, old)] })
    }

    /// The first `count` rows in this order that have a vector in every table.
    pub fn first(&self, order: impl IntoIterator<Item = usize>, count: usize) -> Result<Gathered> {
        let mut order = order.into_iter();
        let mut gathered = Gathered { rows: Vec::new(), vectors: vec![Vec::new(); self.tables.len()], nulls: 0 };
        loop {
            let next: Vec<usize> = order.by_ref().take(count - gathered.rows.len()).collect();
            if next.is_empty() {
                return Ok(gathered);
            }
            let read = self.tables.iter().map(|(vectors, at)| {
                let wanted: Vec<At> = next.iter().map(|&row| at[row]).collect();
                vectors.read(&wanted)
            });
            let read = read.collect::<Result<Vec<_>>>()?;
            for (i, row) in next.into_iter().enumerate() {
                let found: Option<Vec<&[f32]>> = read.iter().map(|table| table[i].as_deref()).collect();
                let Some(found) = found else {
                    gathered.nulls += 1;
                    continue;
                };
                gathered.rows.push(row);
                gathered.vectors.iter_mut().zip(found).for_each(|(all, vector)| all.extend_from_slice(vector));
            }
        }
    }
}
