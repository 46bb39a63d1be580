"""The perceptron's own promises: derived widths, target scale, every activation in both precisions,
cutting neurons.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fitting import fit_many
from sixfold.build._activations import Activation
from sixfold.build._fitted_network import AT_ONCE
from sixfold.build.candidate import Candidate
from sixfold.core.errors import FitError
from sixfold.parts import state
from sixfold.parts.fit import Fit, Shape
from sixfold.parts.graph import Graph, TensorProto
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

RNG = np.random.default_rng(2)
X = RNG.normal(size=(150, 6))
SIGNAL = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]
BINARY = Fit(X, (SIGNAL > 0).astype(np.int64), "classification", 2)
FIT_BY_TASK = {
    "binary": BINARY,
    "classes": Fit(X, np.digitize(SIGNAL, [-0.5, 0.5]), "classification", 3),
    "regression": Fit(X, 5000 + 900 * SIGNAL, "regression", 1),
    "reconstruction": Fit(X, X[:, :4], "reconstruction", 4),
}
QUICK = {"optimizer": {"name": "adam", "learning_rate": 0.01}, "batch_size": 16, "epochs": 40}
MLP: Any = FAMILY.load("mlp")


def train(what: Fit, section: dict[str, Any] | None = None, **build: Any) -> Any:
    candidate = Candidate(
        "mlp", "mlp", MLP(**build), Prepare(), Initialize(), Train(**{**QUICK, **(section or {})})
    )
    return next(fit_many([candidate], [what], Context()))


def session(fitted: Any, elem_type: int) -> onnxruntime.InferenceSession:
    graph = Graph()
    graph.output(
        "y",
        fitted.export(graph, graph.input("x", elem_type, X.shape[1])),
        TensorProto.DOUBLE,
        ["rows", "k"],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.model().SerializeToString(), options)


@pytest.mark.parametrize(
    ("size", "features", "outputs"),
    [
        ("small", 4, (16,)),
        ("small", 200, (32,)),
        ("medium", 10, (32, 16)),
        ("medium", 64, (64, 32)),
        ("medium", 108, (128, 64)),
        ("large", 1000, (256, 128, 64)),
        ("large", 1, (64, 32, 16)),
    ],
)
def test_widths_come_from_size_and_features(
    size: str, features: int, outputs: tuple[int, ...]
) -> None:
    assert MLP(size=size).widths(Shape(features, 2, "classification")) == outputs


def test_derived_widths_are_said_with_the_reason() -> None:
    notes: list[str] = []
    context = Context(
        emit_to=lambda kind, facts: notes.append(facts["text"]) if kind == "note" else None
    )
    candidate = Candidate("mlp", "mlp", MLP(), Prepare(), Initialize(), Train(epochs=1))
    list(fit_many([candidate], [BINARY, BINARY], context))
    assert notes == [
        "mlp: hidden [32, 16], from size medium and 6 features (the next power of two, 32 to 128; each further layer "
        "has half)"
    ]
    candidate = replace(candidate, family=MLP(hidden=[4]))
    list(fit_many([candidate], [BINARY], context))
    assert len(notes) == 1


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("task", list(FIT_BY_TASK))
def test_exports_with_parity(task: str, activation: str, precision: str) -> None:
    section = {"precision": precision, "epochs": 2}
    what = FIT_BY_TASK[task]
    fitted = train(what, section, hidden=[12, 7], activation=activation)
    assert {array.dtype for array in (*fitted.weights, *fitted.biases)} == {np.dtype(precision)}
    x = np.random.default_rng(5).normal(size=(1000, 6)) * 3
    own, graph = fitted.predict(x), session(fitted, TensorProto.DOUBLE).run(None, {"x": x})[0]
    tolerance = 1e-12 if precision == "float64" or what.task != "classification" else 2e-6
    np.testing.assert_allclose(graph, own, rtol=tolerance, atol=tolerance)
    from_float = session(fitted, TensorProto.FLOAT).run(None, {"x": x.astype(np.float32)})[0]
    np.testing.assert_allclose(
        from_float, fitted.predict(x.astype(np.float32)), rtol=tolerance, atol=tolerance
    )


FORMULAS: dict[str, Any] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("activation", get_args(Activation))
def test_predictions_are_the_formula(activation: str) -> None:
    """And what the module gives that training went on from."""
    fitted = train(
        BINARY, {"precision": "float64", "epochs": 1}, hidden=[9, 4], activation=activation
    )
    h, last = X, len(fitted.weights) - 1
    for n, (weight, bias) in enumerate(zip(fitted.weights, fitted.biases, strict=True)):
        h = h @ weight.T + bias
        h = h if n == last else FORMULAS[activation](h)
    odds = np.exp(h)
    np.testing.assert_allclose(
        fitted.predict(X), odds / odds.sum(axis=1, keepdims=True), atol=1e-12
    )
    with torch.inference_mode():
        np.testing.assert_allclose(
            MLP().resume(fitted).eval()(torch.from_numpy(X)).numpy(), h, atol=1e-12
        )


@pytest.mark.parametrize("what", ["binary", "regression"])
def test_predictions_have_the_same_bits_on_one_core_as_on_many(what: str) -> None:
    """Of more rows than are predicted in one piece, of rows that may not be written to, and of
    every second one.
    """
    fitted, had = train(FIT_BY_TASK[what], {"epochs": 1}, hidden=[64, 64]), torch.get_num_threads()
    x = np.random.default_rng(0).normal(size=(2 * AT_ONCE + 7, 6))
    x.setflags(write=False)
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append([fitted.predict(rows) for rows in (x, x[:7], x[::2])])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(had)
    for one, many in zip(*found, strict=True):
        np.testing.assert_array_equal(one, many)
    np.testing.assert_allclose(found[0][2], found[0][0][::2], rtol=1e-5)


def test_regression_does_not_depend_on_the_unit_of_the_target() -> None:
    plain = Fit(X, SIGNAL, "regression", 1)
    fitted, small = train(FIT_BY_TASK["regression"], hidden=[32]), train(plain, hidden=[32])
    np.testing.assert_allclose(
        fitted.predict(X)[:, 0], 5000 + 900 * small.predict(X)[:, 0], rtol=1e-3
    )
    residual = fitted.predict(X)[:, 0] - FIT_BY_TASK["regression"].y
    assert np.var(residual) < 0.25 * np.var(FIT_BY_TASK["regression"].y)


def test_target_is_scaled_by_the_rows_trained_on_only() -> None:
    y = FIT_BY_TASK["regression"].y
    fitted = train(FIT_BY_TASK["regression"], hidden=[4])
    assert fitted.target_shift == pytest.approx([y.mean()])
    assert fitted.target_scale == pytest.approx([y.std()])
    watched = train(
        FIT_BY_TASK["regression"], {"stop": {"patience": 3, "validation": 0.3}}, hidden=[4]
    )
    assert watched.target_shift[0] != pytest.approx(y.mean(), abs=1e-6)


def test_scale_target_can_be_chosen() -> None:
    off = train(Fit(X, SIGNAL + 3, "regression", 1), hidden=[4], scale_target=False)
    on = train(FIT_BY_TASK["reconstruction"], hidden=[4], scale_target=True)
    left_out = train(FIT_BY_TASK["reconstruction"], hidden=[4])
    assert (off.target_shift[0], off.target_scale[0]) == (0.0, 1.0)
    assert on.target_shift == pytest.approx(X[:, :4].mean(axis=0))
    assert (left_out.target_scale == 1.0).all()


def test_a_constant_target_trains() -> None:
    fitted = train(Fit(X, np.full(150, 7.0), "regression", 1), hidden=[4])
    np.testing.assert_allclose(fitted.predict(X), 7.0, atol=0.1)


def test_neurons_are_cut_and_training_goes_on() -> None:
    fitted = train(BINARY, hidden=[16, 8])
    keep = np.sort(np.argsort(-np.linalg.norm(fitted.weights[0], axis=1))[:5])
    cut = replace(
        fitted,
        weights=(fitted.weights[0][keep], fitted.weights[1][:, keep], fitted.weights[2]),
        biases=(fitted.biases[0][keep], *fitted.biases[1:]),
    )
    assert cut.hidden == (5, 8)
    again = train(replace(BINARY, start=cut), hidden=[16, 8])
    assert again.hidden == (5, 8)
    assert again.layers() == [
        ("hidden 1 (relu)", (6, 5), 35),
        ("hidden 2 (relu)", (5, 8), 48),
        ("output", (8, 2), 18),
    ]

    def log_loss(model: Any) -> float:
        return float(-np.log(model.predict(X)[np.arange(150), BINARY.y]).mean())

    assert log_loss(again) < log_loss(cut)
    np.testing.assert_allclose(
        session(again, TensorProto.DOUBLE).run(None, {"x": X})[0], again.predict(X), atol=2e-6
    )


def test_a_resumed_regression_keeps_its_scale() -> None:
    fitted = train(FIT_BY_TASK["regression"], hidden=[8])
    other = Fit(X, FIT_BY_TASK["regression"].y * 2, "regression", 1, start=fitted)
    again = train(other, hidden=[8])
    np.testing.assert_array_equal(again.target_scale, fitted.target_scale)


def test_no_hidden_layer_is_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    noisy = Fit(X, ((SIGNAL + RNG.normal(size=150)) > 0).astype(np.int64), "classification", 2)
    section = {"optimizer": "lbfgs", "batch_size": "full", "epochs": 3, "precision": "float64"}
    fitted = train(noisy, section, hidden=[])
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, noisy.y).predict_proba(X)
    np.testing.assert_allclose(fitted.predict(X), theirs, atol=1e-5)


def test_saves_and_loads_bit_for_bit(tmp_path: Path) -> None:
    fitted = train(FIT_BY_TASK["regression"], hidden=[5, 3], activation="gelu")
    state.save(fitted, tmp_path)
    again = state.load(tmp_path, type(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.layers() == fitted.layers()


def test_the_graph_has_a_product_a_layer() -> None:
    graph = Graph()
    fitted = train(BINARY, {"epochs": 1}, hidden=[5, 3])
    graph.output(
        "y",
        fitted.export(graph, graph.input("x", TensorProto.DOUBLE, 6)),
        TensorProto.DOUBLE,
        ["rows", 2],
    )
    model: onnx.ModelProto = graph.model()
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == [
        "Cast",
        "MatMul",
        "Add",
        "Relu",
        "MatMul",
        "Add",
        "Relu",
        "MatMul",
        "Add",
        "Cast",
        "Softmax",
        "Identity",
    ]


def test_one_class_is_refused() -> None:
    with pytest.raises(FitError) as caught:
        train(replace(BINARY, y=np.ones(150, dtype=np.int64)), hidden=[4])
    expected = "build.mlp: expected rows of at least two classes in every fit; found one class in 150 rows. "
    assert str(caught.value).startswith(expected)


@pytest.mark.slow
def test_adult_census_accuracy() -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not (folder / "adult_train.csv.gz").exists():
        pytest.skip("the Adult census is not in ../shared/data")
    tables = [
        pd.read_csv(folder / f"adult_{part}.csv.gz", na_values=["?"]) for part in ("train", "test")
    ]
    columns, unseen = (table.drop(columns="income") for table in tables)
    y, y_unseen = (
        table["income"].str.contains(">50K").to_numpy(dtype=np.int64) for table in tables
    )
    numbers = columns.select_dtypes("number").columns.tolist()
    categories = [name for name in columns if name not in numbers]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepare = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "category",
                make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot),
                categories,
            ),
        ]
    )
    x = prepare.fit_transform(columns)
    section = {
        "optimizer": {"name": "adamw", "learning_rate": 0.002},
        "schedule": "cosine",
        "batch_size": 256,
        "epochs": 15,
    }
    fitted = train(Fit(x, y, "classification", 2), section, hidden=[64, 32], dropout=0.2)
    assert (fitted.predict(prepare.transform(unseen)).argmax(axis=1) == y_unseen).mean() >= 0.852
