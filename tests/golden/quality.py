"""What the oracle scores between two Parquet tables with columns id, split, embedding and the same ids in both.

    python tests/golden/quality.py SOURCE.parquet TARGET.parquet [ANCHORS [POOL]]

Anchors are a seeded draw of the train rows; scored are the first POOL test rows by id, each searched among all of them,
by centred cosine. One line a method: cosine, centred cosine, P@1, MRR.
"""

import sys

import numpy as np
import pyarrow.parquet as pq

import oracle


def load(path):
    table = pq.read_table(path, columns=["id", "split", "embedding"]).sort_by("id")
    column = table["embedding"].combine_chunks()
    rows = column.flatten().to_numpy().reshape(len(column), -1).astype(np.float64)
    return table["id"].to_numpy(), np.array(table["split"].to_pylist()), rows


def main(source, target, anchors=600, pool=3000):
    (ids, split, x), (other, _, y) = load(source), load(target)
    assert (ids == other).all(), "the two tables hold different ids"
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")[:pool]
    chosen = np.sort(np.random.default_rng(7).choice(train, anchors, replace=False))
    a, b = oracle.space(x[chosen]), oracle.space(y[chosen])
    both = np.intersect1d(a["kept"], b["kept"])
    ux, uy = a["unit"][np.isin(a["kept"], both)], b["unit"][np.isin(b["kept"], both)]
    starts = np.random.default_rng(1).choice(len(ux), 8, replace=False)

    def line(name, out):
        centred, native = out - b["mean"], y[test] - b["mean"]
        found = oracle.retrieval(oracle.ranks(centred, native, np.arange(len(test))))
        print(f"{name:24} {oracle.cosines(out, y[test]).mean():.3f} {oracle.cosines(centred, native).mean():.3f} "
              f"{found['p_at_1']:.3f} {found['mrr']:.3f}")

    print(f"{len(both)} anchors, {len(test)} queries; cosine, centred cosine, P@1, MRR")
    methods = {
        "parseval": oracle.parseval(ux, uy),
        "irp delta 0.7 omega 8": oracle.irp(ux, uy, starts, 0.7),
        "irp delta 0.5 omega 8": oracle.irp(ux, uy, starts, 0.5),
        "irp unpruned rcond 0.1": oracle.irp(ux, uy, starts[:1], 0.0, 0.1),
    }
    for name, matrix in methods.items():
        line(name, oracle.translate(x[test], a["mean"], matrix, b["mean"], b["scale"], b["unit_anchors"]))
    line("mean-only", np.tile(b["mean"], (len(test), 1)))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
