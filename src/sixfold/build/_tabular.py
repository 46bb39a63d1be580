"""What the networks for tables share: their settings, their losses, and how a trained one is kept.

Shape letters: R rows, F features, M members, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from sixfold.build import _links
from sixfold.build._classes import present
from sixfold.build._entrance import FeatureEmbedding, LayerParts, Stored
from sixfold.build.network import NetworkFamily
from sixfold.parts.fit import Fit, Matrix, Needs, OutputKind, Shape
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.offsets import offsets
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task

AT_ONCE = 1024  # rows predicted in one piece: what members hold of many more would fill the memory
Array = npt.NDArray[Any]
Numbers = Literal["linear", "periodic", "piecewise_linear"]


@dataclass(frozen=True)
class TabularNetwork(State, ABC):
    """A trained network: `arrays` by the names of the module's parameters, all float32 or all float64.

    `target_shift`, `target_scale`: float64 [K]; values = outputs · scale + shift. `arithmetic`: of predictions, as in mlp.
    """

    entrance: FeatureEmbedding
    arrays: dict[str, Array]
    link: _links.Link
    target_shift: FloatArray
    target_scale: FloatArray
    arithmetic: Literal["float32", "float64"]

    @property
    def output(self) -> OutputKind:
        """Probabilities for classes, values otherwise."""
        return "probability" if self.link == "softmax" else "value"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that predictions are computed in: `arithmetic`, or the weights' own where that is wider."""
        return np.result_type(next(iter(self.arrays.values())).dtype, np.dtype(self.arithmetic))

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, K] float64: the mean over the members of their probabilities or values."""
        arrays = {name: array.astype(self.dtype, copy=False) for name, array in self.arrays.items()}
        parts = [x[start : start + AT_ONCE] for start in range(0, max(1, len(x)), AT_ONCE)]
        return np.concatenate([self._answers(arrays, part.astype(self.dtype, copy=False)) for part in parts])

    def _answers(self, arrays: dict[str, Array], x: Array) -> FloatArray:
        scores_RMK = self.scores(arrays, self.entrance.predict(arrays, x))
        rows, members, outputs = scores_RMK.shape
        flat = scores_RMK.reshape(rows * members, outputs).astype(np.float64)
        answers = _links.apply(self.link, flat * self.target_scale + self.target_shift)
        return np.asarray(answers.reshape(scores_RMK.shape).mean(axis=1))

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes; link, target scale and mean in double. Weights keep their own type in the file."""
        kind = TensorProto.DOUBLE if self.dtype == np.float64 else TensorProto.FLOAT

        def stored(array: Array) -> str:
            constant = graph.constant(array, array.dtype)
            return constant if array.dtype == self.dtype else graph.cast(constant, kind)

        entered = self.entrance.export(graph, self.arrays, stored, graph.cast(x, kind))
        value = graph.cast(self.export_scores(graph, stored, entered), TensorProto.DOUBLE)
        if (self.target_scale != 1.0).any() or (self.target_shift != 0.0).any():
            value = graph.op("Mul", value, graph.constant(self.target_scale, np.float64))
            value = graph.op("Add", value, graph.constant(self.target_shift, np.float64))
        return self.export_answer(graph, value)

    @abstractmethod
    def scores(self, arrays: dict[str, Array], h: Array) -> Array:
        """What entered, [R, D], → [R, M, K]."""

    @abstractmethod
    def export_scores(self, graph: Graph, stored: Stored, h: str) -> str:
        """The same as nodes, in a layout that `export_answer` knows."""

    @abstractmethod
    def export_answer(self, graph: Graph, scores: str) -> str:
        """Scores, double → [R, K]."""

    def single(self) -> Self:
        """The same network, computing in float32."""
        return replace(self, arithmetic="float32")

    def parameters(self) -> dict[str, FloatArray]:
        """Every array that was learned; the target's scale is not learned by gradient, and not among them."""
        return {name: array.astype(np.float64) for name, array in self.arrays.items()}

    def with_parameters(self, parameters: dict[str, FloatArray]) -> Self:
        """The same network with other numbers, rounded to its precision."""
        return replace(self, arrays={name: parameters[name].astype(array.dtype) for name, array in self.arrays.items()})


