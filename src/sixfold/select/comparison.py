"""Who is compared, on which folds: blocks of folds for all candidates that are still in, each a
stage of the run.

Candidates that are alike train as one piece of work. After each block the recipe's
`evaluate.select` drops whom it will. What is here hands out stages and is sent where their results
are: see `runs.stages`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError, FitError, SixfoldError
from sixfold.core.units import show_seconds, size_bytes
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import (
    MANY,
    EvaluateFolds,
    Evaluation,
    FoldInputs,
    FoldScores,
    FoldScoresOfAll,
    Group,
    join,
)
from sixfold.evaluate.scoring import ScoreBounds
from sixfold.parts.table import FloatArray
from sixfold.plan.limits import folds_that_fit
from sixfold.plan.proposals import Proposer
from sixfold.plan.run_context import DataSplit, Plan, RunContext, stage_key
from sixfold.recipe.kinds import SELECTION
from sixfold.recipe.space import Search
from sixfold.runs.budget import WORK_SHARE, TimeShares
from sixfold.runs.context import Context
from sixfold.runs.stages import Stage, Work
from sixfold.select.estimates import Estimates
from sixfold.select.fewer_folds import common, planned, restricted
from sixfold.select.search import Asking, Searched, search
from sixfold.select.selecting import Scored, select

AT_ONCE = 4  # a trial may take a quarter of the time that is left: guessed, so that no one of them takes it all
PIECES = 16  # of a fold, whose scores tell what chance there is in its rows: more say little more
LATE = 0.02  # of the whole time, by which a last training may be late
RESCUE_CELLS = (
    500_000  # of a table whose candidates are tried first, late as it is: about half a second each
)
RESCUE_S = 1.0  # what a training that ends in time has where all time is spent: guessed
PIECES_IN_ALL = 160  # of all folds: of many folds there are enough


@dataclass
class Comparison:
    """One run's comparison while it goes on. `parts`: position of a candidate → what it did so far;
    `unfinished`: what was saved of a piece of work that had no time to end.
    """

    run: RunContext
    data: DataSplit
    plan: Plan
    parts: dict[int, list[FoldScores]] = field(default_factory=dict)
    unfinished: dict[int, list[FoldScores]] = field(default_factory=dict)
    failed: SixfoldError | None = None

    def __post_init__(self) -> None:
        self.estimates = Estimates(self.data.training, self.plan.folds)
        self.inputs = FoldInputs(
            self.data.training, self.plan.folds, self.plan.metrics, self.run.folder.disk
        )
        self.cache = self.inputs.cache

    def enter(self, candidate: Candidate) -> int:
        """One more candidate, and its position; the same for one that is there already."""
        for position, other in enumerate(self.plan.candidates):
            if other.name == candidate.name:
                return position
        if self.plan.strategy is not None:
            candidate = candidate.under(self.plan.strategy)
        self.plan = replace(self.plan, candidates=(*self.plan.candidates, candidate))
        self.run.context.emit("candidate_planned", candidate=candidate.name, why=candidate.why)
        return len(self.plan.candidates) - 1

    def score(
        self, positions: Sequence[int], numbers: Sequence[int], waiting: float = 0.0
    ) -> Work[Scored]:
        """Of the deciding metric; NaN for who could not be done.

        `waiting`: how many pieces of work like these have to share the time that is left with them.
        Who does not fit into its part of the time has another chance when the others are done.
        """
        groups = _alike([self.plan.candidates[at] for at in positions], positions)
        scored, late, workers = (
            _Scores(self, positions, numbers),
            list[list[int]](),
            self.run.workers,
        )
        limits = self.run.limits
        if workers > 1 and limits.time_s is None and limits.memory_bytes is None:
            workers = max(1, len(groups))  # whoever is free takes the next one
        for number in range(0, len(groups), workers):
            left = (len(groups) - number) + len(groups) * waiting
            deadline = self.run.limits.part(self.end(), left / workers)
            fitting = {
                at: self._fits(group, numbers, deadline)
                for at, group in enumerate(groups[number:][:workers])
            }
            late += [groups[number + at] for at, fits in fitting.items() if not fits]
            scored.add(
                (
                    yield from self._do(
                        [groups[number + at] for at in fitting if fitting[at]], numbers, deadline
                    )
                )
            )
        for group in sorted(
            late, key=lambda group: self.estimates.known(self.plan.candidates[group[0]]) or 0.0
        ):
            deadline = self.run.limits.part(self.end(), 1 + waiting)
            if self._fits(group, numbers, deadline) or not self._anyone(scored):
                scored.add((yield from self._do([group], numbers, deadline)))
            else:
                self._refuse(group, numbers, deadline)
        return scored.found()

    def end(self) -> float | None:
        """When evaluation ends: so that the best so far can be trained again."""
        done = [
            self.estimates.refit_s(self.plan.candidates[at])
            for at in self.parts
            if self.left(at) == 0
        ]
        return self.run.limits.before(
            shares(self.run, self.data, self.plan), max(done, default=0.0)
        )

    def _anyone(self, scored: _Scores) -> bool:
        """Whether somebody has all folds, or all that are asked for now."""
        return scored.someone or any(self.left(at) == 0 for at in self.parts)

    def _fits(self, group: Sequence[int], numbers: Sequence[int], deadline: float | None) -> bool:
        """Whether a group's folds are expected to end in time, as far as that can be told."""
        if deadline is None or self.run.inside:
            return True
        piece = self._piece(group, numbers, deadline)
        if self.run.folder.has(piece.name, piece.key):
            return True
        together = self._group(piece)
        saved = [parts.parts for parts in together.done(piece.numbers)]
        for parts in saved:
            self.estimates.saw(parts)
        left = len(numbers) - sum(len(parts[0].numbers) for parts in saved)
        if piece.context.left_s() <= 0:
            return False
        try:
            self._beside(piece)
            fold_s = self.estimates.fold_s(together, piece.numbers[0])
        except (BudgetError, FitError):  # the stage says so
            return True
        return fold_s is None or left * fold_s <= piece.context.left_s()

    def _refuse(self, group: Sequence[int], numbers: Sequence[int], deadline: float | None) -> None:
        piece = self._piece(group, numbers, deadline)
        fold_s = self.estimates.known(piece.candidates[0])
        each = (
            "" if fold_s is None else f", each of which is expected to take {show_seconds(fold_s)}"
        )
        self._leave_out(
            piece,
            BudgetError(
                "budget.time",
                f"time for {len(numbers)} folds{each}",
                f"{show_seconds(max(0.0, piece.context.left_s()))} left",
                "Raise budget.time, or use fewer folds or rows.",
            ),
        )

    def _beside(self, piece: _Piece) -> int:
        """How many folds at once the budget has memory for. Raises BudgetError."""
        budget = self.run.loaded.recipe.budget
        if budget.memory and self.run.sharing > 1:
            budget = budget.model_copy(
                update={"memory": f"{size_bytes(budget.memory) // self.run.sharing}B"}
            )
        return (
            folds_that_fit(piece.candidates, self.data.training, self.plan.folds, budget)
            if budget.memory
            else MANY
        )

    def left(self, at: int) -> int:
        """Folds that a candidate was not trained on."""
        return len(self.plan.folds) - sum(len(part.numbers) for part in self.parts.get(at, ()))

    def result(self, reasons: Mapping[int, str]) -> Work[Compared]:
        """All that were trained. `reasons`: position → why it got no more folds. Where time ended
        before anyone had all folds, the plan has the folds that were done. Raises what failed where
        nobody is left.
        """
        done = any(self.left(at) == 0 for at in self.parts)
        if isinstance(self.failed, BudgetError) and not done and not self.run.inside:
            self._take_unfinished()
            if not self.parts and self.failed.where == "budget.time":
                yield from self._rescue()
            if self.parts:
                return self._fewer_folds()
        return self.plan, self._evaluations(reasons)

    def _take_unfinished(self) -> None:
        """What was saved of pieces of work that had no time to end counts now."""
        for at, parts in self.unfinished.items():
            self.parts.setdefault(at, []).extend(parts)
        self.unfinished = {}

    def _evaluations(self, reasons: Mapping[int, str]) -> list[Evaluation]:
        found = []
        for at in sorted(self.parts):
            one = join(self.parts[at], self.data.training, self.plan.folds, reasons.get(at, ""))
            found.append(one)
            if one.dropped:
                facts = {"folds": len(one.numbers), "of": len(self.plan.folds), "why": one.dropped}
                self.run.context.emit("candidate_dropped", candidate=one.name, **facts)
            else:
                self.run.context.emit("candidate_finished", candidate=one.name, scores=one.means())
        if self.failed is not None and all(one.dropped for one in found):
            raise self.failed
        return found

    def _fewer_folds(self) -> tuple[Plan, list[Evaluation]]:
        """Whoever did most folds, and who did the same ones."""
        numbers, total = common(self.parts, self.plan.metrics[0]), len(self.plan.folds)
        if len(numbers) < total:
            text = f"Time ended before any candidate had all folds: compared on {len(numbers)} of {total}. Raise budget.time."
            self.run.context.emit("warning", text=text, cut=True)
        self.plan = planned(self.plan, numbers)
        kept = {at: restricted(parts, numbers) for at, parts in self.parts.items()}
        self.parts = {at: parts for at, parts in kept.items() if parts is not None}
        return self.plan, self._evaluations({})

    def _rescue(self) -> Work[None]:
        """Nothing was trained in time: the one that is expected to take least is trained on its
        first fold, late.
        """
        most_s = max(self.run.limits.time_s or 0.0, RESCUE_S)
        groups, table = (
            _alike(self.plan.candidates, range(len(self.plan.candidates))),
            self.data.training.table,
        )
        expected, small = [], table.rows * len(table.columns) <= RESCUE_CELLS
        for group in groups:
            piece = self._piece(group, range(len(self.plan.folds)), time.monotonic() + RESCUE_S)
            looks = small and self.estimates.known(piece.candidates[0]) is None
            fold_s = (
                self.estimates.fold_s(self._group(piece), 0)
                if looks
                else self.estimates.known(piece.candidates[0])
            )
            expected.append(RESCUE_S if fold_s is None else fold_s)
        for number in np.argsort(expected, kind="stable"):
            if self.parts or expected[number] > most_s:
                return
            ends = self.plan.candidates[groups[number][0]].family.ends_in_time
            deadline = time.monotonic() + RESCUE_S if ends else None
            found = yield from self._do(
                [groups[number]], range(len(self.plan.folds)), deadline, first_only=True
            )
            self.parts = {at: [part] for at, part in found.items()}
            self._take_unfinished()

    def _piece(
        self, group: Sequence[int], numbers: Sequence[int], deadline: float | None
    ) -> _Piece:
        """Candidates that are alike, on some folds, as a stage of the run."""
        candidates = [self.plan.candidates[at] for at in group]
        facts = {"candidate": candidates[0].name} if len(group) == 1 else {}
        done = len(self.plan.folds) - self.left(group[0])
        name = f"{self.run.inside}evaluate-{group[0]}" + (f".{done}" if done else "")
        key = stage_key(
            self.run, self.data, "".join(each.key() for each in candidates) + repr(sorted(numbers))
        )
        saves = self.run.folder.saves(name, key)
        context = replace(
            self.run.context.within("evaluate", **facts), deadline=deadline, saves=saves
        )
        return _Piece(tuple(group), candidates, sorted(numbers), name, key, context)

    def _group(self, piece: _Piece) -> Group:
        return Group(
            piece.candidates, self.data.training, self.plan.folds, piece.context, self.cache
        )

    def _do(
        self,
        groups: Sequence[Sequence[int]],
        numbers: Sequence[int],
        deadline: float | None,
        first_only: bool = False,
    ) -> Work[dict[int, FoldScores]]:
        """Groups of candidates that are alike, on some folds. A candidate that fails or runs out of
        time or memory is skipped with a warning.

        Inside of an outer fold time that is not there is an error: a choice among fewer is another
        choice.
        """
        pieces = [self._piece(group, numbers, deadline) for group in groups]
        failed: dict[int, BudgetError | FitError] = {}
        stages = dict[int, Stage]()
        for at, piece in enumerate(pieces):
            try:
                stages[at] = self._stage(piece, first_only)
            except (BudgetError, FitError) as error:
                failed[at] = error
        done = (yield list(stages.values())) if stages else ()
        outcomes = {**failed, **dict(zip(stages, done, strict=True))}
        found: dict[int, FoldScores] = {}
        for at, piece in enumerate(pieces):
            outcome = outcomes[at]
            if isinstance(outcome, Path):
                parts = FoldScoresOfAll.load(outcome).parts
                self.estimates.saw(parts)
                found |= dict(zip(piece.positions, parts, strict=True))
            elif (
                isinstance(outcome, FitError) and len(piece.positions) > 1
            ):  # each alone, to see who of them it was
                found |= yield from self._do([[one] for one in piece.positions], numbers, deadline)
            else:
                self._failed(piece, outcome, first_only)
        return found

    def _stage(self, piece: _Piece, first_only: bool) -> Stage:
        """Raises BudgetError or FitError where it has no place in memory."""
        finished = self.run.folder.has(piece.name, piece.key)
        beside = MANY if finished else min(self._beside(piece), 1 if first_only else MANY)
        expected_s = self.estimates.known(piece.candidates[0])
        action = EvaluateFolds(
            tuple(piece.candidates), tuple(piece.numbers), expected_s, beside, first_only
        )
        needs = self.plan.needs_bytes(piece.candidates)
        return Stage(piece.name, piece.key, action, self.inputs, piece.context, needs)

    def _failed(self, piece: _Piece, error: BudgetError | FitError, first_only: bool) -> None:
        if self.run.inside and isinstance(error, BudgetError):
            raise error
        if first_only and isinstance(error, BudgetError):
            self._keep(piece)
        else:
            self._leave_out(piece, error)

    def _leave_out(self, piece: _Piece, error: BudgetError | FitError) -> None:
        self.failed = error
        if isinstance(error, BudgetError):
            self._keep(piece)
            self.cache.clear()
            self.run.guard.recover()
        for each in piece.candidates:
            self.run.context.emit("warning", text=f"{each.name} is left out: {error}")

    def _keep(self, piece: _Piece) -> None:
        """What was saved of work that did not end."""
        for parts in self._group(piece).done(piece.numbers):
            for at, part in zip(piece.positions, parts.parts, strict=True):
                if (
                    self.run.folder.disk.most is not None
                ):  # saved states go first where the disk is short
                    part = replace(part, models=part.models.held())
                self.unfinished.setdefault(at, []).append(part)


