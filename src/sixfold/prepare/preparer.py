"""The preparer: from raw columns to features, per type and per column, as one fitted state.

Order: clip → impute → indicator → chain of features → side by side → select → reduce. Columns with the same treatment are
one block, so that the graph has few nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sixfold.core.errors import DataError
from sixfold.core.seeds import derive
from sixfold.parts.fit import Matrix, Needs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import BoolArray, Column, FloatArray, IntArray, Table, Target
from sixfold.prepare import rows as row_checks
from sixfold.prepare import vocabulary
from sixfold.prepare.clip import Clip
from sixfold.prepare.plan import Treatment, check_names, make_step, treatments
from sixfold.prepare.step import Block as Values
from sixfold.prepare.step import CrossFitted, Method, Step, Training
from sixfold.prepare.vocabulary import Vocabulary
from sixfold.recipe.kinds import DENOISER, FEATURE
from sixfold.recipe.schema import Denoise, Prepare
from sixfold.recipe.signature import graph_name

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@dataclass(frozen=True)
class Block(State):
    """Columns with the same treatment. `vocabulary` is None for numbers; `indicated`: positions with an indicator."""

    columns: tuple[str, ...]
    vocabulary: Vocabulary | None
    clip: Clip | None
    imputer: Any
    indicated: IntArray
    steps: tuple[Any, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]

    def transform(self, table: Table) -> FloatArray:
        """[rows, features]."""
        raw = self.raw(table)
        x = self.imputer.transform(self.clip.transform(raw) if self.clip is not None else raw)
        for step in self.steps:
            x = step.transform(x)
        if len(self.indicated):
            x = np.concatenate([x, _missing(raw[:, self.indicated])], axis=1)
        return np.asarray(x, dtype=np.float64)

    def raw(self, table: Table) -> Values:
        """Numbers as they are, categories as codes."""
        columns = [table.columns[name] for name in self.columns]
        if self.vocabulary is not None:
            return self.vocabulary.transform(columns)
        return np.stack([column.values for column in columns], axis=1)

    def export(self, graph: Graph, inputs: dict[str, str]) -> str:
        """Values of the raw columns' inputs → features."""
        values = [inputs[name] for name in self.columns]
        raw = self.vocabulary.export(graph, values) if self.vocabulary is not None else graph.concat(values)
        x = self.imputer.export(graph, self.clip.export(graph, raw) if self.clip is not None else raw)
        for step in self.steps:
            x = step.export(graph, x)
        if not len(self.indicated):
            return x
        some = graph.take_columns(raw, self.indicated)
        number = -1 if self.vocabulary is not None else None
        mask = graph.op("IsNaN", some) if number is None else graph.op("Equal", some, graph.constant(number, np.int64))
        return graph.concat([x, graph.cast(mask, TensorProto.DOUBLE)])


@dataclass(frozen=True)
class Preparer(State):
    """Raw columns `inputs` → features in `precision`. `said`: what preparation did, in sentences."""

    blocks: tuple[Block, ...]
    after: tuple[Any, ...]
    precision: str
    inputs: tuple[str, ...]
    categories: tuple[str, ...]
    feature_names: tuple[str, ...]
    feature_sources: tuple[str, ...]
    said: tuple[str, ...]

    def transform(self, table: Table) -> Matrix:
        """[rows, features] float32 or float64."""
        x = _side_by_side([block.transform(table) for block in self.blocks], None if self.after else self.precision)
        for step in self.after:
            x = step.transform(x)
        return np.ascontiguousarray(x, dtype=self.precision)

    def export(self, graph: Graph) -> str:
        """Adds an input for each raw column; returns the feature matrix."""
        kinds = {name: TensorProto.STRING if name in self.categories else TensorProto.DOUBLE for name in self.inputs}
        inputs = {name: graph.input(graph_name(name), kinds[name]) for name in self.inputs}
        x = graph.concat([block.export(graph, inputs) for block in self.blocks])
        for step in self.after:
            x = step.export(graph, x)
        return x if self.precision == "float64" else graph.cast(x, TYPES[self.precision])


