"""The method in plain numpy: an oracle that shares no code with babelake.

Notation as in the documentation: spaces X (source) and Y (target), K anchor pairs, nu(v) = v / |v|. Everything is f64;
the unit anchors alone are rounded to f32, as a stored space holds them.
"""

import numpy as np
import scipy.optimize

RCOND = 1e-6
EPS32 = float(np.finfo(np.float32).eps)


def f32(a):
    """Rounded to f32, as f64."""
    return np.asarray(a, dtype=np.float32).astype(np.float64)


def space(rows):
    """Centred unit anchors. A row that equals the mean, to the noise of f32, is dropped."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    norms = np.linalg.norm(centred, axis=1)
    kept = np.flatnonzero(norms > EPS32 * np.linalg.norm(mean))
    lengths = np.linalg.norm(rows, axis=1)
    return {
        "kept": kept,
        "mean": mean,
        "unit": f32(centred[kept] / norms[kept, None]),
        "norms": norms[kept],
        "scale": norms[kept].mean(),
        "unit_anchors": bool((np.abs(lengths - 1.0) <= 1e-3).mean() > 0.99),
    }


def truncated_svd(a, rcond=RCOND):
    """The thin SVD over sigma > rcond sigma_1."""
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    rank = int((s > rcond * s[0]).sum())
    return u[:, :rank], s[:rank], vt[:rank]


def pinv(a, rcond=RCOND):
    u, s, vt = truncated_svd(a, rcond)
    return (vt.T / s) @ u.T


def frame(unit, rcond=RCOND):
    """The Parseval frame P V^T of the thin SVD P S V^T."""
    u, _, vt = truncated_svd(unit, rcond)
    return u @ vt


def distances(unit):
    return np.clip(1.0 - np.abs(unit @ unit.T), 0.0, 1.0)


def farthest_point(unit, start, delta):
    """Farthest-point sampling on D = 1 - |cos|; a tie goes to the lowest index; ends below delta."""
    d = distances(unit)
    chosen = [start]
    while len(chosen) < len(unit):
        rest = [j for j in range(len(unit)) if j not in chosen]
        nearest = [min(d[j, c] for c in chosen) for j in rest]
        best = int(np.argmax(nearest))
        if nearest[best] < delta:
            break
        chosen.append(rest[best])
    return chosen


def ridge_inverse(a, lam):
    """(A^T A + lam sigma_1^2 I)^-1 A^T; the pseudo-inverse where lam is 0."""
    if lam == 0.0:
        return pinv(a)
    return np.linalg.solve(a.T @ a + lam * np.linalg.norm(a, 2) ** 2 * np.eye(a.shape[1]), a.T)


def irp_decoder(unit, starts, delta, pruned=None, lam=0.0):
    """H = 1/omega sum_i scatter_i(pinv(U[S_i]^T)), and the S_i, chosen by the distances of `pruned` (default: of U)."""
    h = np.zeros(unit.shape)
    members = []
    for start in starts:
        chosen = farthest_point(unit if pruned is None else pruned, start, delta)
        h[chosen] += ridge_inverse(unit[chosen].T, lam) / len(starts)
        members.append(chosen)
    return h, members


def parseval(ux, uy, rcond=RCOND):
    return frame(ux, rcond).T @ frame(uy, rcond)


def least_squares(a, b):
    return np.linalg.lstsq(a, b, rcond=RCOND)[0]


def affine(x, y):
    """W and b of y = x W + b."""
    solution = least_squares(np.hstack([x - x.mean(axis=0), np.ones((len(x), 1))]), y)
    return solution[:-1], solution[-1] - x.mean(axis=0) @ solution[:-1]


def energy_scale(ux, t, norms):
    return float(np.sqrt((norms**2).sum() / ((ux @ t) ** 2).sum()))


def unit_centred(rows, mean):
    """nu(x - mu); a row that equals the mean has no direction and becomes zeros."""
    centred = rows - mean
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    norms = np.where(norms > EPS32 * np.linalg.norm(mean), norms, np.inf)
    return centred / norms


def restore(y, mean, scale, unit_output):
    y = scale * y + mean
    return y / np.linalg.norm(y, axis=1, keepdims=True) if unit_output else y


def translate(rows, source_mean, matrix, target_mean, scale, unit_output):
    return restore(unit_centred(rows, source_mean) @ matrix, target_mean, scale, unit_output)


def traits(rows, mean, matrix, directions, variances):
    """log |y'|, log leverage, log |x - mu|, share in the leading directions; none of a row that equals the mean."""
    centred = rows - mean
    own = np.linalg.norm(centred, axis=1)
    unit = unit_centred(rows, mean)
    leverage = ((centred @ directions.T) ** 2 / variances).sum(axis=1)
    with np.errstate(divide="ignore"):
        logs = np.log([np.linalg.norm(unit @ matrix, axis=1), leverage, own]).T
    return np.column_stack([logs, ((unit @ directions.T) ** 2).sum(axis=1)])


