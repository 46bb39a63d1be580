"""TreeSHAP against LightGBM's own contributions, and against the sum over all subsets."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from games import path_dependent, shapley

from sixfold.build._model_text import read_trees
from sixfold.build._trees import Trees
from sixfold.build.boosting import Settings as Boosting
from sixfold.build.extra_trees import Settings as ExtraTrees
from sixfold.build.forest import Settings as Forest
from sixfold.build.tree import Settings as Tree
from sixfold.bundle.explain.graph_trees import trees_of
from sixfold.bundle.explain.tree_shap import TreeShap
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.onnx_messages import WireError
from sixfold.parts.fit import Fit
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.runs.context import Context

FEATURES = 5


def data(missing: bool = True) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, FEATURES)).astype(np.float32)
    y = x[:, 0] + x[:, 1] * x[:, 2] + np.sin(3 * x[:, 3])
    if missing:
        x[generator.random(x.shape) < 0.1] = np.nan
    return x, y.astype(np.float64)


def classes(y: Any, count: int) -> Any:
    return np.digitize(y, np.quantile(y, np.arange(1, count) / count)).astype(np.int64)


def checked(trees: Trees) -> CheckedModel:
    """As a bundle has them: written as a graph, and read from its bytes."""
    graph = Graph()
    x = graph.input("x", TensorProto.FLOAT, trees.features)
    graph.output("value", trees.export(graph, x), TensorProto.DOUBLE, ["rows", trees.outputs])
    return CheckedModel.of(packed(graph.model()), "model.onnx")


def explained(trees: Trees, mean: bool = False) -> TreeShap:
    return TreeShap(trees_of(checked(trees).graph, trees.leaf_cover()), mean)


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_boosting_is_what_lightgbm_says(count: int, missing: bool) -> None:
    x, y = data(missing)
    objective = {1: "regression", 2: "binary", 3: "multiclass"}[count]
    scores = count if count > 2 else 1
    parameters = {"objective": objective, "verbosity": -1, "num_threads": 1, "num_leaves": 20}
    parameters |= {"num_class": 3} if count == 3 else {}
    target = y if count == 1 else classes(y, count)
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, target), 30)
    shap = explained(read_trees(booster.model_to_string(), scores))
    rows = x[:150]
    peer = np.asarray(booster.predict(rows, pred_contrib=True)).reshape(150, scores, FEATURES + 1)
    np.testing.assert_allclose(shap.values(rows), peer[:, :, :-1].transpose(0, 2, 1), atol=1e-9)
    np.testing.assert_allclose(shap.base, peer[0, :, -1], atol=1e-9)


@pytest.mark.parametrize(
    ("family", "task"),
    [
        (Tree(max_depth=4), "regression"),
        (Tree(max_depth=6, complexity=0.0), "classification"),
        (Forest(trees=4, max_depth=5), "regression"),
        (Forest(trees=4, max_depth=5), "classification"),
        (ExtraTrees(trees=4, max_depth=5), "regression"),
        (ExtraTrees(trees=4, max_depth=5), "classification"),
        (Boosting(rounds=5, leaves=6, patience=None), "classification"),
    ],
)
def test_every_family_is_the_sum_over_all_subsets(family: Any, task: Any) -> None:
    x, y = data()
    fit = Fit(
        x,
        classes(y, 3) if task == "classification" else y,
        task,
        3 if task == "classification" else 1,
    )
    fitted = next(iter(family.fit([fit], Context())))
    shap = explained(fitted.trees)
    found = shap.values(x[:6])
    for row in range(6):
        game = path_dependent(fitted.trees, x[row].tolist())
        np.testing.assert_allclose(found[row], shapley(FEATURES, game), atol=1e-9)
        np.testing.assert_allclose(shap.base, game(frozenset()), atol=1e-9)
        np.testing.assert_allclose(
            shap.base + found[row].sum(axis=0), fitted.trees.total(x[row : row + 1])[0], atol=1e-9
        )


def test_trees_of_one_leaf_add_to_the_base_alone() -> None:
    x, y = data()
    flat = next(iter(Tree(max_depth=1).fit([Fit(x, np.ones_like(y), "regression", 1)], Context())))
    shap = explained(flat.trees)
    np.testing.assert_array_equal(shap.values(x[:3]), np.zeros((3, FEATURES, 1)))
    np.testing.assert_allclose(shap.base, [1.0])


def test_a_mean_of_trees_is_their_sum_by_their_number() -> None:
    x, y = data()
    fitted = next(iter(Forest(trees=3, max_depth=3).fit([Fit(x, y, "regression", 1)], Context())))
    whole, mean = explained(fitted.trees), explained(fitted.trees, mean=True)
    np.testing.assert_allclose(mean.values(x[:5]) * 3, whole.values(x[:5]), atol=1e-12)
    np.testing.assert_allclose(mean.base * 3, whole.base)


def test_many_rows_are_what_each_is_alone() -> None:
    x, y = data()
    fitted = next(iter(Forest(trees=3, max_depth=8).fit([Fit(x, y, "regression", 1)], Context())))
    shap = explained(fitted.trees)
    alone = np.concatenate([shap.values(x[row : row + 1]) for row in range(0, 400, 37)])
    np.testing.assert_allclose(shap.values(x)[::37], alone, atol=1e-12)
    assert shap.values(x[:0]).shape == (0, FEATURES, 1)


def test_another_number_of_leaves_is_refused() -> None:
    x, y = data()
    fitted = next(iter(Tree(max_depth=3).fit([Fit(x, y, "regression", 1)], Context())))
    with pytest.raises(WireError, match="counts of training rows for"):
        trees_of(checked(fitted.trees).graph, fitted.trees.leaf_cover()[1:])
    with pytest.raises(WireError, match="do not take one value"):
        trees_of(CheckedModel.of(_no_trees(), "model.onnx").graph, fitted.trees.leaf_cover())


def _no_trees() -> bytes:
    graph = Graph()
    x = graph.input("x", TensorProto.DOUBLE, 1)
    graph.output("value", graph.op("Neg", x), TensorProto.DOUBLE, ["rows", 1])
    return packed(graph.model())


def test_covers_are_the_training_rows() -> None:
    """In each tree those of the leaves add up to the root's; a cut tree's, too."""
    x, y = data()
    for family in (Tree(complexity=0.01), Forest(trees=3), Boosting(rounds=4, patience=None)):
        trees = next(iter(family.fit([Fit(x, y, "regression", 1)], Context()))).trees
        leaves = trees.leaves()
        for root, end in zip(trees.first, [*trees.first[1:], trees.node_count], strict=True):
            own = slice(int(root), int(end))
            assert trees.cover[own][leaves[own]].sum() == trees.cover[root] == 400
