"""How to cut: a layer of a network gets narrower. What is connected: a unit is a row of its layer and a column of the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sixfold.build.mlp import Network
from sixfold.parts.table import IntArray


def keep_units(network: Network, kept: Sequence[IntArray]) -> Network:
    """`kept`: for each hidden layer the units that stay, sorted. Removing a unit whose outgoing weights are 0 changes no
    output.
    """
    weights, biases = list(network.weights), list(network.biases)
    for layer, units in enumerate(kept):
        weights[layer] = np.ascontiguousarray(weights[layer][units])
        biases[layer] = np.ascontiguousarray(biases[layer][units])
        weights[layer + 1] = np.ascontiguousarray(weights[layer + 1][:, units])
    return replace(network, weights=tuple(weights), biases=tuple(biases))
