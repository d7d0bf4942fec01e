"""Writes heads that scikit-learn trained, as safetensors and ONNX files, and the logits it gives.

    python tests/data/make_heads.py        (numpy, pyarrow, scikit-learn, safetensors, skl2onnx, onnx)

On rows of sample_data/digits_mlp_a.parquet. `linear` and `binary` are logistic regressions under scikit-learn's names; `stack` is a
multilayer perceptron under the names that PyTorch gives a Sequential of Linear, ReLU, Linear, ReLU, Linear (weights outputs x inputs).

In ONNX, as skl2onnx writes them: the same `linear` (with a ZipMap) and `binary`, `strings` (three classes with names), `stack`, and `pair`, a
perceptron of two classes, which has one logit. `torch` is what PyTorch exports of Linear, Tanh, Linear: Gemm with transB; `plain` has what else a
chain may be made of (MatMul and Add, a transposed weight, alpha and beta, half and double precision). `attention` is no head, and `outside` has its
numbers in another file.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
ROWS = 20


def graph(name, nodes, tensors, outputs):
    """A graph of one input of 64 numbers, as `head_<name>.onnx`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])]
    result = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", outputs])]
    initializers = [numpy_helper.from_array(array, key) for key, array in tensors.items()]
    made = helper.make_graph(nodes, name, inputs, result, initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"head_{name}.onnx")


def chains(few):
    """Chains of layers that no library of the others writes; their logits."""
    random = np.random.default_rng(4)
    draw = lambda *shape: (random.standard_normal(shape) / 8).astype(np.float32)
    node = helper.make_node
    a, b, c, d = draw(6, 64), draw(6), draw(3, 6), draw(3)
    torch = [node("Gemm", ["x", "0.weight", "0.bias"], ["/0/out"], "/0/Gemm", alpha=1.0, beta=1.0, transB=1),
             node("Tanh", ["/0/out"], ["/1/out"], "/1/Tanh"),
             node("Gemm", ["/1/out", "2.weight", "2.bias"], ["out"], "/2/Gemm", alpha=1.0, beta=1.0, transB=1)]
    graph("torch", torch, {"0.weight": a, "0.bias": b, "2.weight": c, "2.bias": d}, 3)
    half, double = c.astype(np.float16), b.astype(np.float64)
    plain = [node("Flatten", ["x"], ["x2"], "flat"), node("Transpose", ["a"], ["at"], "turn", perm=[1, 0]),
             node("MatMul", ["x2", "at"], ["h0"], "product"), node("Cast", ["b"], ["b32"], "cast", to=TensorProto.FLOAT),
             node("Add", ["b32", "h0"], ["h1"], "sum"), node("Cos", ["h1"], ["h2"], "cos"), node("Identity", ["h2"], ["h3"], "same"),
             node("Cast", ["c"], ["c32"], "cast_c", to=TensorProto.FLOAT),
             node("Gemm", ["h3", "c32", "d"], ["out"], "last", alpha=2.0, beta=0.5, transB=1), node("Softmax", ["out"], ["p"], "softmax")]
    graph("plain", plain, {"a": a, "b": double, "c": half, "d": d.reshape(1, 3)}, 3)
    attention = [node("MatMul", ["x", "q"], ["h"], "queries"), node("Erf", ["h"], ["out"], "/act/Erf")]
    graph("attention", attention, {"q": draw(64, 3)}, 3)
    outside = onnx.load(HERE / "head_torch.onnx")
    for tensor in outside.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="head_outside.onnx.data")
    onnx.save(outside, HERE / "head_outside.onnx")
    hidden = few @ a.T.astype(np.float64) + b
    return {"torch": (np.tanh(hidden) @ c.T + d).tolist(),
            "plain": (2 * np.cos(hidden) @ half.T.astype(np.float64) + d / 2).tolist()}


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
    strings = LogisticRegression(max_iter=2000).fit(rows, np.array(["low", "mid", "top"])[labels // 4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = MLPClassifier((5,), activation="tanh", max_iter=40, random_state=1).fit(rows, np.where(labels >= 5, "large", "small"))
    for name, model, zipmap in (("linear", linear, True), ("binary", binary, False), ("strings", strings, True), ("stack", stack, False),
                                ("pair", pair, False)):
        onnx.save(to_onnx(model, rows[:1], options={"zipmap": zipmap}), HERE / f"head_{name}.onnx")
    probabilities = stack.predict_proba(few)
    logits = {"linear": linear.decision_function(few).tolist(), "binary": binary.decision_function(few).tolist(),
              "stack": probabilities.tolist(), "strings": strings.decision_function(few).tolist(),
              "pair": pair.predict_proba(few)[:, 1].tolist(), **chains(few)}
    (HERE / "heads.json").write_text(json.dumps(logits) + "\n")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
