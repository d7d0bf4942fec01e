"""Writes small files in the formats that `babelake import` reads, and what numpy says their rows are.

    python tests/data/make_imports.py        (numpy, ml_dtypes, safetensors)

Files go to tests/data/imports/, rows to tests/data/imports.json: a list of rows for every file, as f32 holds them.
"""

import gzip
import json
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "imports"
ROWS, WIDTH = 7, 5


def main():
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(11)
    rows = rng.standard_normal((ROWS, WIDTH))
    singles = rows.astype(np.float32)
    integers = rng.integers(-120, 120, (ROWS, WIDTH))
    given = {}

    def told(name, array):
        given[name] = np.asarray(array).astype(np.float32).tolist()
        return FOLDER / name

    for kind in ("f2", "f4", "f8"):
        np.save(told(f"{kind}.npy", rows.astype(kind)), rows.astype(kind))
    for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        array = (np.abs(integers) if kind[0] == "u" else integers).astype(kind)
        np.save(told(f"{kind}.npy", array), array)
    np.save(told("fortran.npy", singles), np.asfortranarray(singles))
    for version in ((2, 0), (3, 0)):
        with open(told(f"version{version[0]}.npy", singles), "wb") as file:
            np.lib.format.write_array(file, singles, version=version)
    np.save(FOLDER / "one.npy", singles[0])
    np.save(FOLDER / "three.npy", singles.reshape(ROWS, WIDTH, 1))
    np.save(FOLDER / "big_endian.npy", singles.astype(">f4"))
    np.save(FOLDER / "none.npy", singles[:0])
    np.save(FOLDER / "keys.npy", np.arange(100, 100 + ROWS, dtype=np.int32))
    bad = singles.copy()
    bad[2, 1], bad[5, 0] = np.nan, np.inf
    np.save(FOLDER / "bad.npy", bad)

    np.savez(told("stored.npz", singles), labels=np.arange(ROWS), vectors=singles)
    np.savez_compressed(told("deflated.npz", rows.astype(np.float16)), labels=np.arange(ROWS), vectors=rows.astype(np.float16))
    np.savez(FOLDER / "several.npz", a=singles, b=singles + 1, c=np.asfortranarray(singles))
    given["several.npz"] = (singles + 1).tolist()

    def bin_file(name, array):
        path = told(name, array)
        path.write_bytes(struct.pack("<II", *array.shape) + array.tobytes())

    def vecs_file(name, array):
        path = told(name, array)
        path.write_bytes(b"".join(struct.pack("<i", len(row)) + row.tobytes() for row in array))

    bin_file("a.fbin", singles)
    bin_file("a.f16bin", rows.astype(np.float16))
    bin_file("a.u8bin", np.abs(integers).astype(np.uint8))
    bin_file("a.i8bin", integers.astype(np.int8))
    vecs_file("a.fvecs", singles)
    vecs_file("a.bvecs", np.abs(integers).astype(np.uint8))

    for kind, array in (("F32", singles), ("F16", rows.astype(np.float16)), ("F64", rows), ("BF16", rows.astype(ml_dtypes.bfloat16))):
        save_file({"bias": singles[0], "numbers": integers, "vectors": array}, told(f"{kind}.safetensors", array))
    save_file({"a": singles, "b": singles + 1}, FOLDER / "several.safetensors")
    given["several.safetensors"] = (singles + 1).tolist()

    # Words as gensim's save_word2vec_format writes them, as fastText does (a blank at the end), and as GloVe does (no first line).
    words = ["the", "café", "new\u00a0york", "the", "1984", "日本", "."]
    lines = [" ".join([word] + [repr(float(number)) for number in row]) for word, row in zip(words, singles)]
    told("gensim.vec", singles).write_text(f"{ROWS} {WIDTH}\n" + "\n".join(lines) + "\n", encoding="utf-8")
    told("fasttext.vec", singles).write_text(f"{ROWS} {WIDTH}\n" + "".join(f"{line} \n" for line in lines), encoding="utf-8")
    lines[6] = ". . " + lines[6]
    told("glove.txt", singles).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with gzip.GzipFile(told("glove.vec.gz", singles), "wb", mtime=0) as file:
        file.write(("\n".join(lines) + "\n").encode())
    (FOLDER / "word2vec.bin").write_bytes(
        f"{ROWS} {WIDTH}\n".encode() + b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(words, singles)))

    objects = [
        {"id": i, "text": f"text {i} \u00e9 \"quoted\"", "score": float(rows[i, 0]), "ok": i % 2 == 0, "tags": ["a"], "hash": 2**63 + i,
         "note": None if i else 3, "embedding": [float(number) for number in row]} for i, row in enumerate(singles)
    ]
    text = "".join(json.dumps(one) + "\n" for one in objects)
    told("a.jsonl", singles).write_text(text)
    with gzip.GzipFile(told("a.jsonl.gz", singles), "wb", mtime=0) as file:
        file.write(text.encode())
    given["scores"] = rows[:, 0].tolist()
    (HERE / "imports.json").write_text(json.dumps(given) + "\n")


if __name__ == "__main__":
    main()
