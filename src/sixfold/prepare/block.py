"""Columns with the same treatment, as one fitted state: few nodes in the graph, few passes over the
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sixfold.core.seeds import derive
from sixfold.parts.fit import FeatureGroup
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.offsets import offsets, rows_asked
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Column, FloatArray, IntArray, Table
from sixfold.prepare import vocabulary
from sixfold.prepare.centering import Centering
from sixfold.prepare.choice import SelectedFeatures
from sixfold.prepare.clip import Clip
from sixfold.prepare.plan import Treatment
from sixfold.prepare.step import Block as Values
from sixfold.prepare.step import CrossFitted, Method, Training
from sixfold.prepare.vocabulary import MISSING, Vocabulary

Reader = Callable[[slice], Values]


@dataclass(frozen=True)
class Block(State):
    """Raw columns → features by `steps` (clip, imputer, centering, chain), then one 0/1 feature for
    each of `indicated`.

    `vocabulary` is None for numbers. `indicated`: int64, positions in `columns`. Of every feature
    `names`, `sources` (the raw column, '' where it is made of several), `levels` (of a category's
    code how many there are, 0 for a number).
    """

    columns: tuple[str, ...]
    vocabulary: Vocabulary | None
    steps: tuple[Any, ...]
    indicated: IntArray
    names: tuple[str, ...]
    sources: tuple[str, ...]
    levels: tuple[int, ...]

    def reader(self, table: Table) -> Reader:
        """Gives some rows of the raw columns: numbers as they are, categories as codes."""
        return _reader([table.columns[name] for name in self.columns], self.vocabulary)

    def transform(self, raw: Values) -> FloatArray:
        """[rows, columns] → [rows, features]."""
        x = raw
        for step in self.steps:
            x = step.transform(x)
        return self._with_indicators(x, raw)

    def _with_indicators(self, x: Values, raw: Values) -> FloatArray:
        if not len(self.indicated):
            return x
        return np.concatenate([x, _missing(raw[:, self.indicated]).astype(np.float64)], axis=1)

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        return FeatureGroup("numbers", self.columns, start, start + len(self.names))

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The raw columns → features, double."""
        raw = inputs.take(self.columns)
        raw = raw if self.vocabulary is None else self.vocabulary.export(graph, raw)
        x = raw
        for step in self.steps:
            x = step.export(graph, x)
        if not len(self.indicated):
            return x
        some = graph.take_columns(raw, self.indicated)
        if self.vocabulary is None:
            missing = graph.op("IsNaN", some)
        else:
            missing = graph.op("Equal", some, graph.constant(MISSING, np.int64))
        return graph.concat([x, graph.cast(missing, TensorProto.DOUBLE)])


@dataclass(frozen=True)
class Rules:
    """What a block's fit needs besides its treatment. `bounds`: column → where its numbers are
    clipped.
    """

    training: Training
    bounds: Mapping[str, tuple[float, float]]
    indicator: bool


def fit_block(treatment: Treatment, table: Table, rules: Rules) -> tuple[Block, FloatArray | None]:
    """Fit on the rows of `table`. Returns the block, and the rows' own features where a method is
    cross-fitted.
    """
    columns = (*treatment.columns, *treatment.beside)
    stored = [table.columns[name] for name in columns]
    words = vocabulary.learn(stored) if treatment.kind == "category" else None
    raw = _reader(stored, words)(slice(None))
    fitting = _Fitting(
        raw, replace(rules.training, levels=words.levels if words else ()), columns, columns
    )
    if any(name in rules.bounds for name in columns):
        pairs = np.array([rules.bounds.get(name, (-np.inf, np.inf)) for name in columns])
        fitting.apply(Clip(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])))
    for method in (*treatment.first, treatment.imputer):
        fitting.fit(method)
    if treatment.beside:
        wanted = [i for i, source in enumerate(fitting.sources) if source in treatment.columns]
        fitting.apply(SelectedFeatures(np.array(wanted, dtype=np.int64)))
    fitting.center()
    for method in treatment.chain:
        fitting.fit(method)
    indicated = np.empty(0, dtype=np.int64)
    if rules.indicator:
        indicated = np.flatnonzero(_missing(raw[:, : len(treatment.columns)]).any(axis=0)).astype(
            np.int64
        )
    flagged = tuple(columns[i] for i in indicated)
    names = (*fitting.names, *(f"{name} is missing" for name in flagged))
    sources, levels = (*fitting.sources, *flagged), (*fitting.levels, *(0 for _ in flagged))
    block = Block(columns, words, tuple(fitting.steps), indicated, names, sources, levels)
    return block, block._with_indicators(fitting.result(), raw) if fitting.crossed else None


class _Fitting:
    """Methods fitted one after the other. A step is applied only when something follows it: memory
    for 1M rows.
    """

    def __init__(
        self, x: Values, training: Training, names: Sequence[str], sources: Sequence[str]
    ) -> None:
        self.x, self.training = x, training
        self.names, self.sources = tuple(names), tuple(sources)
        self.levels = (0,) * len(self.names)
        self.steps: list[Any] = []
        self.crossed = False
        self.uncounted = (
            0  # steps that change no seed: a column far from 0 draws what it would draw near 0
        )
        self._pending: Any = None

    def fit(self, method: Method) -> None:
        x = self.result()
        seed = derive(self.training.seed, len(self.steps) - self.uncounted)
        training = replace(self.training, names=self.names, seed=seed)
        if isinstance(method, CrossFitted):
            step, self.x = method.fit_cross(x, training)
            self.crossed = True
            self._note(step)
        else:
            self.apply(method.fit(x, training))

    def center(self) -> None:
        """Here, before any method and every family: what float32 and sums of squares would lose is
        subtracted once.
        """
        some = self.x[rows_asked(len(self.x))]
        some = some if self._pending is None else self._pending.transform(some)
        shift = offsets(some) if some.dtype.kind == "f" else np.zeros(0)
        if shift.any():
            self.apply(Centering(shift))
            self.uncounted = 1

    def apply(self, step: Any) -> None:
        self.result()
        self._pending = step
        self._note(step)

    def result(self) -> Values:
        """The training rows after every step so far."""
        if self._pending is not None:
            self.x, self._pending = self._pending.transform(self.x), None
        return self.x

    def _note(self, step: Any) -> None:
        found = step.features(self.names)
        self.steps.append(step)
        self.sources = tuple(
            self.sources[feature.source] if feature.source >= 0 else "" for feature in found
        )
        self.names = tuple(feature.name for feature in found)
        self.levels = tuple(feature.levels for feature in found)


def _reader(columns: Sequence[Column], words: Vocabulary | None) -> Reader:
    if words is None:
        return lambda rows: np.stack([column.at(rows) for column in columns], axis=1).astype(
            np.float64, copy=False
        )
    pairs = list(zip(words.tables(columns), columns, strict=True))
    return lambda rows: np.stack([table[column.at(rows)] for table, column in pairs], axis=1)


def _missing(raw: Values) -> Values:
    return np.isnan(raw) if raw.dtype.kind == "f" else raw == MISSING
