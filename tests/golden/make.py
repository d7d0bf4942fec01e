"""Writes the golden files beside this script: inputs that f32 holds exactly, and what the oracle makes of them.

    python tests/golden/make.py        (numpy and scipy)

A choice that hangs on rounding would make a bad golden value: every farthest-point selection and rank below is checked to
be decided by a margin, or by an exact tie.
"""

import json
from pathlib import Path

import numpy as np
import scipy.linalg

import oracle
from oracle import f32

HERE = Path(__file__).resolve().parent
MARGIN = 1e-5


def matrix(a):
    a = np.atleast_2d(np.asarray(a, dtype=np.float64))
    return {"rows": a.shape[0], "columns": a.shape[1], "data": a.ravel().tolist()}


def dump(name, cases):
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


def dyadic(a):
    """Rounded to multiples of 1/256: sums and means of such rows are exact."""
    return np.round(np.asarray(a) * 256.0) / 256.0


def hadamard(n):
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h


def check_selection(unit, start, delta):
    """The chosen anchors, each of which won by a margin or by an exact tie."""
    d = oracle.distances(unit)
    chosen = oracle.farthest_point(unit, start, delta)
    for step in range(1, len(unit)):
        rest = [j for j in range(len(unit)) if j not in chosen[:step]]
        nearest = np.sort([d[j, chosen[:step]].min() for j in rest])[::-1]
        gaps = nearest[0] - nearest[nearest < nearest[0]]
        assert len(gaps) == 0 or gaps[0] > MARGIN, ("close call", gaps[0])
        assert delta == 0.0 or abs(nearest[0] - delta) > MARGIN or nearest[0] == delta, "close to delta"
        if step >= len(chosen):
            break
    return chosen


# ---------------------------------------------------------------------------------------------------------------- data

def encoder_rows(rng, latent, width, offset, nonlinear):
    """Rows of a made-up encoder: a linear map, partly bent, off centre."""
    z = latent @ rng.normal(size=(latent.shape[1], width))
    return dyadic(z + nonlinear * np.tanh(2.0 * z) + offset * rng.normal(size=width))


