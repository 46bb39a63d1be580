"""A language model's matrices in 8 or 4 bits, as the GGUF file will hold them: rounded to the nearest,
or by GPTQ. Vectors (norms, biases) stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sixfold.compress.language.gptq import Gptq, quantized_layers
from sixfold.compress.language.scale_fit import ScaleFit, scales_fitted
from sixfold.compress.language.structure import LAYERS
from sixfold.parts.gguf_blocks import BlockType, FourBits, Single, TensorData, decoded, encoded
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.token_windows import WindowBatch

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
    """`method`: int8 and int4 round to the nearest; gptq keeps the answers on calibration tokens, `fit`:
    and fits its scales to them.
    """

    method: Method = "int8"
    gptq: Gptq = field(default_factory=Gptq)
    fit: ScaleFit = field(default_factory=ScaleFit)


def quantized(model: LanguageModel, config: FewerBits, windows: WindowBatch) -> LanguageModel:
    """`model` with the weights as served, and their `blocks`, which stand for the same numbers.
    `windows`: calibration tokens, which GPTQ alone looks at.
    """
    four: dict[str, FourBits] = {}
    if config.method == "gptq":
        four = quantized_layers(model, windows, config.gptq)
    layers, tokens = TYPES[config.method]
    blocks = []
    for name, array in model.arrays.items():
        if name in four:
            blocks.append(TensorData(name, "q4_0", four[name].packed()))
        elif array.ndim == 2:
            blocks.append(encoded(name, array, layers if name.startswith(LAYERS) else tokens))
    served = replace(model, arrays={**model.arrays, **dequantized(blocks)}, blocks=tuple(blocks))
    return scales_fitted(served, model, windows, config.fit) if four else served


def dequantized(blocks: Sequence[TensorData]) -> dict[str, Single]:
    """Name → float32 [rows, columns]: the weights exactly as served."""
    return {tensor.name: decoded(tensor) for tensor in blocks}


def served_bytes(model: LanguageModel) -> int:
    """What the weights take in the served file: matrices in their blocks, or in half precision where
    there are none; vectors in single precision.
    """
    held = {tensor.name: tensor.data.nbytes for tensor in model.blocks}
    return sum(
        held.get(name, array.size * (2 if array.ndim == 2 else 4))
        for name, array in model.arrays.items()
    )
