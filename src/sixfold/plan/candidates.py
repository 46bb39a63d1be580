"""From a recipe to candidates: build × train, expanded and named by what differs; and the metrics
that are measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sixfold.build import auto, grid
from sixfold.build.candidate import Candidate
from sixfold.build.family import TrainDefaults
from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.evaluate import scoring, thresholds
from sixfold.evaluate.deciding import Defaults, defaults
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.nested import scored_parts
from sixfold.parts.table import Dataset, Target, Task
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.kinds import FAMILY, OPTIMIZER, SCHEDULE
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.plugin_schema import is_list
from sixfold.recipe.schema import Recipe, Train, Weighing
from sixfold.runs.budget import TRAIN_SHARE, WORK_SHARE, shared_s
from sixfold.train.range_test import with_default

Schema = dict[str, Any]


def resolve(
    recipe: Recipe, dataset: Dataset, budget_s: float | None, folds: Sequence[Fold] | None = None
) -> list[Candidate]:
    """Every candidate of build × train, named by what differs. Raises RecipeError or FitError
    before anything is trained.

    `budget_s`: of the run, and `folds`: both count for `build: auto`.
    """
    planned = (
        _auto(recipe, dataset, budget_s, folds)
        if recipe.build == "auto"
        else _planned(recipe.build)
    )
    settings = list(
        grid.expand(dict(recipe.train), lambda key: is_list(Train.model_json_schema(), key))
    )
    calibrations = grid.expand(recipe.evaluate.calibration(), lambda key: False)
    drafts = [
        Draft(plan, train, calibration)
        for plan in planned
        for train in _trains(plan[0], settings)
        for calibration in calibrations
    ]
    if recipe.build == "auto":
        drafts = [_calibrated(draft, dataset) for draft in drafts]
    return [
        candidate(recipe, dataset.target, name, draft)
        for name, draft in zip(
            _names(drafts, len(settings), len(calibrations)), drafts, strict=True
        )
    ]


@dataclass(frozen=True)
class Draft:
    """A candidate before it is checked: `plan` (family, its options, why it is there), and its
    options of `train` and of `evaluate.calibrate` and `threshold`.
    """

    plan: auto.Candidate
    train: Options
    calibration: Options


def candidate(recipe: Recipe, target: Target, name: str, draft: Draft) -> Candidate:
    """One setting of build × train × calibration. Raises RecipeError or FitError."""
    family, options, reason = draft.plan
    made = FAMILY.make({"family": family, **options}, "family")
    settings, chosen = _train(draft.train, made.train_defaults)
    why = "; ".join(text for text in (reason, chosen) if text)
    calibration = Calibration.model_validate(draft.calibration)
    _check_task(family, made, target.task)
    if target.quantiles:
        made.check_quantiles()
    _check_scores(calibration, target, made.decides)
    _check_weights(settings, target)
    found = Candidate(
        name,
        family,
        made,
        recipe.prepare,
        recipe.initialize,
        settings,
        why,
        calibration,
        recipe.budget.asked_strategy(),
    )
    found.family.check_start(found.initialize)
    return found


def _calibrated(draft: Draft, dataset: Dataset) -> Draft:
    plan, calibration = auto.calibrated(draft.plan, draft.calibration, dataset)
    return Draft(plan, draft.train, calibration)


def _names(drafts: Sequence[Draft], trains: int, calibrations: int) -> list[str]:
    """By what differs; what all have alike (one setting of `train`, one calibration) is not looked
    at.
    """
    return grid.names(
        [
            {
                "family": draft.plan[0],
                **draft.plan[1],
                **(draft.train if trains > 1 else {}),
                **(draft.calibration if calibrations > 1 else {}),
            }
            for draft in drafts
        ]
    )


def _auto(
    recipe: Recipe, dataset: Dataset, budget_s: float | None, folds: Sequence[Fold] | None
) -> list[tuple[str, Options, str]]:
    """Those that the data asks for, and that there is time for."""
    share = TRAIN_SHARE if recipe.compress is not None else WORK_SHARE
    training_s = None if budget_s is None else share * shared_s(budget_s)
    asked = recipe.evaluate.calibration()
    fitted = [value for value in asked.values() if not isinstance(value, float)]
    inner_fits = any(value != "none" for value in fitted) if fitted else None
    if folds is None:
        return auto.candidates(dataset, training_s, inner_fits=inner_fits)
    evaluated = sum(len(fold.train) for fold in folds) / max(1, dataset.table.rows)
    return auto.candidates(dataset, training_s, evaluated, inner_fits)


def _planned(build: Sequence[Options]) -> list[tuple[str, Options, str]]:
    """Family, options and no reason, for every combination of every item's lists."""
    return [
        (
            str(options["family"]),
            {key: value for key, value in options.items() if key != "family"},
            "",
        )
        for item in build
        for options in grid.expand(item, partial(is_list, _family_fields(item)))
    ]


