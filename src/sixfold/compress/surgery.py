"""How to cut: a hidden layer of a network gets narrower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sixfold.build.mlp import FittedPerceptron
from sixfold.compress.connections import of_layer
from sixfold.parts.table import FloatArray, IntArray


def keep_units(
    network: FittedPerceptron, kept: Sequence[IntArray], means: Sequence[FloatArray] | None = None
) -> FittedPerceptron:
    """A new network with the units `kept` of each hidden layer, sorted indices.

    Removing a unit whose outgoing weights are 0 changes no output. With `means` ([units] a layer,
    of the activations) the next layer's bias takes over what a removed unit gives on average:
    removing one that is constant changes no output either.
    """
    arrays = {"weights": list(network.weights), "biases": list(network.biases)}
    for layer, units in enumerate(kept):
        if means is not None:
            gone = np.setdiff1d(np.arange(len(network.biases[layer])), units)
            given = network.weights[layer + 1][:, gone].astype(np.float64) @ means[layer][gone]
            following = network.biases[layer + 1]
            arrays["biases"][layer + 1] = (following + given).astype(following.dtype)
        for array, at, axis in (part for parts in of_layer(layer) for part in parts):
            arrays[array][at] = np.ascontiguousarray(np.take(arrays[array][at], units, axis=axis))
    return replace(network, weights=tuple(arrays["weights"]), biases=tuple(arrays["biases"]))
