"""Integrated gradients along slopes: against formulas, against torch with many points, and what is done
where slopes do not tell all of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sixfold.bundle.explain.backward import Sloped, SlopedFeatures
from sixfold.bundle.explain.feature_path import FeaturePath
from sixfold.bundle.explain.features import AnswersFeatures, FeatureReader, NamedFeatures
from sixfold.bundle.explain.gradients import Baseline
from sixfold.bundle.explain.integrals import KRONROD, integrated_slopes
from sixfold.bundle.explain.sampling import SamplingEffort
from sixfold.bundle.graph import CheckedModel
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed

Function = Callable[[torch.Tensor], torch.Tensor]


def slopes_of(function: Function) -> Callable[[Any], Sloped]:
    """By autograd."""

    def sloped(x: Any) -> Sloped:
        points = torch.from_numpy(x).requires_grad_()
        answers = function(points)
        found = [
            torch.autograd.grad(answers[:, at].sum(), points, retain_graph=True)[0].numpy()
            for at in range(answers.shape[1])
        ]
        return Sloped(answers.detach().numpy(), np.stack(found, axis=2))

    return sloped


def along(
    function: Function, x: list[list[float]], code: list[int] | None = None, **effort: Any
) -> list[Any]:
    """From 0."""
    width = len(x[0])
    codes = np.isin(np.arange(width), code or [])
    baseline = Baseline(np.zeros(width), codes, np.zeros(width, dtype=bool))

    def answer(some: Any) -> Any:
        return function(torch.from_numpy(some)).detach().numpy()

    return integrated_slopes(
        slopes_of(function), answer, np.array(x), baseline, SamplingEffort(**effort)
    )


@pytest.mark.parametrize("degree", [1, 13, 14, 22])
def test_the_points_are_exact_for_powers_up_to_22(degree: int) -> None:
    """Of slopes t^n along the way; what seven of the 15 points say differs from n = 14 on."""
    (found,) = along(lambda x: x[:, :1] ** (degree + 1) + 3.0, [[1.0, 5.0]])
    assert found.base == 3.0
    np.testing.assert_allclose(found.values[:, 0], [1.0, 0.0], rtol=1e-13)
    assert found.asked == 15
    assert found.lacking.max() < 1e-13
    assert (found.error.max() < 1e-13) == (degree < 14)
    assert 2 * sum(KRONROD) - KRONROD[-1] == pytest.approx(2.0, abs=1e-15)


def test_of_a_product_each_gets_half_of_every_row() -> None:
    rows = [[2.0, 5.0, 0.0], [1.0, -1.0, 9.0]]
    for found, (x, y, _) in zip(along(lambda x: x[:, :1] * x[:, 1:2], rows), rows, strict=True):
        np.testing.assert_allclose(found.values[:, 0], [x * y / 2, x * y / 2, 0.0], atol=1e-12)
        assert found.asked == 15


def test_a_code_jumps_and_shares_with_a_number() -> None:
    """Three times as much where the code is 2: half of that is the code's."""

    def answer(x: torch.Tensor) -> torch.Tensor:
        assert {*x[:, 1].tolist()} <= {0.0, 2.0}  # never between
        return torch.where(x[:, 1] == 2.0, 3.0, 1.0)[:, None] * x[:, :1]

    one, other = along(answer, [[4.0, 2.0], [4.0, 0.0]], [1])
    np.testing.assert_allclose(one.values[:, 0], [4.0 + 4.0, 4.0], atol=1e-9)
    np.testing.assert_allclose(other.values[:, 0], [4.0, 0.0], atol=1e-9)


