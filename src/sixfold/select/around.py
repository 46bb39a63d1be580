"""After a portfolio (`build: auto` with `budget.time`): a search around its best candidates, for as long
as that is expected to help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from sixfold.build.auto import around, is_plain_table
from sixfold.build.candidate import Candidate
from sixfold.build.grid import names
from sixfold.core.errors import BudgetError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.plan.run_context import DataSplit, Plan, RunContext
from sixfold.plan.suggest import FieldKinds, Trial, suggest
from sixfold.recipe.space import Search
from sixfold.runs.stages import Work
from sixfold.select import bagging, leaderboard
from sixfold.select.comparison import (
    Compared,
    Comparison,
    TrialClock,
    reasons_of,
    shares,
    trials,
)
from sixfold.select.estimates import again_s
from sixfold.select.search import search

TRIALS: Final = 200  # at most, however much time there is
PATIENCE: Final = (
    25  # trials in a row without a better mean, after which more are not expected to help: guessed
)
FIRST_TRIALS: Final = 8  # at random
BASES: Final = 3  # candidates around which is searched, each of another family
VARIED_BYTES: Final = 8_000_000  # of one model, at most: each trial keeps one for every fold
TRAINED_AGAIN: Final = (
    6  # candidates for whose last training time is kept: an ensemble has about so many
)


def search_around(
    run: RunContext, data: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]
) -> Work[Compared]:
    """The candidates that were compared, and those that a search around the best of them proposed. With
    equal recipes and seeds the same ones, as long as the time does not cut. Raises BudgetError inside of
    an outer fold where it does: that would be another choice.
    """
    wanted = run.loaded.recipe.has_portfolio and is_plain_table(data.training)
    bases = bases_of(plan, evaluations) if wanted else []
    if not bases:
        return plan, list(evaluations)
    comparison = Comparison(run, data, plan)
    stop = SearchEnd(comparison, _clock(run, data, plan, evaluations), _best(plan, evaluations))
    if stop.clock.is_past():
        _tell(run, stop, 0)
        return plan, list(evaluations)
    settings = Search(trials=TRIALS, first_trials=FIRST_TRIALS)
    propose = AroundBases(bases, dict.fromkeys(one.name for one in plan.candidates))
    seed = run.loaded.recipe.evaluate.seed
    searching = search(propose, len(plan.folds), settings, seed, stop.is_over)
    found = yield from trials(comparison, searching, stop.clock)
    _tell(run, stop, len(found.trials))
    comparison.failed = None  # who could not be trained is left out: there are others
    wider, tried = yield from comparison.result(reasons_of(comparison, found))
    return wider, [*evaluations, *tried]


def bases_of(plan: Plan, evaluations: Sequence[Evaluation]) -> list[Candidate]:
    """The best candidates that can be varied, each of another family."""
    named = {one.name: one for one in plan.candidates}
    found: dict[str, Candidate] = {}
    for at in leaderboard.order(evaluations, plan.metrics[0]):
        one = evaluations[at]
        candidate = named[one.name]
        able = around(one.family, candidate.family.model_dump()) and not one.dropped
        small = one.models.size_bytes <= VARIED_BYTES * len(one.numbers)
        if able and small and len(found) < BASES:
            found.setdefault(one.family, candidate)
    return list(found.values())


@dataclass
class AroundBases:
    """Makes the candidate of a trial: one of `bases`, with other values of its options. Equal settings
    get equal names; `named`: those that are taken, and the keys of who was proposed with them.
    """

    bases: Sequence[Candidate]
    named: dict[str, str | None]

    def __call__(self, trial: Trial) -> Candidate:
        """Raises RecipeError for settings that contradict each other."""
        several = len(self.bases) > 1
        number = trial.suggest_categorical("base", list(range(len(self.bases)))) if several else 0
        base = self.bases[number]
        own = base.family.model_dump()
        ranges = around(base.family_name, own)
        schema: dict[str, Any] = base.family.model_json_schema()["properties"]
        kinds = FieldKinds(lambda key: False, lambda key: _is_whole(schema[key]))
        options = suggest(trial, ranges, kinds, f"{number}.")
        family = type(base.family).model_validate({**own, **options})
        found = replace(base, family=family, why=f"a search around {base.name}")
        plain: dict[str, Any] = {"family": base.family_name}
        name, _ = names([{**plain, **options}, plain])
        return replace(found, name=self._unique(name, found.key()))

    def _unique(self, name: str, key: str) -> str:
        number, tried = 1, name
        while self.named.setdefault(tried, key) != key:
            number += 1
            tried = f"{name} #{number}"
        return tried


def _is_whole(schema: dict[str, Any]) -> bool:
    types = {str(one.get("type")) for one in schema.get("anyOf", [schema])}
    return "integer" in types and "number" not in types


@dataclass
class SearchEnd:
    """When it ends: after PATIENCE trials in a row without a better mean, or when there is no time for
    another one. `best`: the best mean so far, greater is better.
    """

    comparison: Comparison
    clock: TrialClock
    best: float
    without: int = 0
    seen: set[int] = field(default_factory=set)

    def is_over(self) -> bool:
        """Asked between two trials."""
        metric = self.comparison.plan.metrics[0]
        sign = 1.0 if scoring.greater_is_better(metric) else -1.0
        self.without += 1
        for at, parts in self.comparison.parts.items():
            if at in self.seen or self.comparison.left(at):
                continue
            self.seen.add(at)
            mean = sign * float(np.mean(np.concatenate([part.scores[metric] for part in parts])))
            if mean > self.best:
                self.best, self.without = mean, 0
        return self.clock.is_over() or self.without >= PATIENCE


def _best(plan: Plan, evaluations: Sequence[Evaluation]) -> float:
    metric = plan.metrics[0]
    first = evaluations[leaderboard.order(evaluations, metric)[0]]
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    return sign * float(np.mean(first.scores[metric]))


def _clock(
    run: RunContext, data: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]
) -> TrialClock:
    """Time is kept to train the best ones again, and to compare the mean of their fold models, where that
    takes little of it.
    """
    end = run.limits.deadline(shares(run, data, plan).evaluation)
    last = run.limits.deadline(shares(run, data, plan).refit)
    if end is None or last is None:
        return TrialClock(None, TRIALS)
    named = {one.name: one for one in plan.candidates}
    order = leaderboard.order(evaluations, plan.metrics[0])[:TRAINED_AGAIN]
    chosen = [named[evaluations[at].name] for at in order]
    needed_s = again_s(chosen, plan, evaluations, data.training)
    compared_s = bagging.compared_s(needed_s, len(plan.folds))
    if bagging.is_wanted(run, data, plan) and compared_s < bagging.SHARE * (
        run.limits.time_s or 0.0
    ):
        needed_s += compared_s
    return TrialClock(min(end, last - needed_s), TRIALS)


def _tell(run: RunContext, stop: SearchEnd, count: int) -> None:
    """Why it ended. Raises BudgetError inside of an outer fold where the time did it."""
    if stop.without >= PATIENCE or count >= TRIALS:
        why = "as many as are tried at most"
        if stop.without >= PATIENCE:
            why = f"{stop.without} in a row brought nothing better"
        text = f"The search ended after {count} trials, {why}: more time is not expected to help."
        run.context.emit("note", text=text)
        return
    if run.inside:
        found = f"none after {count} trials"
        raise BudgetError("budget.time", "time for the search", found, "Raise budget.time.")
    text = f"The search ended after {count} trials: no time for another one. More of it may find better candidates."
    run.context.emit("note", text=text, cut=True)
