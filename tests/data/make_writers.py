"""Writes tests/data/writers/: the same vectors as other tools write them, for tests/writers.rs.

python tests/data/make_writers.py, with pyarrow, pandas, polars, duckdb, datasets and pyspark (made with 26.0, 3.1, 2.1, 2.0, 5.2 and 4.2); pyspark needs Java.
"""

import json
import pathlib
import shutil
import tempfile

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "writers"
ROWS, WIDTH = 300, 8
random = np.random.default_rng(11)
vectors = random.standard_normal((ROWS, WIDTH)).astype("f4")
ids = np.arange(ROWS, dtype="i8")
# What widens to the same numbers in f32, in f16 and in f64.
halves = vectors.astype("f2").astype("f4")


def arrow(values, kind):
    """A table with a column of `kind`."""
    return pa.table({"id": ids, "embedding": pa.array(list(values), kind)})


def save(name, table, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)


HERE.mkdir(exist_ok=True)
for values, suffix in [(vectors, ""), (halves, "_half")]:
    save(f"pyarrow{suffix}", arrow(values, pa.list_(pa.float32(), WIDTH)))
save("pyarrow_list", arrow(vectors, pa.list_(pa.float32())))
save("pyarrow_large_list", arrow(vectors, pa.large_list(pa.float32())))
save("pyarrow_f64", arrow(vectors.astype("f8"), pa.list_(pa.float64(), WIDTH)))
save("pyarrow_f16_half", arrow(halves.astype("f2"), pa.list_(pa.float16(), WIDTH)))
save("pyarrow_bytes", pa.table({"id": ids, "embedding": pa.array([v.tobytes() for v in vectors], pa.binary(4 * WIDTH))}))
save("pyarrow_no_schema", arrow(vectors, pa.list_(pa.float32(), WIDTH)), store_schema=False)
save("pyarrow_v2_pages", arrow(vectors, pa.list_(pa.float32())), data_page_version="2.0", compression="gzip", row_group_size=70)
save("pyarrow_dictionary", arrow(vectors, pa.list_(pa.float32())), use_dictionary=True, version="1.0")

pd.DataFrame({"id": ids, "embedding": list(vectors)}).to_parquet(HERE / "pandas.parquet")
pd.DataFrame({"id": ids, "embedding": [v.tolist() for v in vectors]}).to_parquet(HERE / "pandas_f64.parquet")

frame = pl.DataFrame({"id": ids, "embedding": vectors}, schema_overrides={"embedding": pl.Array(pl.Float32, WIDTH)})
frame.write_parquet(HERE / "polars_array.parquet")
frame.with_columns(pl.col("embedding").arr.to_list()).write_parquet(HERE / "polars_list.parquet")

database = duckdb.connect()
source = arrow(vectors, pa.list_(pa.float32()))
database.register("source", source)
database.execute(f"COPY (SELECT id, embedding FROM source ORDER BY id) TO '{HERE}/duckdb_list.parquet' (FORMAT parquet)")
database.execute(f"COPY (SELECT id, embedding::FLOAT[{WIDTH}] AS embedding FROM source ORDER BY id) TO '{HERE}/duckdb_array.parquet' (FORMAT parquet, PARQUET_VERSION v2)")

features = {"id": datasets.Value("int64"), "embedding": datasets.List(datasets.Value("float32"), length=WIDTH)}
rows = {"id": ids, "embedding": vectors}
datasets.Dataset.from_dict(rows, datasets.Features(features)).to_parquet(str(HERE / "datasets_fixed.parquet"))
features["embedding"] = datasets.List(datasets.Value("float32"))
datasets.Dataset.from_dict(rows, datasets.Features(features)).to_parquet(str(HERE / "datasets_list.parquet"))

from pyspark.sql import SparkSession  # noqa: E402 (starts Java)

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
with tempfile.TemporaryDirectory() as folder:
    schema = "id bigint, embedding array<float>"
    rows = [(int(i), [float(x) for x in v]) for i, v in zip(ids, vectors)]
    spark.createDataFrame(rows, schema).coalesce(1).write.parquet(f"{folder}/spark")
    (part,) = pathlib.Path(folder, "spark").glob("*.parquet")
    shutil.copy(part, HERE / "spark.parquet")
    legacy = spark.createDataFrame(rows, schema).coalesce(1).write.option("compression", "snappy")
    spark.conf.set("spark.sql.parquet.writeLegacyFormat", "true")
    legacy.parquet(f"{folder}/legacy")
    (part,) = pathlib.Path(folder, "legacy").glob("*.parquet")
    shutil.copy(part, HERE / "spark_legacy.parquet")
spark.stop()

# The numbers themselves, from numpy: sums of rows and the first row.
json.dump(
    {"first": [float(x) for x in vectors[0]], "sums": [float(x) for x in vectors.astype("f8").sum(1)]},
    (HERE / "expected.json").open("w"),
)
