"""What the networks for tables share: their settings, their losses, and how a trained one is kept.

Shape letters: R rows, F features, M members, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sixfold.build._classes import present
from sixfold.build._entrance import FeatureEmbedding
from sixfold.build._fitted_network import Array, FittedNetwork, LayerParts
from sixfold.build._links import Link
from sixfold.build._pinball import pinball_losses
from sixfold.build._stacked_network import Losses
from sixfold.build.network import NetworkFamily
from sixfold.parts.fit import Fit, Needs, Shape
from sixfold.parts.offsets import offsets
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean, spread_of

Numbers = Literal["linear", "periodic", "piecewise_linear"]


@dataclass(frozen=True)
class TabularNetwork(FittedNetwork):
    """A trained network: `arrays` by the names of the module's parameters, all float32 or all
    float64.
    """

    entrance: FeatureEmbedding
    arrays: dict[str, Array]
    link: Link
    target_shift: FloatArray
    target_scale: FloatArray
    arithmetic: Literal["float32", "float64"]

    @property
    def features(self) -> int:
        """F."""
        return len(self.entrance.numbers) + len(self.entrance.codes)

    def arrays_by_name(self) -> dict[str, Array]:
        """As they are."""
        return self.arrays

    def with_parameters(self, parameters: dict[str, FloatArray]) -> Self:
        """The same network with other numbers, rounded to its precision."""
        return replace(
            self,
            arrays={
                name: parameters[name].astype(array.dtype) for name, array in self.arrays.items()
            },
        )


class TabularModule(nn.Module, ABC):
    """The network while it is trained; a pass is `run`, which knows nothing of who holds the
    parameters.
    """

    def __init__(
        self,
        entrance: FeatureEmbedding,
        shapes: dict[str, tuple[int, ...]],
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.entrance, self.dropout, self.scale = entrance, dropout, scale
        for name, shape in {**entrance.shapes(), **shapes}.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.target: tuple[FloatArray, FloatArray] | None = None  # shift and scale, each [K]
        self.quantiles: tuple[float, ...] = ()  # what the outputs are: noted with the first targets

    def forward(self, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """[R, F] → [R, K], or [R, M, K]: scores of classes, or scaled values."""
        return self.run(dict(self.named_parameters()), x, noise)

    @abstractmethod
    def run(
        self, parts: LayerParts, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """As `forward`, for any axes before those of `x` and of each of `parts`."""

    @property
    @abstractmethod
    def held_numbers(self) -> int:
        """Numbers held for one row of a batch in training, about."""

    def kept(self, noise: Sequence[torch.Tensor] | None, like: torch.Tensor) -> list[torch.Tensor]:
        """What units are multiplied by: 0 for the share `dropout` of them, the others become as
        much larger.
        """
        return [
            (drawn >= self.dropout).to(like.dtype) / (1.0 - self.dropout) for drawn in noise or ()
        ]


class TabularSettings(NetworkFamily):
    """The fields and the losses of both families."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    learns_quantiles: ClassVar[bool] = True
    all_values_at_once: ClassVar[bool] = True

    size: Literal["small", "medium", "large"] = Field(
        "medium", description="How large the network is where `width` and `blocks` are left out."
    )
    width: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="Units of every layer. Left out: from `size` and the features.",
    )
    blocks: int | None = Field(
        None, ge=0, le=100, description="Hidden blocks. Left out: from `size`."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of hidden units left out in each training step, in [0, 1).",
    )
    numbers: Numbers = Field(
        "linear",
        description="linear: standardized; periodic: learned sines and cosines; piecewise_linear: shares of quantile bins.",
    )
    frequencies: int = Field(
        16, ge=1, le=1000, description="Of periodic: sines a number, and as many cosines."
    )
    frequency_scale: float = Field(
        0.01,
        gt=0,
        description="Of periodic: standard deviation σ of the first frequencies, in turns a standard deviation.",
    )
    embedding_width: int = Field(
        8, ge=1, le=1000, description="Length of a category's vector, and of a periodic number's."
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ε in [0, 1): a class counts 1 − ε, and all share ε (Szegedy and others, 2016).",
    )
    scale_target: bool | None = Field(
        None,
        description="Standardize the target while training; undone in the model. Left out: for regression only.",
    )

    @property
    def needs(self) -> Needs:
        """Codes of categories, which the network turns into vectors; numbers as `numbers` says."""
        number = "piecewise_linear" if self.numbers == "piecewise_linear" else "standard"
        return Needs(number=(number,), category=("ordinal",))

    def entrance(self, shape: Shape) -> FeatureEmbedding:
        """How features of this shape enter."""
        return FeatureEmbedding.of(
            shape, self.frequencies if self.numbers == "periodic" else 0, self.embedding_width
        )

    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """int64 [R] classes, or float64 [R, K] values, standardized by the first call's rows where
        that is asked.
        """
        network = tabular(module)
        network.quantiles = fit.quantiles
        unscaled = np.zeros(fit.outputs), np.ones(fit.outputs)
        if fit.task == "classification":
            if network.target is None:
                present(fit, _name(self))
                network.target = unscaled
            return np.asarray(fit.y, dtype=np.int64)
        y_RK = fit.values
        if network.target is None:
            wanted = fit.task == "regression" if self.scale_target is None else self.scale_target
            scaled = mean(y_RK, fit.weights), spread_of(y_RK, fit.weights)
            network.target = scaled if wanted else (offsets(y_RK), np.ones(fit.outputs))
        shift, scale = network.target
        return np.asarray((y_RK - shift) / scale, dtype=np.float64)

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each row, or its squared error, the mean over the outputs; of several
        members the mean of theirs.

        `outputs`: […, R, K] or […, R, M, K]; `y`: int64 […, R], or […, R, K].
        """
        if y.dtype == torch.int64:
            logs = outputs.log_softmax(-1)
            logs = logs if outputs.ndim == y.ndim + 1 else logs.mean(-2)
            own = logs.gather(-1, y.unsqueeze(-1)).squeeze(-1)
            return (
                -torch.lerp(own, logs.mean(-1), self.label_smoothing)
                if self.label_smoothing
                else -own
            )
        if outputs.ndim == y.ndim:
            return (outputs - y).square().mean(-1)
        return (outputs - y.unsqueeze(-2)).square().mean((-2, -1))


def losses_of(settings: TabularSettings, module: TabularModule) -> Losses:
    """Those of what the module has to give: `TabularSettings.losses`, or of quantiles the pinball loss."""
    return pinball_losses(module.quantiles) if module.quantiles else settings.losses


def sized(
    settings: TabularSettings, inputs: int, sizes: dict[str, tuple[int, int, int]]
) -> tuple[int, int]:
    """Width and blocks: as asked, or the next power of two above what enters, within the bounds of
    `size`.
    """
    low, high, count = sizes[settings.size]
    width = settings.width or min(high, max(low, 1 << max(0, inputs - 1).bit_length()))
    return width, count if settings.blocks is None else settings.blocks


def notes(
    settings: TabularSettings, shape: Shape, inputs: int, sizes: dict[str, tuple[int, int, int]]
) -> str:
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