class TabularModule(nn.Module, ABC):
    """The network while it is trained; a pass is `run`, which knows nothing of who holds the parameters."""

    def __init__(
        self, entrance: FeatureEmbedding, shapes: dict[str, tuple[int, ...]], dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.entrance, self.dropout, self.scale = entrance, dropout, scale
        for name, shape in {**entrance.shapes(), **shapes}.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.target: tuple[FloatArray, FloatArray] | None = None  # shift and scale, each [K]

    def forward(self, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """[R, F] → [R, K], or [R, M, K]: scores of classes, or scaled values."""
        return self.run(dict(self.named_parameters()), x, noise)

    @abstractmethod
    def run(self, parts: LayerParts, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """As `forward`, for any axes before those of `x` and of each of `parts`."""

    @property
    @abstractmethod
    def held_numbers(self) -> int:
        """Numbers held for one row of a batch in training, about."""

    def dropped(self, h: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """`h` without the share `dropout` of its units, the others as much larger."""
        return h * ((noise >= self.dropout).to(h.dtype) / (1.0 - self.dropout))


class TabularSettings(NetworkFamily):
    """The fields and the losses of both families."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})

    size: Literal["small", "medium", "large"] = Field(
        "medium", description="How large the network is where `width` and `blocks` are left out."
    )
    width: int | None = Field(
        None, ge=1, le=65536, description="Units of every layer. Left out: from `size` and the features."
    )
    blocks: int | None = Field(None, ge=0, le=100, description="Hidden blocks. Left out: from `size`.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of hidden units left out in each training step, in [0, 1)."
    )
    numbers: Numbers = Field(
        "linear",
        description="linear: standardized; periodic: learned sines and cosines; piecewise_linear: shares of quantile bins.",
    )
    frequencies: int = Field(16, ge=1, le=1000, description="Of periodic: sines a number, and as many cosines.")
    frequency_scale: float = Field(
        0.01,
        gt=0,
        description="Of periodic: standard deviation σ of the first frequencies, in turns a standard deviation.",
    )
    embedding_width: int = Field(
        8, ge=1, le=1000, description="Length of a category's vector, and of a periodic number's."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="ε in [0, 1): a class counts 1 − ε, and all share ε (Szegedy and others, 2016)."
    )
    scale_target: bool | None = Field(
        None, description="Standardize the target while training; undone in the model. Left out: for regression only."
    )

    @property
    def needs(self) -> Needs:
        """Codes of categories, which the network turns into vectors; numbers as `numbers` says."""
        number = "piecewise_linear" if self.numbers == "piecewise_linear" else "standard"
        return Needs(number=(number,), category=("ordinal",))

    def entrance(self, shape: Shape) -> FeatureEmbedding:
        """How features of this shape enter."""
        return FeatureEmbedding.of(shape, self.frequencies if self.numbers == "periodic" else 0, self.embedding_width)

    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """int64 [R] classes, or float64 [R, K] values, standardized by the first call's rows where that is asked."""
        network = tabular(module)
        unscaled = np.zeros(fit.outputs), np.ones(fit.outputs)
        if fit.task == "classification":
            if network.target is None:
                present(fit, _name(self))
                network.target = unscaled
            return np.asarray(fit.y, dtype=np.int64)
        y_RK = np.asarray(fit.y, dtype=np.float64).reshape(len(fit.y), fit.outputs)
        if network.target is None:
            wanted = fit.task == "regression" if self.scale_target is None else self.scale_target
            spread = y_RK.std(axis=0)
            scaled = y_RK.mean(axis=0), np.where(spread > 0, spread, 1.0)
            network.target = scaled if wanted else (offsets(y_RK), np.ones(fit.outputs))
        shift, scale = network.target
        return np.asarray((y_RK - shift) / scale, dtype=np.float64)

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each row, or its squared error, the mean over the outputs; of several members the mean of theirs.

        `outputs`: […, R, K] or […, R, M, K]; `y`: int64 […, R], or […, R, K].
        """
        if y.dtype == torch.int64:
            logs = outputs.log_softmax(-1)
            logs = logs if outputs.ndim == y.ndim + 1 else logs.mean(-2)
            own = logs.gather(-1, y.unsqueeze(-1)).squeeze(-1)
            return -torch.lerp(own, logs.mean(-1), self.label_smoothing) if self.label_smoothing else -own
        if outputs.ndim == y.ndim:
            return (outputs - y).square().mean(-1)
        return (outputs - y.unsqueeze(-2)).square().mean((-2, -1))


def sized(settings: TabularSettings, inputs: int, sizes: dict[str, tuple[int, int, int]]) -> tuple[int, int]:
    """Width and blocks: as asked, or the next power of two above what enters, within the bounds of `size`."""
    low, high, count = sizes[settings.size]
    width = settings.width or min(high, max(low, 1 << max(0, inputs - 1).bit_length()))
    return width, count if settings.blocks is None else settings.blocks


def notes(settings: TabularSettings, shape: Shape, inputs: int, sizes: dict[str, tuple[int, int, int]]) -> str:
    """What was chosen, and why, a sentence; '' when the recipe says it all."""
    if settings.width is not None and settings.blocks is not None:
        return ""
    low, high, _ = sizes[settings.size]
    width, blocks = sized(settings, inputs, sizes)
    return (
        f"{_name(settings)}: width {width}, blocks {blocks}, from size {settings.size} and {inputs} inputs of "
        f"{shape.features} features (the next power of two, {low} to {high})"
    )


def _name(settings: TabularSettings) -> str:
    """The family's, as recipes write it: that of its file."""
    return type(settings).__module__.rpartition(".")[2]


def tabular(module: nn.Module) -> TabularModule:
    """Raises TypeError for a module of another family."""
    if not isinstance(module, TabularModule):
        raise TypeError(f"{type(module).__name__} is no network for tables")
    return module


def kept(module: TabularModule, shape: Shape) -> dict[str, Any]:
    """The fields of `TabularNetwork` of a trained module."""
    shift, scale = module.target or (np.zeros(shape.outputs), np.ones(shape.outputs))
    classes = shape.task == "classification"
    return {
        "entrance": module.entrance,
        "arrays": {name: part.detach().numpy().copy() for name, part in module.named_parameters()},
        "link": "softmax" if classes else "identity",
        "target_shift": shift,
        "target_scale": scale,
        "arithmetic": "float32" if classes else "float64",
    }


def resumed(module: TabularModule, fitted: TabularNetwork) -> TabularModule:
    """`module` with the arrays of a state, in their precision."""
    for name, array in fitted.arrays.items():
        setattr(module, name, nn.Parameter(torch.from_numpy(array.copy())))
    module.target = (fitted.target_shift, fitted.target_scale)
    return module
