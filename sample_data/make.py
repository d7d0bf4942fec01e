"""Makes the three tables of this folder: scikit-learn's digits through three independently made encoders.

    python3 -m venv venv && venv/bin/pip install -r sample_data/requirements.txt
    venv/bin/python sample_data/make.py

The same machine and versions give the same bytes. Prints a line for each table: width, size, how well a linear head on
the train rows reads the test rows, and the share of a vector's squared length that is the common mean.
"""

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
TRAIN_ROWS = 1257


def rff(pixels, train):
    """Random Fourier features of a Gaussian kernel, projected to 48 principal directions of the train rows.

    No label is used. The mean is not taken off, as in most encoders.
    """
    rng = np.random.default_rng(11)
    features = 1024
    frequencies = rng.normal(0.0, 0.45, size=(pixels.shape[1], features))
    phases = rng.uniform(0.0, 2.0 * np.pi, size=features)
    waves = np.sqrt(2.0 / features) * np.cos(pixels @ frequencies + phases)
    known = waves[train]
    directions = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[2][:48]
    # The sign of a principal direction is arbitrary: its largest entry is made positive.
    peaks = directions[np.arange(48), np.abs(directions).argmax(axis=1)]
    return waves @ (directions * np.sign(peaks)[:, None]).T


def mlp(pixels, labels, train, widths, activation, seed):
    """The last hidden layer of a multilayer perceptron that learned to read the train rows."""
    net = MLPClassifier(widths, activation=activation, random_state=seed, max_iter=60, alpha=1e-3, tol=0.0,
                        n_iter_no_change=60)
    with warnings.catch_warnings():
        # Sixty passes are enough for an encoder.
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(pixels[train], labels[train])
    act = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0)}[activation]
    hidden = pixels
    for weights, bias in zip(net.coefs_[:-1], net.intercepts_[:-1]):
        hidden = act(hidden @ weights + bias)
    return hidden


def write(name, embedding, split, labels):
    """One table: id, split, label, embedding."""
    rows, width = embedding.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel(), pa.float32()), width)
    table = pa.table({
        "id": pa.array(np.arange(rows), pa.int64()),
        "split": pa.array(split, pa.string()),
        "label": pa.array(labels, pa.int32()),
        "embedding": vectors,
    })
    path = HERE / f"digits_{name}.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=["split"])
    return path


def main():
    digits = load_digits()
    pixels, labels = digits.data / 16.0, digits.target
    train = np.zeros(len(labels), dtype=bool)
    train[np.random.default_rng(3).permutation(len(labels))[:TRAIN_ROWS]] = True
    split = np.where(train, "train", "test")

    spaces = {
        "rff": rff(pixels, train),
        "mlp_a": mlp(pixels, labels, train, (64,), "tanh", 1),
        "mlp_b": mlp(pixels, labels, train, (128, 96), "relu", 2),
    }
    for name, space in spaces.items():
        space = space.astype(np.float32)
        path = write(name, space, split, labels)
        head = LogisticRegression(C=10.0, max_iter=5000).fit(space[train], labels[train])
        mean = space[train].mean(axis=0)
        offset = (mean @ mean) / (space[train] ** 2).sum(axis=1).mean()
        print(f"{path.name}: width {space.shape[1]}, {path.stat().st_size} bytes, "
              f"test accuracy {head.score(space[~train], labels[~train]):.3f}, mean {offset:.2f} of the squared length")


if __name__ == "__main__":
    # One thread: sums in another order have other last bits.
    with threadpool_limits(1):
        main()
