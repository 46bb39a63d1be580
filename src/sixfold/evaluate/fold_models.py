"""The models of an evaluation's folds: in files of its stage, read when they are asked for; in
memory where there is no stage.

A comparison trains every candidate once a fold, and asks for few of all these models again: the
winner's. So what is known of each without reading it stands beside its place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, overload

from sixfold.evaluate.model import Model
from sixfold.parts import state
from sixfold.parts.fit import OutputKind
from sixfold.parts.state import PackedState, State
from sixfold.runs.disk import DiskLimit

WAITING_BYTES = (
    32 << 20
)  # models that wait to be written together: a file each would cost a small grid most of its time


@dataclass(frozen=True)
class HeldModel(State):
    """In memory."""

    model: Model

    @property
    def output(self) -> OutputKind:
        """What the model's `predict` returns."""
        return self.model.output

    @property
    def threshold(self) -> float | None:
        """Of two classes the second one's, where its score is above."""
        return self.model.threshold

    @property
    def size_bytes(self) -> int:
        """Of its arrays and its text."""
        return state.size_bytes(self.model)

    def read(self) -> Model:
        """The model."""
        return self.model


@dataclass(frozen=True)
class StoredModel(State):
    """State `number` of `file`: its whole path, or, in what a stage wrote, its name in that folder,
    which may be moved. The rest as in `HeldModel`.
    """

    file: str
    number: int
    output: OutputKind
    threshold: float | None
    size_bytes: int

    def read(self) -> Model:
        """From its file. Raises BundleError where that is damaged."""
        return state.load_one(Path(self.file), self.number, Model)


FoldModel: TypeAlias = HeldModel | StoredModel


@dataclass(frozen=True)
class FoldModels(State, Sequence[Model]):
    """One model a fold. What is stored is read anew each time that it is asked for, and not
    held.
    """

    places: tuple[FoldModel, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> Model: ...
    @overload
    def __getitem__(self, at: slice) -> FoldModels: ...
    def __getitem__(self, at: int | slice) -> Model | FoldModels:
        return FoldModels(self.places[at]) if isinstance(at, slice) else self.places[at].read()

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """Of each, without reading it."""
        return tuple(place.threshold for place in self.places)

    @property
    def size_bytes(self) -> int:
        """Of all together, without reading them."""
        return sum(place.size_bytes for place in self.places)

    @property
    def files(self) -> tuple[Path, ...]:
        """Where those are that are stored, each file once."""
        return tuple(
            Path(file)
            for file in dict.fromkeys(p.file for p in self.places if isinstance(p, StoredModel))
        )

    def take(self, positions: Iterable[int]) -> FoldModels:
        """Some of them."""
        return FoldModels(tuple(self.places[at] for at in positions))

    def held(self) -> FoldModels:
        """All in memory: for when their files may go."""
        return FoldModels(tuple(HeldModel(place.read()) for place in self.places))

    def named(self) -> FoldModels:
        """As a stage writes them: a file by its name."""
        return self._moved(Path())

    def within(self, folder: Path) -> FoldModels:
        """As they are read from a stage's folder."""
        return self._moved(folder)

    def _moved(self, folder: Path) -> FoldModels:
        moved = (
            replace(p, file=str(folder / Path(p.file).name)) if isinstance(p, StoredModel) else p
            for p in self.places
        )
        return FoldModels(tuple(moved))


class MemoryWriter:
    """Where there is no stage."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left to be done."""

    def add(self, model: Model) -> HeldModel:
        """It stays in memory."""
        return HeldModel(model)


class FileWriter:
    """Into `folder`, as NAME.0.safetensors, NAME.1.safetensors, …, each of `most_bytes` or a model
    more. `disk`: asked for room before each. An error that ends the `with` block leaves the last
    file unwritten.
    """

    def __init__(
        self, folder: Path, name: str, disk: DiskLimit | None, most_bytes: int = WAITING_BYTES
    ) -> None:
        self.folder, self.name, self.disk, self.most_bytes = folder, name, disk, most_bytes
        self._waiting: list[PackedState] = []
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._waiting:
            self._write()

    def add(self, model: Model) -> StoredModel:
        """Raises BudgetError where the disk has no room."""
        packed = state.packed_state(model)
        file, number = self.folder / f"{self.name}.{self._files}.safetensors", len(self._waiting)
        self._waiting.append(packed)
        if sum(one.size_bytes for one in self._waiting) >= self.most_bytes:
            self._write()
        return StoredModel(str(file), number, model.output, model.threshold, packed.size_bytes)

    def _write(self) -> None:
        if self.disk is not None and self.disk.most is not None:
            self.disk.room(sum(one.file_bytes for one in self._waiting), keep=(self.folder,))
        state.write_several(self._waiting, self.folder / f"{self.name}.{self._files}.safetensors")
        self._waiting = []
        self._files += 1


@dataclass(frozen=True)
class ModelStore:
    """Where the fold models of one stage go: into its `folder`, or into memory where it has
    none.
    """

    folder: Path | None = None
    disk: DiskLimit | None = None

    def writer(self, name: str) -> MemoryWriter | FileWriter:
        """For the models that are trained on some folds, under a name of their own."""
        return MemoryWriter() if self.folder is None else FileWriter(self.folder, name, self.disk)

    def adopted(self, models: FoldModels) -> FoldModels:
        """Models that an earlier command stored elsewhere, as this stage's own."""
        if self.folder is None:
            return models
        for file in models.files:
            link(file, self.folder / file.name)
        return models.within(self.folder)


def link(file: Path, to: Path) -> None:
    """The same file at a second place, or a copy where the file system has no links; nothing where
    it is there already.
    """
    if to.exists():
        return
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)
