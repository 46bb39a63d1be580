"""`build: auto`: which families are worth trying on this data in this time, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, Literal, NamedTuple

import numpy as np

from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.table import ColumnKind, Dataset, Task
from sixfold.recipe.kinds import IDENTIFIER

# Fits that the seconds of COSTS are for, in multiples of the training rows: five folds of four
# fifths each, and the refit.
FITS = 5.0
USED = 0.9  # of the time for training; the rest is for a table, or a machine, on which it takes longer than expected
SVM_ROWS = 5_000
MLP_ROWS = 500
FOREST_ROWS = 20_000
CLASS_ROWS = (
    10  # of a class, at least, for probabilities fitted on inner folds: each has rows of it then
)
INNER = 3  # fits of two thirds of the rows that follow a fit whose scores become probabilities (evaluate/cross_fit.py)


Candidate = tuple[str, dict[str, Any], str]


class PortfolioEntry(NamedTuple):
    """One setting of a family, and the tables on which it is tried: of so many rows, of a task (None: of both)."""

    family: str
    options: dict[str, Any]
    why: str
    most_rows: int = 1_000_000
    least_rows: int = 1
    task: Task | None = None


# With a time budget, what is tried beside the families by themselves, what adds most to those first: measured by
# `python -m bench.portfolio`, and told in docs/explanation/auto.md. Small leaves for small tables, large ones for large
# tables; of each family settings that differ, as members of an ensemble should.
PORTFOLIO: tuple[PortfolioEntry, ...] = (
    PortfolioEntry(
        "extra_trees",
        {"min_rows_leaf": 1, "feature_fraction": 0.5, "max_depth": 24},
        "varies less than a forest; more features at a split, and leaves of one row",
        10_000,
    ),
    PortfolioEntry(
        "boosting",
        {"learning_rate": 0.1, "leaves": 7, "min_rows_leaf": 2, "row_fraction": 0.8},
        "trees of few questions",
    ),
    PortfolioEntry("tabm", {}, "usually the best network on tables", 50_000, 100),
    PortfolioEntry("linear", {"alpha": 0.1}, "a weaker penalty"),
    PortfolioEntry(
        "boosting",
        {"learning_rate": 0.03, "leaves": 15, "min_rows_leaf": 5, "rounds": 1000},
        "slower steps and smaller leaves than by itself",
    ),
    PortfolioEntry("svm", {"kernel": "rbf", "C": 10.0}, "a kernel machine that errs less", 5_000),
    PortfolioEntry(
        "boosting",
        {"leaves": 63, "min_rows_leaf": 40, "feature_fraction": 0.8},
        "larger trees",
        least_rows=2_000,
    ),
    PortfolioEntry(
        "forest",
        {"trees": 200, "max_depth": 24, "min_rows_leaf": 1},
        "leaves of one row",
        10_000,
    ),
    PortfolioEntry("extra_trees", {}, "grown faster than a forest", 10_000),
    PortfolioEntry("svm", {"kernel": "rbf", "C": 100.0}, "errs less still", 2_000),
    PortfolioEntry("linear", {"alpha": 10.0}, "a stronger penalty"),
    PortfolioEntry("residual_mlp", {}, "a network unlike the others", 50_000, 100),
    PortfolioEntry(
        "kernel_ridge", {"alpha": "auto"}, "a kernel machine for values", 2_000, task="regression"
    ),
    PortfolioEntry("mlp", {"dropout": 0.2}, "a network that forgets some", 50_000, 100),
)


class Knob(NamedTuple):
    """An option that a search around a candidate may turn: between `low` and `high`, and no farther from
    the candidate's own value than `factor` times; None: as far as these.
    """

    low: float
    high: float
    factor: float | None = None
    log: bool = False
    whole: bool = False


KNOBS: Mapping[str, Mapping[str, Knob]] = {
    "boosting": {
        "learning_rate": Knob(0.005, 0.5, 3.0, log=True),
        "leaves": Knob(3, 255, 3.0, log=True, whole=True),
        "min_rows_leaf": Knob(1, 200, 4.0, log=True, whole=True),
        "feature_fraction": Knob(0.2, 1.0),
        "row_fraction": Knob(0.5, 1.0),
        "l2": Knob(0.001, 30.0, log=True),
    },
    "extra_trees": {
        "feature_fraction": Knob(0.1, 1.0),
        "min_rows_leaf": Knob(1, 30, 4.0, log=True, whole=True),
        "max_depth": Knob(4, 32, whole=True),
    },
    "forest": {
        "feature_fraction": Knob(0.1, 1.0),
        "min_rows_leaf": Knob(1, 30, 4.0, log=True, whole=True),
        "row_fraction": Knob(0.5, 1.0),
    },
    "tree": {
        "complexity": Knob(1e-5, 0.05, 10.0, log=True),
        "min_rows_leaf": Knob(1, 100, 4.0, log=True, whole=True),
    },
    "linear": {"alpha": Knob(1e-4, 1e4, 10.0, log=True)},
    "svm": {
        "C": Knob(1e-3, 1e4, 10.0, log=True),
        "gamma": Knob(1e-4, 1.0, 5.0, log=True),
    },
    "kernel_ridge": {
        "alpha": Knob(1e-4, 1e3, 10.0, log=True),
        "gamma": Knob(1e-4, 1.0, 5.0, log=True),
    },
    "mlp": {"dropout": Knob(0.0, 0.5)},
    "residual_mlp": {"dropout": Knob(0.0, 0.5), "blocks": Knob(1, 4, whole=True)},
    "tabm": {"dropout": Knob(0.0, 0.5), "blocks": Knob(1, 4, whole=True)},
}


def around(family: str, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Ranges, as a recipe writes them, around a candidate's own `options`; {} for a family without any."""
    found: dict[str, dict[str, Any]] = {}
    for name, knob in KNOBS.get(family, {}).items():
        own, low, high = options.get(name), knob.low, knob.high
        if knob.factor is not None and isinstance(own, int | float) and own > 0:
            low, high = max(low, own / knob.factor), min(high, own * knob.factor)
        if knob.whole:
            low, high = round(low), round(high)
        if low < high:
            found[name] = {"low": low, "high": high, "log": knob.log}
    return found


