"""Cutting a network: exact where it can be, and never in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.build.mlp import FittedPerceptron
from sixfold.compress.importance import activations, by_activations, by_weights
from sixfold.compress.surgery import keep_units


def network(widths: tuple[int, ...], seed: int, activation: Any = "tanh") -> FittedPerceptron:
    rng = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = tuple(rng.normal(0, 1 / np.sqrt(shape[1]), shape) for shape in shapes)
    biases = tuple(rng.normal(0, 0.3, shape[0]) for shape in shapes)
    return FittedPerceptron(
        weights,
        biases,
        activation,
        "identity",
        np.zeros(widths[-1]),
        np.ones(widths[-1]),
        "float64",
    )


@given(
    widths=st.lists(st.integers(1, 9), min_size=3, max_size=5).map(tuple),
    seed=st.integers(0, 10_000),
    activation=st.sampled_from(["relu", "tanh", "sigmoid", "gelu", "silu"]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_units_that_nothing_reads_go_without_a_trace(
    widths: tuple[int, ...], seed: int, activation: str, data: Any
) -> None:
    whole = network(widths, seed, activation)
    kept = [
        np.array(sorted(data.draw(st.sets(st.integers(0, w - 1), min_size=1))))
        for w in widths[1:-1]
    ]
    weights = [w.copy() for w in whole.weights]
    for layer, units in enumerate(kept):
        weights[layer + 1][:, np.setdiff1d(np.arange(widths[layer + 1]), units)] = 0
    dead = replace(whole, weights=tuple(weights))
    smaller = keep_units(dead, kept)
    x = np.random.default_rng(seed).normal(size=(20, widths[0]))
    assert smaller.hidden == tuple(len(units) for units in kept)
    np.testing.assert_allclose(smaller.predict(x), dead.predict(x), rtol=0, atol=1e-12)


@given(seed=st.integers(0, 10_000), level=st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_a_constant_unit_moves_into_the_next_bias(seed: int, level: float) -> None:
    whole = network((4, 6, 5, 2), seed)
    weights, biases = [w.copy() for w in whole.weights], [b.copy() for b in whole.biases]
    weights[0][2], biases[0][2] = 0, level
    weights[1][4], biases[1][4] = 0, -level
    constant = replace(whole, weights=tuple(weights), biases=tuple(biases))
    x = np.random.default_rng(seed).normal(size=(30, 4))
    h = activations(constant, x)
    assert by_activations(constant, 0, h[0])[2] < 1e-12 < by_weights(constant, 0)[2] + 1e-9
    kept = [np.array([0, 1, 3, 4, 5]), np.array([0, 1, 2, 3])]
    smaller = keep_units(constant, kept, [a.mean(axis=0) for a in h])
    np.testing.assert_allclose(smaller.predict(x), constant.predict(x), rtol=0, atol=1e-10)


def test_activations_are_those_of_the_network() -> None:
    whole = network((4, 6, 5, 2), 1, "gelu")
    x = np.random.default_rng(0).normal(size=(10, 4))
    last = activations(whole, x)[-1]
    np.testing.assert_allclose(
        last @ whole.weights[-1].T + whole.biases[-1], whole.predict(x), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cut_returns_and_never_edits_in_place(dtype: Any) -> None:
    whole = network((4, 6, 5, 2), 2)
    whole = replace(
        whole,
        weights=tuple(w.astype(dtype) for w in whole.weights),
        biases=tuple(b.astype(dtype) for b in whole.biases),
    )
    before = [a.copy() for a in (*whole.weights, *whole.biases)]
    smaller = keep_units(whole, [np.array([0, 3]), np.array([1])], [np.ones(6), np.ones(5)])
    assert all(
        np.array_equal(a, b) for a, b in zip((*whole.weights, *whole.biases), before, strict=True)
    )
    assert [w.shape for w in smaller.weights] == [(2, 4), (1, 2), (2, 1)]
    assert {a.dtype for a in (*smaller.weights, *smaller.biases)} == {np.dtype(dtype)}
    assert not any(np.shares_memory(a, b) for a in smaller.weights for b in whole.weights)


def test_a_unit_without_a_say_is_the_least_important() -> None:
    whole = network((4, 6, 5, 2), 3)
    weights = [w.copy() for w in whole.weights]
    weights[1][:, 4] = 0
    silent = replace(whole, weights=tuple(weights))
    h = activations(silent, np.random.default_rng(0).normal(size=(50, 4)))
    assert by_weights(silent, 0).argmin() == by_activations(silent, 0, h[0]).argmin() == 4
    np.testing.assert_allclose(
        by_weights(whole, 1),
        np.sqrt((whole.weights[1] ** 2).sum(axis=1) + whole.biases[1] ** 2)
        * np.linalg.norm(whole.weights[2], axis=0),
    )
