"""The search: prunings in the recipe's order, then fewer bits, then fixed point; each judged by `keep`
and by what it gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sixfold.compress import fixed_point, quantize, quantized_items
from sixfold.compress.amount import NO_TIME, Found
from sixfold.compress.keep import Keep, Scores
from sixfold.compress.language import quantizing
from sixfold.compress.measure import median_ms
from sixfold.compress.pruner import Pruner
from sixfold.compress.subject import CompressionState, Job, promise, start
from sixfold.core.errors import BudgetError, DataError, FitError, RecipeError
from sixfold.core.units import counted, show_bytes
from sixfold.evaluate.model import Model
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.packed import packed
from sixfold.parts.recommender import Recommender
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.recipe.kinds import PRUNER
from sixfold.recipe.receipt import Step
from sixfold.recipe.task import OWN_RUNTIMES
from sixfold.runs.context import Context

LESS_BYTES = 0.98  # a gain: at most this share of the bytes …
LESS_TIME = 0.9  # … or, twice, of the median time of a batch. Of 240 pairs of equal graphs none came out below 0.906
NO_GAIN = "no gain on this machine"
MORE_BYTES = 1.02  # … and the file may not grow: time is measured, bytes are certain
TIMINGS = 8  # of the time left, each of up to four timings takes a part

Attempt = Callable[[CompressionState], Found]


@dataclass(frozen=True)
class Compressed(State):
    """What was tried, the model that is left, and its twins' scores on the validation folds."""

    steps: tuple[Step, ...]
    model: Model
    scores: Scores = field(default_factory=dict)


def compress(job: Job, model: Model, context: Context) -> Compressed:
    """Try everything that the recipe asks for. What breaks a promise, or gains nothing, changes
    nothing.

    The promises are about the model before any step, so that many small steps lose no more than
    one.
    """
    subject = start(job, model)
    kept = promise(job, subject)
    none = kept.no_lift()
    if not none:
        context.emit("note", text=kept.notes())
    steps: list[Step] = []
    for name, attempt in _attempts(job, kept, context):
        found, why = (None, none) if none else _judged(name, attempt, subject, kept, job, context)
        subject = found or subject
        steps.append(Step(name=name, accepted=found is not None, why=why))
        context.emit("compression_step", **steps[-1].model_dump())
    return Compressed(tuple(steps), subject.model, subject.scores)


def _judged(
    name: str, attempt: Attempt, before: CompressionState, kept: Keep, job: Job, context: Context
) -> Found:
    """What an attempt found, if it keeps the promise and gains something; or None and why not."""
    try:
        context.check_time(name)
        found, why = attempt(before)
        if found is not None and (violation := kept.violation(found.scores, found.found)):
            found, why = None, violation
        if found is None:
            return None, why
        gained, figures = _gained(before, found, job, context.left_s() / TIMINGS)
    except BudgetError as error:
        return None, NO_TIME if error.where == "budget.time" else str(error)
    except (
        DataError,
        FitError,
        RecipeError,
    ) as error:  # the model that was there is as good as it was
        return None, f"it could not be done ({error})"
    return (found, f"{why}; {figures}") if gained else (None, f"{NO_GAIN}: {why}; {figures}")


def _gained(
    before: CompressionState, after: CompressionState, job: Job, most_s: float
) -> tuple[bool, str]:
    old, new = before.model.fitted, after.model.fitted
    if isinstance(old, Recommender) and isinstance(new, Recommender):
        return quantized_items.gain(old, new)
    if not (isinstance(old, LanguageModel) and isinstance(new, LanguageModel)):
        return gain(before.model, after.model, job.dataset.table, most_s)
    gained, figures = quantizing.gain(old, new)
    return gained, f"{figures}; {quantizing.apart(job, before, after)}"


def _attempts(job: Job, kept: Keep, context: Context) -> Iterator[tuple[str, Attempt]]:
    section = job.section
    for options in section.prune:
        pruner: Pruner = PRUNER.make(options, "target")

        def prune(subject: CompressionState, pruner: Pruner = pruner) -> Found:
            return pruner.prune(subject, job, kept, context)

        yield f"prune {options['target']}", prune
    if section.quantize is not None:
        fewer = section.quantize
        way = "" if job.dataset.target.task in OWN_RUNTIMES else f" {fewer.activations}"
        yield (
            f"quantize {fewer.weights}{way}",
            lambda subject: quantize.apply(subject, job, fewer, context),
        )
    if section.fixed_point is not None:
        fixed = section.fixed_point
        yield (
            f"fixed point 1/{fixed.factor}",
            lambda subject: fixed_point.apply(subject, job, fixed),
        )


def gain(before: Model, after: Model, table: Table, most_s: float = math.inf) -> tuple[bool, str]:
    """Whether bytes or the median time of a batch of 1 or 64 rows got smaller by more than noise,
    and the figures.

    Time alone has to gain twice, measured again with the models in the other order. A file that
    grew is no gain, however fast it is. `most_s`: for each of the timings, about.
    """
    old, new = packed(before.export()), packed(after.export())
    smaller = len(new) <= LESS_BYTES * len(old)
    figures, faster = [f"{show_bytes(len(old))} → {show_bytes(len(new))}"], False
    for batch in (1, 64):
        first, second = median_ms(old, new, table, batch, most_s)
        figures.append(f"{first:.3f} → {second:.3f} ms for {counted(batch, 'row')}")
        if not (smaller or faster) and second <= LESS_TIME * first:
            second, first = median_ms(new, old, table, batch, most_s)
            faster = second <= LESS_TIME * first
    return (smaller or faster) and len(new) <= MORE_BYTES * len(old), ", ".join(figures)


__all__ = ["Compressed", "Job", "compress"]
