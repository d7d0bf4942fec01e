//! What holds for the functions together with the engine.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::arguments::Call;
use super::emb_translator::EmbTranslator;
use super::options::Options;
use super::{measures, register_all, scalar};
use crate::column::{Keys, Width, embedding};

const SOURCE: usize = 6;
const TARGET: usize = 5;

/// Numbers of no pattern, the same for the same `id` and `place`.
fn number(id: i64, place: usize) -> f32 {
    let mut x = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (place as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    (x % 20_011) as f32 / 10_000.0 - 1.0
}

fn rows(ids: &[i64]) -> RecordBatch {
    let column = |width: usize, shift: usize| -> ArrayRef {
        let values: Vec<f32> = ids.iter().flat_map(|id| (0..width).map(move |i| number(*id, shift + i))).collect();
        Arc::new(embedding::fixed(values, width, None, ids.len()).unwrap())
    };
    let field = |name, width| Field::new(name, Width::Fixed(width).data_type(), true);
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), field("x", SOURCE), field("y", TARGET)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec())), column(SOURCE, 0), column(TARGET, 100)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// A session over a table `rows` of `batches`, spread over `partitions`.
fn context(batches: Vec<RecordBatch>, partitions: usize, batch_size: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_size);
    let mut context = SessionContext::new_with_config(config);
    register_all(&mut context).unwrap();
    let mut spread = vec![Vec::new(); partitions];
    let schema = batches[0].schema();
    for (i, batch) in batches.into_iter().enumerate() {
        spread[i % partitions].push(batch);
    }
    context.register_table("rows", Arc::new(MemTable::try_new(schema, spread).unwrap())).unwrap();
    context
}

async fn query(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
    frame.collect().await.map_err(|error| error.to_string())
}

/// Bits of the first column, all rows.
fn bits(batches: &[RecordBatch]) -> Vec<u32> {
    let floats = |batch: &RecordBatch| {
        let values = batch.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec();
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    batches.iter().flat_map(floats).collect()
}

#[tokio::test]
async fn rows_partitions_and_batches_do_not_change_a_bit() {
    let ids: Vec<i64> = (0..700).collect();
    let sql = |method: &str| {
        format!(
            "SELECT emb_translate(x, (SELECT emb_fit(id, x, y, {method}) FROM rows WHERE id < 60)) FROM rows ORDER BY id"
        )
    };
    for method in ["{method: 'parseval'}", "{method: 'irp', omega: 5, delta: 0.3, seed: 3}"] {
        let mut expected = None;
        for (partitions, batch_size, pieces) in [(1, 8192, 1), (2, 64, 11), (3, 7, 50)] {
            // Another order of the rows in every session: id -> id * step modulo 700, step coprime to it.
            let step = [1, 3, 11][partitions - 1];
            let shuffled: Vec<i64> = ids.iter().map(|id| id * step % 700).collect();
            let batches = shuffled.chunks(700_usize.div_ceil(pieces)).map(rows).collect();
            let found = bits(&query(&context(batches, partitions, batch_size), &sql(method)).await.unwrap());
            assert_eq!(found.len(), 700 * TARGET);
            assert_eq!(*expected.get_or_insert(found.clone()), found, "{method} in {partitions} partitions");
        }
    }
}

/// Every measure over the translations of all rows, and what it compares them with.
const MEASURES: [&str; 8] = [
    "emb_retrieval(id, t, y, {pool: 300, seed: 2})",
    "emb_retrieval('key ' || id, t, y, {pool: 300, metric: 'centred_cosine', csls: 5})",
    "emb_retrieval(id, t, y, {metric: 'l2'})",
    "emb_knn_overlap(id, t, y, {pool: 300})",
    "emb_similarity(id, t, y, {pool: 300})",
    "emb_mixed(id, y, t, CASE WHEN id % 3 = 0 THEN 'native' ELSE 'translated' END, {pool: 300, threshold: 0.1})",
    "emb_cka(x, y)",
    "emb_svcca(x, y)",
];

/// All numbers of a struct or a column of one row.
fn numbers(column: &ArrayRef) -> Vec<f64> {
    let columns = match column.as_struct_opt() {
        Some(fields) => fields.columns().to_vec(),
        None => vec![Arc::clone(column)],
    };
    let number = |column: &ArrayRef| cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(0);
    columns.iter().map(number).collect()
}

#[tokio::test]
async fn rows_partitions_and_batches_do_not_change_a_measure() {
    let mut expected: Vec<Option<Vec<f64>>> = vec![None; MEASURES.len()];
    for (partitions, batch_size, pieces, step) in [(1, 8192, 1, 1), (2, 64, 11, 3), (3, 7, 50, 11)] {
        let shuffled: Vec<i64> = (0..700).map(|id| id * step % 700).collect();
        let batches = shuffled.chunks(700_usize.div_ceil(pieces)).map(rows).collect();
        let context = context(batches, partitions, batch_size);
        query(&context, "CREATE TABLE fitted AS SELECT emb_fit(id, x, y) AS t FROM rows WHERE id < 60").await.unwrap();
        query(&context, "CREATE VIEW all_rows AS SELECT *, emb_translate(x, (SELECT t FROM fitted)) AS t FROM rows")
            .await
            .unwrap();
        for (measure, expected) in MEASURES.iter().zip(&mut expected) {
            let found = query(&context, &format!("SELECT {measure} FROM all_rows")).await.unwrap();
            let found = numbers(found[0].column(0));
            let want = expected.get_or_insert_with(|| found.clone());
            let tolerance = if measure.contains("cca") || measure.contains("cka") { 1e-9 } else { 0.0 };
            assert_eq!(found.len(), want.len());
            for (found, want) in found.iter().zip(want) {
                assert!((*found - *want).abs() <= tolerance, "{measure} in {partitions} partitions: {found}, {want}");
            }
        }
    }
}

#[test]
fn a_pool_holds_no_more_rows_than_it_says() {
    let batch = |from: i64| rows(&(from..from + 1000).collect::<Vec<_>>());
    let fields = batch(0).schema();
    let fields = [fields.fields()[0].clone(), fields.fields()[2].clone(), fields.fields()[2].clone()];
    let call = Call { function: "emb_retrieval", syntax: "", fields: &fields, literals: &[] };
    let options = Options::none("emb_retrieval");
    let collected = measures::pairs("emb_retrieval", &call, &["query", "document"], &options).unwrap();
    let mut collected = collected.pool(50, 0);
    let mut sizes = Vec::new();
    for from in (0..20_000).step_by(1000) {
        let batch = batch(from);
        collected.update(&[batch.column(0).clone(), batch.column(2).clone(), batch.column(2).clone()]).unwrap();
        assert_eq!(collected.keys().len(), 50);
        sizes.push(collected.size());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0] && *size < 10_000), "{sizes:?}");
    // The rows kept are the first of the draw, each with its own vectors.
    let all = Keys::Int((0..20_000).collect());
    let mut first: Vec<i64> = all.drawn("pool", 0)[..50].iter().map(|&i| i as i64).collect();
    first.sort_unstable();
    let order = collected.keys().order();
    assert_eq!(collected.keys().select(&order), Keys::Int(first.clone()));
    for (&place, id) in order.iter().zip(first) {
        assert_eq!(collected.rows(1).row(place)[0], number(id, 100));
    }
}