# Of the families that are tried, those of which each value or quantile of a row takes a fit.
ONE_BY_ONE = frozenset({"boosting", "svm", "kernel_ridge"})
# And those of which the portfolio's settings are trained as one piece of work.
TOGETHER = frozenset({"boosting", "kernel_ridge", "linear", "svm"})
LEARN_QUANTILES = frozenset({"linear", "boosting", "mlp", "residual_mlp", "tabm"})


class ExpectedCost(NamedTuple):
    """Seconds: `start`, and so many a million of what grows: `values` (rows × columns), `rows`, or
    `pairs` of rows. `each`: for every class, where there are three or more.
    """

    start: float
    million: float
    of: Literal["values", "rows", "pairs"] = "values"
    each: bool = False


# Measured, seconds of one core for five folds and the refit: breast cancer, diabetes, digits, and
# 30,000 random rows of 14 columns (`python -m bench.auto_costs`). They are constants, so that the
# same recipe has the same candidates, however busy the machine is and wherever a run that was
# killed goes on.
COSTS = {
    "linear": ExpectedCost(0.05, 4.0),
    "tree": ExpectedCost(0.03, 2.4),
    "boosting": ExpectedCost(0.25, 15.0, each=True),
    "forest": ExpectedCost(0.4, 25.0),
    # Processor time beside a forest's on a busy machine (breast cancer, diabetes, digits), as parts of the seconds above.
    "extra_trees": ExpectedCost(0.4, 12.0),
    "kernel_ridge": ExpectedCost(0.05, 0.2, of="pairs"),
    "tabm": ExpectedCost(1.0, 4_000.0, of="rows"),
    "residual_mlp": ExpectedCost(0.5, 1_600.0, of="rows"),
    "svm": ExpectedCost(0.05, 0.2, of="pairs"),
    "mlp": ExpectedCost(0.5, 400.0, of="rows"),
    # Guessed: about a second for a hundred pieces of half a page, of the smallest size.
    "language": ExpectedCost(5.0, 30_000.0, of="rows"),
    # One fit of 320 rows with images of 8 pixels a side: about 8 s on a busy machine. Larger images
    # take more.
    "fusion": ExpectedCost(5.0, 100_000.0, of="rows"),
    # Guessed, of recordings of a second: some hundred a minute for all folds.
    "audio_cnn": ExpectedCost(5.0, 200_000.0, of="rows"),
    "ctc": ExpectedCost(10.0, 500_000.0, of="rows"),
    # One million interactions of 20,000 users and 50,000 items.
    "popularity": ExpectedCost(0.5, 100.0, of="rows"),
    "item_knn": ExpectedCost(0.5, 200.0, of="rows"),
    "als": ExpectedCost(0.5, 250.0, of="rows"),
    "bpr": ExpectedCost(1.0, 700.0, of="rows"),
    "two_tower": ExpectedCost(3.0, 3_000.0, of="rows"),  # guessed
}
RECOMMENDERS: tuple[Candidate, ...] = (
    ("popularity", {}, "always: what every recommender has to beat"),
    ("item_knn", {}, "items that the same users have: fast, and each answer can be explained"),
    ("als", {}, "factors of users and items: what users have in common beyond single items"),
    ("bpr", {}, "factors that rank what a user has above what they have not"),
)
TOWERS: Candidate = (
    "two_tower",
    {},
    "features of users or items: it answers for those that are new, too",
)


