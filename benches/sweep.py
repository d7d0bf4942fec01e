"""The plain numpy loop that benches/sweep.rs compares with: every setting fitted and measured on its own.

usage: sweep.py FOLDER WIDTH OMEGAS DELTAS STARTS, lists separated by commas. FOLDER holds source, target, queries and natives:
float32, row-major, all of WIDTH. Prints the seconds and the sum of the mean cosines over all settings.
"""

import sys
import time

import numpy as np


def unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def farthest_point(u, start, delta):
    chosen, nearest = [start], np.full(len(u), np.inf)
    while True:
        nearest = np.minimum(nearest, np.clip(1 - np.abs(u @ u[chosen[-1]]), 0, 1))
        nearest[chosen[-1]] = -1
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < delta:
            return chosen
        chosen.append(farthest)
        if len(chosen) == len(u):
            return chosen


def main(folder, width, omegas, deltas, starts):
    source, target, queries, natives = (
        np.fromfile(f"{folder}/{name}", dtype="<f4").reshape(-1, int(width))
        for name in ["source", "target", "queries", "natives"]
    )
    omegas, deltas = [int(x) for x in omegas.split(",")], [float(x) for x in deltas.split(",")]
    starts = [int(x) for x in starts.split(",")]

    begin = time.perf_counter()
    mean_x, mean_y = source.mean(axis=0, dtype="f8"), target.mean(axis=0, dtype="f8")
    u_x, u_y = unit(source - mean_x), unit(target - mean_y)
    scale = np.linalg.norm(target - mean_y, axis=1).mean()
    asked = unit(queries - mean_x).astype("f4")
    total = 0.0
    for omega in omegas:
        for delta in deltas:
            decoder = np.zeros((len(u_y), u_y.shape[1]))
            for start in starts[:omega]:
                kept = farthest_point(u_y, start, delta)
                decoder[kept] += np.linalg.pinv(u_y[kept].T, rcond=1e-6) / omega
            matrix = (scale * (u_x.T @ decoder)).astype("f4")
            answers = asked @ matrix + mean_y.astype("f4")
            scores = unit(answers) @ unit(natives).T
            own = scores.diagonal()
            ranks = (scores >= own[:, None]).sum(axis=1)
            centred = (unit(answers - mean_y) * unit(natives - mean_y)).sum(axis=1)
            measures = own.mean(), centred.mean(), (ranks == 1).mean(), (1 / ranks).mean()
            total += float(measures[0])
    print(time.perf_counter() - begin, total)


if __name__ == "__main__":
    main(*sys.argv[1:])
