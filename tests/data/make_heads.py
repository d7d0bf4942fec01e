"""Writes heads that scikit-learn trained, as safetensors files, and the logits it gives.

    python tests/data/make_heads.py        (numpy, pyarrow, scikit-learn, safetensors)

On rows of sample_data/digits_mlp_a.parquet. `linear` and `binary` are logistic regressions under scikit-learn's names; `stack` is a
multilayer perceptron under the names that PyTorch gives a Sequential of Linear, ReLU, Linear, ReLU, Linear (weights outputs x inputs).
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
ROWS = 20


def main():
    table = pq.read_table(HERE.parent.parent / "sample_data" / "digits_mlp_a.parquet")
    rows = np.stack(table["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
    labels = table["label"].to_numpy()
    few = rows[:ROWS].astype(np.float64)
    linear = LogisticRegression(max_iter=2000).fit(rows, labels)
    binary = LogisticRegression(max_iter=2000).fit(rows, labels >= 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = MLPClassifier((12, 8), max_iter=40, random_state=1).fit(rows, labels)
    for name, model in (("linear", linear), ("binary", binary)):
        # safetensors writes memory as it lies, and scikit-learn's may lie column by column.
        named = {"coef_": np.ascontiguousarray(model.coef_), "intercept_": np.ascontiguousarray(model.intercept_)}
        save_file(named, HERE / f"head_{name}.safetensors")
    named = {}
    for layer, (weight, bias) in enumerate(zip(stack.coefs_, stack.intercepts_)):
        named[f"net.{2 * layer}.weight"] = np.ascontiguousarray(weight.T, dtype=np.float32)
        named[f"net.{2 * layer}.bias"] = bias.astype(np.float32)
    save_file(named, HERE / "head_stack.safetensors")
    probabilities = stack.predict_proba(few)
    logits = {"linear": linear.decision_function(few).tolist(), "binary": binary.decision_function(few).tolist(),
              "stack": probabilities.tolist()}
    (HERE / "heads.json").write_text(json.dumps(logits) + "\n")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