class _Piece(NamedTuple):
    """A stage: candidates that are alike, on some folds."""

    positions: tuple[int, ...]
    candidates: list[Candidate]
    numbers: list[int]
    name: str
    key: str
    context: Context


class _Scores:
    """What a block of folds says of candidates, by the deciding metric: greater is better, NaN for
    who was left out.
    """

    def __init__(
        self, comparison: Comparison, positions: Sequence[int], numbers: Sequence[int]
    ) -> None:
        self.comparison, self.positions, self.numbers = comparison, positions, numbers
        self.plan = comparison.plan
        self.sign = 1.0 if scoring.greater_is_better(self.plan.metrics[0]) else -1.0
        self.scores = np.full((len(positions), len(numbers)), np.nan)
        self.pieces = np.full((*self.scores.shape, self._pieces()), np.nan)
        self.someone = False

    def add(self, parts: Mapping[int, FoldScores]) -> None:
        """What some of them did on these folds."""
        for at, part in parts.items():
            self.comparison.parts.setdefault(at, []).append(part)
            self.someone = True
            found = dict(zip(part.numbers, part.scores[self.plan.metrics[0]], strict=True))
            row = self.positions.index(at)
            self.scores[row] = [self.sign * found[fold] for fold in self.numbers]
            if self.pieces.size:
                own = self._score_pieces(part)
                self.pieces[row] = [self.sign * own[fold] for fold in self.numbers]

    def found(self) -> Scored:
        """As a selection sees it."""
        return Scored(self.scores, self.pieces if self.pieces.size else None)

    def _pieces(self) -> int:
        """Parts of a fold that a selection sees, each of a row or more; 0 where the deciding metric
        is no mean over rows.
        """
        fewest = min(len(fold.validation) for fold in self.plan.folds)
        pieces = min(PIECES, max(2, PIECES_IN_ALL // len(self.plan.folds)), fewest)
        return pieces if pieces > 1 and scoring.is_mean(self.plan.metrics[0]) else 0

    def _score_pieces(self, part: FoldScores) -> dict[int, FloatArray]:
        """Fold → [pieces] scores, NaN where the family cannot be scored."""
        metric, found = self.plan.metrics[0], {}
        for at, number in enumerate(part.numbers):
            if not np.isfinite(part.scores[metric][at]):
                found[number] = np.full(self._pieces(), np.nan)
                continue
            target = self.comparison.data.training.target.take(self.plan.folds[number].validation)
            predicted, threshold = part.predictions[at], part.models.thresholds[at]
            found[number] = scoring.score_pieces(
                metric, target, predicted, self._pieces(), threshold
            )
        return found


Compared: TypeAlias = tuple[Plan, list[Evaluation]]
"""The plan with the candidates and the folds that were compared, and what was found of each
candidate.
"""


def compare(run: RunContext, data: DataSplit, plan: Plan) -> Work[Compared]:
    """Steps 1 to 5 for the candidates of the plan; or for those that a search proposes, who are the
    plan's from then on.

    Those that can be done, and in time, are compared, all on the same folds. Raises BudgetError or
    FitError when none is.
    """
    comparison = Comparison(run, data, plan)
    settings = run.loaded.recipe.evaluate
    if settings.search is not None:
        return (yield from searched(comparison, settings.search, settings.seed))
    metric = plan.metrics[0]
    selection, bounds = SELECTION.make(settings.select, "method"), scoring.bounds(metric)
    if bounds is not None and not scoring.greater_is_better(metric):
        bounds = ScoreBounds(-bounds.best, -bounds.worst)
    selecting = select(selection, len(plan.candidates), len(plan.folds), settings.seed, bounds)
    block = next(selecting)
    while True:
        waiting = comparison.left(block.positions[0]) / len(block.numbers) - 1
        scored = yield from comparison.score(block.positions, block.numbers, waiting)
        try:
            block = selecting.send(scored)
        except StopIteration as end:
            drops = [drop for drop in end.value.drops if drop.folds < len(plan.folds)]
            return (yield from comparison.result({drop.position: drop.reason for drop in drops}))


def searched(comparison: Comparison, settings: Search, seed: int) -> Work[Compared]:
    """Each candidate is proposed by what those before scored (`evaluate.search`)."""
    run, data, plan = comparison.run, comparison.data, comparison.plan
    clock = TrialClock(run.limits.deadline(shares(run, data, plan).evaluation), settings.trials)
    searching = search(
        Proposer(run.loaded.recipe, data.training), len(plan.folds), settings, seed, clock.is_over
    )
    found = yield from trials(comparison, searching, clock)
    if len(found.trials) < settings.trials:
        if run.inside:  # a shorter search is another choice
            expected, came = f"time for {settings.trials} trials", f"none after {len(found.trials)}"
            raise BudgetError("budget.time", expected, came, "Raise budget.time.")
        text = f"The search ended after {len(found.trials)} of {settings.trials} trials: no time for another one."
        run.context.emit("warning", text=text)
    return (yield from comparison.result(reasons_of(comparison, found)))


def trials(
    comparison: Comparison,
    searching: Asking[Candidate, Searched[Candidate]],
    clock: TrialClock,
) -> Work[Searched[Candidate]]:
    """What a search asks for, trial after trial."""
    request = next(searching)
    while True:
        at = comparison.enter(request.candidate)
        waiting = min(clock.trials_left, AT_ONCE) * comparison.left(at) / len(request.numbers) - 1
        scored = yield from comparison.score([at], request.numbers, waiting)
        try:
            request = searching.send(scored.folds[0].tolist())
        except StopIteration as end:
            found: Searched[Candidate] = end.value
            return found


def reasons_of(comparison: Comparison, found: Searched[Candidate]) -> dict[int, str]:
    """Position → why a trial got no more folds, of those that did not get all."""
    reasons = {comparison.enter(trial.candidate): trial.reason for trial in found.trials}
    return {at: reason for at, reason in reasons.items() if reason}


class TrialClock:
    """Whether there is time for another trial, which may take as long as the longest so far, and
    then for the refit, which may, too: of many trials its share of the time is next to nothing.
    `end`: time.monotonic(), or None.
    """

    def __init__(self, end: float | None, trials: int) -> None:
        self.end = end
        self.trials_left = trials
        self.begun = time.monotonic()
        self.longest = 0.0

    def is_past(self) -> bool:
        """Whether it is later than `end`."""
        return self.end is not None and time.monotonic() > self.end

    def is_over(self) -> bool:
        """Asked between two trials."""
        self.trials_left -= 1
        now = time.monotonic()
        self.longest, self.begun = max(self.longest, now - self.begun), now
        return self.end is not None and now + 2 * self.longest > self.end


def shares(run: RunContext, data: DataSplit, plan: Plan) -> TimeShares:
    """The shares of the time at which evaluation and refit end."""
    search = run.loaded.recipe.evaluate.search
    trained = sum(len(fold.train) for fold in plan.folds) * (
        search.trials if search else len(plan.candidates)
    )
    return run.limits.until(
        run.loaded.recipe.compress is not None, trained / max(1, data.training.table.rows)
    )


def refit_end(
    run: RunContext, data: DataSplit, plan: Plan, chosen: Sequence[Candidate], needed_s: float
) -> float | None:
    """When the winner's last training has to end, if it is expected to take `needed_s`: at the end
    of its share, or, where that is too soon, of all time for work. Raises BudgetError where there
    is no time for it: a solver's would end late, and a network's would be cut to less than half of
    what its folds had.
    """
    end, last = (
        run.limits.deadline(share) for share in (shares(run, data, plan).refit, WORK_SHARE)
    )
    if end is None or last is None or run.inside:
        return end
    now, late_s = time.monotonic(), LATE * (run.limits.time_s or 0.0)
    least_s = needed_s / 2 if all(one.family.ends_in_time for one in chosen) else needed_s
    if least_s > max(last - now, late_s):
        raise BudgetError(
            "budget.time",
            f"time for another training, which is expected to take {show_seconds(needed_s)}",
            f"{show_seconds(max(0.0, last - now))} left",
            "Raise budget.time.",
        )
    return max(now + late_s, end if end - now >= needed_s else last)


def _alike(candidates: Sequence[Candidate], positions: Sequence[int]) -> list[list[int]]:
    """Positions of candidates that train as one piece of run."""
    groups: dict[str, list[int]] = {}
    for candidate, position in zip(candidates, positions, strict=True):
        groups.setdefault(candidate.batch_key(), []).append(position)
    return list(groups.values())
