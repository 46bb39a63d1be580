"""A sliding window of what a deployment was asked and what it answered, beside the rows that its bundle keeps.

Requests are sampled, kept as they came, and read once a second in a thread: nothing of it is on a request's way, and nothing
is written to the disk. The bundle's own front end reads the rows: a column means here what it means to the model.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle import parity
from sixfold.bundle.frontend import Feeds, FrontEnd
from sixfold.bundle.manifest import PARITY
from sixfold.core.errors import SixfoldError
from sixfold.recipe.signature import CATEGORIES, NUMBERS, Signature
from sixfold.service.domain.deployments import DriftLimits
from sixfold.service.gateway import drift_figures
from sixfold.service.gateway.drift_figures import ColumnDrift

WINDOW: Final = 2000  # rows
MOST_WAITING: Final = 100  # sampled requests a second, of each deployment
MOST_BODY: Final = 64 << 10  # bytes of a request that is sampled
MOST_COLUMNS: Final = 500  # that are looked at; guessed
KINDS: Final = frozenset({NUMBERS, CATEGORIES})
STEP_S: Final = 60.0  # between two points of what is shown over time
POINTS: Final = 360


@dataclass(frozen=True)
class DriftReference:
    """What a bundle keeps of its own rows and answers."""

    signature: Signature
    front_end: FrontEnd
    feeds: Feeds
    answers: dict[str, Any]
    rows: int

    @classmethod
    def of(cls, bundle: Path) -> DriftReference:
        """Raises SixfoldError, OSError, ValueError where it keeps none that can be read."""
        signature = Signature.model_validate_json((bundle / "signature.json").read_bytes())
        stored = bundle / PARITY
        kept = parity.unpack(stored.read_bytes(), str(stored), signature)
        front_end = FrontEnd(signature)
        return cls(
            signature, front_end, front_end.feeds(kept.rows), dict(kept.expected), len(kept.rows)
        )


@dataclass(frozen=True)
class DriftPoint:
    """How every column stood at one moment, in the order of `DriftWatch.last`. `psi`: float32 [columns]."""

    at: float
    psi: npt.NDArray[np.float32]


@dataclass
class DriftWatch:
    """Of one deployment's first version. `last`: what was found when it was last looked at; `past`: a point a minute, for
    six hours.
    """

    rows: deque[Any] = field(default_factory=lambda: deque(maxlen=WINDOW))
    answers: deque[Any] = field(default_factory=lambda: deque(maxlen=WINDOW))
    last: tuple[ColumnDrift, ...] = ()
    past: deque[DriftPoint] = field(default_factory=lambda: deque(maxlen=POINTS))
    _waiting: list[tuple[bytes, bytes]] = field(default_factory=list)
    _reference: DriftReference | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sample(self, body: bytes, answer: bytes) -> None:
        """One request and its answer, as bytes: on the event loop."""
        if len(self._waiting) < MOST_WAITING and len(body) <= MOST_BODY:
            self._waiting.append((body, answer))

    def read(self) -> None:
        """What was sampled since the last time: in a thread."""
        waiting, self._waiting = self._waiting, []
        with self._lock:
            for body, answer in waiting:
                rows, answers = _rows(body), _answers(answer)
                if rows is not None and answers is not None and len(rows) == len(answers):
                    self.rows.extend(rows)
                    self.answers.extend(answers)

    def figures(
        self, bundle: Path, limits: DriftLimits, now: float
    ) -> tuple[int, list[ColumnDrift]]:
        """Rows of the reference, and an entry a column: in a thread. `now`: seconds since 1970. Raises SixfoldError, OSError,
        ValueError.
        """
        self.read()
        with self._lock:
            if self._reference is None:
                self._reference = DriftReference.of(bundle)
            rows, answers = list(self.rows), list(self.answers)
        reference = self._reference
        if not rows:
            return reference.rows, []
        feeds = _feeds(reference.front_end, rows)
        found = [
            *_inputs(reference, feeds, limits),
            *_predictions(reference, answers, limits),
        ]
        with self._lock:
            self._keep(found, now)
        return reference.rows, found

    def _keep(self, found: list[ColumnDrift], now: float) -> None:
        if len(found) != len(self.last):
            self.past.clear()
        self.last = tuple(found)
        if not self.past or now - self.past[-1].at >= STEP_S:
            values = np.array([one.psi for one in found], dtype=np.float32)
            self.past.append(DriftPoint(now, values))


def _feeds(front_end: FrontEnd, rows: list[Any]) -> Feeds:
    """Of rows that the model took. One that it would not take by now is left out."""
    try:
        return front_end.feeds(rows)
    except SixfoldError:
        good = []
        for row in rows:
            try:
                front_end.feeds([row])
            except SixfoldError:
                continue
            good.append(row)
        return front_end.feeds(good)


def _inputs(reference: DriftReference, feeds: Feeds, limits: DriftLimits) -> list[ColumnDrift]:
    found = []
    for group, columns in reference.signature.graph_inputs().items():
        if group not in KINDS:
            continue
        for at, column in enumerate(columns[:MOST_COLUMNS]):
            before, now = reference.feeds[group][:, at], feeds[group][:, at]
            if group == NUMBERS:
                found.append(drift_figures.of_numbers(column.name, "input", before, now, limits))
                continue
            known, seen, levels = before.tolist(), now.tolist(), frozenset(column.levels)
            found.append(
                drift_figures.of_categories(column.name, "input", known, seen, limits, levels)
            )
    return found


def _predictions(
    reference: DriftReference, answers: list[Any], limits: DriftLimits
) -> list[ColumnDrift]:
    found = []
    for output in reference.signature.outputs:
        before = reference.answers.get(output.name)
        if before is None or output.name == "text":
            continue
        if output.name == "label":
            texts = [str(one) for one in np.asarray(before).reshape(-1).tolist()]
            now = [_label(one.get("label")) for one in answers]
            found.append(drift_figures.of_categories("label", "prediction", texts, now, limits))
            continue
        table = np.asarray(before, dtype=np.float64).reshape(reference.rows, -1)
        for at, name in enumerate(output.columns[:MOST_COLUMNS]):
            values = [_number(one.get(output.name), name) for one in answers]
            title = output.name if len(output.columns) == 1 else f"{output.name} {name}"
            before_at, now_at = table[:, at], np.array(values)
            found.append(drift_figures.of_numbers(title, "prediction", before_at, now_at, limits))
    return found


def _label(value: Any) -> str:
    """As the stored answers have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, dict):
        value = value.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _rows(body: bytes) -> list[Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    rows = value.get("rows") if isinstance(value, dict) else value
    return rows if isinstance(rows, list) else None


def _answers(answer: bytes) -> list[Any] | None:
    try:
        found = json.loads(answer)["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (
        found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else None
    )
