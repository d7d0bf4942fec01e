"""Writes `iceberg/` and `delta/` beside this script: small tables of other formats, made by their own libraries.

    python tests/data/make_tables.py        (pyiceberg 0.11 with pyarrow and sql-sqlite, fastavro, deltalake 1.6, pyroaring)

Row i has the vector (i, i + 1/2, -i). Neither library writes deletes as files of their own: the manifest of one, and the deletion
vector of the other, are made here by the letter of their specifications.
"""

import json
import shutil
import struct
import tempfile
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from pyroaring import BitMap64

HERE = Path(__file__).resolve().parent
# Iceberg notes full paths: where a table was written, not where it is now.
WAREHOUSE = Path("/lake")


def rows(begin, end):
    ids = np.arange(begin, end)
    vectors = np.stack([ids, ids + 0.5, -ids], axis=1).astype(np.float32)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "lang": pa.array(np.where(ids % 2 == 0, "en", "fr").tolist()),
        "embedding": pa.array(list(vectors), pa.list_(pa.float32())),
    })


def keep(table, name):
    """Copies what the newest metadata file needs, and the data files that are no longer in the table."""
    source, target = WAREHOUSE / name, HERE / "iceberg" / name
    metadata = Path(table.metadata_location.removeprefix("file://"))
    (target / "metadata").mkdir(parents=True)
    snapshot = table.current_snapshot()
    lists = [] if snapshot is None else [snapshot.manifest_list, *(m.manifest_path for m in snapshot.manifests(table.io))]
    for file in [metadata, *(Path(f.removeprefix("file://")) for f in lists)]:
        shutil.copy(file, target / "metadata" / file.name)
    shutil.copy(metadata, target / "metadata" / "now.metadata.json")
    (target / "metadata" / metadata.name).unlink()
    if (source / "data").exists():
        shutil.copytree(source / "data", target / "data")
    return target


def iceberg():
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    WAREHOUSE.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        catalog = SqlCatalog("c", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{WAREHOUSE}")
        catalog.create_namespace("l")
        make = lambda name: catalog.create_table(f"l.{name}", schema=rows(0, 1).schema, location=f"file://{WAREHOUSE}/{name}")
        plain, parted, empty = make("plain"), make("parted"), make("empty")
        plain.append(rows(0, 20))
        plain.append(rows(20, 40))
        plain.delete("id < 20")
        with parted.update_spec() as spec:
            spec.add_identity("lang")
        parted.append(rows(0, 10))
        parted.overwrite(rows(100, 110))
        target = keep(plain, "plain")
        keep(parted, "parted")
        keep(empty, "empty")
    # The same table, one of whose manifests is of delete files.
    deletes = HERE / "iceberg" / "deletes"
    shutil.copytree(target, deletes)
    [listed] = deletes.glob("metadata/snap-*.avro")
    with open(listed, "rb") as file:
        reader = fastavro.reader(file)
        schema, manifests = reader.writer_schema, list(reader)
    manifests[-1]["content"] = 1
    with open(listed, "wb") as file:
        fastavro.writer(file, schema, manifests, codec="deflate")
    shutil.rmtree(WAREHOUSE)


def z85(data):
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    data += b"\0" * (-len(data) % 4)
    text = ""
    for [number] in struct.iter_unpack(">I", data):
        text += "".join(alphabet[number // 85**place % 85] for place in (4, 3, 2, 1, 0))
    return text


def delta():
    for name, parts in (("plain", None), ("parted", ["lang"])):
        folder = HERE / "delta" / name
        write_deltalake(folder, rows(0, 20), partition_by=parts)
        write_deltalake(folder, rows(20, 40), mode="append")
        DeltaTable(folder).delete("id < 4")
    folder = HERE / "delta" / "deleted"
    write_deltalake(folder, rows(0, 30))
    log = folder / "_delta_log"
    lines = [json.loads(line) for line in (log / "00000000000000000000.json").read_text().splitlines()]
    [add] = [line["add"] for line in lines if "add" in line]
    [metadata] = [line["metaData"] for line in lines if "metaData" in line]
    # Rows 0, 7 and 29 of the file.
    bitmap = struct.pack("<I", 1681511377) + BitMap64([0, 7, 29]).serialize()
    vector = {"storageType": "i", "pathOrInlineDv": z85(bitmap), "sizeInBytes": len(bitmap), "cardinality": 3}
    metadata["configuration"] = {"delta.enableDeletionVectors": "true"}
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    stats = json.loads(add["stats"]) | {"tightBounds": False}
    remove = {"path": add["path"], "deletionTimestamp": add["modificationTime"] + 1, "dataChange": True, "size": add["size"],
              "partitionValues": {}, "extendedFileMetadata": True}
    commit = [{"commitInfo": {"timestamp": add["modificationTime"] + 1, "operation": "DELETE", "operationParameters": {}}},
              {"protocol": protocol}, {"metaData": metadata}, {"remove": remove},
              {"add": add | {"stats": json.dumps(stats), "deletionVector": vector}}]
    (log / "00000000000000000001.json").write_text("".join(json.dumps(action) + "\n" for action in commit))


for made in ("iceberg", "delta"):
    shutil.rmtree(HERE / made, ignore_errors=True)
iceberg()
delta()
