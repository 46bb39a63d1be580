"""Schemes that cannot train a network are named before the run."""

from __future__ import annotations

from typing import Any

import torch

from sixfold.recipe.kinds import INITIALIZER
from sixfold.recipe.schema import Initialize

PROBE = 4  # inputs of the layer that is tried out


def problems(initialize: Initialize, hidden: tuple[int, ...]) -> str | None:
    """Why this start cannot train hidden layers of these widths, as a sentence; None when it can.

    Found by filling one layer: where all its units are equal (weights and bias), they get equal
    gradients and stay so; where they are all zero, no gradient comes through (Goodfellow, Bengio
    and Courville, Deep Learning, 2016, 8.4).
    """
    if not hidden:
        return None
    name = str(initialize.scheme.get("name"))
    weights = _probe(INITIALIZER.make(initialize.scheme), (max(hidden), PROBE))
    biases = _probe(INITIALIZER.make(initialize.bias), (max(hidden),))
    if bool((weights == 0).all()) and bool((biases == 0).all()):
        return f"{name} starts hidden layers at 0: no gradient passes them, and they never change"
    if (
        max(hidden) > 1
        and bool((weights == weights[0]).all())
        and bool((biases == biases[0]).all())
    ):
        return f"{name} starts all units of a hidden layer equal: their gradients are equal, and they stay equal"
    return None


def _probe(scheme: Any, shape: tuple[int, ...]) -> torch.Tensor:
    tensor = torch.empty(shape)
    scheme.fill(tensor, torch.Generator().manual_seed(0))
    return tensor
