"""What the model looks at in a text, an image or a recording: pieces are left out one after the
other, and the answer changes by what each of them was worth to it (Zeiler and Fergus, 2014).

Change of a piece = answer to the row - answer to the row without the piece. A column of plain values
beside them is one piece, which is left out by the column's usual value: the median, or the most
frequent category, of the training rows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, cast

import numpy as np

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.attributions import Floats, places_of
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer, over_time
from sixfold.bundle.explain.faithfulness import Faithfulness, JudgedRow
from sixfold.bundle.explain.sampling import Player
from sixfold.bundle.frontend import Extra, Feeds, RawRows
from sixfold.bundle.modality_reader import LeavesOut, LeavesOutBands
from sixfold.bundle.pieces import Kept, ValuePieces
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.runtime import EncodedColumn, EncodesInputs, Outputs, Runtime
from sixfold.core.errors import RowError
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import CATEGORIES, Input, group_of

HOW: Final = "occlusion: the answer less the one without the piece"
HOW_BANDS: Final = f"{HOW}, which a filter takes out of the samples"
TIMED: Final = (
    2  # answers, of which the quicker one tells how long one takes: the first may wait for memory
)
LEAST: Final = 9  # pieces of a column, below which nothing can be told
CELLS: Final = 1 << 22  # of all values of the rows of a call: 32 MiB
KINDS: Final = {
    "text": "words",
    "image": "patches",
    "audio": "windows of time",
    "spectrum": "bands in windows of time",
    "value": "columns",
}


class GraphRuntime(Runtime, EncodesInputs, Protocol):
    """A runtime that can be asked by what its graph takes."""


class PlainPiece(NamedTuple):
    """A column of plain values, and its usual value, as its feed holds it."""

    name: str
    place: Player
    usual: Any


class CutColumn(NamedTuple):
    """A column whose values have pieces, and those of one value: for each input of the graph that is
    made of it.
    """

    name: str
    inputs: dict[str, ValuePieces]

    @property
    def pieces(self) -> ValuePieces:
        """As they are told of."""
        return next(iter(self.inputs.values()))


@dataclass(frozen=True)
class OccludedRow:
    """One row, of which pieces can be left out. `given`: what the graph takes of the whole row;
    `plain`: columns that are one piece each, behind those of `cut`.
    """

    runtime: GraphRuntime
    output: str
    given: dict[str, Any]
    cut: tuple[CutColumn, ...]
    plain: tuple[PlainPiece, ...]

    @property
    def count(self) -> int:
        """Pieces of all columns."""
        return sum(each.pieces.count for each in self.cut) + len(self.plain)

    def answers(self, kept: Kept) -> Floats:
        """[n, pieces] → [n, K]."""
        cells = sum(array.shape[1] for array in self.given.values())
        step = max(1, min(self.runtime.rows_at_once, CELLS // max(1, cells)))
        step = 1 if self.runtime.depends_on_batch else step
        parts = [self._asked(kept[at : at + step]) for at in range(0, len(kept), step)]
        return np.asarray(np.concatenate(parts), dtype=np.float64)

    def _asked(self, kept: Kept) -> Floats:
        given = {name: np.repeat(array, len(kept), axis=0) for name, array in self.given.items()}
        at = 0
        for column in self.cut:
            own = kept[:, at : at + column.pieces.count]
            at += column.pieces.count
            given |= {name: pieces.features(own) for name, pieces in column.inputs.items()}
        for number, (_, place, usual) in enumerate(self.plain, start=at):
            given[place.group][~kept[:, number], place.place] = usual
        found: Outputs = self.runtime.answered(given)
        return found[self.output]

    def changes(self) -> tuple[Floats, Floats, Floats]:
        """[K] the answer to the row, [K] the one to nothing of it, [pieces, K]."""
        count = self.count
        kept = np.ones((count + 2, count), dtype=np.bool_)
        kept[1] = False
        kept[2:][np.diag_indices(count)] = False
        found = self.answers(kept)
        return found[0], found[1], found[0] - found[2:]


@dataclass(frozen=True)
class Occlusions:
    """Of every row: `base` [rows, outputs] the answers to nothing, `prediction` [rows, outputs],
    `changes` [pieces, outputs] of each row. `scale`: what the model answers. `asked`: rows that it
    answered for it.
    """

    scale: str
    outputs: tuple[str, ...]
    rows: tuple[OccludedRow, ...]
    base: Floats
    prediction: Floats
    changes: tuple[Floats, ...]
    predictions: Predictions
    asked: int
    how: str = HOW

    def __len__(self) -> int:
        return len(self.rows)

    def records(self, output: str | None = None) -> list[dict[str, Any]]:
        """One mapping a row, of the output named, or of the predicted one: `output`, `scale`,
        `method`, `base`, `prediction`, and `pieces`: column → what its pieces change. Of a model
        of one column, `contributions`, too. Raises RowError for an output that it does not have.
        """
        return [self._record(row, at) for row, at in enumerate(self.places(output))]

    def places(self, output: str | None = None) -> list[int]:
        """Of every row the number of the output that is told of. Raises RowError."""
        return places_of(self.outputs, self.predictions, output)

    def pieces(self, row: int, output: int) -> dict[str, dict[str, Any]]:
        """Column → its pieces, as JSON."""
        told, at = {}, 0
        changes = self.changes[row][:, output].tolist()
        for name, inputs in self.rows[row].cut:
            pieces = next(iter(inputs.values()))
            told[name] = pieces.record(changes[at : at + pieces.count])
            at += pieces.count
        for piece, change in zip(self.rows[row].plain, changes[at:], strict=True):
            told[piece.name] = {"kind": "value", "change": change}
        return told

    def _record(self, row: int, at: int) -> dict[str, Any]:
        base, prediction = float(self.base[row, at]), float(self.prediction[row, at])
        columns = [each.name for each in self.rows[row].cut]
        record: dict[str, Any] = {
            "output": self.outputs[at],
            "scale": self.scale,
            "method": self.how,
            "base": base,
            "prediction": prediction,
        }
        if len(columns) == 1 and not self.rows[row].plain:
            record["contributions"] = {columns[0]: prediction - base}
        return record | {"pieces": self.pieces(row, at)}


def not_occluded(explainer: Explainer) -> str:
    """Why no pieces can be left out; '' where they can."""
    runtime = explainer.predictor.runtime
    if not explainer.outputs:
        return "a model that answers with text, or names"
    if not isinstance(runtime, EncodesInputs):
        return "a model whose runtime does not say what its graph takes"
    if not any(isinstance(each.encoder, LeavesOut) for each in runtime.encoders):
        return "columns of plain values"
    return ""


def not_banded(explainer: Explainer) -> str:
    """Why no bands of recordings can be left out; '' where they can."""
    if reason := not_occluded(explainer):
        return reason
    runtime = cast(GraphRuntime, explainer.predictor.runtime)
    some = any(isinstance(each.encoder, LeavesOutBands) for each in runtime.encoders)
    return "" if some else "a model without recordings"


def occluded(
    explainer: Explainer,
    rows: RawRows,
    effort: ExplainEffort | None = None,
    extra: Extra = "ignore",
    plain: bool = True,
    by_band: bool = False,
) -> Occlusions:
    """`plain`: whether columns of plain values are pieces, too; `by_band`: whether windows of recordings are cut
    into bands, too, as `not_banded` found that they can be. Raises RowError for rows that do not
    fit, models without such columns, and more work than `effort` allows. Values are cut into fewer
    pieces where there is not the time for more.
    """
    feeds, effort = _feeds(explainer, rows, extra), effort or ExplainEffort()
    cutter = _Cutter(explainer, plain, len(next(iter(feeds.values()))), effort, by_band)
    found, answers = [], []
    for row in range(cutter.rows):
        one = {name: array[row : row + 1] for name, array in feeds.items()}
        found.append(cutter.row(one, row + 1))
        answers.append(found[-1].changes())
    return Occlusions(
        scale=cutter.output,
        outputs=explainer.outputs,
        rows=tuple(found),
        base=np.stack([each[1] for each in answers]),
        prediction=np.stack([each[0] for each in answers]),
        changes=tuple(each[2] for each in answers),
        predictions=explainer.predictor.run(feeds),
        asked=sum(each.count + 2 for each in found),
        how=HOW_BANDS if by_band else HOW,
    )


def faithful(found: Occlusions, effort: ExplainEffort) -> Faithfulness:
    """Deletion and insertion curves of the first rows; of so many as there is time for, one at
    least.
    """
    return faithfulness.measure(_judged(found, time.monotonic() + effort.seconds))


def judged_rows(
    found: Occlusions, end: float, output: str | None = None
) -> list[dict[str, dict[str, float]]]:
    """Of every row how faithful its explanation is, as `faithfulness.of_one` tells it; `end`: until when, by the
    monotonic clock, that may take. Raises RowError for an output that the model does not have.
    """
    return [
        faithfulness.of_one(
            JudgedRow(found.rows[row], found.changes[row][:, at], at), end - time.monotonic()
        )
        for row, at in enumerate(found.places(output))
    ]


def _judged(found: Occlusions, end: float) -> Iterator[JudgedRow]:
    for row, output in enumerate(found.places(None)[: faithfulness.ROWS]):
        if row and time.monotonic() >= end:
            return
        yield JudgedRow(found.rows[row], found.changes[row][:, output], output)


def _feeds(explainer: Explainer, rows: RawRows, extra: Extra) -> Feeds:
    """Raises RowError."""
    if reason := not_occluded(explainer):
        raise RowError(
            "this model",
            "a column of texts, images or recordings, of which pieces are left out",
            reason,
            "Leave method out.",
        )
    feeds = explainer.predictor.front_end.feeds(rows, extra)
    if not len(next(iter(feeds.values()))):
        raise RowError("rows", "at least one row", "none", "Give a row.")
    return feeds


class _Cutter:
    """Cuts rows into as many pieces as there is time for."""

    def __init__(
        self, explainer: Explainer, plain: bool, rows: int, effort: ExplainEffort, by_band: bool
    ) -> None:
        self._runtime = cast(GraphRuntime, explainer.predictor.runtime)  # as `not_occluded` found
        self.rows, self._effort, self._by_band = rows, effort, by_band
        self.output = explainer.output_name
        self._plain = tuple(_plain_pieces(explainer)) if plain else ()
        self._names: dict[str, list[tuple[EncodedColumn, LeavesOut]]] = {}
        for each in self._runtime.encoders:
            if isinstance(each.encoder, LeavesOut):
                self._names.setdefault(each.encoder.column, []).append((each, each.encoder))

    def row(self, one: Feeds, number: int) -> OccludedRow:
        """Of the feeds of one row. Raises RowError."""
        given = {
            name: np.array(array) for name, array in self._runtime.encoded(one, number).items()
        }
        started = time.perf_counter()
        whole = self._cut(one, given, self._effort.rows)
        most = self._most(whole, started)
        fits = all(each.pieces.count <= most for each in whole.cut)
        return whole if fits else self._cut(one, given, most)

    def _cut(self, one: Feeds, given: dict[str, Any], most: int) -> OccludedRow:
        """Into at most so many pieces of a column."""
        cut = []
        for name, inputs in self._names.items():
            pieces = {
                each.name: self._pieces(
                    encoder, one[each.group][0, each.place], given[each.name][0], most
                )
                for each, encoder in inputs
            }
            cut.append(CutColumn(name, pieces))
        return OccludedRow(self._runtime, self.output, given, tuple(cut), self._plain)

    def _pieces(self, encoder: LeavesOut, value: Any, features: Floats, most: int) -> ValuePieces:
        if self._by_band and isinstance(encoder, LeavesOutBands):
            return encoder.bands(value, features, most)
        return encoder.pieces(value, features, most)

    def _most(self, whole: OccludedRow, started: float) -> int:
        """Pieces of a column, by the time that cutting took since `started`, and that one answer takes."""
        seconds, columns = self._effort.seconds, len(self._names)
        if seconds == float("inf"):
            return self._effort.rows
        kept = np.ones((1, whole.count), dtype=np.bool_)
        for column in whole.cut:  # what is made once, of all pieces
            column.pieces.features(kept[:, : column.pieces.count])
        at = [time.perf_counter()]
        for _ in range(TIMED):
            whole.answers(kept)
            at.append(time.perf_counter())
        cut_s, row_s = at[0] - started, min(b - a for a, b in itertools.pairwise(at))
        left = seconds / self.rows - cut_s - len(self._plain) * row_s
        most = int(min(left / (columns * max(row_s, 1e-9)), self._effort.rows))
        if most < LEAST:
            least_s = self.rows * (cut_s + (LEAST * columns + len(self._plain)) * row_s)
            raise over_time(seconds, least_s, self.rows)
        return most


def _plain_pieces(explainer: Explainer) -> list[PlainPiece]:
    """With the usual values; a missing one where none is known."""
    signature = explainer.predictor.signature
    return [
        PlainPiece(column.name, place, _usual(column))
        for column, place in zip(signature.inputs, explainer.places, strict=True)
        if column.type in PLAIN_KINDS
    ]


def _usual(column: Input) -> Any:
    if group_of(column.type) == CATEGORIES:
        return column.levels[0] if column.levels else ""
    return float("nan") if column.median is None else column.median


def taken(found: Occlusions) -> str:
    """What is left out, in words: `words and patches`."""
    kinds = {each["kind"] for each in found.pieces(0, 0).values()}
    return " and ".join(word for kind, word in KINDS.items() if kind in kinds)
