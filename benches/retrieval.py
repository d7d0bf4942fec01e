"""The baseline of retrieval.rs: all scores of queries and documents by numpy, a block of queries at a time; the best of several runs.

python retrieval.py ROWS WIDTH BLOCK RUNS prints the seconds.
"""
import sys
import time

import numpy as np

rows, width, block, runs = map(int, sys.argv[1:])
rng = np.random.default_rng(1)
queries, documents = (rng.uniform(-1, 1, (rows, width)).astype(np.float32) for _ in range(2))
best = np.inf
for _ in range(runs):
    begin = time.perf_counter()
    for first in range(0, rows, block):
        scores = queries[first:first + block] @ documents.T
    best = min(best, time.perf_counter() - begin)
print(best)
