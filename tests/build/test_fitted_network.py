"""Which precision a trained network predicts in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from sixfold.build._fitted_network import LARGEST_SCORE
from sixfold.build.mlp import FittedPerceptron

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 7))


def perceptron(highest: float) -> FittedPerceptron:
    """Whose highest score on X is that."""
    weights = tuple(RNG.normal(size=shape).astype(np.float32) for shape in ((5, 7), (3, 5)))
    biases = tuple(np.zeros(size, np.float32) for size in (5, 3))
    made = FittedPerceptron(weights, biases, "relu", "softmax", np.zeros(3), np.ones(3))
    hidden = np.maximum(X[:900] @ weights[0].T, 0)
    times = np.float32(highest / np.abs(hidden @ weights[1].T).max())
    return replace(made, weights=(weights[0], weights[1] * times))


@pytest.mark.parametrize("highest", [1.0, 0.9 * LARGEST_SCORE, 1.5 * LARGEST_SCORE, 5000.0])
@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_high_scores_are_computed_in_double(highest: float, kind: type) -> None:
    network = perceptron(highest)
    found = network.precise(kind(X[:900]))
    assert found.arithmetic == ("float64" if highest > LARGEST_SCORE else "float32")
    assert found.weights is network.weights, "the arrays stay as small as they are"


def test_values_are_double_anyway() -> None:
    network = replace(perceptron(1.0), link="identity", arithmetic="float64")
    assert network.precise(X) is network
