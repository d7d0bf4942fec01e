"""`babelake import` beside `cp` and beside the script one would write with pyarrow: MB/s and memory, on files of a given size.

    python3 benches/import.py BABELAKE FOLDER [FBIN_MB] [JSONL_MB]

Makes an `.fbin` of FBIN_MB (10,000) megabytes, vectors of 768 numbers, and JSON lines of JSONL_MB (5,000), a key, a text and 384 numbers
with seven digits each, in FOLDER; removes them afterwards. The scripts hold as much as they must: for `.fbin` numpy.memmap in pieces of 64 MB,
for JSON lines pyarrow.json.open_json in blocks of 64 MB. Files are written to the same folder, in the cache of the system. `cpu s` is time
of all cores, which other work on the machine changes least. Seeded. Needs numpy and pyarrow.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

FBIN_WIDTH = 768
JSON_WIDTH = 384

SCRIPTS = {
    "fbin": """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
source, output = sys.argv[1:]
n, d = (int(x) for x in np.fromfile(source, dtype='<u4', count=2))
rows = np.memmap(source, dtype='<f4', mode='r', offset=8, shape=(n, d))
schema = pa.schema([('id', pa.int64()), ('embedding', pa.list_(pa.float32(), d))])
step = (64 << 20) // (4 * d)
with pq.ParquetWriter(output, schema, compression='zstd', compression_level=1, use_dictionary=['id'], write_statistics=['id']) as writer:
    for first in range(0, n, step):
        part = rows[first:first + step]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), d)
        writer.write_table(pa.table([pa.array(np.arange(first, first + len(part))), vectors], schema=schema))
""",
    "jsonl": """
import sys, pyarrow as pa, pyarrow.json as pj, pyarrow.parquet as pq
source, output = sys.argv[1:]
reader = pj.open_json(source, read_options=pj.ReadOptions(block_size=64 << 20))
writer = None
for batch in reader:
    column = batch.column('embedding')
    d = len(column[0])
    vectors = pa.FixedSizeListArray.from_arrays(column.flatten().cast(pa.float32()), d)
    table = pa.table([batch.column('id'), batch.column('text'), vectors], names=['id', 'text', 'embedding'])
    if writer is None:
        writer = pq.ParquetWriter(output, table.schema, compression='zstd', compression_level=1, use_dictionary=['id', 'text'],
                                  write_statistics=['id', 'text'])
    writer.write_table(table)
writer.close()
""",
}


def make_fbin(path, megabytes):
    import numpy as np

    rng = np.random.default_rng(1)
    rows = megabytes * 10**6 // (4 * FBIN_WIDTH)
    with open(path, "wb") as file:
        file.write(np.array([rows, FBIN_WIDTH], dtype="<u4").tobytes())
        for first in range(0, rows, 1 << 14):
            file.write(rng.standard_normal((min(1 << 14, rows - first), FBIN_WIDTH), dtype=np.float32).tobytes())


def make_jsonl(path, megabytes):
    import numpy as np

    rng = np.random.default_rng(2)
    # A thousand vectors in turn: what is measured is reading them.
    vectors = [",".join(f"{number:.7f}" for number in rng.standard_normal(JSON_WIDTH)) for _ in range(1000)]
    written, i = 0, 0
    with open(path, "w") as file:
        while written < megabytes * 10**6:
            line = f'{{"id":{i},"text":"text number {i}","embedding":[{vectors[i % 1000]}]}}\n'
            file.write(line)
            written, i = written + len(line), i + 1


def run(command):
    """Seconds, seconds of all cores, and megabytes of memory at most."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command}: {said}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main():
    if sys.argv[1] in SCRIPTS:
        return {"fbin": make_fbin, "jsonl": make_jsonl}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    babelake, folder = sys.argv[1], Path(sys.argv[2])
    sizes = {"fbin": int(sys.argv[3]) if len(sys.argv) > 3 else 10_000, "jsonl": int(sys.argv[4]) if len(sys.argv) > 4 else 5_000}
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'file':>6} {'MB':>7} {'tool':>9} {'s':>8} {'cpu s':>8} {'MB/s':>8} {'of cp':>6} {'peak MB':>8} {'output MB':>9}")
    for kind, size in sizes.items():
        source, output = folder / f"bench.{kind}", folder / "bench.out"
        # In a process of its own: the memory of this one counts as that of those it begins.
        run([sys.executable, __file__, kind, source, size])
        megabytes = source.stat().st_size / 1e6
        tools = {
            "cp": ["cp", source, output],
            "pyarrow": [sys.executable, "-c", SCRIPTS[kind], source, output],
            "babelake": [babelake, "import", source, "-o", output],
        }
        copied = None
        for tool, command in tools.items():
            seconds, cpu, memory = run(command)
            copied = copied or seconds
            print(f"{kind:>6} {megabytes:7.0f} {tool:>9} {seconds:8.1f} {cpu:8.1f} {megabytes / seconds:8.0f} {copied / seconds:6.2f} "
                  f"{memory:8.0f} {output.stat().st_size / 1e6:9.0f}", flush=True)
            output.unlink()
        source.unlink()


if __name__ == "__main__":
    main()
