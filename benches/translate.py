"""The Python sides of benches/translate.rs: what makes the lake, what runs and measures every job, and the jobs to compare with.

usage: translate.py run CORES COMMAND...                runs it on so many cores; prints wall and CPU seconds and peak kB, then what it said
       translate.py make FOLDER ROWS FILES FROM TO ANCHORS   a lake without and with zstd, one file of it, and the anchors to fit from
       translate.py sgemm ROWS FROM TO                  one product in memory, into memory that was in use before
       translate.py copy|script|naive|scan ...          jobs over folders of Parquet files
       translate.py fit SOURCE TARGET OMEGA DELTA       irp
       translate.py check FOLDER FOLDER                 fails where the vectors of the two are not the same but for rounding

A job prints its own wall and CPU seconds. Imports and what a job could have kept from the day before are not in them. Batches are of
the size at which pyarrow reads and copies fastest here, and vectors are fixed-size lists, which it writes faster than others.
"""

import os
import resource
import subprocess
import sys
import time

BATCH = 8192
SEED = 1
# Topics that rows are about: rows of one are near each other, so that pruning is gradual.
TOPICS = 60


def run(cores, *command):
    """This process stays small: what the system counts as a child's peak begins with its parent's."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(cores):])
    threads = dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"], cores)
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    print(time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss)
    print(said.decode(), end="")
    sys.exit(os.waitstatus_to_exitcode(status) != 0)


if sys.argv[1] == "run":
    run(*sys.argv[2:])

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sweep import farthest_point, unit


def files(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith(".parquet"))


def column(rows):
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def vectors(batch):
    embedding = batch.column("embedding")
    return embedding.flatten().to_numpy().reshape(len(embedding), -1)


def table(ids, rows):
    return pa.table({"id": ids, "embedding": column(rows)})


def make(folder, rows, count, source, target, anchors):
    rng = np.random.default_rng(SEED)
    rows, count, source, target, anchors = map(int, (rows, count, source, target, anchors))
    topics = rng.uniform(-1, 1, (TOPICS, source)).astype("f4")

    def drawn(number):
        share = rng.uniform(0.2, 2, (number, 1)).astype("f4")
        own = rng.random((number, source), dtype="f4") * 2 - 1
        return 0.3 + topics[rng.integers(TOPICS, size=number)] + share * own

    for codec in ["none", "zstd"]:
        os.makedirs(f"{folder}/{codec}")
    for part in range(count):
        ids = np.arange(part * rows // count, (part + 1) * rows // count)
        some = table(ids, drawn(len(ids)))
        for codec in ["none", "zstd"]:
            pq.write_table(some, f"{folder}/{codec}/part-{part}.parquet", compression=codec)
    os.makedirs(f"{folder}/one")
    os.link(f"{folder}/none/part-0.parquet", f"{folder}/one/part-0.parquet")
    x = drawn(anchors)
    y = x @ (rng.standard_normal((source, target), dtype="f4") / np.float32(source) ** 0.5)
    y += 0.1 * rng.standard_normal(y.shape, dtype="f4")
    pq.write_table(table(np.arange(anchors), x), f"{folder}/source.parquet")
    pq.write_table(table(np.arange(anchors), y), f"{folder}/target.parquet")


def sgemm(rows, source, target):
    rng = np.random.default_rng(SEED)
    x, matrix = (rng.random(shape, dtype="f4") for shape in [(int(rows), int(source)), (int(source), int(target))])
    out = np.full((int(rows), int(target)), 1, "f4")
    return lambda: np.matmul(x, matrix, out=out)


def rewrite(source, target, codec, change):
    os.makedirs(target)
    for name in files(source):
        reader, writer = pq.ParquetFile(f"{source}/{name}"), None
        for batch in reader.iter_batches(batch_size=BATCH):
            batch = change(batch)
            writer = writer or pq.ParquetWriter(f"{target}/{name}", batch.schema, compression=codec)
            writer.write_batch(batch)
        writer.close()


def copy(source, target, codec):
    return lambda: rewrite(source, target, codec, lambda batch: batch)


def translated(batch, rows):
    return pa.record_batch({"id": batch.column("id"), "embedding": column(rows)})


def script(source, target, codec, translator):
    fitted = pq.read_table(translator).column(0)[0]
    mean_x, matrix, mean_y = (
        fitted[name].values.flatten().to_numpy() for name in ["source_mean", "matrix", "target_mean"]
    )
    matrix = matrix.reshape(len(mean_x), len(mean_y))
    scale = np.float32(fitted["scale"].as_py())

    def change(batch):
        x = vectors(batch) - mean_x
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y = x @ matrix
        y *= scale
        y += mean_y
        return translated(batch, y)

    return lambda: rewrite(source, target, codec, change)


def anchors(path):
    rows = vectors(pq.read_table(path).combine_chunks().to_batches()[0])
    mean = rows.mean(axis=0, dtype="f8")
    return rows, mean, unit(rows - mean)


def members(u_y, omega, delta):
    """Pruned anchors and the pseudo-inverse of each member of an ensemble."""
    for start in np.random.default_rng(SEED).integers(len(u_y), size=int(omega)):
        kept = farthest_point(u_y, int(start), float(delta))
        yield kept, np.linalg.pinv(u_y[kept].T, rcond=1e-6)


def naive(source, target, codec, source_anchors, target_anchors, omega, delta):
    """Every row's relative coordinates, and the mean of what each member of the ensemble makes of them."""
    _, mean_x, u_x = anchors(source_anchors)
    y, mean_y, u_y = anchors(target_anchors)
    scale = np.float32(np.linalg.norm(y - mean_y, axis=1).mean())
    ensemble = [(kept, inverse.astype("f4")) for kept, inverse in members(u_y, omega, delta)]
    mean_x, mean_y, u_x = (numbers.astype("f4") for numbers in (mean_x, mean_y, u_x))

    def change(batch):
        relative = unit(vectors(batch) - mean_x) @ u_x.T
        y = sum(relative[:, kept] @ inverse for kept, inverse in ensemble)
        return translated(batch, scale / len(ensemble) * y + mean_y)

    return lambda: rewrite(source, target, codec, change)


def scan(folder):
    def read():
        for name in files(folder):
            for _ in pq.ParquetFile(f"{folder}/{name}").iter_batches(BATCH, columns=["embedding"], use_threads=False):
                pass

    return read


def fit(source, target, omega, delta):
    def fitted():
        _, _, u_x = anchors(source)
        _, _, u_y = anchors(target)
        decoder = np.zeros(u_y.shape)
        for kept, inverse in members(u_y, omega, delta):
            decoder[kept] += inverse / int(omega)
        return u_x.T @ decoder

    return fitted


def check(one, other):
    for name in files(one):
        a, b = (np.concatenate([vectors(batch) for batch in pq.ParquetFile(f"{folder}/{name}").iter_batches()])
                for folder in (one, other))
        if a.shape != b.shape or np.abs(a - b).max() > 1e-4 * np.abs(a).max():
            sys.exit(f"{name}: the vectors are not the same")


job, *arguments = sys.argv[1:]
jobs = {"sgemm": sgemm, "copy": copy, "script": script, "naive": naive, "scan": scan, "fit": fit}
if job in jobs:
    work = jobs[job](*arguments)
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
else:
    {"make": make, "check": check}[job](*arguments)
