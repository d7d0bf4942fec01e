"""Makes a file of sentence pairs as large as WikiMatrix's largest, and two embedding tables that hold some of its sentences.

    python3 benches/wikimatrix.py FOLDER [LINES] [EMBEDDED]
    babelake run pipelines/wikimatrix.sql --set bitexts=FOLDER --set lake=FOLDER --set languages=de,en --set out=FOLDER/out

LINES (5,000,000) pairs, best margin first, one in a thousand lines broken; EMBEDDED (500,000) sentences a language with vectors of 384
numbers. Seeded. Needs numpy and pyarrow.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 384
PART = 50_000


def words(rng, language, count=20_000):
    """Words of a language that does not exist."""
    letters = np.array(list("aeioubcdfghklmnprstvz"))
    lengths = rng.integers(3, 11, count)
    return ["".join(rng.choice(letters, length)) + language for length in lengths]


def sentences(rng, vocabulary, numbers):
    """A sentence for every number, which is in it, so that all differ."""
    ranks = np.minimum(rng.zipf(1.2, (len(numbers), 14)) - 1, len(vocabulary) - 1)
    return [" ".join([vocabulary[i] for i in row]) + f" \"{number}\"" for row, number in zip(ranks, numbers)]


def main():
    folder = Path(sys.argv[1])
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000
    embedded = int(sys.argv[3]) if len(sys.argv) > 3 else 500_000
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    languages = {language: words(rng, language) for language in ("de", "en")}
    chosen = np.zeros(lines, dtype=bool)
    chosen[rng.permutation(lines)[:embedded]] = True
    item = pa.list_(pa.float32(), WIDTH)
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("embedding", item)])
    writers = {name: pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="none") for name in languages}
    with gzip.GzipFile(folder / "WikiMatrix.de-en.tsv.gz", "wb", compresslevel=4, mtime=0) as out:
        for first in range(0, lines, PART):
            numbers = np.arange(first, min(first + PART, lines))
            margins = 1.3 - 0.3 * numbers / lines
            texts = {name: sentences(rng, vocabulary, numbers) for name, vocabulary in languages.items()}
            rows = zip(numbers, margins, texts["de"], texts["en"])
            text = (f"{m:.7f}\t{de}\t{en}\n" if n % 1000 != 999 else f"{de}\n" for n, m, de, en in rows)
            out.write("".join(text).encode())
            here = chosen[first:first + len(numbers)]
            for name, writer in writers.items():
                vectors = rng.standard_normal((int(here.sum()), WIDTH), dtype=np.float32)
                some = [sentence for sentence, wanted in zip(texts[name], here) if wanted]
                table = pa.table([pa.array(numbers[here]), pa.array(some),
                                  pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH)], schema=schema)
                writer.write_table(table)
    for writer in writers.values():
        writer.close()
    print(f"{lines} lines, {(folder / 'WikiMatrix.de-en.tsv.gz').stat().st_size >> 20} MB; {embedded} sentences embedded a language")


if __name__ == "__main__":
    main()
