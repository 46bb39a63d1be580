"""Tree, forest and extra_trees against scikit-learn; thresholds, ties, pruning path."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sixfold.build import _trees, boosting, extra_trees, forest, tree
from sixfold.build._trees import exact_in_float32, on_grid, round_down
from sixfold.build.family import CostComplexity
from sixfold.core.errors import RecipeError
from sixfold.parts.fit import Branching, Fit
from sixfold.parts.graph import Graph, TensorProto
from sixfold.runs.context import Context


def solve(settings: Any, fit: Fit) -> Any:
    return next(iter(settings.fit([fit], Context())))


def rows(count: int = 600, missing: bool = True) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 5)).astype(np.float32)
    score = (x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * generator.normal(size=count)).astype(np.float64)
    if missing:
        x[generator.random((count, 5)) < 0.1] = np.nan
    return x, score


@pytest.mark.parametrize("classes", [2, 4])
def test_tree_is_scikit_learns_with_missing_values(classes: int) -> None:
    x, score = rows()
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)
    model = solve(
        tree.Settings(max_depth=10, complexity=0.0),
        Fit(x[:400], y[:400], "classification", classes, seed=3),
    )
    reference = DecisionTreeClassifier(max_depth=10, min_samples_leaf=10, random_state=3).fit(
        x[:400], y[:400]
    )
    np.testing.assert_allclose(model.predict(x), reference.predict_proba(x), atol=1e-7)
    np.testing.assert_allclose(model.importances(), reference.feature_importances_, atol=1e-12)
    assert isinstance(model, Branching)
    assert model.node_count == reference.tree_.node_count


def test_tree_values_and_several_outputs() -> None:
    x, score = rows()
    y = np.stack([score, 1e6 + score**2], axis=1)
    for task, target in (("regression", score), ("reconstruction", y)):
        outputs = 1 if target.ndim == 1 else 2
        model = solve(
            tree.Settings(max_depth=10, complexity=0.0),
            Fit(x[:400], target[:400], task, outputs, seed=3),
        )
        reference = DecisionTreeRegressor(max_depth=10, min_samples_leaf=10, random_state=3).fit(
            x[:400], target[:400]
        )
        np.testing.assert_allclose(
            model.predict(x), reference.predict(x).reshape(600, -1), rtol=1e-12
        )


def test_missing_values_that_training_never_saw_go_scikit_learns_way() -> None:
    x, score = rows(missing=False)
    unseen = x[400:].copy()
    unseen[::3, 0] = np.nan
    y = (score > 0).astype(np.int64)
    model = solve(
        tree.Settings(max_depth=10, complexity=0.0), Fit(x[:400], y[:400], "classification", 2)
    )
    reference = DecisionTreeClassifier(max_depth=10, min_samples_leaf=10, random_state=0).fit(
        x[:400], y[:400]
    )
    went_left = reference.tree_.missing_go_to_left.astype(bool)
    np.testing.assert_array_equal(model.trees.missing_left, went_left & ~model.trees.leaves())
    assert np.isfinite(model.predict(unseen)).all()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_forest_is_scikit_learns(task: Any) -> None:
    x, score = rows()
    y: Any = np.digitize(score, [-0.5, 0.5]).astype(np.int64) if task == "classification" else score
    settings = forest.Settings(trees=30, feature_fraction=0.5, row_fraction=0.8)
    model = solve(
        settings, Fit(x[:400], y[:400], task, 3 if task == "classification" else 1, seed=3)
    )
    make = RandomForestClassifier if task == "classification" else RandomForestRegressor
    reference = make(
        30, max_depth=12, min_samples_leaf=3, max_features=0.5, max_samples=0.8, random_state=3
    )
    reference.fit(x[:400], y[:400])
    expected = (
        reference.predict_proba(x) if task == "classification" else reference.predict(x)[:, None]
    )
    np.testing.assert_allclose(model.predict(x), expected, atol=2e-6)
    np.testing.assert_allclose(model.importances(), reference.feature_importances_, atol=1e-12)


def test_complexity_path_cuts_the_tree_back() -> None:
    x, score = rows()
    fit = Fit(x, (score > 0).astype(np.int64), "classification", 2)
    settings = tree.Settings(min_rows_leaf=1, max_depth=10)
    assert isinstance(settings, CostComplexity)
    path = settings.complexity_path(fit)
    assert path[0] == 0.0
    assert path[-1] < 1.0
    assert (np.diff(path) > 0).all()
    counts = [
        solve(settings.model_copy(update={"complexity": float(alpha)}), fit).node_count
        for alpha in path[[0, 5, -2, -1]]
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[-1] == 1


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_extra_trees_are_scikit_learns(task: Any) -> None:
    """Where values are missing, too."""
    x, score = rows()
    x[::7, 1] = np.nan
    y: Any = np.digitize(score, [-0.5, 0.5]).astype(np.int64) if task == "classification" else score
    model = solve(
        extra_trees.Settings(trees=30),
        Fit(x[:400], y[:400], task, 3 if task == "classification" else 1, seed=3),
    )
    make = ExtraTreesClassifier if task == "classification" else ExtraTreesRegressor
    reference = make(
        30,
        max_depth=16,
        min_samples_leaf=3,
        max_features="sqrt" if task == "classification" else 1.0,
        random_state=3,
    )
    reference.fit(x[:400], y[:400])
    expected = (
        reference.predict_proba(x) if task == "classification" else reference.predict(x)[:, None]
    )
    np.testing.assert_allclose(model.predict(x), expected, atol=2e-6)
    if task == "classification":
        np.testing.assert_array_equal(exported(model, x, 3), model.predict(x))


@pytest.mark.parametrize(
    ("module", "name"), [(tree, "tree"), (forest, "forest"), (extra_trees, "extra_trees")]
)
def test_criterion_of_the_other_task_is_refused(module: Any, name: str) -> None:
    x, score = rows()
    with pytest.raises(RecipeError) as caught:
        solve(module.Settings(criterion="gini"), Fit(x, score, "regression", 1))
    expected = "expected a criterion of regression: auto, squared_error; found 'gini'."
    assert (
        str(caught.value)
        == f"build.{name}.criterion: {expected} Leave criterion out, or choose one of these."
    )


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error"])
def test_complexity_is_a_share_of_the_whole_impurity(criterion: Any) -> None:
    x, score = rows()
    regression = criterion == "squared_error"
    y: Any = 1000.0 * score if regression else np.digitize(score, [-1.0, 0.3]).astype(np.int64)
    settings = tree.Settings(criterion=criterion, complexity=0.02, min_rows_leaf=5)
    model = solve(
        settings,
        Fit(x, y, "regression" if regression else "classification", 1 if regression else 3),
    )
    make = DecisionTreeRegressor if regression else DecisionTreeClassifier
    full = make(criterion=criterion, max_depth=12, min_samples_leaf=5, random_state=0).fit(x, y)
    reference = full.set_params(ccp_alpha=0.02 * full.tree_.impurity[0]).fit(x, y)
    assert 1 < model.node_count == reference.tree_.node_count


def test_thresholds_rounded_down_change_no_comparison() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(size=500), [0.0, 1e30, -1e30, 1e-40]]).astype(np.float32)
    near = x[:500].astype(np.float64)
    thresholds = np.concatenate(
        [near, near + 1e-12, near - 1e-12, [1e300, -1e300, 1.0000000180025095e-35, 0.1]]
    )
    rounded = round_down(thresholds)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(
        x[:, None] <= rounded, x[:, None].astype(np.float64) <= thresholds
    )


@pytest.mark.parametrize(
    "family", [boosting.Settings(patience=None, rounds=80), forest.Settings(trees=40)]
)
@pytest.mark.parametrize(
    ("task", "outputs"), [("classification", 2), ("classification", 3), ("regression", 1)]
)
def test_the_graph_agrees_on_extreme_rows(family: Any, task: Any, outputs: int) -> None:
    x, score = rows()
    y: Any = (
        np.digitize(score, [0.0, 0.8][: outputs - 1]).astype(np.int64)
        if outputs > 1
        else 1e7 + 1e4 * score
    )
    model = solve(family, Fit(x, y, task, outputs))
    thresholds = np.unique(model.trees.threshold)
    extremes = np.concatenate(
        [thresholds, np.nextafter(thresholds, np.float32(np.inf)), [0.0, -0.0, np.nan]]
    )
    extremes = np.concatenate([extremes, [np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45]]).astype(
        np.float32
    )
    unseen = np.random.default_rng(0).choice(extremes, size=(2000, 5))
    graph = Graph()
    value = model.export(graph, graph.input("x", TensorProto.FLOAT, 5))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", outputs])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    own, exported = model.predict(unseen), session.run(None, {"x": unseen})[0]
    if task == "classification" and isinstance(family, forest.Settings):
        np.testing.assert_array_equal(exported, own)
    np.testing.assert_allclose(exported, own, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(exported.argmax(axis=1), own.argmax(axis=1))


def test_sums_of_values_on_the_grid_are_exact_in_float32_in_any_order() -> None:
    generator = np.random.default_rng(0)
    share, first = generator.random((400, 3)), np.arange(400)
    assert not exact_in_float32(share, first)
    value = on_grid(share, 400)
    assert exact_in_float32(value, first)
    assert exact_in_float32(np.zeros((400, 3)), first)
    shuffled = generator.permutation(value).astype(np.float32)
    np.testing.assert_array_equal(
        np.cumsum(shuffled, axis=0, dtype=np.float32)[-1], value.sum(axis=0)
    )
    assert not exact_in_float32(value + 2.0**-40, first)


@pytest.mark.parametrize("trees", [1, 7])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_trees_of_one_leaf_are_exported(trees: int, task: Any) -> None:
    x = np.zeros((40, 3), dtype=np.float32)
    y: Any = np.arange(40) % 3 if task == "classification" else np.arange(40.0)
    model = solve(
        forest.Settings(trees=trees), Fit(x, y, task, 3 if task == "classification" else 1)
    )
    assert model.node_count == trees
    np.testing.assert_allclose(exported(model, x[:2], 3), model.predict(x[:2]), rtol=1e-12)


def test_many_trees_and_classes_are_added_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, score = rows()
    y = np.digitize(score, [-1.0, -0.3, 0.3, 1.0]).astype(np.int64)
    model = solve(forest.Settings(trees=11), Fit(x, y, "classification", 5))
    whole = exported(model, x, 5)
    monkeypatch.setattr(_trees, "AT_ONCE", 5 * 4)  # four trees at once: 4, 4, 3
    np.testing.assert_array_equal(exported(model, x, 5), whole)
    np.testing.assert_array_equal(whole, model.predict(x))


def test_equal_leaves_are_stored_once() -> None:
    x, score = rows()
    y = np.digitize(score, [-0.5, 0.5]).astype(np.int64)
    model = solve(forest.Settings(trees=30), Fit(x, y, "classification", 3))
    graph = Graph()
    model.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    tables = [numpy_helper.to_array(t) for t in graph._initializers if list(t.dims)[1:] == [3]]
    leaves = model.trees.value[model.trees.leaves()]
    assert [len(t) for t in tables] == [len(np.unique(leaves, axis=0))]
    assert len(tables[0]) < len(leaves) / 2
    assert tables[0].dtype == np.float32


def exported(model: Any, x: Any, outputs: int) -> Any:
    """The answers of the graph of a fitted forest."""
    graph = Graph()
    value = model.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", outputs])
    return onnxruntime.InferenceSession(graph.model().SerializeToString()).run(None, {"x": x})[0]


def test_blocks_walked_by_threads_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    x, score = rows()
    model = solve(forest.Settings(trees=20), Fit(x, score, "regression", 1))
    monkeypatch.setattr(_trees, "BLOCK", 20 * 7)  # rows that do not go into blocks of 7
    threaded = model.predict(x)
    monkeypatch.setattr(_trees, "THREADED", 1000)
    np.testing.assert_array_equal(threaded, model.predict(x))
    assert model.predict(x[:0]).shape == (0, 1)