def fit(table: Table, target: Target, prepare: Prepare, needs: Needs, seed: int) -> tuple[Preparer, Matrix, IntArray]:
    """Fit on exactly these training rows.

    Returns the preparer, the features [kept rows, features] of the rows that denoising kept (cross-fitted where a method
    needs it), and which rows those are. Raises RecipeError (a method that does not fit a column), DataError (no features).
    """
    check_names(prepare, table)
    table, said = _usable(table, prepare.denoise)
    clip, kept, more = _denoise(table, target, prepare.denoise, seed)
    said += more
    table, target = table.take(kept), target.take(kept)
    y = _outputs(target)
    blocks, parts = [], []
    for number, treatment in enumerate(treatments(prepare, needs, table)):
        block, x = _fit_block(treatment, table, clip, Training((), y, target.task, derive(seed, "block", number)))
        blocks.append(block)
        parts.append(x)
    names = [name for block in blocks for name in block.names]
    sources = [source for block in blocks for source in block.sources]
    after: list[Any] = []
    x = _side_by_side(parts, None)
    for options in (prepare.features.select, prepare.features.reduce):
        if options is not None:
            method = FEATURE.make(options)
            step, x = _fit_step(method, x, Training(tuple(names), y, target.task, derive(seed, options["name"])))
            found = step.features(names)
            sources = [sources[feature.source] if feature.source >= 0 else "" for feature in found]
            names = [feature.name for feature in found]
            after.append(step)
    inputs = tuple(name for name in table.columns if any(name in block.columns for block in blocks))
    categories = tuple(name for name in inputs if table.columns[name].kind == "category")
    preparer = Preparer(
        tuple(blocks), tuple(after), needs.precision, inputs, categories, tuple(names), tuple(sources), tuple(said)
    )
    return preparer, np.ascontiguousarray(x, dtype=needs.precision), kept


def _fit_block(
    treatment: Treatment, table: Table, clip: dict[str, tuple[float, float]], training: Training
) -> tuple[Block, Values]:
    columns = [table.columns[name] for name in treatment.columns]
    words = vocabulary.learn(columns) if treatment.takes == "category" else None
    raw = words.transform(columns) if words else np.stack([column.values for column in columns], axis=1)
    bounds = None
    if words is None and any(name in clip for name in treatment.columns):
        pairs = np.array([clip.get(name, (-np.inf, np.inf)) for name in treatment.columns])
        bounds = Clip(pairs[:, 0], pairs[:, 1])
    levels = words.levels if words else ()
    train = Training(treatment.columns, training.y, training.task, training.seed, levels)
    imputer, x = _fit_step(
        make_step("imputer", treatment, treatment.imputer), bounds.transform(raw) if bounds else raw, train
    )
    names, sources = list(treatment.columns), list(treatment.columns)
    steps = []
    for options in treatment.chain:
        step, x = _fit_step(
            make_step("feature", treatment, options),
            x,
            Training(tuple(names), train.y, train.task, derive(train.seed, len(steps)), levels),
        )
        found = step.features(names)
        sources = [sources[feature.source] if feature.source >= 0 else "" for feature in found]
        names = [feature.name for feature in found]
        steps.append(step)
    indicated = np.flatnonzero(_missing(raw).any(axis=0)) if treatment.indicator else np.empty(0, dtype=np.int64)
    if len(indicated):
        x = np.concatenate([x, _missing(raw[:, indicated])], axis=1)
        names += [f"{treatment.columns[i]} is missing" for i in indicated]
        sources += [treatment.columns[i] for i in indicated]
    block = Block(
        treatment.columns,
        words,
        bounds,
        imputer,
        indicated.astype(np.int64),
        tuple(steps),
        tuple(names),
        tuple(sources),
    )
    return block, np.asarray(x, dtype=np.float64)


