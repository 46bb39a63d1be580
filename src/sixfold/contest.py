"""Who is compared, on which folds: blocks of folds for all candidates that are still in, each a stage of the run.

Candidates that are alike train as one piece of work. After each block the recipe's `evaluate.select` drops whom it will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sixfold.core.errors import BudgetError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation, FoldCache, Group, Part, Parts, evaluate_folds, join
from sixfold.evaluate.selecting import select
from sixfold.parts import state
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION
from sixfold.train.candidate import Candidate
from sixfold.work import Plan, Rows, Work, stage_key


@dataclass
class Contest:
    """One run's comparison while it goes on. `parts`: position of a candidate → what it did so far."""

    work: Work
    rows: Rows
    plan: Plan
    cache: FoldCache = field(default_factory=FoldCache)
    parts: dict[int, list[Part]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    late: BudgetError | None = None

    def score(self, positions: Sequence[int], numbers: Sequence[int]) -> FloatArray:
        """[candidates, folds] of the deciding metric, greater is better; NaN for who could not be done in time."""
        groups = _alike([self.plan.candidates[at] for at in positions], positions)
        share = shares(self.work, self.rows, self.plan)[0]
        left = len(self.plan.folds) - len(self.done)
        scores = np.full((len(positions), len(numbers)), np.nan)
        sign = 1.0 if scoring.greater_is_better(self.plan.metrics[0]) else -1.0
        for number, group in enumerate(groups):
            waiting = (len(groups) - number) + len(groups) * (left - len(numbers)) / len(numbers)
            for at, part in zip(
                group, self._stage(group, numbers, self.work.limits.part(share, waiting)), strict=False
            ):
                self.parts.setdefault(at, []).append(part)
                found = dict(zip(part.numbers, part.scores[self.plan.metrics[0]], strict=True))
                scores[positions.index(at)] = [sign * found[fold] for fold in numbers]
        self.done |= set(numbers)
        return scores

    def _stage(self, group: Sequence[int], numbers: Sequence[int], deadline: float | None) -> Sequence[Part]:
        """Candidates that are alike, on some folds; nothing where time ran out, which is said."""
        candidates = [self.plan.candidates[at] for at in group]
        facts = {"candidate": candidates[0].name} if len(group) == 1 else {}
        context = replace(self.work.context.within("evaluate", **facts), deadline=deadline)
        name = f"evaluate-{group[0]}" + (f".{len(self.done)}" if self.done else "")
        key = stage_key(self.work, self.rows, "".join(each.key() for each in candidates) + repr(sorted(numbers)))

        context = replace(context, saves=self.work.folder.saves(name, key))

        def work_on(folder: Path) -> None:
            together = Group(candidates, self.rows.training, self.plan.folds, context, self.cache)
            found = evaluate_folds(together, sorted(numbers), self.plan.metrics)
            state.save(Parts(tuple(found)), folder)

        try:
            done = self.work.folder.stage(name, key, work_on)
        except BudgetError as error:  # another one may be done in its own part of the time
            self.late = error
            for each in candidates:
                self.work.context.emit("warning", text=f"{each.name} is left out: {error}")
            return ()
        self.work.limits.check_disk(self.work.folder.path)
        return state.load(done, Parts).parts


def evaluate(work: Work, rows: Rows, plan: Plan) -> list[Evaluation]:
    """Steps 1 to 5 for every candidate, all on the same folds. When time runs out, those that are done are compared.

    Raises BudgetError when none is.
    """
    contest = Contest(work, rows, plan)
    section, metric = work.loaded.recipe.evaluate, plan.metrics[0]
    selection, bounds = SELECTION.make(section.select, "method"), scoring.bounds(metric)
    if bounds is not None and not scoring.greater_is_better(metric):
        bounds = -bounds[1], -bounds[0]
    count = len(plan.candidates), len(plan.folds)
    selected = select(selection, *count, contest.score, section.seed, bounds)
    reasons = {drop.position: drop.reason for drop in selected.drops if drop.folds < len(plan.folds)}
    evaluations = []
    for at in sorted(contest.parts):
        found = join(contest.parts[at], rows.training, plan.folds, reasons.get(at, ""))
        evaluations.append(found)
        if found.dropped:
            facts = {"folds": len(found.numbers), "of": len(plan.folds), "why": found.dropped}
            work.context.emit("candidate_dropped", candidate=found.name, **facts)
        else:
            work.context.emit("candidate_finished", candidate=found.name, scores=found.means())
    if contest.late is not None and all(found.dropped for found in evaluations):
        raise contest.late
    return evaluations


def shares(work: Work, rows: Rows, plan: Plan) -> tuple[float, float]:
    """The shares of the time at which evaluation and refit end."""
    trained = sum(len(fold.train) for fold in plan.folds) * len(plan.candidates)
    return work.limits.until(work.loaded.recipe.compress is not None, trained / max(1, rows.training.table.rows))


def _alike(candidates: Sequence[Candidate], positions: Sequence[int]) -> list[list[int]]:
    """Positions of candidates that train as one piece of work."""
    groups: dict[str, list[int]] = {}
    for candidate, position in zip(candidates, positions, strict=True):
        groups.setdefault(candidate.likeness(), []).append(position)
    return list(groups.values())