def _train(options: Options, defaults: TrainDefaults) -> tuple[Train, str]:
    """The loop's settings, each plug-in's options checked by itself: schema.json knows no rules
    between options. And what the family chose where the recipe says nothing, with its reason.
    """
    chosen = {key: value for key, value in defaults.options.items() if key not in options}
    settings = Train.model_validate({**chosen, **options})
    OPTIMIZER.make(with_default(settings.optimizer))
    SCHEDULE.make(settings.schedule)
    return settings, f"train: {json.dumps(chosen)[1:-1]} ({defaults.why})".replace(
        '"', ""
    ) if chosen else ""


def metrics_of(recipe: Recipe, dataset: Dataset, folds: Sequence[Fold] | None) -> Defaults:
    """The metrics that are measured; the first one decides, and why where Sixfold chose it against
    the task's default.

    Raises RecipeError for a metric of another task; DataError where `evaluate.nested` cannot divide
    the rows.
    """
    if recipe.evaluate.metrics:
        asked, target = recipe.evaluate.metrics, dataset.target
        return Defaults(scoring.check(asked, target.task, quantiles=target.quantiles))
    return defaults(dataset.target, scored_parts(recipe.evaluate, dataset, folds) if folds else ())


def _trains(family: str, settings: list[Options]) -> list[Options]:
    """A grid over the loop's settings multiplies only families that the loop trains; one over what every
    family is trained by, all of them.
    """
    if FAMILY.load(family).trained_by_the_loop:
        return settings
    first: dict[str, Options] = {}
    for options in settings:
        first.setdefault(
            json.dumps({key: options.get(key) for key in Weighing.model_fields}), options
        )
    return list(first.values())


def _family_fields(options: Options) -> Schema:
    fields: Schema = FAMILY.load(str(options["family"])).model_json_schema()
    return fields


def _check_task(name: str, family: Any, task: Task) -> None:
    if task not in family.tasks:
        fitting = [other for other in FAMILY.names() if task in FAMILY.load(other).tasks]
        raise RecipeError(
            "build", f"families for {task}", f"'{name}'", f"Choose from: {', '.join(fitting)}."
        )
    family.check_task(task)


def _check_scores(asked: Calibration, target: Target, decides: bool) -> None:
    """What is calibrated are classes, and intervals of quantiles; what gets a threshold are classes."""
    of_classes = asked.calibrate not in ("none", "conformal")
    if of_classes and target.task != "classification":
        raise RecipeError(
            "evaluate.calibrate",
            "none, where values are predicted",
            asked.calibrate,
            "Leave it out.",
        )
    if asked.threshold != "none":
        raw = decides and asked.calibrate == "none"
        thresholds.check(asked.threshold, target, "decision" if raw else "probability")


def _check_weights(settings: Train, target: Target) -> None:
    """Weights of classes name classes that there are."""
    asked = settings.class_weight
    if asked is None:
        return
    if target.task != "classification":
        raise RecipeError(
            "train.class_weight",
            "no weights of classes, where values are predicted",
            asked if isinstance(asked, str) else ", ".join(asked),
            "Leave it out; data.weight weighs rows.",
        )
    for name in asked if isinstance(asked, dict) else ():
        if name not in target.classes:
            raise RecipeError(
                "train.class_weight",
                f"classes of '{target.names[0]}'",
                f"'{name}'",
                did_you_mean(name, target.classes),
            )
