"""The target: which task it is, its classes or values, and which rows have none."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sixfold.core import values
from sixfold.core.errors import DataError, RecipeError
from sixfold.core.units import counted
from sixfold.data.columns import DISTINCT_ROWS, Read, Reading, Texts, levels_of, read, texts
from sixfold.parts.table import Column, ColumnKind, FloatArray, IntArray, Target, Task
from sixfold.parts.transcripts import code_points, normalized

FEW_VALUES: Final = 20  # different whole numbers in a target are classes up to here; guessed
ROWS_EACH: Final = (
    5  # rows each of them has on average, at least, when there are more than two; guessed
)
MOST_SAID: Final = (
    4_000  # characters of a text: what is said in a minute or less, many times; guessed
)
SHOWN: Final = 6  # classes named in a sentence


@dataclass(frozen=True)
class FoundTarget:
    """A target for the rows that have one: `rows` are their indices among all rows."""

    target: Target
    rows: IntArray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def column_target(
    name: str, raw: pa.ChunkedArray, task: Task | None, kind: ColumnKind | None, reading: Reading
) -> FoundTarget:
    """The target column; `task`, and `kind` of this column, as far as the recipe says them. Raises
    DataError.
    """
    if task == "transcription":
        return _transcripts(name, texts(name, raw, reading), reading)
    if task == "classification" or (task is None and kind in ("category", "boolean", "identifier")):
        return _classes(name, levels_of(texts(name, raw, reading), reading), reading)
    if task == "regression" or kind == "number":
        return _values(name, read(name, raw, "number", reading), reading)
    return _inferred(name, raw, reading)


def _transcripts(name: str, held: Texts, reading: Reading) -> FoundTarget:
    """Texts as they stand, but for white space; rows without one are left out."""
    rows = np.flatnonzero(held.codes >= 0)
    if not len(rows):
        raise _no_value(name, reading)
    said = [normalized(text) for text in held.levels]
    longest = max(map(len, said))
    if longest > MOST_SAID:
        raise DataError(
            f"{reading.where}, column '{name}'",
            f"what is said in a recording, {MOST_SAID:,} characters at most",
            f"{longest:,}",
            "Cut the recording and its text into pieces, or choose another data.target.",
        )
    characters = counted(len(set("".join(said))), "character")
    codes = code_points(said)[held.codes[rows]]
    notes = (
        f"'{name}' is predicted: transcription, {counted(len(said), 'different text')} of {characters}, "
        f"{longest:,} long at most."
    )
    warnings = _missing_classes(name, held, reading, "what is said")
    return FoundTarget(Target("transcription", codes, (name,)), rows, (notes,), warnings)


def value_targets(
    raw: Mapping[str, pa.ChunkedArray], task: Task | None, reading: Mapping[str, Reading]
) -> FoundTarget:
    """Several columns of numbers, by their names; rows that lack one of them are left out. Raises DataError, or
    RecipeError for another task than regression.
    """
    if task not in (None, "regression"):
        raise RecipeError(
            "data.target",
            f"one column for task: {task}",
            ", ".join(raw),
            "Name one; several columns of numbers are a regression.",
        )
    found = {
        name: _values(name, read(name, raw[name], "number", reading[name]), reading[name])
        for name in raw
    }
    rows = functools.reduce(np.intersect1d, [each.rows for each in found.values()])
    if len(rows) == 0:
        name = next(iter(raw))
        raise DataError(
            reading[name].where,
            "a row that has all targets",
            "none",
            "Look at data.target and data.missing.",
        )
    columns: list[FloatArray] = [
        each.target.values[np.searchsorted(each.rows, rows)].astype(np.float64)
        for each in found.values()
    ]
    notes = tuple(note for each in found.values() for note in each.notes)
    matrix = np.stack(columns, axis=1) if len(columns) > 1 else columns[0]
    return FoundTarget(Target("regression", matrix, tuple(raw)), rows, notes)


def reconstruction_target(columns: dict[str, Column], where: str) -> FoundTarget:
    """The number columns themselves; rows with a missing number are left out. Raises DataError
    without any.
    """
    names = tuple(name for name, column in columns.items() if column.kind == "number")
    if not names:
        raise DataError(
            where,
            "at least one column of numbers to reconstruct",
            "none",
            "Choose another task or data.types.",
        )
    matrix = np.stack([columns[name].values for name in names], axis=1).astype(np.float64)
    rows = np.flatnonzero(~np.isnan(matrix).any(axis=1))
    notes = f"{counted(len(names), 'number is', 'numbers are')} to be reproduced: reconstruction."
    return FoundTarget(Target("reconstruction", matrix[rows], names), rows, (notes,))


def _inferred(name: str, raw: pa.ChunkedArray, reading: Reading) -> FoundTarget:
    """The task that the values themselves suggest."""
    seen = read(name, raw, None, reading)
    if seen.column.kind == "date":
        raise DataError(
            f"{reading.where}, column '{name}'",
            "a target of classes or numbers",
            "dates",
            "Choose another data.target, or turn the dates into numbers.",
        )
    numbers = seen.column.kind == "identifier" and not seen.column.levels
    if numbers or (seen.mixed and len(seen.column.levels) > FEW_VALUES):
        return _values(
            name, read(name, raw, "number", reading), reading
        )  # raises at the first that is no number
    if seen.column.kind != "number":
        held = levels_of(texts(name, raw, reading), reading)
        return _classes(name, _repeating(name, held, reading), reading)
    known = seen.column.values[~seen.column.missing()]
    different = len(np.unique(known))
    few = different <= 2 or (different <= FEW_VALUES and len(known) >= ROWS_EACH * different)
    if not (seen.whole and few):
        return _values(name, seen, reading)
    found = _classes(name, levels_of(texts(name, raw, reading), reading), reading)
    text = (
        f"The target '{name}' holds {different:,} different whole numbers: they are read as classes "
        "(task: regression reads them as values)."
    )
    return replace(found, notes=(text, *found.notes))


def _repeating(name: str, held: Texts, reading: Reading) -> Texts:
    """Raises DataError for texts of which most stand in one row only: names or prose, which no
    model can learn as classes.
    """
    known = int(held.counts().sum())
    if known >= DISTINCT_ROWS and len(held.levels) > known / 2:
        raise DataError(
            f"{reading.where}, column '{name}'",
            "a target of numbers, or of classes with several rows each",
            f"{len(held.levels):,} different texts in {known:,} rows",
            "Choose another data.target, or say task: classification if these are classes.",
        )
    return held


def _classes(name: str, held: Texts, reading: Reading) -> FoundTarget:
    if not held.levels:
        raise _no_value(name, reading)
    order = _class_order(held)
    classes = tuple(held.levels[level] for level in order)
    renamed = np.empty(len(held.levels), dtype=np.int64)
    renamed[order] = np.arange(len(order))
    rows = np.flatnonzero(held.codes >= 0)
    if len(classes) < 2:
        raise DataError(
            f"{reading.where}, column '{name}'",
            "at least two classes",
            f"one: '{classes[0]}'",
            "Choose another data.target, or add rows of another class.",
        )
    codes = renamed[held.codes[rows]]
    target = Target("classification", codes, (name,), classes, held.level_type)
    notes = (_say_classes(name, target), *_say_rule(name, held))
    return FoundTarget(target, rows, notes, _missing_classes(name, held, reading))


def _class_order(held: Texts) -> list[int]:
    """Levels in the order of the classes: by number if all are numbers, else as text."""
    numbers = [values.number(text) for text in held.levels]
    known = [number for number in numbers if number is not None and np.isfinite(number)]
    if len(known) < len(numbers):
        return list(range(len(numbers)))
    return sorted(range(len(known)), key=lambda level: (known[level], held.levels[level]))


def _missing_classes(
    name: str, held: Texts, reading: Reading, what: str = "a class"
) -> tuple[str, ...]:
    """A loud line for every word that is read as a missing target: it may be a class of that
    name, or said.
    """
    notes = []
    for token, rows in sorted(held.token_rows.items()):
        if token:
            others, share = (
                [text for text in sorted(reading.missing) if text != token],
                rows / len(held.codes),
            )
            notes.append(
                f"{name}: '{token}' is read as a missing target: {rows:,} of {len(held.codes):,} rows ({share:.1%}) "
                f"are left out. If it is {what}, say data.missing: {json.dumps(others)}."
            )
    return tuple(notes)


def _say_rule(name: str, held: Texts) -> list[str]:
    """How classes are compared, where that needs saying; always where texts that differ are one
    class.
    """
    rule = held.rule()
    if held.merged or (held.level_type == "text" and rule):
        return [f"'{name}': its classes are {rule}."]
    return []


def _values(name: str, seen: Read, reading: Reading) -> FoundTarget:
    rows = np.flatnonzero(~seen.column.missing())
    numbers: npt.NDArray[np.float64] = seen.column.values[rows].astype(np.float64)
    if len(rows) == 0:
        raise _no_value(name, reading)
    if numbers.min() == numbers.max():
        raise DataError(
            f"{reading.where}, column '{name}'",
            "a target of at least two different numbers",
            f"one: {values.show_number(float(numbers[0]))}",
            "Choose another data.target.",
        )
    notes = f"'{name}' is predicted: regression, values from {_short(numbers.min())} to {_short(numbers.max())}."
    return FoundTarget(Target("regression", numbers, (name,)), rows, (notes,))


def _say_classes(name: str, target: Target) -> str:
    counts = np.bincount(target.values, minlength=len(target.classes))
    named = [f"{text} ({count:,})" for text, count in zip(target.classes, counts, strict=True)]
    shown = ", ".join(named[:SHOWN]) + (", …" if len(named) > SHOWN else "")
    return f"'{name}' is predicted: classification, {len(named):,} classes: {shown}."


def _no_value(name: str, reading: Reading) -> DataError:
    return DataError(
        f"{reading.where}, column '{name}'",
        "a target in at least two rows",
        "no value at all",
        "Choose another data.target, or look at data.missing.",
    )


def _short(value: float) -> str:
    return f"{value:.6g}"
