"""Makes this folder's tables and bitexts: a corpus in German, English and French, and an encoder for each language.

    python3 -m venv venv && venv/bin/pip install -r sample_data/requirements.txt
    venv/bin/python sample_data/parallel/make.py

The same machine and versions give the same bytes. Prints a line for each table (width, size, the share of the tf-idf
variance that its directions keep, how alike two different sentences are), for each bitext (size, lines by kind) and for
each direction of translation (how many test rows find their own translation first).
"""

import gzip
import io
import random
import sys
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

# The folder holds data: no __pycache__ in it.
sys.dont_write_bytecode = True
from words import LANGUAGES, sentence  # noqa: E402

HERE = Path(__file__).resolve().parent
ROWS = 2400
TRAIN_ROWS = 1800
WIDTH = 64
ANCHORS = 768

# Of each bitext: true pairs that are missing, true pairs of sentences no table has, wrong pairs, repeated pairs.
MISSING = 60
STRANGERS = 8
WRONG = 210
REPEATED = 75
# The margin under which the WikiMatrix project advises to drop a pair.
THRESHOLD = 1.04


def corpus(rows, seed):
    """That many sentences, no two alike in any language: for each language its texts, in the same order."""
    rng = random.Random(seed)
    seen = tuple(set() for _ in LANGUAGES)
    kept = []
    while len(kept) < rows:
        drawn = sentence(rng)
        if not any(text in known for text, known in zip(drawn, seen)):
            for text, known in zip(drawn, seen):
                known.add(text)
            kept.append(drawn)
    return dict(zip(LANGUAGES, map(list, zip(*kept))))


def encode(texts, train):
    """Tf-idf of words and letters, projected to 64 singular directions of the train rows; sees one language only.

    The mean is not taken off, as in most encoders. Also the share of the train rows' variance that is kept.
    """
    views = [
        TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=r"\w+", min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True),
    ]
    known = [text for text, is_train in zip(texts, train) if is_train]
    weights = hstack([view.fit(known).transform(texts) for view in views]).tocsr()
    svd = TruncatedSVD(WIDTH, algorithm="arpack", random_state=0).fit(weights[train])
    # The sign of a singular direction is arbitrary: its largest entry is made positive.
    directions = svd.components_
    peaks = directions[np.arange(WIDTH), np.abs(directions).argmax(axis=1)]
    return weights @ (directions * np.sign(peaks)[:, None]).T, svd.explained_variance_ratio_.sum()


def write_table(language, texts, embedding, split):
    """One table: id, split, text, embedding."""
    rows, width = embedding.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel(), pa.float32()), width)
    table = pa.table({
        "id": pa.array(np.arange(rows), pa.int64()),
        "split": pa.array(split, pa.string()),
        "text": pa.array(texts, pa.string()),
        "embedding": vectors,
    })
    path = HERE / f"{language}.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=["split"])
    return path


def bitext(first, second, missing, strangers, seed):
    """The lines of one bitext, best first, and how many are of each kind.

    `missing` are the rows whose pair is left out, `strangers` pairs of sentences that no table has.
    """
    rng = random.Random(seed)

    def margin():
        return THRESHOLD + 1e-6 + (1.35 - THRESHOLD) * rng.betavariate(2.0, 3.0)

    left_out = set(missing)
    pairs = [(margin(), first[row], second[row]) for row in range(ROWS) if row not in left_out]
    strange = [(margin(), *pair) for pair in strangers]
    repeated = [(THRESHOLD + (score - THRESHOLD) * rng.uniform(0.1, 0.9), one, other)
             for score, one, other in rng.sample(pairs, REPEATED)]
    wrong = []
    for _ in range(WRONG):
        row, other = rng.sample(range(ROWS), 2)
        wrong.append((rng.uniform(1.0, THRESHOLD - 1e-6), first[row], second[other]))
    scored = [(f"{score:.7f}", one, other) for score, one, other in pairs + strange + repeated + wrong]
    lines = ["\t".join(line) for line in sorted(scored, key=lambda line: line[0], reverse=True)]

    # Pairs that are left out, in lines that cannot be read: a column missing or two, a score that is no number.
    a, b, c, d, e = missing[:5]
    broken = [
        f"{margin():.7f}\t{first[a]}",
        f"{margin():.7f}\t{second[b]}",
        first[c],
        f"1,1314159\t{first[d]}\t{second[d]}",
        f"n/a\t{first[e]}\t{second[e]}",
    ]
    for line in broken:
        lines.insert(rng.randrange(len(lines)), line)
    return lines, {"true": len(pairs), "outside the tables": len(strange), "repeated": len(repeated),
                   "wrong": len(wrong), "broken": len(broken)}