def pair(seed, k, dx, dy):
    """K rows of two encoders that saw the same things."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(k, max(dx, dy)))
    return encoder_rows(rng, latent, dx, 1.5, 0.5), encoder_rows(rng, latent, dy, 2.0, 0.3)


def with_exact_mean(rows):
    """The same rows, the last one moved so that their mean is exact in f32."""
    mean = dyadic(rows.mean(axis=0))
    rows = rows.copy()
    rows[-1] += len(rows) * mean - rows.sum(axis=0)
    assert (rows.mean(axis=0) == mean).all()
    return rows


def with_mean_row(rows):
    """A row added that equals the mean of the others, and so of all."""
    rows = with_exact_mean(rows)
    return np.vstack([rows, rows.mean(axis=0)])


# ---------------------------------------------------------------------------------------------------------------- files

def pinv_cases():
    rng = np.random.default_rng(1)
    tall, deficient = f32(rng.normal(size=(9, 5))), dyadic(rng.normal(size=(8, 3))) @ dyadic(rng.normal(size=(3, 6)))
    # Hadamard matrices times powers of two: exact in f32, and the singular values are the powers.
    spread = lambda powers: hadamard(8)[:, :4] @ np.diag(2.0 ** np.array(powers)) @ hadamard(4)
    cases = [
        ("full rank, tall", tall, oracle.RCOND, 5),
        ("full rank, wide", tall.T, oracle.RCOND, 5),
        ("rank deficient", deficient, oracle.RCOND, 3),
        ("smallest singular value 2^-19: kept", spread([0, -1, -2, -19]), oracle.RCOND, 4),
        ("smallest singular value 2^-20: cut", spread([0, -1, -2, -20]), oracle.RCOND, 3),
        ("a coarse cut", spread([0, -1, -3, -4]), 0.1, 3),
        ("one row", f32(rng.normal(size=(1, 4))), oracle.RCOND, 1),
        ("values of 1e-30", f32(1e-30 * rng.normal(size=(6, 4))), oracle.RCOND, 4),
    ]
    for name, a, rcond, rank in cases:
        assert (f32(a) == a).all(), name
        u, s, vt = oracle.truncated_svd(a, rcond)
        assert len(s) == rank, (name, s)
        yield {"name": name, "a": matrix(a), "rcond": rcond, "rank": rank, "sigma_max": s[0], "sigma_min_kept": s[-1],
               "pinv": matrix(oracle.pinv(a, rcond)), "frame": matrix(u @ vt)}


def prune_cases():
    unit = oracle.space(pair(2, 24, 6, 5)[0])["unit"]
    for start in (0, 11):
        for delta in (0.0, 0.1, 0.35, 0.6, 0.9):
            yield "random directions", unit, start, delta
    # Axes, and directions whose cosines are exact: all distances are 0, 0.5 or 1.
    half = 0.5 * hadamard(4)
    exact = np.vstack([np.eye(4), half, -np.eye(4)[:2], half[1]])
    for start, delta in ((0, 0.0), (5, 0.0), (0, 0.5), (0, 0.75), (9, 0.5), (4, 1.0)):
        yield "exact ties, opposites, duplicates", exact, start, delta
    yield "one anchor", np.eye(3)[:1], 0, 0.0
    yield "all the same", np.tile(np.eye(3)[1], (5, 1)), 3, 0.0
    yield "all the same", np.tile(np.eye(3)[1], (5, 1)), 3, 0.1


def space_cases():
    rng = np.random.default_rng(3)
    x, y = pair(3, 24, 6, 5)
    dead = x.copy()
    dead[:, [1, 4]] = [0.0, 0.75]
    tiny = np.hstack([x[:, :4], f32(1e-32 * rng.normal(size=(24, 2)))])
    for name, rows in (
        ("generic", x),
        ("an anchor equal to the mean", with_mean_row(x)),
        ("unit vectors", f32(oracle.unit_rows(y))),
        ("fewer anchors than dimensions", x[:4]),
        ("as many anchors as dimensions: rank d - 1", x[:6]),
        ("dead dimensions", dead),
        ("dimensions of 1e-32", tiny),
        ("all of 1e-32", f32(1e-32 * x)),
        ("two anchors", x[:2]),
        ("far from the origin", x + 1000.0),
    ):
        assert (f32(rows) == rows).all(), name
        s = oracle.space(rows)
        sigma = np.linalg.svd(s["unit"], compute_uv=False)
        _, scales, directions = np.linalg.svd(s["unit"] * s["norms"][:, None], full_matrices=False)
        keep = scales > 1e-6 * scales[0]
        directions = directions[keep]
        peaks = directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)]
        yield {"name": name, "rows": matrix(rows), "kept": s["kept"].tolist(), "mean": s["mean"].tolist(),
               "unit": matrix(s["unit"]), "norms": s["norms"].tolist(), "scale": s["scale"],
               "unit_anchors": s["unit_anchors"], "singular_values": sigma.tolist(),
               "rank": int((sigma > oracle.RCOND * sigma[0]).sum()),
               "directions": matrix(directions * np.sign(peaks)[:, None]),
               "variances": (scales[keep] ** 2 / len(s["kept"])).tolist()}


def rotated(x):
    """Y = s X Q + t, exact in f32: Q of halves and signs."""
    q = np.zeros((6, 6))
    q[:4, :4] = 0.5 * hadamard(4)
    q[4, 5], q[5, 4] = -1.0, 1.0
    return 2.0 * x @ q[:, [3, 0, 4, 1, 5, 2]] + dyadic(np.linspace(-2.0, 3.0, 6))


def pair_cases():
    """(name, X, Y, starts, deltas)"""
    x, y = pair(4, 24, 6, 5)
    yield "wider to narrower", x, y, [0, 7, 13], [0.0, 0.1, 0.3, 0.5]
    yield "narrower to wider", y, x, [5, 5, 20], [0.0, 0.2, 0.7]
    yield "fewer anchors than dimensions", x[:4], y[:4], [2], [0.0, 0.6]
    yield "as many anchors as dimensions", x[:5], y[:5], [1, 4], [0.0, 0.4]
    yield "Y = s X Q + t", x, rotated(x), [3], [0.0, 0.25]
    dead = y.copy()
    dead[:, 2] = 0.0
    yield "dead target dimension", x, dead, [9, 10], [0.0, 0.3]


def translator_cases():
    for name, x, y, starts, deltas in pair_cases():
        assert (f32(x) == x).all() and (f32(y) == y).all()
        ux, uy = oracle.space(x)["unit"], oracle.space(y)["unit"]
        irp = []
        for delta in deltas:
            for start in starts:
                check_selection(uy, start, delta)
            decoder, members = oracle.irp_decoder(uy, starts, delta)
            irp.append({"delta": delta, "members": members, "decoder": matrix(decoder), "matrix": matrix(ux.T @ decoder)})
        yield {"name": name, "source": matrix(ux), "target": matrix(uy), "rcond": oracle.RCOND, "starts": starts, "irp": irp,
               "source_frame": matrix(oracle.frame(ux)), "target_frame": matrix(oracle.frame(uy)),
               "parseval": matrix(oracle.parseval(ux, uy))}


def padded(a, width):
    return np.hstack([a, np.zeros((len(a), width - a.shape[1]))])


def procrustes(ux, uy):
    """The polar factor of U_x^T U_y: scipy's rotation wherever that is unique, narrower rows padded with zeros."""
    t = oracle.frame(ux.T @ uy)
    if np.linalg.matrix_rank(ux.T @ uy, rtol=oracle.RCOND) == min(ux.shape[1], uy.shape[1]):
        width = max(ux.shape[1], uy.shape[1])
        rotation, _ = scipy.linalg.orthogonal_procrustes(padded(ux, width), padded(uy, width))
        t = rotation[: ux.shape[1], : uy.shape[1]]
        assert np.allclose(t, oracle.frame(ux.T @ uy), atol=1e-9)
    return t


