"""A column of recordings as statistics of their spectrograms: one fitted state, beside the blocks of
other columns.
"""

# Letters: M bands, T frames, C coefficients, S segments.
from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from scipy.fft import dct

from sixfold.parts import sound_column
from sixfold.parts.fit import FeatureGroup
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.log_mel import LogMel
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Table
from sixfold.prepare.sound_block import SoundForm

LEAST: Final = 1e-6  # added to a variance before its root


class MelShape(NamedTuple):
    """Of the spectrogram its bands; of its cepstrum the coefficients, or 0; parts of the time."""

    bands: int
    coefficients: int
    segments: int


@dataclass(frozen=True)
class MelBlock(State):
    """One raw column → mean and standard deviation of mel cepstral coefficients, or of bands where
    `coefficients` is 0, in `segments` equal parts of the time; less `center` [features] and divided
    by `scale` [features], which are those of the training rows. Of every feature `names`,
    `sources`, `levels`, as of a `Block`.
    """

    columns: tuple[str, ...]
    form: SoundForm
    bands: int
    coefficients: int
    segments: int
    center: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, name: str, table: Table, form: SoundForm, shape: MelShape) -> Self:
        """On the recordings of `table`."""
        count = 2 * (shape.coefficients or shape.bands) * shape.segments
        plain = cls((name,), form, *shape, center=np.zeros(count), scale=np.ones(count))
        values = plain.reader(table)(slice(None))
        spread = values.std(axis=0)
        scale = np.where(spread > LEAST, spread, 1.0)
        return replace(plain, center=values.mean(axis=0), scale=scale)

    @property
    def mel(self) -> LogMel:
        """The spectrogram."""
        return LogMel.of(self.form.rate, self.form.samples, self.bands)

    @property
    def steps(self) -> tuple[Any, ...]:
        """As of a `Block`."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """`audio mfcc 3 mean 1`: of the first segment."""
        what = "mfcc" if self.coefficients else "band"
        segments, statistics = range(1, self.segments + 1), ("mean", "spread")
        numbers = range(1, self._values + 1)
        return tuple(
            f"{self.columns[0]} {what} {number} {statistic} {segment}"
            for segment, statistic, number in itertools.product(segments, statistics, numbers)
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """The column."""
        return self.columns * self._features

    @property
    def levels(self) -> tuple[int, ...]:
        """All are numbers."""
        return (0,) * self._features

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        return FeatureGroup("numbers", self.columns, start, start + self._features)

    def reader(self, table: Table) -> Callable[[slice], FloatArray]:
        """Gives the statistics of some rows, float64 [rows, features], by the very nodes that the
        bundle has.
        """
        column = table.columns[self.columns[0]]
        sounds = sound_column.decoded(column, self.form.input(""))
        every = np.arange(len(sounds))

        def read(rows: slice) -> FloatArray:
            found = np.zeros((len(every[rows]), self._features))
            for at, row in enumerate(every[rows]):  # one by one: none depends on another
                samples = sounds.read(np.array([row])).astype(np.float64)
                found[at] = self._session.run(None, {"samples": samples})[0][0]
            return (found - self.center) / self.scale

        return read

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The statistics of the front end's samples, double."""
        samples = inputs.encoded("audio", self.form.input(self.columns[0]))
        apart = graph.op("Sub", self._nodes(graph, samples), graph.constant(self.center))
        return graph.op("Div", apart, graph.constant(self.scale))

    @property
    def _values(self) -> int:
        return self.coefficients or self.bands

    @property
    def _features(self) -> int:
        return 2 * self._values * self.segments

    @cached_property
    def _session(self) -> ort.InferenceSession:
        graph = Graph()
        samples = graph.input("samples", TensorProto.DOUBLE, self.form.samples)
        statistics = self._nodes(graph, samples)
        graph.output("statistics", statistics, TensorProto.DOUBLE, ["rows", self._features])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(
            packed(graph.model()), options, providers=["CPUExecutionProvider"]
        )

    def _nodes(self, graph: Graph, samples: str) -> str:
        """Double [rows, samples] → double [rows, features]."""
        values = self.mel.export(graph, graph.cast(samples, TensorProto.FLOAT))
        if self.coefficients:
            weights = graph.constant(cosines(self.bands, self.coefficients), np.float32)
            values = graph.op("MatMul", weights, values)
        last = graph.constant([2], np.int64)
        parts = []
        for start, stop in self._spans:
            limits = (graph.constant([at], np.int64) for at in (start, stop))
            some = graph.op("Slice", values, *limits, last)
            mean = graph.op("ReduceMean", some, last, keepdims=1)
            apart = graph.op("Sub", some, mean)
            variance = graph.op("ReduceMean", graph.op("Mul", apart, apart), last, keepdims=0)
            least = graph.op("Add", variance, graph.constant(LEAST, np.float32))
            spread = graph.op("Pow", least, graph.constant(0.5, np.float32))
            flat = graph.constant([0, self._values], np.int64)
            parts += [graph.op("Reshape", mean, flat), spread]
        return graph.cast(graph.concat(parts), TensorProto.DOUBLE)

    @property
    def _spans(self) -> list[tuple[int, int]]:
        """Frames of each segment, at least one."""
        ends = np.linspace(0, self.mel.frames, self.segments + 1)
        return [
            (min(int(start), self.mel.frames - 1), max(int(stop), int(start) + 1))
            for start, stop in itertools.pairwise(ends.tolist())
        ]


def cosines(bands: int, coefficients: int) -> npt.NDArray[np.float64]:
    """[coefficients, bands]: the first rows of the orthonormal DCT-II, which makes mel cepstral
    coefficients of logarithms (Davis and Mermelstein 1980).
    """
    found: npt.NDArray[np.float64] = dct(np.eye(bands), type=2, norm="ortho", axis=0)
    return found[:coefficients]
