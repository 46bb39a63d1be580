"""What stands between two layers of a network.

Only what onnxruntime computes in float32 and float64 (its Erf has no float64: gelu is the form with
tanh).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import torch
from torch.nn import functional

Activation = Literal["relu", "tanh", "sigmoid", "gelu", "silu"]
ACTIVATIONS: Final[dict[Activation, Callable[[torch.Tensor], torch.Tensor]]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
}
