"""Receipts of versions side by side: a row for every figure that one of them has, and how far each is from the first's."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sixfold.service.domain.registry import ModelVersion

MOST_LINES: Final = 400  # of two recipes' difference
SAME: Final = 1e-9  # relative

MEASURED: Final[Mapping[str, str]] = {
    "file_bytes": "size",
    "parameters": "figure",
    "p50_1_ms": "ms",
    "p99_1_ms": "ms",
    "p50_64_ms": "ms",
    "p99_64_ms": "ms",
    "first_token_ms": "ms",
    "tokens_per_s_1": "figure",
    "tokens_per_s_8": "figure",
    "peak_memory_bytes": "size",
    "http_p50_ms": "ms",
    "http_p99_ms": "ms",
}  # of a receipt's `after`, and how each is written
MORE_IS_BETTER: Final = frozenset({"tokens_per_s_1", "tokens_per_s_8"})
FACTS: Final = ("candidate", "verdict", "rows_trained", "rows_holdout", "duration_s")


@dataclass(frozen=True)
class Compared:
    """One version's figure beside the first's. `change`: relative, None where it cannot be told; `better`: None where neither."""

    value: Any
    change: float | None = None
    better: bool | None = None


@dataclass(frozen=True)
class ReceiptRow:
    """`name`: a word of the catalog (`receipt.…`), or a metric, of which `of` says where: folds, holdout, baseline, fact or cost.
    `written`: figure, size, ms, duration.
    """

    name: str
    of: str
    written: str
    cells: tuple[Compared, ...]

    @property
    def differs(self) -> bool:
        """Whether the versions do."""
        return len({repr(one.value) for one in self.cells}) > 1


@dataclass(frozen=True)
class FilesRow:
    """An input of the runs: its digest for each version, None where a version had none of that name."""

    path: str
    digests: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the versions do."""
        return len(set(self.digests)) > 1


class FigureKey(NamedTuple):
    """Of a figure: see `ReceiptRow`."""

    name: str
    of: str


@dataclass
class Figures:
    """What a receipt says, by row."""

    values: dict[FigureKey, Any] = field(default_factory=dict)
    up: dict[FigureKey, bool] = field(default_factory=dict)  # whether more is better
    written: dict[FigureKey, str] = field(default_factory=dict)


def rows(versions: Sequence[ModelVersion]) -> list[ReceiptRow]:
    """Without those that no version has."""
    read = [_figures(one.receipt) for one in versions]
    keys = dict.fromkeys(key for one in read for key in one.values)
    return [_row(key, read) for key in sorted(keys, key=_place)]


def headline(version: ModelVersion) -> tuple[str, float] | None:
    """The deciding metric and what the holdout says of it, else the mean of the folds."""
    receipt = version.receipt
    found = _figures(receipt).values
    metrics = [str(receipt.get("metric") or ""), *(name for name, _ in found)]
    for metric in metrics:
        for of in ("holdout", "folds"):
            value = found.get(FigureKey(metric, of))
            if isinstance(value, int | float):
                return metric, float(value)
    return None


def files(versions: Sequence[ModelVersion]) -> list[FilesRow]:
    """What the runs read."""
    paths = dict.fromkeys(path for one in versions for path in one.lineage.data)
    return [FilesRow(path, tuple(one.lineage.data.get(path) for one in versions)) for path in paths]


def recipe_changes(first: ModelVersion, second: ModelVersion) -> list[str]:
    """Lines of a unified difference, without its head; empty where both recipes are the same."""
    before, after = (one.lineage.recipe or "" for one in (first, second))
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return [line for line in lines if not line.startswith(("---", "+++"))][:MOST_LINES]


def _row(key: FigureKey, read: Sequence[Figures]) -> ReceiptRow:
    first, up = read[0].values.get(key), next((one.up[key] for one in read if key in one.up), None)
    written = next(one.written.get(key, "figure") for one in read if key in one.values)
    cells = tuple(
        _beside(one.values.get(key), first, up) if at else Compared(one.values.get(key))
        for at, one in enumerate(read)
    )
    return ReceiptRow(key.name, key.of, written, cells)


def _beside(value: Any, first: Any, up: bool | None) -> Compared:
    numbers = all(isinstance(one, int | float) for one in (value, first))
    if not numbers or not first:
        return Compared(value)
    change = (value - first) / abs(first)
    if up is None or abs(change) <= SAME:
        return Compared(value, change)
    return Compared(value, change, (change > 0) == up)


def _figures(receipt: Mapping[str, Any]) -> Figures:
    made = Figures()
    for name in FACTS:
        if receipt.get(name) is not None:
            made.values[FigureKey(name, "fact")] = receipt[name]
    made.written[FigureKey("duration_s", "fact")] = "duration"
    for each in receipt.get("quality") or ():
        for of, value in _qualities(each):
            key = FigureKey(each["metric"], of)
            made.values[key] = value
            made.up[key] = bool(each.get("greater_is_better", True))
    http = {f"http_{name}": value for name, value in (receipt.get("http") or {}).items()}
    measured = {**(receipt.get("after") or {}), **http}
    for name, written in MEASURED.items():
        if measured.get(name) is not None:
            key = FigureKey(name, "cost")
            made.values[key], made.written[key] = measured[name], written
            made.up[key] = name in MORE_IS_BETTER
    return made


def _qualities(each: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What is served: after compression where there was one."""
    folds = each.get("folds_after") or each.get("folds_before") or ()
    if folds:
        yield "folds", sum(folds) / len(folds)
    holdout = each.get("holdout_after")
    holdout = each.get("holdout_before") if holdout is None else holdout
    if holdout is not None:
        yield "holdout", holdout
    if each.get("baseline") is not None:
        yield "baseline", each["baseline"]


def _place(key: FigureKey) -> int:
    """Facts, quality, cost."""
    return {"fact": 0, "cost": 2}.get(key.of, 1)