def calibration(rows, cosines):
    """Ridge regression of the cosines on standardised traits: base, then slope, cost beyond the range, low, high of each."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    varies = deviation > 1e-4
    z = (rows[:, varies] - mean[varies]) / deviation[varies]
    largest = np.linalg.norm(z, 2) ** 2
    weights = np.linalg.solve(z.T @ z + 1e-3 * largest * np.eye(z.shape[1]), z.T @ (cosines - cosines.mean()))
    worth = np.zeros((rows.shape[1], 4))
    worth[varies] = np.column_stack([weights / deviation[varies], cosines.std() / deviation[varies],
                                     rows[:, varies].min(axis=0), rows[:, varies].max(axis=0)])
    return np.concatenate([[cosines.mean() - worth[:, 0] @ mean], worth.ravel()])


def confidence(numbers, rows):
    slope, cost, low, high = numbers[1:].reshape(-1, 4).T
    within = np.clip(rows, low, high)
    return np.clip(numbers[0] + within @ slope - np.abs(rows - within) @ cost, 0.0, 1.0)


def unit_rows(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0.0, norms, 1.0)


def cosines(a, b):
    """Of row i and row i."""
    return (unit_rows(a) * unit_rows(b)).sum(axis=1)


def scores(queries, pool, metric="cosine", csls=None):
    """Of every query with every document, one row a query; a larger one is nearer."""
    if metric == "centred_cosine":
        mean = pool.mean(axis=0)
        queries, pool = queries - mean, pool - mean
    if metric == "l2":
        return np.array([[-((q - d) ** 2).sum() for d in pool] for q in queries])
    if metric == "inner_product":
        return queries @ pool.T
    cos = unit_rows(queries) @ unit_rows(pool).T
    if csls is None:
        return cos
    nearest = lambda a: np.sort(a, axis=1)[:, ::-1][:, :csls].mean(axis=1)
    return 2.0 * cos - nearest(cos)[:, None] - nearest(cos.T)[None, :]


def ranks(queries, pool, own, metric="cosine", csls=None):
    """The number of documents that score at least as high as the query's own: ties count against it."""
    found = scores(queries, pool, metric, csls)
    mine = found[np.arange(len(own)), own]
    # Equal documents must tie: numpy's products of equal rows may differ in their last bits.
    return (found >= mine[:, None] - 1e-12).sum(axis=1)


def retrieval(rank):
    rank = np.asarray(rank, dtype=np.float64)
    return {
        "p_at_1": (rank <= 1).mean(),
        "p_at_5": (rank <= 5).mean(),
        "p_at_10": (rank <= 10).mean(),
        "mrr": (1.0 / rank).mean(),
        "mean_rank": rank.mean(),
    }


def knn_overlap(translated, native, k):
    """Neighbours among native rows: those of the translated row and of the native one, itself left out."""
    shares = []
    for i in range(len(native)):
        found = []
        for v in (translated[i], native[i]):
            near = scores(v[None], native)[0]
            near[i] = -np.inf
            found.append(set(np.argsort(-near, kind="stable")[:k].tolist()))
        shares.append(len(found[0] & found[1]) / k)
    return float(np.mean(shares))


