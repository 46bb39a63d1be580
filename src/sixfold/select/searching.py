"""Who is compared where a recipe searches: each candidate is proposed by what those before scored (`evaluate.search`)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.plan.proposals import Proposer
from sixfold.plan.run_context import DataSplit, Plan, RunContext
from sixfold.select.comparison import Comparison, evaluate, shares
from sixfold.select.search import search

AT_ONCE = 4  # a trial may take a quarter of the time that is left: guessed, so that no one of them takes it all


def compare(work: RunContext, rows: DataSplit, plan: Plan) -> tuple[Plan, list[Evaluation]]:
    """Steps 1 to 5 for the candidates of the plan; or for those that a search proposes, who are the plan's from then on.

    Raises BudgetError or FitError when no candidate can be done.
    """
    settings, seed = work.loaded.recipe.evaluate.search, work.loaded.recipe.evaluate.seed
    if settings is None:
        return evaluate(work, rows, plan)
    comparison, clock = Comparison(work, rows, plan), _Clock(work.limits.deadline(shares(work, rows, plan)[0]))
    trials_left = settings.trials

    def score(candidate: Candidate, numbers: Sequence[int]) -> Sequence[float]:
        at = comparison.enter(candidate)
        waiting = min(trials_left, AT_ONCE) * comparison.left(at) / len(numbers) - 1
        found: list[float] = comparison.score([at], numbers, waiting).folds[0].tolist()
        return found

    def enough() -> bool:
        nonlocal trials_left
        trials_left -= 1
        return clock.over()

    found = search(Proposer(work.loaded.recipe, rows.training), score, len(plan.folds), settings, seed, enough)
    if len(found.trials) < settings.trials:
        if work.inside:  # a shorter search is another choice
            expected, came = f"time for {settings.trials} trials", f"none after {len(found.trials)}"
            raise BudgetError("budget.time", expected, came, "Raise budget.time.")
        text = f"The search ended after {len(found.trials)} of {settings.trials} trials: no time for another one."
        work.context.emit("warning", text=text)
    reasons = {comparison.enter(trial.candidate): trial.reason for trial in found.trials}
    return comparison.result({at: reason for at, reason in reasons.items() if reason})


class _Clock:
    """Whether there is time for another trial, which may take as long as the longest so far, and then for the refit, which may,
    too: of many trials its share of the time is next to nothing. `end`: time.monotonic(), or None.
    """

    def __init__(self, end: float | None) -> None:
        self.end = end
        self.begun = time.monotonic()
        self.longest = 0.0

    def over(self) -> bool:
        """Asked between two trials."""
        now = time.monotonic()
        self.longest, self.begun = max(self.longest, now - self.begun), now
        return self.end is not None and now + 2 * self.longest > self.end
