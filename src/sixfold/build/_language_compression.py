"""What compressing a language model takes, counted: fewer bits (GPTQ), and units that go and are made up for by distillation.

Letters: n calibration tokens, O outputs and I inputs of a matrix.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sixfold.build._language_shape import LanguageShape
from sixfold.build.family import CompressionWork, FitWork
from sixfold.recipe.compression import Compress

CALIBRATION: Final = (
    32_768  # tokens, where there are as many: as `compress.language.calibration` reads
)
# Of GPTQ, for a matrix: O · I² multiplications and additions of its rounding (half of a product), of four sweeps and their start
# (five products), and of what is made up for (one); I³ in double precision, twice the time, of solving and three factors.
ROUNDED: Final = 1 + 10 + 2
FACTORED: Final = 2 * (8 / 3 + 4 / 3)
# Bytes that are read and written for each weight: 30 scales that are tried, and 32 neighbors that hear of each number.
TRIED_BYTES: Final = 30 * 32 + 4 * 450
COLUMN_CALLS: Final = 16  # of torch, for a column; counted, by what a call without gradients takes
# Through the layers: each of four stages of a layer is read once from both networks, then both go on.
PASSES: Final = 4 * 2 + 2
FITTED: Final = (
    6 + 2 + 3 * 2
)  # operations a weight and token: scales learn with a teacher; three looks at the divergence
LEARNED: Final = 6  # operations of a weight and token in training
ASKED: Final = 2  # of a forward pass, as a teacher does alone


def compression_work(
    shape: LanguageShape, vocabulary: int, tokens: int, section: Compress
) -> CompressionWork:
    """`tokens`: of the training texts."""
    n, weights = min(tokens, CALIBRATION), shape.parameters(vocabulary)
    flops = moved = calls = learned = 0.0
    for pruning in section.prune:
        ratio = pruning.get("ratio", 0.25)
        share = ratio if isinstance(ratio, float) else 0.5
        left = weights * (1 - share)
        if pruning["target"] == "layers":  # one after the other goes, of all that are left
            gone = max(1, round(share * shape.layers))
            flops += ASKED * n * weights * gone * (shape.layers - gone / 2)
        else:
            flops += 2 * ASKED * n * weights
        learned += float(pruning.get("epochs", 1)) * tokens * (LEARNED * left + ASKED * weights)
    if section.quantize is not None and section.quantize.weights == "gptq":
        own = shape.parameters(0)
        flops += n * (PASSES * ASKED * own + FITTED * weights)
        for matrix in matrices(shape):
            flops += ROUNDED * matrix.outputs * matrix.inputs**2 + FACTORED * matrix.inputs**3
            flops += (
                2 * ASKED * n * matrix.inputs**2 / 2
            )  # moments and drift, of a stage's matrices once
            moved += TRIED_BYTES * matrix.outputs * matrix.inputs
            calls += COLUMN_CALLS * matrix.inputs
    streams = 2 * 4 * n * shape.width
    peak = 3 * 4 * weights + streams + 24 * shape.mlp**2
    return CompressionWork(FitWork(flops, calls, moved), FitWork(learned), peak)


class _Matrix(NamedTuple):
    outputs: int
    inputs: int


def matrices(shape: LanguageShape) -> list[_Matrix]:
    """Of all layers, those that are rounded."""
    head = shape.head_width or shape.width // shape.heads
    heads, keys = head * shape.heads, head * shape.kv_heads
    layer = [
        _Matrix(heads, shape.width),
        _Matrix(keys, shape.width),
        _Matrix(keys, shape.width),
        _Matrix(shape.width, heads),
        _Matrix(shape.mlp, shape.width),
        _Matrix(shape.mlp, shape.width),
        _Matrix(shape.width, shape.mlp),
    ]
    return layer * shape.layers
