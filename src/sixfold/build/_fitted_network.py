"""A trained network: it predicts by its forward pass, which is written once, in torch, and exports
the nodes of the same pass.

Shape letters: R rows, F features, M members, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from sixfold.build._links import Link
from sixfold.parts.fit import Features, Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_trace import ROWS, traced
from sixfold.parts.sparse import dense
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads

AT_ONCE: Final = 256  # rows predicted in one piece, so that caches hold them: 2.3 times as fast as 1024 for tabm (measured)
Array = npt.NDArray[Any]
LayerParts = Mapping[str, torch.Tensor]
TRIED, TRIED_NUMBERS = (
    1024,
    1 << 22,
)  # rows at which scores are looked at, and numbers of them, at most
# Of scores of classes in float32: rounding, 2^-24 of a score, moves a probability by as much where two classes are near, which
# a bundle's stored rows notice at 1e-5 (bundle/parity.py); half of it, as other rows score higher than those looked at.
LARGEST_SCORE: Final = 1e-5 * 2.0**24 / 2


class FittedNetwork(State, ABC):
    """Its fields are the subclass's, these among them.

    `target_shift`, `target_scale`: float64 [K]; values = scores · scale + shift. `arithmetic`: of
    predictions; float64 for values, since a scale of 10⁵ would turn float32's rounding into visible
    differences between libraries, and for probabilities where `precise` finds the same.
    """

    differentiable: ClassVar[bool] = True
    link: Link
    target_shift: FloatArray
    target_scale: FloatArray
    arithmetic: Literal["float32", "float64"]

    @property
    def output(self) -> OutputKind:
        """Probabilities for classes, values otherwise."""
        return "probability" if self.link == "softmax" else "value"

    @property
    @abstractmethod
    def features(self) -> int:
        """F."""

    @abstractmethod
    def arrays_by_name(self) -> dict[str, Array]:
        """What was learned by gradient, all float32 or all float64."""

    @abstractmethod
    def scores(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[R, F] → [R, K], or of members [M, R, K]; `parts`: the arrays, in the type of `x`."""

    @property
    def rows_at_once(self) -> int:
        """How many are predicted in one piece."""
        return AT_ONCE

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that predictions are computed in: `arithmetic`, or the arrays' own where that is
        wider.
        """
        stored = next(iter(self.arrays_by_name().values())).dtype
        return np.result_type(stored, np.dtype(self.arithmetic))

    def parts(self, dtype: np.dtype[Any]) -> LayerParts:
        """The arrays as tensors of this type."""
        return {name: tensor(array, dtype) for name, array in self.arrays_by_name().items()}

    def forward(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[R, F] → [R, K], double: probabilities or values; of members the mean of theirs."""
        scores = self.scores(parts, x).double()
        if (self.target_scale != 1.0).any() or (self.target_shift != 0.0).any():
            scores = scores * tensor(self.target_scale) + tensor(self.target_shift)
        answers = scores.softmax(-1) if self.link == "softmax" else scores
        return answers.mean(0) if answers.ndim == 3 else answers

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, K] float64; the same bits on one core as on many."""
        dtype = self.dtype
        parts = self.parts(dtype)
        size = self.rows_at_once
        pieces = [x[start : start + size] for start in range(0, max(1, len(x)), size)]
        with torch.inference_mode(), threads.one_thread():
            answers = [self.forward(parts, tensor(piece, dtype)) for piece in pieces]
            return np.asarray(torch.cat(answers).numpy())

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes; link, target scale and mean in double. Arrays keep their own type in
        the file.
        """
        dtype = self.dtype
        kind = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
        forward, example = (
            partial(self.forward, self.parts(dtype)),
            tensor(np.zeros((ROWS, self.features), dtype)),
        )
        with threads.one_thread():  # two rows are not worth waking others
            return traced(forward, graph, graph.cast(x, kind), example)

    def precise(self, x: Features) -> Self:
        """The same network, computing in float64 where it scores rows `x` so high that float32 does not tell near classes
        apart: a perceptron on digits scores 2,000 after 2,500 epochs without weight decay (measured).
        """
        if self.arithmetic == "float64":
            return self
        count = max(1, min(TRIED, TRIED_NUMBERS // max(1, x.shape[1])))
        some = dense(x[:: max(1, x.shape[0] // count)])
        with torch.inference_mode(), threads.one_thread():
            highest = self.scores(self.parts(self.dtype), tensor(some, self.dtype)).abs().amax()
        if float(highest) <= LARGEST_SCORE:
            return self
        return replace(self, arithmetic="float64")  # type: ignore[type-var]

    def single(self) -> Self:
        """The same network, computing in float32."""
        return replace(self, arithmetic="float32")  # type: ignore[type-var]

    def parameters(self) -> dict[str, FloatArray]:
        """Every array that was learned; the target's scale is not learned by gradient, and not
        among them.
        """
        return {name: array.astype(np.float64) for name, array in self.arrays_by_name().items()}


def tensor(array: Array, dtype: np.dtype[Any] | None = None) -> torch.Tensor:
    """`array` for torch, in place where its type and its memory allow that."""
    own = np.ascontiguousarray(array, dtype=dtype)
    return torch.from_numpy(own if own.flags.writeable else own.copy())