def write_bitext(name, lines):
    """As the WikiMatrix project publishes them: gzip, UTF-8, tabs, no header, no quoting."""
    packed = io.BytesIO()
    # No name and no time of making: the same lines are the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as out:
        out.write("".join(f"{line}\n" for line in lines).encode())
    path = HERE / f"WikiMatrix.{name}.tsv.gz"
    path.write_bytes(packed.getvalue())
    return path


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def frame(anchors):
    """The nearest orthonormal columns to the anchors' centred unit rows."""
    left, values, right = np.linalg.svd(unit(anchors - anchors.mean(axis=0)), full_matrices=False)
    kept = values > 1e-6 * values[0]
    return left[:, kept] @ right[kept]


def found(source, target, anchors, test):
    """The share of test rows whose translation, fitted on the anchors, is nearest to their own row in the target."""
    mean, own_mean = source[anchors].mean(axis=0), target[anchors].mean(axis=0)
    translator = frame(source[anchors]).T @ frame(target[anchors])
    # The target's mean and scale change no cosine of centred rows.
    translated = unit(unit(source[test] - mean) @ translator)
    nearest = (translated @ unit(target[test] - own_mean).T).argmax(axis=1)
    return (nearest == np.arange(len(nearest))).mean()


def main():
    pairs = list(combinations(LANGUAGES, 2))
    texts = corpus(ROWS + STRANGERS * len(pairs), 7)
    train = np.zeros(ROWS, dtype=bool)
    train[np.random.default_rng(3).permutation(ROWS)[:TRAIN_ROWS]] = True
    split = np.where(train, "train", "test")

    spaces = {}
    for language in LANGUAGES:
        own = texts[language][:ROWS]
        space, kept = encode(own, train)
        space = space.astype(np.float32)
        spaces[language] = space.astype(np.float64)
        path = write_table(language, own, space, split)
        rows = unit(spaces[language])
        # The mean over all ordered pairs of different rows.
        alike = (np.square(rows.sum(axis=0)).sum() - ROWS) / (ROWS * (ROWS - 1))
        print(f"{path.name}: width {WIDTH}, {path.stat().st_size} bytes, explained variance {kept:.2f}, "
              f"cosine of two different sentences {alike:.2f}")

    # Other pairs are missing in every bitext.
    lost = random.Random(5).sample(range(ROWS), MISSING * len(pairs))
    for place, (first, second) in enumerate(pairs):
        missing = lost[place * MISSING:(place + 1) * MISSING]
        strange = slice(ROWS + place * STRANGERS, ROWS + (place + 1) * STRANGERS)
        strangers = list(zip(texts[first][strange], texts[second][strange]))
        lines, kinds = bitext(texts[first], texts[second], missing, strangers, 20 + place)
        path = write_bitext(f"{first}-{second}", lines)
        print(f"{path.name}: {path.stat().st_size} bytes, {len(lines)} lines, "
              + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))

    anchors = np.random.default_rng(1).permutation(np.flatnonzero(train))[:ANCHORS]
    for source, target in permutations(LANGUAGES, 2):
        print(f"{source} -> {target}: P@1 {found(spaces[source], spaces[target], anchors, ~train):.3f}")


if __name__ == "__main__":
    # One thread: sums in another order have other last bits.
    with threadpool_limits(1):
        main()
