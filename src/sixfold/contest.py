"""Who is compared, on which folds: blocks of folds for all candidates that are still in, each a stage of the run.

Candidates that are alike train as one piece of work. After each block the recipe's `evaluate.select` drops whom it will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sixfold.core.errors import BudgetError, FitError, SixfoldError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation, FoldCache, Group, Part, Parts, evaluate_folds, join
from sixfold.evaluate.selecting import Scored, select
from sixfold.parts import state
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION
from sixfold.train.candidate import Candidate
from sixfold.work import Plan, Rows, Work, stage_key

PIECES = 16  # of a fold, whose scores tell what chance there is in its rows: more say little more
PIECES_IN_ALL = 160  # of all folds: of many folds there are enough


@dataclass
class Contest:
    """One run's comparison while it goes on. `parts`: position of a candidate → what it did so far."""

    work: Work
    rows: Rows
    plan: Plan
    cache: FoldCache = field(default_factory=FoldCache)
    parts: dict[int, list[Part]] = field(default_factory=dict)
    failed: SixfoldError | None = None

    def enter(self, candidate: Candidate) -> int:
        """One more candidate, and its position; the same for one that is there already."""
        for position, other in enumerate(self.plan.candidates):
            if other.name == candidate.name:
                return position
        self.plan = replace(self.plan, candidates=(*self.plan.candidates, candidate))
        self.work.context.emit("candidate_planned", candidate=candidate.name, why=candidate.why)
        return len(self.plan.candidates) - 1

    def score(self, positions: Sequence[int], numbers: Sequence[int], waiting: float = 0.0) -> Scored:
        """Of the deciding metric; NaN for who could not be done.

        `waiting`: how many pieces of work like these have to share the time that is left with them.
        """
        groups = _alike([self.plan.candidates[at] for at in positions], positions)
        share = shares(self.work, self.rows, self.plan)[0]
        scores = np.full((len(positions), len(numbers)), np.nan)
        pieces = np.full((*scores.shape, self._pieces()), np.nan)
        sign = 1.0 if scoring.greater_is_better(self.plan.metrics[0]) else -1.0
        for number, group in enumerate(groups):
            deadline = self.work.limits.part(share, (len(groups) - number) + len(groups) * waiting)
            for at, part in self._stage(group, numbers, deadline).items():
                self.parts.setdefault(at, []).append(part)
                found = dict(zip(part.numbers, part.scores[self.plan.metrics[0]], strict=True))
                scores[positions.index(at)] = [sign * found[fold] for fold in numbers]
                if pieces.size:
                    own = self._score_pieces(part)
                    pieces[positions.index(at)] = [sign * own[fold] for fold in numbers]
        return Scored(scores, pieces if pieces.size else None)

    def _pieces(self) -> int:
        """Parts of a fold that a selection sees, each of a row or more; 0 where the deciding metric is no mean over rows."""
        fewest = min(len(fold.validation) for fold in self.plan.folds)
        pieces = min(PIECES, max(2, PIECES_IN_ALL // len(self.plan.folds)), fewest)
        return pieces if pieces > 1 and scoring.is_mean(self.plan.metrics[0]) else 0

    def _score_pieces(self, part: Part) -> dict[int, FloatArray]:
        """Fold → [pieces] scores, NaN where the family cannot be scored."""
        metric, found = self.plan.metrics[0], {}
        for at, number in enumerate(part.numbers):
            if not np.isfinite(part.scores[metric][at]):
                found[number] = np.full(self._pieces(), np.nan)
                continue
            target = self.rows.training.target.take(self.plan.folds[number].validation)
            predicted, threshold = part.predictions[at], part.models[at].threshold
            found[number] = scoring.score_pieces(metric, target, predicted, self._pieces(), threshold)
        return found

    def left(self, at: int) -> int:
        """Folds that a candidate was not trained on."""
        return len(self.plan.folds) - sum(len(part.numbers) for part in self.parts.get(at, ()))

    def evaluations(self, reasons: Mapping[int, str]) -> list[Evaluation]:
        """Of all that were trained. `reasons`: position → why it got no more folds. Raises what failed where nobody is left."""
        found = []
        for at in sorted(self.parts):
            one = join(self.parts[at], self.rows.training, self.plan.folds, reasons.get(at, ""))
            found.append(one)
            if one.dropped:
                facts = {"folds": len(one.numbers), "of": len(self.plan.folds), "why": one.dropped}
                self.work.context.emit("candidate_dropped", candidate=one.name, **facts)
            else:
                self.work.context.emit("candidate_finished", candidate=one.name, scores=one.means())
        if self.failed is not None and all(one.dropped for one in found):
            raise self.failed
        return found

    def _stage(self, group: Sequence[int], numbers: Sequence[int], deadline: float | None) -> dict[int, Part]:
        """Candidates that are alike, on some folds. Who fails, or has no time left, is left out, which is said.

        Inside of an outer fold time that is not there is an error: a choice among fewer is another choice.
        """
        candidates = [self.plan.candidates[at] for at in group]
        facts = {"candidate": candidates[0].name} if len(group) == 1 else {}
        context = replace(self.work.context.within("evaluate", **facts), deadline=deadline)
        done = len(self.plan.folds) - self.left(group[0])
        name = f"{self.work.inside}evaluate-{group[0]}" + (f".{done}" if done else "")
        key = stage_key(self.work, self.rows, "".join(each.key() for each in candidates) + repr(sorted(numbers)))

        context = replace(context, saves=self.work.folder.saves(name, key))

        def work_on(folder: Path) -> None:
            together = Group(candidates, self.rows.training, self.plan.folds, context, self.cache)
            found = evaluate_folds(together, sorted(numbers), self.plan.metrics)
            state.save(Parts(tuple(found)), folder)

        try:
            folder = self.work.folder.stage(name, key, work_on)
        except (BudgetError, FitError) as error:
            if self.work.inside and isinstance(error, BudgetError):
                raise
            if isinstance(error, FitError) and len(group) > 1:  # each alone, to see who of them it was
                return {at: part for one in group for at, part in self._stage([one], numbers, deadline).items()}
            self.failed = error
            for each in candidates:
                self.work.context.emit("warning", text=f"{each.name} is left out: {error}")
            return {}
        self.work.limits.check_disk(self.work.folder.path)
        return dict(zip(group, state.load(folder, Parts).parts, strict=True))


def evaluate(work: Work, rows: Rows, plan: Plan) -> list[Evaluation]:
    """Steps 1 to 5 for every candidate, all on the same folds. Those that can be done, and in time, are compared.

    Raises BudgetError or FitError when none is.
    """
    contest = Contest(work, rows, plan)
    section, metric = work.loaded.recipe.evaluate, plan.metrics[0]
    selection, bounds = SELECTION.make(section.select, "method"), scoring.bounds(metric)
    if bounds is not None and not scoring.greater_is_better(metric):
        bounds = -bounds[1], -bounds[0]

    def score(positions: Sequence[int], numbers: Sequence[int]) -> Scored:
        return contest.score(positions, numbers, contest.left(positions[0]) / len(numbers) - 1)

    selected = select(selection, len(plan.candidates), len(plan.folds), score, section.seed, bounds)
    return contest.evaluations({drop.position: drop.reason for drop in selected.drops if drop.folds < len(plan.folds)})


def shares(work: Work, rows: Rows, plan: Plan) -> tuple[float, float]:
    """The shares of the time at which evaluation and refit end."""
    search = work.loaded.recipe.evaluate.search
    trained = sum(len(fold.train) for fold in plan.folds) * (search.trials if search else len(plan.candidates))
    return work.limits.until(work.loaded.recipe.compress is not None, trained / max(1, rows.training.table.rows))


def _alike(candidates: Sequence[Candidate], positions: Sequence[int]) -> list[list[int]]:
    """Positions of candidates that train as one piece of work."""
    groups: dict[str, list[int]] = {}
    for candidate, position in zip(candidates, positions, strict=True):
        groups.setdefault(candidate.likeness(), []).append(position)
    return list(groups.values())
