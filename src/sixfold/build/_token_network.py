"""What the networks over tokens share: how rows of tokens are read, and how a trained network is
kept, predicts and is exported.

Shape letters: B texts, L tokens, K outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._classes import present
from sixfold.build._network_export import embedded
from sixfold.build.module_family import ModuleFamily
from sixfold.core.errors import FitError
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import FeatureGroup, FeatureKind, Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean, spread_of
from sixfold.train import threads
from sixfold.train.module import ExampleReader
from sixfold.train.network import Scheme, Starting

AT_ONCE: Final = 64  # texts predicted in one piece
STEP: Final = 8  # tokens by which rows of a batch are longer or shorter


class ScaledOutputs(nn.Module):
    """A network and, behind it, the mean and the spread of the values that it learns: 0 and 1 for
    classes.
    """

    def __init__(self, network: nn.Module, shift: FloatArray, scale: FloatArray) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.from_numpy(shift.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """As the network starts."""
        if not isinstance(self.network, Starting):
            return frozenset()
        return frozenset(
            f"network.{name}" for name in self.network.start(weights, biases, generator)
        )

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] → [B, K] scores of classes, or values."""
        return self.network(tokens_BL) * self.scale + self.shift  # type: ignore[no-any-return]


def spread(fit: Fit, family: str) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each output's values, [K]: 0 and 1 for classes. Raises
    FitError for one class alone.
    """
    if fit.task == "classification":
        present(fit, family)
        return np.zeros(fit.outputs), np.ones(fit.outputs)
    y = np.asarray(fit.y, dtype=np.float64).reshape(fit.rows, -1)
    return mean(y, fit.weights), spread_of(y, fit.weights)


@dataclass(frozen=True)
class TokenRows:
    """Rows of tokens, stored as real numbers, read without the padding that all rows of a batch
    have.
    """

    x: Matrix
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`: int64 [B, L]."""
        return torch.from_numpy(trimmed(self.x[rows])), self.y[torch.from_numpy(rows)]


def trimmed(x: Matrix) -> IntArray:
    """int64, without columns at the end that are padding in every row; a multiple of STEP stays, as
    far as there is one.
    """
    used = np.flatnonzero(x.any(axis=0))
    length = -(-(int(used[-1]) + 1 if len(used) else 1) // STEP) * STEP
    return np.ascontiguousarray(x[:, :length], dtype=np.int64)


@dataclass(frozen=True)
class TokenNetwork(State):
    """A trained network over tokens. `shape`: of the network, `weights`: all that it holds,
    float32; `length`: tokens a row; `offset`: as in `parts.fit.Offset`.
    """

    shape: Any
    weights: dict[str, npt.NDArray[Any]]
    length: int
    output: OutputKind
    offset: tuple[float, ...] = ()

    @classmethod
    def of(cls, module: nn.Module, shape: State, fit: Fit) -> Self:
        """What a trained module holds."""
        weights = {name: _stored(value) for name, value in module.state_dict().items()}
        output: OutputKind = "probability" if fit.task == "classification" else "value"
        return cls(shape, weights, fit.x.shape[1], output, fit.offset)

    @abstractmethod
    def network(self) -> nn.Module:
        """A network of this shape."""

    def module(self) -> nn.Module:
        """The trained network, in evaluation."""
        outputs = self.weights["shift"]
        with own_draws():  # layers fill themselves, in whatever thread
            module = ScaledOutputs(self.network(), outputs, outputs)
        module.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return module.eval()

    def single(self) -> Self:
        """Itself: it computes in float32."""
        return self

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, L] tokens → float64 [rows, K], on one thread, whose sums are the same on any
        machine's number of cores.
        """
        module, found = self.module(), [np.zeros((0, len(self.weights["shift"])))]
        with threads.busy(0), torch.no_grad():
            for start in range(0, len(x), AT_ONCE):
                tokens = torch.from_numpy(trimmed(x[start : start + AT_ONCE]))
                scores = module(tokens).to(torch.float64)
                found.append(
                    (scores.softmax(1) if self.output == "probability" else scores).numpy()
                )
        return moved(np.concatenate(found), self.offset)

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes; `x` is [rows, L]; double [rows, K]."""
        tokens = graph.cast(x, TensorProto.INT64)
        example = torch.ones(2, self.length, dtype=torch.int64)
        scores = graph.cast(embedded(self.module(), graph, tokens, example), TensorProto.DOUBLE)
        return (
            graph.op("Softmax", scores, axis=1)
            if self.output == "probability"
            else moved_nodes(graph, scores, self.offset)
        )


def moved(values: FloatArray, offset: tuple[float, ...]) -> FloatArray:
    """[rows, outputs] float64 and what was subtracted in training."""
    return values + np.array(offset) if offset else values


def moved_nodes(graph: Graph, values: str, offset: tuple[float, ...]) -> str:
    """The same as nodes."""
    return graph.op("Add", values, graph.constant(offset, np.float64)) if offset else values


class TokenFamily(ModuleFamily):
    """A family that reads the tokens of one column of text."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"tokens"})

    @property
    def needs(self) -> Needs:
        """Tokens."""
        return Needs(precision="float32", text="tokens")

    @property
    @abstractmethod
    def name(self) -> str:
        """As recipes write it."""

    @abstractmethod
    def network(self, fit: Fit, tokens: FeatureGroup) -> nn.Module:
        """A network for these tokens, not filled yet."""

    @abstractmethod
    def sized(self, rows: int) -> Self:
        """The same settings with the size that so many rows get."""

    def module(self, fit: Fit) -> nn.Module:
        """The network with the spread of the fit's values. Raises FitError for other features than
        the tokens of one column.
        """
        return ScaledOutputs(self.network(fit, self.tokens_of(fit)), *spread(fit, self.name))

    def examples(self, fit: Fit) -> ExampleReader:
        """Tokens by batches."""
        kind = np.int64 if fit.task == "classification" else np.float64
        return TokenRows(np.asarray(fit.x), torch.from_numpy(np.array(fit.y, dtype=kind)))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state."""
        if not isinstance(fitted, TokenNetwork):
            raise TypeError(f"{type(fitted).__name__} is no TokenNetwork")
        return fitted.module()

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """Of the size that so many rows get."""
        return self.sized(rows)

    def tokens_of(self, fit: Fit) -> FeatureGroup:
        """The one group of features. Raises FitError where there are others."""
        if len(fit.layout) != 1 or fit.layout[0].kind != "tokens":
            raise FitError(
                f"build, {self.name}",
                "the tokens of one column of text, and nothing else",
                f"{fit.x.shape[1]:,} features of several columns, or of another kind",
                "Drop the other columns (data.drop), or use linear, svm or boosting on n-grams beside them.",
            )
        return fit.layout[0]


def _stored(value: torch.Tensor) -> npt.NDArray[Any]:
    return value.detach().contiguous().to(torch.float32).numpy().copy()
