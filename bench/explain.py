"""Exact TreeSHAP, sampled Shapley values and integrated gradients, beside LightGBM's own
contributions, `shap` and `captum`.

TreeSHAP: ours reads the trees from a bundle's graph and is NumPy; LightGBM and shap are C++. All
three values have to be equal within 1e-6. Sampled: the same network, over the same stored rows, as
many answers asked as shap's permutation explainer asks; ours has to agree with shap's estimate
within four standard errors of the difference. Integrated gradients: the same network, its slopes by
onnxruntime (a graph made of the bundle's) and by torch; captum takes 64 points of a way, ours as many as it
takes to be within half a percent, and the two may differ by the error that ours tells. All may use all
cores; ours takes one for networks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import lightgbm
import numpy as np

from bench.pairs import Result, against, need
from sixfold.build._model_text import read_trees
from sixfold.bundle.explain.backward import SlopedFeatures
from sixfold.bundle.explain.features import AnswersFeatures, NamedFeatures
from sixfold.bundle.explain.gradients import Baseline
from sixfold.bundle.explain.graph_trees import trees_of
from sixfold.bundle.explain.integrals import integrated_slopes
from sixfold.bundle.explain.sampling import Player, Players, SamplingEffort, sampled
from sixfold.bundle.explain.tree_shap import TreeShap
from sixfold.bundle.graph import CheckedModel
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed

SAME = 1e-6
ERRORS = 4.0
PARTS = 64  # points of a way that captum takes


def measure(
    rows: int = 1000, features: int = 100, trees: int = 500, rounds: int = 3
) -> Iterator[Result]:
    """Seconds of all rows' attributions; the trees are read and the explainers made before."""
    yield from _trees(rows, features, trees, rounds)
    yield _sampled(features=min(features, 12), rounds=rounds)
    for width in sorted({min(features, 12), min(features, 60)}):
        yield _integrated(width, rounds)


def _trees(rows: int, features: int, trees: int, rounds: int) -> Iterator[Result]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(max(rows, 2000), features)).astype(np.float32)
    x[generator.random(x.shape) < 0.05] = np.nan
    known = np.nan_to_num(x)
    y = known[:, 0] + known[:, 1] * known[:, 2] + np.sin(known[:, 3 % features])
    booster = lightgbm.train(
        {"verbosity": -1, "num_leaves": 31, "feature_fraction": 0.5}, lightgbm.Dataset(x, y), trees
    )
    grown = read_trees(booster.model_to_string(), 1)
    graph = Graph()
    value = grown.export(graph, graph.input("x", TensorProto.FLOAT, features))
    graph.output("value", value, TensorProto.DOUBLE, ["rows", 1])
    model = CheckedModel.of(packed(graph.model()), "model.onnx")
    shap = TreeShap(trees_of(model.graph, grown.leaf_cover()), mean=False)
    some = x[:rows]

    def ours() -> Any:
        return shap.values(some)[:, :, 0]

    def same(mine: Any, others: Any) -> str:
        apart = float(np.abs(mine - np.asarray(others)[:, :features]).max())
        assert apart <= SAME, apart
        return f"equal within {max(apart, 1e-16):.0e}"

    workload = f"TreeSHAP, {rows:,} rows × {features}, {trees:,} trees"
    form = Result(workload, "LightGBM pred_contrib", target=1 / 1.5)
    yield against(form, ours, lambda: booster.predict(some, pred_contrib=True), same, rounds)
    peer = _shap_trees(booster, some)
    yield against(Result(workload, "shap.TreeExplainer", target=1.0), ours, peer, same, rounds)


def _shap_trees(booster: Any, rows: Any) -> Callable[[], Any]:
    """shap's own code, not LightGBM's, which it calls where it can."""
    made: list[Any] = []

    def work() -> Any:
        need("shap")
        if not made:
            explainer = importlib.import_module("shap").TreeExplainer
            made.append(explainer(booster, feature_perturbation="tree_path_dependent"))
            made[0].model.original_model = None
            made[0].model.model_type = "internal"
        return made[0].shap_values(rows, check_additivity=False)

    return work


