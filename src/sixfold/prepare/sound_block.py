"""A column of recordings as one fitted state, beside the blocks of other columns: its features are
samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sixfold.parts import sound_column
from sixfold.parts.fit import FeatureGroup, Features
from sixfold.parts.graph import Graph
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.sound_store import StoredSamples
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.recipe.audio import AudioInput


@dataclass(frozen=True)
class SoundForm(State):
    """What every recording of a column becomes; as in `AudioInput`."""

    rate: int
    samples: int
    trim: float = 0.0
    level: float | None = None
    noise_reduction: float = 0.0

    def input(self, column: str) -> AudioInput:
        """For the encoder of recordings."""
        return AudioInput(
            name="audio_0",
            column=column,
            rate=self.rate,
            samples=self.samples,
            noise_reduction=self.noise_reduction,
            trim=self.trim,
            level=self.level,
        )


@dataclass(frozen=True)
class SampleBlock(State):
    """One raw column → samples, whole numbers of 16 bits. Of every feature `names`, `sources`,
    `levels`, as of a `Block`.
    """

    columns: tuple[str, ...]
    form: SoundForm

    @property
    def steps(self) -> tuple[Any, ...]:
        """As of a `Block`."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """`audio sample 17`."""
        return tuple(f"{self.columns[0]} sample {at}" for at in range(self.form.samples))

    @property
    def sources(self) -> tuple[str, ...]:
        """The column."""
        return self.columns * self.form.samples

    @property
    def levels(self) -> tuple[int, ...]:
        """All are numbers."""
        return (0,) * self.form.samples

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        stop = start + self.form.samples
        return FeatureGroup("samples", self.columns, start, stop, rate=self.form.rate)

    def reader(self, table: Table) -> Callable[[slice], Features]:
        """Gives the samples of some rows, [rows, samples]."""
        samples = self.stored(table)
        return lambda rows: samples[rows]

    def stored(self, table: Table) -> StoredSamples:
        """The samples of all rows, which stay on disk."""
        column = table.columns[self.columns[0]]
        return StoredSamples(sound_column.decoded(column, self.form.input("")))

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The front end's samples of the column, double."""
        return inputs.encoded("audio", self.form.input(self.columns[0]))