def test_sharp_bends_are_cut_into_small_parts_or_told() -> None:
    def sharp(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(40 * (x[:, :1] + x[:, 1:2] - 1.06)) - torch.relu(x[:, :1] - 0.3)

    (found,) = along(sharp, [[1.0, 1.0]])
    exact = np.array([[0.94 * 20 - 0.7], [0.94 * 20]])
    np.testing.assert_allclose(found.values, exact, atol=found.error.max())
    assert found.error.max() <= 0.01 * exact.max()
    assert found.asked < 500
    (few,) = along(sharp, [[1.0, 1.0]], rows=20)
    assert few.asked == 15
    assert few.error.max() > 0.01 * exact.max()
    np.testing.assert_allclose(few.values, exact, atol=few.error.max())
    np.testing.assert_allclose(few.values.sum(), exact.sum(), atol=1e-9)


def graph_of(build: Callable[[Graph, str], str], width: int) -> CheckedModel:
    graph = Graph()
    value = build(graph, graph.input("x", TensorProto.DOUBLE, width))
    graph.output("value", value, TensorProto.DOUBLE, ["rows", 1])
    return CheckedModel.of(packed(graph.model()), "here")


def path_of(build: Callable[[Graph, str], str], width: int) -> FeaturePath:
    """From 0."""
    model, none = graph_of(build, width), np.zeros(width, dtype=bool)
    named = NamedFeatures("x", TensorProto.DOUBLE, width)
    answer = AnswersFeatures.of(model, named, "value", 100, "here")
    reader = FeatureReader.of(model, named, "here")
    return FeaturePath.of(
        model, reader, answer, np.ones((3, width)), Baseline(np.zeros(width), none, none)
    )


def test_of_a_network_they_are_what_torch_sums_up() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(6, 32)) / 2, rng.normal(size=(32, 1))
    x = rng.normal(size=(5, 6))

    def network(g: Graph, value: str) -> str:
        hidden = g.op("Relu", g.product(value, first[:, :16]))
        smooth = g.op("Tanh", g.product(value, first[:, 16:]))
        return g.product(g.concat([hidden, smooth]), second)

    def same(points: torch.Tensor) -> torch.Tensor:
        weights = torch.from_numpy(first)
        both = torch.relu(points @ weights[:, :16]), torch.tanh(points @ weights[:, 16:])
        return torch.cat(both, 1) @ torch.from_numpy(second)

    path = path_of(network, 6)
    assert isinstance(path.sloped, SlopedFeatures)
    found = path.integrated(x, SamplingEffort())
    when = (np.arange(4000) + 0.5) / 4000
    for row, each in zip(x, found, strict=True):
        slopes = slopes_of(same)(when[:, None] * row).slopes[:, :, 0]
        expected = slopes.mean(axis=0) * row
        np.testing.assert_allclose(each.values[:, 0], expected, atol=each.error[0] + 1e-6)
        assert each.error[0] <= 0.02 * np.abs(expected).max()
        assert each.lacking is not None
        whole = path.answer(row[None])[0] - path.answer(np.zeros((1, 6)))[0]
        np.testing.assert_allclose(each.values.sum(axis=0), whole, atol=1e-12)


def steps(g: Graph, x: str) -> str:
    """Jumps by 5 where the first feature is above 1/2."""
    first, second = g.split_columns(x, 2)
    above = g.cast(g.op("Greater", first, g.constant(0.5, np.float64)), TensorProto.DOUBLE)
    five = g.op("Mul", above, g.constant(5.0, np.float64))
    return g.op("Add", g.op("Add", five, first), second)


def floors(g: Graph, x: str) -> str:
    first, second = g.split_columns(x, 2)
    return g.op("Add", g.op("Floor", first), second)


def test_jumps_that_slopes_do_not_see_are_taken_by_differences() -> None:
    path = path_of(steps, 2)
    assert path.sloped is not None
    one, other = path.integrated(np.array([[1.0, 1.0], [0.25, 1.0]]), SamplingEffort())
    assert one.lacking is None
    np.testing.assert_allclose(one.values[:, 0], [6.0, 1.0], atol=1e-9)
    assert other.lacking is not None
    np.testing.assert_allclose(other.values[:, 0], [0.25, 1.0], atol=1e-9)


def test_a_graph_without_slopes_is_asked_for_differences() -> None:
    path = path_of(floors, 2)
    assert path.sloped is None
    assert path.least_s > 0
    (found,) = path.integrated(np.array([[2.5, 1.0]]), SamplingEffort())
    np.testing.assert_allclose(found.values[:, 0], [2.0, 1.0], atol=1e-9)
    assert math.isclose(found.error.max(), 0.0, abs_tol=1e-9)
