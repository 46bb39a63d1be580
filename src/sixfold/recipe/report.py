"""What a report says: `report.json` is this, `report.html` shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.receipt import Receipt
from sixfold.recipe.section import Section


class ColumnSummary(Section):
    """One raw column in the training rows."""

    name: str
    type: str
    missing: float = Field(ge=0, le=1, description="Share of missing values.")
    distinct: int = Field(ge=0)
    detail: str = Field(description="Range and median of numbers; the most frequent values of categories.")


class Row(Section):
    """One candidate on the leaderboard, the best first. `scores`: metric → score of every fold that was done.

    `why`: it is there. `compared`: how it stands to the winner, with an interval. `dropped`: why it got no more folds
    than `folds` (from 0; left out: all).
    """

    name: str
    family: str
    scores: dict[str, tuple[float, ...]]
    fit_s: float
    why: str = ""
    compared: str = ""
    dropped: str = ""
    folds: tuple[int, ...] = ()


class Curve(Section):
    """Loss of one fit after each epoch; `validation` is empty where nothing was watched."""

    candidate: str
    fold: int
    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    validation: tuple[float, ...] = ()


class Confusion(Section):
    """Counts of out-of-fold predictions: `counts[i][j]` rows of class i predicted as class j."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Line(Section):
    """Points of one line: a ROC or precision-recall curve of a class, or a calibration curve."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Figure(Section):
    """One chart of out-of-fold predictions, and what it shows in words."""

    kind: Literal["roc", "pr", "calibration", "residuals"]
    lines: tuple[Line, ...]
    words: str = ""


class Importance(Section):
    """Loss of the deciding metric when a raw column is shuffled, mean and spread over the folds."""

    column: str
    mean: float
    spread: float


class Layer(Section):
    """One layer of a network."""

    name: str
    shape: str
    parameters: int


class Report(Section):
    """Everything a reader needs to trust, question or repeat a run."""

    verdict: tuple[str, ...] = Field(description="The result in sentences.")
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    columns: tuple[ColumnSummary, ...]
    baseline: dict[str, float]
    leaderboard: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    confusion: Confusion | None = None
    figures: tuple[Figure, ...] = ()
    importances: tuple[Importance, ...] = ()
    layers: tuple[Layer, ...] = ()
    receipt: Receipt


class Reproduction(Section):
    """How to get the same result again."""

    command: str
    recipe: str
    data_sha256: str
    created: str
