"""The search: prunings in the recipe's order, then int8, then fixed point; each judged by `keep` and by what it gains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sixfold.compress import fixed_point, keep, quantize
from sixfold.compress.measure import median_ms
from sixfold.compress.subject import Job, Scores, Subject
from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes
from sixfold.evaluate.model import Model
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.recipe.kinds import PRUNER
from sixfold.recipe.receipt import Step
from sixfold.runs.context import Context

LESS_BYTES = 0.98  # a gain: at most this share of the bytes …
LESS_TIME = 0.9  # … or of the median time of a batch; smaller differences are noise on a shared machine

Attempt = Callable[[Subject], tuple[Subject | None, str]]


@dataclass(frozen=True)
class Compressed(State):
    """What was tried, the model that is left, and its twins' scores on the validation folds."""

    steps: tuple[Step, ...]
    model: Model
    scores: Scores = field(default_factory=dict)


def compress(job: Job, model: Model, context: Context) -> Compressed:
    """Try everything that the recipe asks for. What breaks `keep`, or gains nothing, changes nothing."""
    evaluation = job.evaluation
    subject = Subject(model, evaluation.models, evaluation.scores)
    promise = keep.make(job.section.keep, evaluation.scores)
    steps: list[Step] = []
    for name, attempt in _attempts(job, promise, context):
        try:
            context.check_time(name)
            found, why = attempt(subject)
        except BudgetError:
            found, why = None, "no time was left in the budget"
        if found is not None and (broken := promise.broken(found.scores)):
            found, why = None, broken
        if found is not None:
            gained, figures = gain(subject.model, found.model, job.dataset.table)
            why = f"{why}; {figures}" if gained else f"no gain on this machine: {why}; {figures}"
            subject = found if gained else subject
            found = found if gained else None
        steps.append(Step(name=name, accepted=found is not None, why=why))
        context.emit("compression_step", name=name, accepted=found is not None, why=why)
    return Compressed(tuple(steps), subject.model, subject.scores)


def _attempts(job: Job, promise: keep.Keep, context: Context) -> Iterator[tuple[str, Attempt]]:
    section = job.section
    for options in section.prune:
        pruner = PRUNER.make(options, "target")

        def prune(subject: Subject, pruner: object = pruner) -> tuple[Subject | None, str]:
            return pruner.prune(subject, job, promise, context)  # type: ignore[attr-defined, no-any-return]

        yield f"prune {options['target']}", prune
    if section.quantize is not None:
        int8 = section.quantize
        yield f"quantize int8 {int8.activations}", lambda subject: quantize.apply(subject, job, int8)
    if section.fixed_point is not None:
        fixed = section.fixed_point
        yield f"fixed point 1/{fixed.factor}", lambda subject: fixed_point.apply(subject, job, fixed)


def gain(before: Model, after: Model, table: Table) -> tuple[bool, str]:
    """Whether bytes or the median time of a batch of 1 or 64 rows got smaller by more than noise, and the figures."""
    old, new = before.export().SerializeToString(), after.export().SerializeToString()
    smaller = len(new) <= LESS_BYTES * len(old)
    figures = [f"{show_bytes(len(old))} → {show_bytes(len(new))}"]
    faster = False
    for batch in (1, 64):
        first, second = median_ms((old, new), table, batch)
        faster = faster or second <= LESS_TIME * first
        figures.append(f"{first:.3f} → {second:.3f} ms for {batch} row{'s' if batch > 1 else ''}")
    return smaller or faster, ", ".join(figures)


__all__ = ["Compressed", "Job", "compress"]