def candidates(
    dataset: Dataset,
    training_s: float | None,
    evaluated: float = FITS - 1.0,
    inner_fits: bool | None = None,
) -> list[Candidate]:
    """Family, its options, and the reason in words, for every candidate.

    `training_s`: seconds for all training, or None; `evaluated`: rows that all folds train on, in
    multiples of the rows; `inner_fits`: whether calibration or thresholds ask for fits on inner
    folds, None where the recipe does not say. In a short time the least certain are left out; the
    first is kept however short it is. Without a limit the most certain comes first; with one, the
    cheapest: a candidate's part of what is left is then never less than what it is expected to
    take, and the most expensive has all that the others leave. With a limit there is the portfolio,
    too, as far as the time goes.
    """
    wanted = _wanted(dataset)
    if training_s is None:
        return wanted
    left = USED * training_s
    chosen: list[tuple[float, Candidate]] = []
    for one in (*wanted, *portfolio(dataset)):
        cost = expected_s(one[0], dataset, evaluated, inner_fits) * times_as_long(one[1])
        if chosen and cost > left:
            continue
        left -= cost
        chosen.append((cost, one))
    # Settings of these families are trained as one.
    together = {name: sum(cost for cost, one in chosen if one[0] == name) for name in TOGETHER}
    return [one for _, one in sorted(chosen, key=lambda pair: together.get(pair[1][0], pair[0]))]


def expected_s(
    family: str, dataset: Dataset, evaluated: float, inner_fits: bool | None = None
) -> float:
    """Seconds of one core that a candidate takes on all folds, and once more on all rows;
    `inner_fits` as in `candidates`.
    """
    cost, rows, classes = COSTS[family], dataset.table.rows, len(dataset.target.classes)
    kinds = [column.kind for column in dataset.table.columns.values()]
    columns = sum(modality_of(kind).columns if is_modality(kind) else 1 for kind in kinds)
    grows = {"values": rows * columns, "rows": rows, "pairs": rows * rows}[cost.of]
    times: float = classes if cost.each and classes > 2 else 1
    times = dataset.target.outputs if classes == 0 and family in ONE_BY_ONE else times
    if (family == "svm" and _has_inner_folds(dataset)) if inner_fits is None else inner_fits:
        times *= 1.0 + INNER * (2 / 3) ** (2 if cost.of == "pairs" else 1)
    return times * (cost.start + cost.million * grows / 1e6) * (evaluated + 1.0) / FITS


def times_as_long(options: Mapping[str, Any]) -> float:
    """A setting of a family takes so many times as long as the family by itself: by its trees, or by
    its steps and leaves. Guessed.
    """
    trees = float(options.get("trees", 100)) / 100
    steps = 0.05 / float(options.get("learning_rate", 0.05))
    return trees * min(4.0, max(0.5, steps)) * max(0.5, float(options.get("leaves", 31)) / 31)


def portfolio(dataset: Dataset) -> list[Candidate]:
    """Further settings for a table of numbers and categories, what usually wins first; none for other
    data.
    """
    rows, task, quantiles = dataset.table.rows, dataset.target.task, dataset.target.quantiles
    if not is_plain_table(dataset):
        return []
    found = [
        entry
        for entry in PORTFOLIO
        if entry.least_rows <= rows <= entry.most_rows and entry.task in (None, task)
    ]
    able = [entry for entry in found if not quantiles or entry.family in LEARN_QUANTILES]
    return [(entry.family, entry.options, f"portfolio: {entry.why}") for entry in able]