#[tokio::test]
async fn groups_beyond_the_memory_fail_with_the_bytes_needed() {
    let batches: Vec<RecordBatch> = (0..20).map(|i| rows(&(i * 1000..i * 1000 + 1000).collect::<Vec<_>>())).collect();
    let schema = batches[0].schema();
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(200_000, 1.0).build_arc().unwrap();
    let mut context = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), runtime);
    register_all(&mut context).unwrap();
    context.register_table("rows", Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())).unwrap();
    for sql in [
        "SELECT emb_retrieval(id, y, y) FROM rows",
        "SELECT id % 4, emb_retrieval(id, y, y) FROM rows GROUP BY id % 4",
        "SELECT id % 4000, emb_cka(x, y) FROM rows GROUP BY id % 4000",
    ] {
        let error = query(&context, sql).await.unwrap_err();
        assert!(error.contains("Failed to allocate additional"), "{sql}: {error}");
    }
    // What fits, runs.
    query(&context, "SELECT emb_retrieval(id, y, y, {pool: 100}) FROM rows").await.unwrap();
}

#[tokio::test]
async fn a_nested_fit_runs_once_over_a_hundred_batches() {
    let batches: Vec<RecordBatch> = (0..100).map(|i| rows(&(i * 10..i * 10 + 10).collect::<Vec<_>>())).collect();
    let mut context = context(batches, 2, 10);
    let function = scalar::udf(EmbTranslator::default());
    let inner = Arc::clone(function.inner());
    datafusion::execution::FunctionRegistry::register_udf(&mut context, Arc::new(function)).unwrap();
    let sql = "SELECT emb_translate(x, emb_translator((SELECT emb_space(id, x) FROM rows WHERE id < 60),
                                                      (SELECT emb_space(id, y) FROM rows WHERE id < 60))) FROM rows";
    let found = query(&context, sql).await.unwrap();
    assert!(found.len() >= 100);
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1000);
    let translator: &dyn Any = inner.as_ref();
    assert_eq!(scalar::inner_of::<EmbTranslator>(translator).unwrap().fits(), 1);
}

