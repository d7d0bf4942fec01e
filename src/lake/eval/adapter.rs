//! The query adapter: new queries translated into the old space, the lake untouched.

use super::Request;
use super::trial::Trial;

use crate::column::best::{Against, MAX_UNSEEN};
use crate::column::{BEST, Choice, Keys, Method, MethodOptions, Side, Translator};
use crate::kernel::Rows;
use crate::kernel::block::Scratch;
use crate::kernel::keyed::draw;
use crate::lake::matched::Matched;
use crate::lake::stored::read_translator;
use crate::{Error, Result};

/// Fewer pairs than that outside the documents searched make no adapter: it is fitted on the documents as well.
const FEWEST_ANCHORS: usize = 200;
/// Parts of the documents; queries of a part are translated by an adapter that is fitted on the others.
const FOLDS: u64 = 5;

/// The queries in the old space, and how that came about.
///
/// `documents` are those matched, `outside` the pairs of native and old vectors that are not searched.
pub fn adapt(
    request: &Request,
    trial: &Trial,
    documents: &Matched<'_>,
    outside: &Matched<'_>,
) -> Result<(Vec<f32>, String)> {
    let widths = (documents.tables[0].0.width(), documents.tables[2].0.width());
    let queries = Rows::new(&trial.new, widths.0);
    if let Some(place) = &request.adapter {
        let adapter = read_translator(place)?;
        let found = (adapter.source_width, adapter.target_width);
        if found != widths {
            return Err(Error::file(
                place.shown(),
                format!(
                    "translates {} numbers to {}, and a query adapter goes from the new model's {} to the old one's {}: fit \
                     it with --source {} --target {}",
                    found.0,
                    found.1,
                    widths.0,
                    widths.1,
                    request.native.shown(),
                    request.old_documents.shown()
                ),
            ));
        }
        return Ok((apply(&adapter, queries)?, format!("{}, method {}", place.shown(), adapter.method)));
    }

    let pairs = outside.first(outside.keys.drawn("anchors", request.seed), request.anchors)?;
    if pairs.rows.len() >= FEWEST_ANCHORS.min(request.anchors) {
        let (new, old) = (Rows::new(&pairs.vectors[0], widths.0), Rows::new(&pairs.vectors[1], widths.1));
        let (keys, count) = (outside.keys.select(&pairs.rows), pairs.rows.len());
        let method = best(&keys, new, old, Rows::new(&trial.old_documents, widths.1))?;
        let adapter = fit(&keys, new, old, method)?;
        let name = method.name();
        let said = format!("{name}, fitted on {count} pairs of native and old documents that are not searched");
        return Ok((apply(&adapter, queries)?, said));
    }

    let keys = documents.keys.select(&trial.documents);
    let (new, old) = (Rows::new(&trial.native, widths.0), Rows::new(&trial.old_documents, widths.1));
    let all: Vec<usize> = (0..keys.len().min(request.anchors)).collect();
    let unseen: Vec<usize> = (all.len()..keys.len()).take(MAX_UNSEEN).collect();
    let method = best(
        &keys.select(&all),
        Rows::new(&new.select(&all), widths.0),
        Rows::new(&old.select(&all), widths.1),
        Rows::new(&old.select(&unseen), widths.1),
    )?;
    let name = method.name();
    let fit_on = |chosen: &mut dyn Iterator<Item = usize>| {
        let chosen: Vec<usize> = chosen.take(request.anchors).collect();
        let (new, old) = (new.select(&chosen), old.select(&chosen));
        fit(&keys.select(&chosen), Rows::new(&new, widths.0), Rows::new(&old, widths.1), method)
    };
    let Some(own) = &trial.own else {
        let adapter = fit_on(&mut (0..keys.len()))?;
        let said = format!("{name}, fitted on {} of the documents searched, which flatters it", all.len());
        return Ok((apply(&adapter, queries)?, said));
    };
    let part = |document: usize| {
        let draw = draw("fold", request.seed, &keys.canonical(document));
        draw.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)) % FOLDS
    };
    let parts: Vec<u64> = (0..keys.len()).map(part).collect();
    let mut adapted = vec![0.0; queries.len() * widths.1];
    for part in 0..FOLDS {
        let asked: Vec<usize> = (0..own.len()).filter(|&query| parts[own[query]] == part).collect();
        if asked.is_empty() {
            continue;
        }
        let adapter = fit_on(&mut (0..keys.len()).filter(|&document| parts[document] != part))?;
        let rows = apply(&adapter, Rows::new(&queries.select(&asked), widths.0))?;
        for (&query, row) in asked.iter().zip(rows.chunks_exact(widths.1)) {
            adapted[query * widths.1..(query + 1) * widths.1].copy_from_slice(row);
        }
    }
    let said =
        format!("{name}, fitted {FOLDS} times on the documents searched; none adapts a query that it was fitted on");
    Ok((adapted, said))
}

/// The method that `babelake fit` takes where none is named.
fn best(keys: &Keys, new: Rows<'_>, old: Rows<'_>, unseen: Rows<'_>) -> Result<Method> {
    let against = Against { unseen, classes: None };
    match Choice::new(&MethodOptions::default(), BEST)? {
        Choice::Method(method) => Ok(method),
        Choice::Best(best) => {
            Ok(Translator::compare(keys, &side(new), &side(old), &against, &best)?.choose(best.by).method)
        }
    }
}

fn fit(keys: &Keys, new: Rows<'_>, old: Rows<'_>, method: Method) -> Result<Translator> {
    Translator::fit_rows(keys, &side(new), &side(old), &Choice::Method(method))
}

fn side(rows: Rows<'_>) -> Side<'_> {
    Side { rows, encoder: "", mean: None }
}

fn apply(adapter: &Translator, queries: Rows<'_>) -> Result<Vec<f32>> {
    let mut out = vec![0.0; queries.len() * adapter.target_width];
    adapter
        .translation()
        .apply(queries.len(), |i| Some(queries.row(i)), &mut Scratch::default(), &mut out)
        .map_err(|flaw| Error::Invalid(format!("query {} overflows when it is centred", flaw.row)))?;
    Ok(out)
}