def is_plain_table(dataset: Dataset) -> bool:
    """Whether classes or values are predicted from numbers, categories and the like alone."""
    kinds = [column.kind for column in dataset.table.columns.values()]
    plain = not any(map(is_modality, kinds))
    return plain and dataset.target.task in ("classification", "regression")


def calibrated(
    one: Candidate, calibration: dict[str, Any], dataset: Dataset
) -> tuple[Candidate, dict[str, Any]]:
    """A candidate and what the recipe says of its scores: those of a kernel machine become
    probabilities, unless the recipe says what becomes of scores. So it can be judged by every
    metric, be a member of an ensemble, and answer as the others do.
    """
    family, options, why = one
    if family != "svm" or "calibrate" in calibration or not _has_inner_folds(dataset):
        return one, calibration
    return (family, options, f"{why}; platt makes its scores probabilities"), {
        **calibration,
        "calibrate": "platt",
    }


def _has_inner_folds(dataset: Dataset) -> bool:
    """Whether every part of the training rows is sure to have inner folds with all classes."""
    if (
        dataset.target.task != "classification"
        or dataset.groups is not None
        or dataset.times is not None
    ):
        return False
    classes = dataset.target.values.astype(np.int64)
    units = np.arange(len(classes)) if dataset.units is None else dataset.units
    pairs = np.unique(np.stack([classes, units]), axis=1)  # equal rows are in one fold
    return bool(np.bincount(pairs[0], minlength=len(dataset.target.classes)).min() >= CLASS_ROWS)


def _wanted(dataset: Dataset) -> list[Candidate]:
    rows = dataset.table.rows
    if dataset.target.task == "generation":
        return [("language", {}, "a language model from scratch, as large as the texts suggest")]
    if dataset.target.task == "recommendation":
        return [*RECOMMENDERS, *([TOWERS] if dataset.table.sides else [])]
    if dataset.target.task == "reconstruction":
        return [
            (
                "linear",
                {},
                "the simplest map from the columns to themselves: what any network has to beat",
            ),
            ("mlp", {}, "a network can reconstruct what is not linear"),
        ]
    kinds = dict.fromkeys(
        column.kind for column in dataset.table.columns.values() if column.kind != IDENTIFIER
    )
    if dataset.target.quantiles:
        return _for_quantiles(rows)
    wanted = _for_modalities(kinds, dataset.target.task) or _for_tables(rows)
    return [wanted[0], *_together(kinds.keys(), rows), *wanted[1:]]


def _for_modalities(kinds: Iterable[ColumnKind], task: Task) -> list[Candidate]:
    """What the first of them suggests, if any does."""
    for kind in filter(is_modality, kinds):
        if suggested := modality_of(kind).suggestions(task):
            return list(suggested)
    return []


def _for_tables(rows: int) -> list[Candidate]:
    wanted: list[Candidate] = [
        ("linear", {}, "always: fast, small, and the score that everything else has to beat"),
        ("boosting", {}, "always: usually the best on tables; takes missing values as they are"),
        ("tree", {}, "always: costs nothing, and one tree can be read"),
    ]
    if rows <= SVM_ROWS:
        wanted.append(
            (
                "svm",
                {"kernel": "rbf"},
                f"{rows:,} rows, at most {SVM_ROWS:,}: a kernel machine can use them all",
            )
        )
    if rows <= FOREST_ROWS:
        wanted.append(
            (
                "forest",
                {},
                f"{rows:,} rows, at most {FOREST_ROWS:,}: robust where boosting overfits",
            )
        )
    if rows >= MLP_ROWS:
        wanted.append(("mlp", {}, f"{rows:,} rows, at least {MLP_ROWS:,}: enough for a network"))
    return wanted


def _for_quantiles(rows: int) -> list[Candidate]:
    """Those of a table that learn quantiles."""
    return [one for one in _for_tables(rows) if one[0] in LEARN_QUANTILES]


def _together(kinds: Set[ColumnKind], rows: int) -> list[Candidate]:
    """A network for several kinds of columns, where images are among them: pixels tell little to
    other families, and n-grams beside numbers are taken well by those.
    """
    if "image" not in kinds or len(kinds) < 2 or rows < MLP_ROWS:
        return []
    texts, table = "text" in kinds, bool(kinds - {"text", "image"})
    others = " and ".join(
        name for name, here in (("texts", texts), ("numbers or categories", table)) if here
    )
    return [
        (
            "fusion",
            {},
            f"images beside {others}, {rows:,} rows: an encoder for each kind, learned together",
        )
    ]
