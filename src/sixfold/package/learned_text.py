"""What the events of a run tell of a language model as it learned: its loss by step, the texts it wrote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from sixfold.recipe.report import LanguageReport, Line, WrittenText

POINTS: Final = 200  # of a line
LONGEST: Final = 2_000  # characters of a text, and of a prompt


def learned(events: Iterable[dict[str, Any]], candidate: str) -> LanguageReport:
    """Of the winner. What was trained again after a kill takes the place of the first attempt."""
    losses: dict[int | None, dict[int, tuple[list[int], list[float]]]] = {}
    written: dict[tuple[int | None, int, str], WrittenText] = {}
    for event in events:
        if event.get("candidate") != candidate or "outer" in event:
            continue
        fold = event.get("fold")
        if event["event"] == "steps":
            losses.setdefault(fold, {})[event["epoch"]] = (event["steps"], event["losses"])
        if event["event"] == "sample":
            text = WrittenText(
                fold=fold,
                epoch=event["epoch"],
                epochs=event["epochs"],
                prompt=event["prompt"][:LONGEST],
                text=event["text"][:LONGEST],
            )
            written[fold, text.epoch, text.prompt] = text
    last = None if any(fold is None for fold, *_ in written) else 0
    shown = sorted(
        (text for text in written.values() if text.fold == last), key=lambda text: text.epoch
    )
    lines = tuple(_line(fold, losses[fold]) for fold in sorted(losses, key=_number))
    return LanguageReport(losses=lines, written=tuple(shown))


def _line(fold: int | None, epochs: dict[int, tuple[list[int], list[float]]]) -> Line:
    x = [step for epoch in sorted(epochs) for step in epochs[epoch][0]]
    y = [loss for epoch in sorted(epochs) for loss in epochs[epoch][1]]
    some = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int)).tolist()
    name = "all training rows" if fold is None else f"fold {fold + 1}"
    return Line(name=name, x=tuple(float(x[i]) for i in some), y=tuple(y[i] for i in some))


def _number(fold: int | None) -> int:
    return -1 if fold is None else fold