def nearest_class(rows, classes, center, asked):
    """Classes by the cosine of asked - center to the class means - center, and the gap to the second nearest."""
    names = np.unique(classes)
    means = np.stack([rows[classes == name].mean(0) for name in names]) - center
    found = (asked - center) @ means.T / np.linalg.norm(asked - center, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    two = np.sort(found, axis=1)[:, -2:]
    return names[found.argmax(1)], two[:, 1] - two[:, 0]


def mixed(queries, documents, translated, k, old_threshold):
    found, own = scores(queries, documents), np.arange(len(documents))
    slots = [translated[np.argsort(-row, kind="stable")[:k]].mean() for row in found]
    hits = ranks(queries, documents, own) <= k
    mine = found[own, own]
    ours, native = mine[translated], mine[~translated]
    rate = (native >= old_threshold).mean()
    reach = [t for t in ours if (ours >= t).mean() >= rate - 1e-12]
    return {
        "translated_in_pool": translated.mean(),
        "translated_in_top_k": np.mean(slots),
        "recall": hits.mean(),
        "recall_translated": hits[translated].mean(),
        "recall_native": hits[~translated].mean(),
        "ks": max(abs((ours <= x).mean() - (native <= x).mean()) for x in mine),
        "pass_rate": rate,
        "threshold": max(reach),
    }


def int8(x):
    """Codes and the scale of each row, in single precision as a reader of the codes has it."""
    x = np.asarray(x, dtype=np.float32)
    scale = np.abs(x).max(axis=1) / np.float32(127.0)
    codes = np.rint(x / np.where(scale > 0, scale, np.float32(1.0))[:, None])
    return np.where(scale[:, None] > 0, codes, 0).astype(np.int8), scale


def binary(x):
    return np.packbits(np.asarray(x) > 0, axis=1)


def kept(x, precision):
    """Rows as they are read back."""
    if precision == "f16":
        return np.asarray(x).astype(np.float16).astype(np.float64)
    if precision == "int8":
        codes, scale = int8(x)
        return codes * scale[:, None].astype(np.float64)
    if precision == "binary":
        return np.unpackbits(binary(x), axis=1)[:, :np.asarray(x).shape[1]] * 2.0 - 1.0
    return np.asarray(x)


def ranking(queries, documents, relevant, k=10):
    """Recall, nDCG (linear gain) and reciprocal rank at k; relevant: a dict of grades a query."""
    rows = []
    for row, grades in zip(scores(queries, documents), relevant):
        order = np.argsort(-row, kind="stable")[:k].tolist()
        gains = np.array([grades.get(d, 0.0) for d in order])
        best = np.sort(np.array(list(grades.values())))[::-1][:k]
        dcg = lambda g: (g / np.log2(np.arange(2, len(g) + 2))).sum()
        hits = np.flatnonzero(gains > 0)
        rows.append([len(hits) / min(k, len(grades)), dcg(gains) / dcg(best), 1.0 / (hits[0] + 1) if len(hits) else 0.0])
    return rows


def cka(a, b):
    """By the n x n Gram matrices, as in the article."""
    n = len(a)
    h = np.eye(n) - 1.0 / n
    gram = lambda x: h @ (x @ x.T) @ h
    hsic = lambda k, l: (k * l).sum()
    k, l = gram(a), gram(b)
    return float(hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)))


def svcca(a, b, variance=0.99):
    bases = []
    for x in (a, b):
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        share = np.cumsum(s**2) / (s**2).sum()
        kept = min(int((share < variance).sum()) + 1, int((s > RCOND * s[0]).sum()))
        bases.append(u[:, :kept])
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).mean())


def bootstrap(values, seed):
    """Mean, and the 26th smallest and largest of 1,000 means of draws with replacement by splitmix64."""
    mask = (1 << 64) - 1

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    means = []
    for resample in range(1000):
        state = mix((mix(seed) + resample) & mask)
        chosen = []
        for _ in values:
            state = (state + 0x9E3779B97F4A7C15) & mask
            chosen.append(values[mix(state) * len(values) >> 64])
        means.append(np.mean(chosen))
    means.sort()
    return [float(np.mean(values)), float(means[25]), float(means[974])]


# --------------------------------------------------------------------------------------------------------------- heads


def softmax_regression(x, classes_of, classes, l2):
    """Weights (d x classes), biases and loss that minimise the mean cross-entropy + l2 / 2 |W|^2. Biases sum to 0."""
    n, d = x.shape
    truth = np.eye(classes)[classes_of]

    def loss(flat):
        weight, bias = flat[:d * classes].reshape(d, classes), flat[d * classes:]
        logits = x @ weight + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(axis=1))
        difference = (np.exp(logits - log_sum[:, None]) - truth) / n
        value = (log_sum - (logits * truth).sum(axis=1)).mean() + l2 / 2 * (weight**2).sum()
        return value, np.concatenate([(x.T @ difference + l2 * weight).ravel(), difference.sum(axis=0)])

    found = scipy.optimize.minimize(loss, np.zeros(d * classes + classes), jac=True, method="L-BFGS-B",
                                    options={"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-9})
    weight, bias = found.x[:d * classes].reshape(d, classes), found.x[d * classes:]
    return weight, bias - bias.mean(), found.fun
