"""What to expect of the choice itself (`evaluate.nested`): an outer fold is the run on its training
data, and then a holdout.

Whatever chooses in the run (candidates, a selection, a search, an ensemble) chooses here by the
same code.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from sixfold.core.errors import BudgetError, FitError, SixfoldError, SystemFault
from sixfold.core.units import show_seconds
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.model import Model
from sixfold.evaluate.nested import inside, outer_folds, summary
from sixfold.plan.run_context import DataSplit, RunContext, digest, stage_key
from sixfold.recipe.receipt import Nested, Outer
from sixfold.runs.budget import WORK_SHARE, Limits
from sixfold.runs.context import Emit
from sixfold.runs.stages import Work


class NestedChoice(NamedTuple):
    """The winner on the folds that chose it, among how many, and its model."""

    evaluation: Evaluation
    candidates: int
    model: Model


Choose = Callable[[RunContext, DataSplit], Work[NestedChoice]]


def nest(
    run: RunContext, data: DataSplit, metrics: Sequence[str], choose: Choose
) -> Work[Nested | None]:
    """What `choose` finds on the training rows of every outer fold by `metrics`, scored by the
    first on its validation data.

    None where the recipe does not ask for it; or where it cannot be done, or not in the time that
    the model left: a warning says so, and the run goes on. No candidate may be cut short or left
    out for want of time: that would be another choice.
    """
    folds = outer_folds(run.loaded.recipe.evaluate, data.training)
    if folds and _was_cut(run):
        text = "Nested cross-validation is left out: the time cut the run's own trainings short. Raise budget.time."
        run.context.emit("warning", text=text)
        return None
    found, longest = list[Outer](), 0.0
    for number, fold in enumerate(folds):
        started = time.monotonic()
        part = replace(run, limits=run.limits.rest(WORK_SHARE), inside=f"nested-{number}.saved/")
        own = DataSplit(data.training.take(fold.train), data.training.take(fold.validation), "")
        key = stage_key(run, data, f"outer fold {number} of {len(folds)}: {_asked(run)}")
        try:
            _check_next(part.limits, longest)
            found.append(
                (yield from _outer(part, own, OuterFold(number, tuple(metrics), key), choose))
            )
        except SystemFault:
            raise
        except SixfoldError as error:
            if error.where == "budget.disk":  # the run goes on with what it had before
                shutil.rmtree(run.folder.path / part.inside, ignore_errors=True)
            text = f"Nested cross-validation is left out, in outer fold {number + 1} of {len(folds)}: {error}"
            run.context.emit("warning", text=text)
            return None
        longest = max(longest, time.monotonic() - started)
        facts = {**found[-1].model_dump(), "metric": metrics[0], "outer": number, "of": len(folds)}
        run.context.emit("nested_scored", **facts)
    return summary(metrics[0], found) if found else None


def _was_cut(run: RunContext) -> bool:
    """Whether a training that the run's choice rests on, of this command or of one before, was cut
    short.
    """
    return any(
        event.get("cut") and not {"outer", "step"} & event.keys() for event in run.folder.history()
    )


def _check_next(limits: Limits, longest: float) -> None:
    """An outer fold that would not end in time is not begun."""
    if limits.time_s is not None and limits.time_s < longest:
        raise BudgetError(
            "budget.time",
            f"time for another outer fold, one of which took {show_seconds(longest)}",
            f"{show_seconds(limits.time_s)} left",
            "Raise budget.time, or lower evaluate.nested.",
        )


@dataclass(frozen=True)
class OuterFold:
    """Outer fold `number`, the metrics of the run, and the key of the stage that this fold is."""

    number: int
    metrics: tuple[str, ...]
    key: str


def _outer(run: RunContext, data: DataSplit, question: OuterFold, choose: Choose) -> Work[Outer]:
    """One outer fold, a stage that keeps its own stages in `run.inside` until it is done."""
    recipe, metric = run.loaded.recipe, question.metrics[0]
    with run.folder.stage(run.inside.removesuffix(".saved/"), question.key) as place:
        if place.aside is not None:
            section = inside(recipe.evaluate, question.number)
            update: dict[str, Any] = {"metrics": question.metrics}  # as the run, always
            if recipe.compress is not None and recipe.evaluate.ensemble is None:
                update["ensemble"] = False
            section = section.model_copy(update=update)
            own = recipe.model_copy(update={"evaluate": section, "compress": None})
            context = run.context.within("nested", question.number, outer=question.number)
            context = replace(context, emit_to=partial(_uncut, context.emit_to))
            part = replace(run, loaded=replace(run.loaded, recipe=own), context=context)
            found = yield from choose(part, replace(data, digest=digest(data.training)))
            score = found.model.scores(data.held_out, [metric])[metric]
            if score is None:
                raise FitError(
                    "evaluate.metrics",
                    "a score of the validation rows",
                    metric,
                    "Put another metric first.",
                )
            inner, name = found.evaluation.means()[metric], found.evaluation.name
            outer = Outer(chosen=name, candidates=found.candidates, inner=inner, score=score)
            (place.aside / "outer.json").write_text(outer.model_dump_json(), encoding="utf-8")
    return Outer.model_validate_json((place.folder / "outer.json").read_text(encoding="utf-8"))


def _asked(run: RunContext) -> str:
    """The sections of the recipe that the choice depends on, besides those of every stage's key."""
    recipe = run.loaded.recipe
    sections = {"prepare", "build", "initialize", "train"}
    return recipe.model_dump_json(
        include=sections | ({"budget"} if recipe.build == "auto" else set())
    )


def _uncut(emit: Emit, kind: str, facts: dict[str, Any]) -> None:
    """Pass events on. Raises BudgetError for a training that the time cuts short: in the run it was
    not.
    """
    emit(kind, facts)
    if facts.get("cut"):
        raise BudgetError(
            "budget.time", "time to train as in the run", "none left", "Raise budget.time."
        )