def l_ortho(ux, uy):
    t = oracle.least_squares(ux, uy)
    if np.linalg.matrix_rank(t, rtol=oracle.RCOND) == min(t.shape):
        assert np.allclose(scipy.linalg.polar(t)[0], oracle.frame(t), atol=1e-9)
    return oracle.frame(t)


def method_cases():
    """The methods that need both sides' rows, and the options of irp."""
    for name, x, y, starts, deltas in pair_cases():
        a, b = oracle.space(x), oracle.space(y)
        ux, uy = a["unit"], b["unit"]
        delta, lam = deltas[1], 0.05
        for start in starts:
            check_selection(ux, start, delta)
        by_source, members = oracle.irp_decoder(uy, starts, delta, pruned=ux)
        by_ridge, _ = oracle.irp_decoder(uy, starts, delta, lam=lam)
        plain, _ = oracle.irp_decoder(uy, starts, delta)
        # The means of the pairs need not be the spaces' means.
        some = slice(0, max(3, len(x) // 2))
        cx, cy = ux[some] * a["norms"][some, None], uy[some] * b["norms"][some, None]
        w, shift = oracle.affine(cx, cy)
        yield {"name": name, "source": matrix(ux), "target": matrix(uy), "source_norms": a["norms"].tolist(),
               "target_norms": b["norms"].tolist(), "rcond": oracle.RCOND, "starts": starts, "delta": delta, "lambda": lam,
               "members": members, "irp_pruned_by_source": matrix(ux.T @ by_source), "irp_ridge": matrix(ux.T @ by_ridge),
               "irp_polar": matrix(oracle.frame(ux.T @ plain)),
               "energy_scale": oracle.energy_scale(ux, ux.T @ plain, b["norms"]),
               "median": float(np.median(b["norms"])),
               "procrustes": matrix(procrustes(ux, uy)), "linear": matrix(oracle.least_squares(ux, uy)),
               "ridge": matrix(oracle.ridge_inverse(ux, lam) @ uy), "l_ortho": matrix(l_ortho(ux, uy)),
               "affine_rows": cx.shape[0], "affine": matrix(w), "affine_shift": shift.tolist()}


def apply_cases():
    """From raw rows to translated rows: the preset `paper` (omega 8, delta 0.7, target pruning) and parseval."""
    rng = np.random.default_rng(5)
    x, y = pair(5, 24, 6, 5)
    # A row can equal the source's mean.
    x, moved = with_exact_mean(x), with_exact_mean(pair(4, 24, 6, 5)[0])
    for name, x, y in (("two encoders", x, y), ("Y = s X Q + t", moved, rotated(moved))):
        a, b = oracle.space(x), oracle.space(y)
        assert (f32(a["mean"]) == a["mean"]).all()
        starts = [int(i) for i in rng.choice(len(x), 8, replace=False)]
        for start in starts:
            check_selection(b["unit"], start, 0.7)
        rows = np.vstack([x[:4], dyadic(x[4:9] + 0.5 * rng.normal(size=(5, 6))), a["mean"]])
        decoder, members = oracle.irp_decoder(b["unit"], starts, 0.7)
        frame_x, frame_y = oracle.frame(a["unit"]), oracle.frame(b["unit"])
        for method, encode, decode in (("paper", a["unit"], decoder), ("parseval", frame_x, frame_y)):
            t = encode.T @ decode
            codes = oracle.unit_centred(rows, a["mean"]) @ encode.T
            yield {"name": f"{name}, {method}", "method": method, "source": matrix(x), "target": matrix(y), "starts": starts,
                   "delta": 0.7, "members": members if method == "paper" else [],
                   "matrix": matrix(t), "source_mean": a["mean"].tolist(), "target_mean": b["mean"].tolist(),
                   "scale": b["scale"], "rows": matrix(rows), "codes": matrix(codes),
                   "translated": matrix(oracle.translate(rows, a["mean"], t, b["mean"], b["scale"], False)),
                   "translated_unit": matrix(oracle.translate(rows, a["mean"], t, b["mean"], b["scale"], True)),
                   "decoded": matrix(oracle.restore(codes @ decode, b["mean"], b["scale"], False))}


def metric_cases():
    rng = np.random.default_rng(6)
    pool = f32(rng.normal(size=(40, 5)) + 0.5)
    pool[30] = pool[3]
    pool[31] = 4.0 * pool[3]
    pool[32] = -pool[4]
    pool[33] = 0.0
    own = [0, 3, 30, 31, 4, 33, 12, 20]
    queries = f32(pool[own] + 0.4 * rng.normal(size=(len(own), 5)))
    queries[6] = 0.0
    queries[7] = 8.0 * pool[20]
    center = f32(pool.mean(axis=0))
    native = pool[own]
    for metric, csls in (("cosine", None), ("centred_cosine", None), ("inner_product", None), ("l2", None), ("cosine", 3),
                         ("centred_cosine", 3)):
        for row, mine in zip(oracle.scores(queries, pool, metric, csls), own):
            gaps = np.abs(row - row[mine])
            assert gaps[gaps > 1e-12].min(initial=1.0) > MARGIN, ("close call", metric, csls)
        ranks = oracle.ranks(queries, pool, own, metric, csls)
        yield {"name": f"{metric}, csls {csls}, with ties and zero vectors", "metric": metric, "csls": csls,
               "queries": matrix(queries), "pool": matrix(pool), "own": own,
               "ranks": ranks.tolist(), "retrieval": oracle.retrieval(ranks), "center": center.tolist(),
               "cosines": oracle.cosines(queries, native).tolist(),
               "cosine": float(oracle.cosines(queries, native).mean()),
               "centred_cosine": float(oracle.cosines(queries - center, native - center).mean()),
               "mse": float(((queries - native) ** 2).mean())}


def check_top(queries, documents, k, leave_out):
    """The k-th and the next are never a close call."""
    for i, row in enumerate(oracle.scores(queries, documents)):
        row = np.sort(np.delete(row, i) if leave_out else row)[::-1]
        assert len(row) <= k or row[k - 1] - row[k] > 1e-6, "close call"


def knn_overlap_cases():
    rng = np.random.default_rng(7)
    native = f32(rng.normal(size=(60, 6)) + 0.5)
    for noise, k in ((0.1, 1), (0.1, 10), (1.0, 10), (0.3, 59)):
        translated = f32(native + noise * rng.normal(size=native.shape))
        check_top(translated, native, k, True)
        check_top(native, native, k, True)
        yield {"name": f"noise {noise}, k {k}", "translated": matrix(translated), "native": matrix(native), "k": k,
               "overlap": oracle.knn_overlap(translated, native, k)}


def class_means_cases():
    rng = np.random.default_rng(21)
    for count, d in ((3, 4), (7, 12)):
        # Class 1 has no rows.
        classes = np.array([c for c in rng.integers(0, count, size=80) if c != 1])
        offset = rng.normal(size=d)
        places = rng.normal(size=(count, d))
        rows = f32(places[classes] + 0.8 * rng.normal(size=(len(classes), d)) + offset)
        asked = f32(places[rng.integers(0, count, size=40)] + 0.8 * rng.normal(size=(40, d)) + offset)
        center = f32(rows.mean(0))
        nearest, gap = oracle.nearest_class(rows, classes, center, asked)
        assert gap.min() > 1e-5, "close call"
        yield {"name": f"{count} classes", "rows": matrix(rows), "classes": classes.tolist(), "center": center.tolist(),
               "asked": matrix(asked), "nearest": nearest.tolist()}


def mixed_cases():
    rng = np.random.default_rng(8)
    queries = f32(rng.normal(size=(50, 5)) + 0.3)
    for share, pull, k in ((0.5, 0.0, 5), (0.3, 1.0, 10), (0.8, 0.5, 1)):
        translated = rng.random(50) < share
        documents = f32(queries + 0.5 * rng.normal(size=queries.shape) + pull * translated[:, None])
        check_top(queries, documents, k, False)
        mine = oracle.cosines(queries, documents)
        threshold = float(np.sort(mine[~translated])[len(mine[~translated]) // 3] - 1e-3)
        assert np.abs(mine - threshold).min() > MARGIN, "close call"
        yield {"name": f"{share} translated, moved by {pull}", "queries": matrix(queries), "documents": matrix(documents),
               "translated": translated.tolist(), "k": k, "old_threshold": threshold,
               **{name: float(x) for name, x in oracle.mixed(queries, documents, translated, k, threshold).items()}}


def ranking_cases():
    rng = np.random.default_rng(11)
    documents = f32(rng.normal(size=(80, 6)) + 0.4)
    queries = f32(rng.normal(size=(12, 6)) + 0.4)
    check_top(queries, documents, 10, False)
    found = oracle.scores(queries, documents)
    check_order = np.sort(found, axis=1)[:, ::-1][:, :11]
    assert (check_order[:, :-1] - check_order[:, 1:]).min() > 1e-6, "close call"
    for name, most, grades in (("one relevant document", 1, [1.0]), ("graded", 8, [0.5, 1.0, 2.0, 3.0]), ("more than ten", 40, [1.0, 3.0])):
        relevant = []
        for row in found:
            count = most if most == 1 else int(rng.integers(1, most + 1))
            # Half of them from near the query, or hardly one would be found.
            near = np.argsort(-row, kind="stable")[:30]
            chosen = {int(d): float(rng.choice(grades)) for d in rng.permutation(near)[: (count + 1) // 2]}
            for d in rng.permutation(len(documents)):
                if len(chosen) < count:
                    chosen.setdefault(int(d), float(rng.choice(grades)))
            relevant.append(dict(sorted(chosen.items())))
        yield {"name": name, "queries": matrix(queries), "documents": matrix(documents),
               "relevant": [list(map(list, r.items())) for r in relevant],
               "measures": [[float(x) for x in row] for row in oracle.ranking(queries, documents, relevant)]}


def quantize_cases():
    rng = np.random.default_rng(14)
    for name, rows in (("normal", rng.normal(size=(12, 16))), ("not a multiple of eight", rng.normal(size=(5, 13)) * 40),
                       ("one number", np.array([[2.0], [-3.0], [0.0]])),
                       ("zeros, and halves to even", np.array([[0.0, 0.0, 0.0], [127.0, 0.5, 1.5], [-127.0, -0.5, -2.5]]))):
        rows = f32(rows)
        codes, scales = oracle.int8(rows)
        yield {"name": name, "rows": matrix(rows), "codes": codes.tolist(), "scales": [float(s) for s in scales],
               "bytes": oracle.binary(rows).tolist()}


def kept_cases():
    rng = np.random.default_rng(15)
    documents = f32(rng.normal(size=(300, 24)) + 0.3)
    queries = f32(documents[:60] + 0.4 * rng.normal(size=(60, 24)))
    relevant = [np.sort(np.argsort(-row, kind="stable")[:10]).tolist() for row in oracle.scores(queries, documents, "cosine")]
    ways = [("f32", 24), ("f16", 24), ("int8", 24), ("binary", 24), ("binary queries", 24), ("f32", 12), ("f32", 6), ("f32", 3), ("int8", 12)]
    recalls = []
    for way, d in ways:
        precision = "binary" if way == "binary queries" else way
        asking = oracle.kept(queries, "binary") if way == "binary queries" else queries[:, :d]
        kept = oracle.kept(documents[:, :d], precision)
        scores = asking @ kept.T if precision == "binary" else oracle.scores(asking, kept, "cosine")
        found = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        for row in scores:
            tenth, eleventh = np.sort(row)[::-1][9:11]
            assert tenth - eleventh > 1e-6 or (tenth == eleventh and precision == "binary"), (way, tenth - eleventh)
        recall = float(np.mean([len(set(f) & set(r)) / 10 for f, r in zip(found.tolist(), relevant)]))
        name = precision + (f", first {d}" if d < 24 else "") + (", binary queries" if way == "binary queries" else "")
        recalls.append([name, recall])
    yield {"queries": matrix(queries), "documents": matrix(documents), "relevant": relevant, "recalls": recalls}


def cka_cases():
    rng = np.random.default_rng(9)
    x, y = pair(9, 40, 6, 5)
    # The fixture of latentis (github.com/Flegyas/latentis): linear CKA 0.2815, SVCCA 0.8125.
    counting = np.arange(32.0).reshape(8, 4)
    shuffled = np.array([[1, 2, 27, 22], [0, 28, 15, 18], [12, 9, 14, 8], [11, 19, 16, 13], [31, 20, 10, 3], [24, 5, 7, 29],
                         [4, 30, 21, 6], [26, 17, 23, 25]], dtype=np.float64)
    assert abs(oracle.cka(counting, shuffled) - 0.2815) < 1e-4 and abs(oracle.svcca(counting, shuffled) - 0.8125) < 1e-3
    for name, a, b in (
        ("two encoders", x, y),
        ("the fixture of latentis", counting, shuffled),
        ("unrelated", x, dyadic(rng.normal(size=(40, 3)))),
        ("fewer rows than dimensions", x[:4], y[:4]),
        ("far from the origin", x + 1000.0, y - 1000.0),
        ("a rotation", x, rotated(x)),
    ):
        assert (f32(a) == a).all() and (f32(b) == b).all(), name
        for side in (a, b):
            s = np.linalg.svd(side - side.mean(axis=0), compute_uv=False) ** 2
            share = np.cumsum(s) / s.sum()
            assert min(np.abs(share[share < 1 - 1e-9] - v).min(initial=1.0) for v in (0.5, 0.99)) > 1e-6, "close call"
        yield {"name": name, "a": matrix(a), "b": matrix(b), "cka": oracle.cka(a, b), "svcca": oracle.svcca(a, b),
               "svcca_half": oracle.svcca(a, b, 0.5)}


def confidence_cases():
    rng = np.random.default_rng(11)
    x, y = pair(11, 80, 6, 5)
    x = with_exact_mean(x)
    s, uy = oracle.space(x), oracle.space(y)["unit"]
    ux, mean = s["unit"], s["mean"]
    _, scales, directions = np.linalg.svd(ux * s["norms"][:, None], full_matrices=False)
    # Fewer directions than dimensions, so that the share is not 1 for all.
    directions, variances = f32(directions[:3]), scales[:3] ** 2 / len(x)
    others = np.vstack([x[:4], dyadic(mean + rng.normal(size=(6, 6))), dyadic(mean + 64.0 * rng.normal(size=(2, 6))), mean])
    # A map onto fewer dimensions shortens rows; an orthogonal one of six does not, and their length says nothing.
    for name, t in (("parseval", oracle.parseval(ux, uy)), ("a rotation", oracle.frame(rng.normal(size=(6, 6))))):
        t = f32(t)
        traits = oracle.traits(x, mean, t, directions, variances)
        cosines = oracle.cosines(ux @ t[:, :5], uy)
        numbers = oracle.calibration(traits, cosines)
        assert (numbers[1] == 0.0) == (name == "a rotation")
        # The last row is the mean, which has no direction.
        confidences = oracle.confidence(numbers, oracle.traits(others[:-1], mean, t, directions, variances))
        yield {"name": name, "mean": mean.tolist(), "matrix": matrix(t), "directions": matrix(directions),
               "variances": variances.tolist(), "rows": matrix(x), "cosines": cosines.tolist(), "traits": matrix(traits),
               "calibration": numbers.tolist(), "others": matrix(others), "confidences": [*confidences.tolist(), 0.0]}


def bootstrap_cases():
    rng = np.random.default_rng(10)
    for seed, values in ((0, rng.normal(size=30)), (7, (rng.random(40) < 0.9).astype(float)), (2**63 - 1, np.ones(3))):
        values = values.tolist()
        yield {"seed": seed, "values": values, "estimate": oracle.bootstrap(values, seed)}


def head_cases():
    rng = np.random.default_rng(12)
    for name, n, d, classes, l2, shift in (("three classes", 150, 5, 3, 0.01, 0.0), ("far from the origin", 90, 4, 2, 0.001, 8.0),
                                           ("more classes than numbers", 200, 3, 7, 0.1, 1.0)):
        centers = rng.normal(size=(classes, d))
        of = rng.integers(0, classes, n)
        x = dyadic(centers[of] + rng.normal(size=(n, d)) + shift)
        weight, bias, loss = oracle.softmax_regression(x, of, classes, l2)
        yield {"name": name, "rows": matrix(x), "of": of.tolist(), "classes": classes, "l2": l2, "loss": loss,
               "weight": matrix(weight), "bias": bias.tolist()}


def main():
    dump("pinv.json", pinv_cases())
    dump("prune.json", [{"name": name, "unit": matrix(unit), "start": start, "delta": delta,
                         "chosen": check_selection(unit, start, delta)} for name, unit, start, delta in prune_cases()])
    dump("space.json", space_cases())
    dump("translator.json", translator_cases())
    dump("methods.json", method_cases())
    dump("apply.json", apply_cases())
    dump("metrics.json", metric_cases())
    dump("knn_overlap.json", knn_overlap_cases())
    dump("class_means.json", class_means_cases())
    dump("mixed.json", mixed_cases())
    dump("ranking.json", ranking_cases())
    dump("quantize.json", quantize_cases())
    dump("kept.json", kept_cases())
    dump("cka.json", cka_cases())
    dump("bootstrap.json", bootstrap_cases())
    dump("confidence.json", confidence_cases())
    dump("head.json", head_cases())


if __name__ == "__main__":
    main()
