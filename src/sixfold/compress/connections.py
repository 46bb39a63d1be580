"""What is connected: the parts of a network's arrays that belong to one hidden unit, and go when it
goes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class HiddenUnits(NamedTuple):
    """Index `unit` along `axis` of one array: `weights[layer]` is [out, in], `biases[layer]` is
    [out].
    """

    array: Literal["weights", "biases"]
    layer: int
    axis: int


class Unit(NamedTuple):
    """A unit of a hidden layer: what computes it, and what reads it."""

    incoming: tuple[HiddenUnits, ...]
    outgoing: tuple[HiddenUnits, ...]


def of_layer(layer: int) -> Unit:
    """Units of hidden layer `layer`: rows of its weights and biases; columns of the next layer's
    weights.
    """
    return Unit(
        (HiddenUnits("weights", layer, 0), HiddenUnits("biases", layer, 0)),
        (HiddenUnits("weights", layer + 1, 1),),
    )