#[tokio::test]
async fn a_translator_used_twice_stays_one_value() {
    let context = context(vec![rows(&(0..60).collect::<Vec<_>>())], 2, 8192);
    query(&context, "CREATE TABLE fitted AS SELECT emb_fit(id, x, y) AS t FROM rows").await.unwrap();
    let twice =
        "SELECT emb_translate(x, (SELECT t FROM fitted)) AS a, emb_norm(emb_translate(x, (SELECT t FROM fitted))) AS n,
                        emb_cosine(y, emb_translate(x, (SELECT t FROM fitted))) AS c FROM rows";
    let plan = context.sql(twice).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let extracted = text.lines().filter(|line| line.contains("__common_expr"));
    for line in extracted {
        assert!(!line.contains("scalar_subquery(<pending>) as __common_expr"), "{text}");
    }
    query(&context, twice).await.unwrap();

    // Where the engine does repeat it for every row (here a join), views share the numbers.
    let fitted = query(&context, "SELECT t FROM fitted").await.unwrap();
    let one = fitted[0].column(0);
    let joined = query(&context, "SELECT t FROM rows CROSS JOIN fitted").await.unwrap();
    let matrix =
        |struct_: &ArrayRef| struct_.as_struct().column_by_name("matrix").unwrap().as_list_view::<i32>().clone();
    for batch in &joined {
        let repeated = matrix(batch.column(0));
        assert_eq!(repeated.values().len(), matrix(one).values().len(), "{} rows", batch.num_rows());
    }
    let column = "SELECT emb_translate(x, t) FROM rows CROSS JOIN fitted ORDER BY id";
    let scalar = "SELECT emb_translate(x, (SELECT t FROM fitted)) FROM rows ORDER BY id";
    assert_eq!(bits(&query(&context, column).await.unwrap()), bits(&query(&context, scalar).await.unwrap()));
}

/// Settings to choose from, more than 8.
const GRID: &str = "(SELECT value % 12 AS k FROM generate_series(0, 299)) grid";

#[tokio::test]
async fn a_grid_fits_each_setting_once_and_rows_share_its_matrix() {
    let mut context = context(vec![rows(&(0..60).collect::<Vec<_>>())], 1, 32);
    let function = scalar::udf(EmbTranslator::default());
    let inner = Arc::clone(function.inner());
    datafusion::execution::FunctionRegistry::register_udf(&mut context, Arc::new(function)).unwrap();
    query(&context, "CREATE TABLE s AS SELECT emb_space(id, x) AS x, emb_space(id, y) AS y FROM rows").await.unwrap();
    let sql = format!("SELECT emb_translator(x, y, {{method: 'irp', omega: 1, delta: 0.0, seed: k}}) FROM s, {GRID}");
    let found = query(&context, &sql).await.unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 300);
    for batch in &found {
        let matrices = batch.column(0).as_struct().column_by_name("matrix").unwrap().clone();
        let rows_held = matrices.as_list_view::<i32>().values().len();
        assert!(rows_held <= 12 * SOURCE, "{} rows hold {rows_held} rows of matrices", batch.num_rows());
    }
    let translator: &dyn Any = inner.as_ref();
    assert_eq!(scalar::inner_of::<EmbTranslator>(translator).unwrap().fits(), 12);
}

#[tokio::test]
async fn alternating_values_give_what_each_gives_alone() {
    let context = context(vec![rows(&(0..300).collect::<Vec<_>>())], 1, 8192);
    query(
        &context,
        "CREATE TABLE fitted AS SELECT g, emb_fit(id, x, y) AS t, emb_space(id, x) AS s, emb_decoder(emb_space(id, x)) AS d
         FROM (SELECT id % 3 AS g, * FROM rows) GROUP BY g",
    )
    .await
    .unwrap();
    let value = |name: &str| format!("(SELECT {name} FROM fitted WHERE g = 1)");
    let both = [
        ("emb_translate(x, t)", format!("emb_translate(x, {})", value("t"))),
        ("emb_relative(x, s, 100)", format!("emb_relative(x, {}, 100)", value("s"))),
        ("emb_decode(emb_relative(x, s), d)", format!("emb_decode(emb_relative(x, {}), {})", value("s"), value("d"))),
    ];
    for (mixed, alone) in both {
        // All rows, each with the translator of its own group; of them those of one group.
        let mixed = format!(
            "SELECT v FROM (SELECT id, {mixed} AS v FROM rows JOIN fitted ON id % 3 = g) WHERE id % 3 = 1 ORDER BY id"
        );
        let alone = format!("SELECT {alone} FROM rows WHERE id % 3 = 1 ORDER BY id");
        assert_eq!(
            bits(&query(&context, &mixed).await.unwrap()),
            bits(&query(&context, &alone).await.unwrap()),
            "{mixed}"
        );
    }
}

#[tokio::test]
async fn a_null_translator_is_an_error() {
    let context = context(vec![rows(&[1, 2, 3])], 1, 8192);
    query(&context, "CREATE TABLE fitted AS SELECT emb_fit(id, x, y) AS t FROM rows").await.unwrap();
    for sql in [
        "SELECT emb_translate(x, (SELECT t FROM fitted WHERE false)) FROM rows",
        "SELECT emb_translate(x, t) FROM rows LEFT JOIN fitted ON false",
    ] {
        let error = query(&context, sql).await.unwrap_err();
        assert!(error.contains("argument 2 (`translator`) is NULL: no translator was found"), "{error}");
    }
}