def _fit_step(method: Method, x: Values, training: Training) -> tuple[Step, Values]:
    if isinstance(method, CrossFitted):
        return method.fit_cross(x, training)
    step = method.fit(x, training)
    return step, step.transform(x)


def _usable(table: Table, denoise: Denoise) -> tuple[Table, list[str]]:
    """Without identifiers, columns that are empty in these rows, and (unless kept) constant ones."""
    columns, said = {}, []
    for name, column in table.columns.items():
        present = column.values[~column.missing()]
        if column.kind == "identifier":
            continue
        if len(present) == 0:
            said.append(f"{name} is left out: no training row has a value")
        elif denoise.constants == "drop" and len(present) == table.rows and (present == present[0]).all():
            said.append(f"{name} is left out: all training rows have the same value")
        else:
            columns[name] = column
    if not columns:
        raise DataError(
            "prepare", "at least one column with two values or more", "none among the training rows",
            "Add columns, or look at data.types and data.drop.",
        )  # fmt: skip
    return Table(columns, table.rows), said


def _denoise(
    table: Table, target: Target, denoise: Denoise, seed: int
) -> tuple[dict[str, tuple[float, float]], IntArray, list[str]]:
    """Bounds to clip to, by column; the rows that stay; what was done."""
    keep: BoolArray = np.ones(table.rows, dtype=np.bool_)
    said: list[str] = []
    if denoise.duplicates == "drop" or denoise.contradictions != "keep":
        groups = row_checks.row_groups(table)
        if denoise.duplicates == "drop":
            _drop(keep, row_checks.duplicates(groups, target), "exact duplicates", said)
        if denoise.contradictions != "keep" and target.task == "classification":
            found = row_checks.contradictions(groups, target)
            if denoise.contradictions == "drop":
                _drop(keep, found, "rows that contradict others", said)
            elif found.any():
                said.append(f"{found.sum():,} training rows have equal columns and different classes")
    numbers = [name for name, column in table.columns.items() if column.kind == "number"]
    if denoise.outliers is None or not numbers:
        return {}, np.flatnonzero(keep), said
    x = np.stack([table.columns[name].values for name in numbers], axis=1).astype(np.float64)[keep]
    method = DENOISER.make(denoise.outliers)
    if method.action == "clip":
        bounds = method.bounds(x, seed)
        return (
            {n: (float(a), float(b)) for n, a, b in zip(numbers, bounds.low, bounds.high, strict=True)},
            np.flatnonzero(keep),
            said,
        )
    found = np.zeros(table.rows, dtype=np.bool_)
    found[keep] = method.outliers(x, seed)
    _drop(keep, found, f"outliers ({denoise.outliers['name']})", said)
    return {}, np.flatnonzero(keep), said


def _drop(keep: BoolArray, found: BoolArray, what: str, said: list[str]) -> None:
    """Take rows out, in place."""
    keep &= ~found
    if found.any():
        said.append(f"{found.sum():,} {what} are left out of training")


def _outputs(target: Target) -> FloatArray:
    if target.task == "classification":
        return np.eye(len(target.classes))[target.values.astype(np.int64)]
    return np.asarray(target.values.reshape(len(target.values), -1), dtype=np.float64)


def _missing(x: Values) -> FloatArray:
    return (np.isnan(x) if x.dtype.kind == "f" else x == vocabulary.MISSING).astype(np.float64)


def _side_by_side(parts: Sequence[FloatArray], precision: str | None) -> FloatArray:
    """One matrix; in `precision` at once where nothing follows, so that a large table is not held twice in float64."""
    if precision in (None, "float64"):
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    result = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), dtype=precision)
    np.concatenate(parts, axis=1, out=result, casting="same_kind")
    return result


__all__ = ["Block", "Column", "Preparer", "fit"]
