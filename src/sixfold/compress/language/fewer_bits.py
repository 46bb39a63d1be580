"""A language model's matrices in 8 or 4 bits, as the GGUF file will hold them: rounded to the nearest,
or by GPTQ. Vectors (norms, biases) stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import nn

from sixfold.compress.language.gptq import Gptq, quantized_layers
from sixfold.parts.gguf_blocks import BlockType, FourBits, Single, TensorData, decoded, encoded

Method = Literal["int8", "int4", "gptq"]
# Of the matrices of the layers, and of the vectors of tokens (those that are read, and those that
# scores are made with): 4 bits cost the latter most and save least where it counts, in the layers.
TYPES: Final[Mapping[Method, Sequence[BlockType]]] = {
    "int8": ("q8_0", "q8_0"),
    "int4": ("q4_0", "q8_0"),
    "gptq": ("q4_0", "q8_0"),
}


@dataclass(frozen=True)
class FewerBits:
    """`method`: int8 and int4 round to the nearest; gptq keeps the answers on calibration tokens."""

    method: Method = "int8"
    gptq: Gptq = field(default_factory=Gptq)


def quantized(
    module: nn.Module, config: FewerBits, windows: torch.Tensor
) -> tuple[TensorData, ...]:
    """Every matrix of `module`, which stays as it is, in the order of its parameters. `windows`:
    calibration tokens [windows, context], which GPTQ alone looks at. Tied vectors come once, by the
    name of those that are read.
    """
    four: dict[str, FourBits] = {}
    if config.method == "gptq":
        four = quantized_layers(copy.deepcopy(module), windows, config.gptq)
    layers, tokens = TYPES[config.method]
    found = []
    for name, weight in matrices(module).items():
        if name in four:
            found.append(TensorData(name, "q4_0", four[name].packed()))
        else:
            inside = name.startswith("model.layers.")
            found.append(encoded(name, weight, layers if inside else tokens))
    return tuple(found)


def matrices(module: nn.Module) -> dict[str, Single]:
    """Name → float32 [rows, columns] of all of them, but those that are another one's."""
    return {
        name: parameter.detach().float().numpy()
        for name, parameter in module.named_parameters()
        if parameter.ndim == 2
    }


def dequantized(tensors: Sequence[TensorData]) -> dict[str, Single]:
    """Name → float32 [rows, columns]: the weights exactly as served."""
    return {tensor.name: decoded(tensor) for tensor in tensors}


def as_served(module: nn.Module, tensors: Sequence[TensorData]) -> nn.Module:
    """A copy of `module` that computes with the weights as served."""
    copied = copy.deepcopy(module)
    parameters = dict(copied.named_parameters())
    with torch.no_grad():
        for name, weight in dequantized(tensors).items():
            parameters[name].copy_(torch.from_numpy(weight))
    return copied
