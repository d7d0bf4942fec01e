"""Seconds and loss of scikit-learn's logistic regression: `python head.py FOLDER`, see benches/head.rs.

FOLDER holds x.f32 (rows x width) and y.u8, written by the bench. Prints seconds and the mean cross-entropy with the ridge.
"""

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

folder, width, l2, tolerance = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
x = np.fromfile(folder / "x.f32", dtype=np.float32).reshape(-1, width)
y = np.fromfile(folder / "y.u8", dtype=np.uint8)
start = time.perf_counter()
model = LogisticRegression(C=1.0 / (l2 * len(x)), tol=tolerance, max_iter=1000).fit(x, y)
seconds = time.perf_counter() - start
logits = model.decision_function(x).astype(np.float64)
logits -= logits.max(axis=1, keepdims=True)
loss = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]).mean() + l2 / 2 * (model.coef_**2).sum()
print(seconds, loss, int(model.n_iter_[0]))