def _sampled(features: int, rounds: int, stored: int = 100, pairs: int = 400) -> Result:
    """A network of two layers, one row; the time is the answering and the sharing out."""
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(features, 32)), generator.normal(size=(32, 1))
    background, row = (
        generator.normal(size=(stored, features)),
        generator.normal(size=(1, features)),
    )

    def answer(x: Any) -> Any:
        return np.tanh(x @ first / 3) @ second

    def ours() -> Any:
        players = Players(
            [Player("numbers", place) for place in range(features)],
            {"numbers": background},
            lambda feeds: answer(feeds["numbers"]),
        )
        found = sampled(
            players, {"numbers": row}, SamplingEffort(rows=1 + 2 * pairs * (features - 1))
        )
        return found.values[:, 0], found.error[:, 0]

    def peer() -> Any:
        need("shap")
        shap = importlib.import_module("shap")
        explainer = shap.PermutationExplainer(
            lambda x: answer(x)[:, 0], shap.maskers.Independent(background, stored), seed=0
        )
        # shap answers to all stored rows at every step of an order: as many rows in all
        orders = max(1, pairs // stored)
        return explainer(row, max_evals=orders * (2 * features + 1), silent=True).values[0], 0.0

    def same(mine: Any, others: Any) -> str:
        values, error = mine
        worst = float((np.abs(values - others[0]) / np.maximum(error, 1e-12)).max())
        assert worst <= ERRORS, worst
        return f"within {worst:.1f} standard errors"

    form = Result(
        f"sampled Shapley, {features} columns, a network", "shap.PermutationExplainer", target=1.0
    )
    return against(form, ours, peer, same, rounds)


def _integrated(features: int, rounds: int, rows: int = 20) -> Result:
    """A network of two layers; the time is all rows' attributions, from one baseline."""
    generator = np.random.default_rng(2)
    first, second = generator.normal(size=(features, 64)) / 3, generator.normal(size=(64, 1))
    x, start = generator.normal(size=(rows, features)), np.zeros(features)
    graph = Graph()
    hidden = graph.op("Tanh", graph.product(graph.input("x", TensorProto.DOUBLE, features), first))
    graph.output("value", graph.product(hidden, second), TensorProto.DOUBLE, ["rows", 1])
    model = CheckedModel.of(packed(graph.model()), "model.onnx")
    named = NamedFeatures("x", TensorProto.DOUBLE, features)
    answer = AnswersFeatures.of(model, named, "value", 8192, "model.onnx")
    sloped = SlopedFeatures.of(model, named, "value", 8192, "model.onnx")
    none = np.zeros(features, dtype=bool)
    baseline, effort = Baseline(start, none, none), SamplingEffort(rows=20_000 * rows)

    def ours() -> Any:
        found = integrated_slopes(sloped, answer, x, baseline, effort)
        return np.stack([each.values[:, 0] for each in found]), max(
            float(each.error[0]) for each in found
        )

    def peer() -> Any:
        need("captum")
        torch = importlib.import_module("torch")
        weights = torch.from_numpy(first), torch.from_numpy(second)
        method = importlib.import_module("captum.attr").IntegratedGradients(
            lambda some: torch.tanh(some @ weights[0]) @ weights[1]
        )
        given, base = torch.from_numpy(x), torch.from_numpy(start)[None]
        return method.attribute(given, base, target=0, n_steps=PARTS).detach().numpy(), 0.0

    def same(mine: Any, others: Any) -> str:
        (values, error), (theirs, _) = mine, others
        apart, largest = float(np.abs(values - theirs).max()), float(np.abs(theirs).max())
        assert apart <= error, (apart, error)
        told = f"{apart / largest:.1e} of the largest, {error / largest:.1e} told"
        return f"equal within {told}"

    workload = f"integrated gradients, {rows} rows × {features} columns, a network"
    form = Result(workload, "captum.IntegratedGradients", target=1.0)
    return against(form, ours, peer, same, rounds)
