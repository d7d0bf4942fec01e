"""Writes the Parquet files of tests/columns.rs: columns of all sorts around an embedding, as other tools write them.

python tests/data/make.py, with pyarrow and numpy (made with 26.0 and 2.4).
"""

import datetime
import decimal
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
ROWS = 600
random = np.random.default_rng(7)
vectors = random.standard_normal((ROWS, 3)).astype("f4")


def write(name, table, rows, **options):
    """In row groups of some rows, and in one."""
    pq.write_table(table, HERE / f"{name}.parquet", row_group_size=rows, **options)
    pq.write_table(table, HERE / f"{name}_one.parquet", row_group_size=ROWS, **options)


def some(value, every=5):
    """value(row), NULL in every fifth row."""
    return [None if row % every == 3 else value(row) for row in range(ROWS)]


def field(name, kind, nullable=True, **metadata):
    return pa.field(name, kind, nullable, {key: str(value) for key, value in metadata.items()})


def numbered(name, kind, number, nullable=True):
    return field(name, kind, nullable, **{"PARQUET:field_id": number})


def moment(row):
    return datetime.datetime(2024, 2, 29, 12, 30) + datetime.timedelta(minutes=row, microseconds=row)


words = ["red", "green", "blue", "a longer text that is there again and again " * 3]
point = pa.struct([numbered("x", pa.float64(), 21, False), numbered("tags", pa.list_(numbered("element", pa.string(), 23)), 22)])

# As Spark or an Iceberg writer leaves it: INT96 times, field ids, no Arrow schema, snappy, pages of the first version.
columns = [
    (numbered("id", pa.int64(), 1, False), list(range(ROWS))),
    (numbered("seen", pa.timestamp("ns"), 2), some(moment)),
    (numbered("price", pa.decimal128(9, 2), 3), some(lambda row: decimal.Decimal(row * 7 - 900) / 100)),
    (numbered("volume", pa.decimal128(38, 9), 4), some(lambda row: decimal.Decimal(row) ** 9)),
    (numbered("embedding", pa.list_(numbered("element", pa.float32(), 6)), 5), [None if row == 17 else v for row, v in enumerate(vectors)]),
    (numbered("point", point, 7), some(lambda row: {"x": row / 3, "tags": None if row % 7 == 0 else ["a", None, "b"][: row % 4]})),
    (numbered("counts", pa.map_(pa.string(), numbered("value", pa.int32(), 9)), 8), some(lambda row: [(f"k{i}", i or None) for i in range(row % 3)])),
    (numbered("color", pa.string(), 10), some(lambda row: words[row % 4], 11)),
    (numbered("flag", pa.bool_(), 11), some(lambda row: row % 2 == 0)),
]
table = pa.table([pa.array(values, f.type) for f, values in columns], pa.schema([f for f, _ in columns]))
write("spark", table, 250, store_schema=False, use_deprecated_int96_timestamps=True, version="1.0")

# As pandas and pyarrow leave it: pages of the second version with checksums and indexes, a codec for every column, Bloom
# filters, sorted by id; dictionary and extension types, time zones, a required embedding.
tensor = pa.fixed_shape_tensor(pa.float32(), [3])
columns = [
    (field("id", pa.int64(), False, comment="primary key"), list(range(ROWS))),
    (field("uuid", pa.uuid()), [random.bytes(16) for _ in range(ROWS)]),
    (field("category", pa.dictionary(pa.int8(), pa.string(), ordered=True)), some(lambda row: words[row % 4])),
    (field("time", pa.timestamp("us", "Europe/Paris")), some(moment)),
    (field("day", pa.date32(), False), [moment(1440 * row).date() for row in range(ROWS)]),
    (field("embedding", tensor, False, comment="of the title"), None),
    (field("length", pa.duration("ms")), some(lambda row: datetime.timedelta(milliseconds=row))),
    (field("small", pa.uint8()), some(lambda row: row % 256)),
    (field("half", pa.float16()), some(lambda row: np.float16(row / 4))),
    (field("text", pa.large_string()), some(lambda row: f"text of row {row} " * (row % 9))),
    (field("view", pa.string_view(), False), [f"v{row}" for row in range(ROWS)]),
    (field("nested", pa.large_list(pa.struct([("a", pa.int16()), ("b", pa.list_(pa.date32()))]))),
     some(lambda row: [{"a": None, "b": [datetime.date(2020, 1, 1), None]}, None][: row % 3])),
    (field("ratio", pa.float32(), False), (np.arange(ROWS) / 7).astype("f4")),
]
names = [f.name for f, _ in columns]
kinds = ["int64", "bytes", "categorical", "datetimetz", "date", "object", "timedelta64", "uint8", "float16", "unicode", "unicode", "object", "float32"]
pandas = {
    "index_columns": [{"kind": "range", "name": None, "start": 0, "stop": ROWS, "step": 1}],
    "column_indexes": [],
    "columns": [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": "object", "metadata": None}
        for name, kind in zip(names, kinds)
    ],
    "attributes": {},
    "creator": {"library": "pyarrow", "version": "26.0.1"},
    "pandas_version": "3.1.1",
}
schema = pa.schema([f for f, _ in columns], {"pandas": json.dumps(pandas), "owner": "search team"})
arrays = [
    pa.FixedShapeTensorArray.from_numpy_ndarray(vectors) if f.name == "embedding" else pa.array(values, f.type)
    for f, values in columns
]
encodings = {"ratio": "BYTE_STREAM_SPLIT", "time": "DELTA_BINARY_PACKED", "view": "DELTA_BYTE_ARRAY", "text": "DELTA_LENGTH_BYTE_ARRAY"}
codecs = ["zstd", "snappy", "gzip", "brotli", "lz4", "zstd", "none"]
write(
    "pandas", pa.table(arrays, schema), 150, data_page_version="2.0", write_page_checksum=True, write_page_index=True,
    data_page_size=512, use_dictionary=["category", "small", "nested.list.element.a"],
    column_encoding=encodings, compression={name: codecs[i % len(codecs)] for i, name in enumerate(names)},
    sorting_columns=[pq.SortingColumn(0)], bloom_filter_options={"id": True, "uuid": {"ndv": 200}},
)

# As `datasets` leaves it: a list of a known length and its note.
features = {
    "text": {"dtype": "string", "_type": "Value"},
    "embedding": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 3, "_type": "List"},
    "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
}
schema = pa.schema(
    [("text", pa.string()), ("embedding", pa.list_(pa.field("element", pa.float32()), 3)), ("label", pa.int64())],
    {"huggingface": json.dumps({"info": {"features": features}, "fingerprint": "f00"})},
)
arrays = [[f"row {row}" for row in range(ROWS)], [v.tolist() for v in vectors], [row % 2 for row in range(ROWS)]]
write("datasets", pa.table(arrays, schema), 100)
