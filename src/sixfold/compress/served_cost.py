"""What candidates take of `budget.bundle` and `budget.latency`, as measured; who takes more is not chosen.

Candidates are measured by the models of their first folds, before anybody is trained again; the winner
once more, trained on all rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sixfold.bundle.runtime import packed_by
from sixfold.compress.measure import one_row_ms
from sixfold.core.errors import BudgetError
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.model import Model
from sixfold.parts.packed import packed
from sixfold.parts.table import Table
from sixfold.plan.run_context import DataSplit, Plan, RunContext, stage_key
from sixfold.select import ensemble, leaderboard
from sixfold.select.served_limits import ServedCost, ServedLimits, Violation
from sixfold.select.winner import Winner, refit

TRIES: Final = (
    3  # at one row's latency, of which the least counts: what else the machine does only adds to it
)
TRY_S: Final = 0.15  # each
MOST_TOLD: Final = 3  # candidates, in an error
REMEDY: Final = (
    "Raise it, name smaller candidates (fewer trees, a smaller size, linear), or leave columns out."
)


def served_cost(model: Model, table: Table, limits: ServedLimits, runtime: str) -> ServedCost:
    """Of what a bundle of `model` answers with. `table`: raw rows to ask with. One row is timed where
    a limit asks for it, again where it is not kept.
    """
    graph = packed(model.export())
    size = sum(map(len, packed_by(runtime, graph).values()))
    return ServedCost(size, least_latency(graph, table, limits.latency_s))


def least_latency(graph: bytes, table: Table, limit_s: float | None) -> float | None:
    """Seconds of one row: the least of TRIES medians, or the first that keeps `limit_s`; None without one."""
    if limit_s is None:
        return None
    found: list[float] = []
    while len(found) < TRIES and (not found or min(found) > limit_s):
        found.append(one_row_ms(graph, table, TRY_S) / 1e3)
    return min(found)


def measured(
    run: RunContext, data: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]
) -> list[Evaluation]:
    """The same with what each takes of the limits, and dropped where that is more than there is: a
    stage, so that a run that is continued chooses as before. Raises BudgetError where nobody is left.
    """
    limits = ServedLimits.of(run.loaded.recipe.budget)
    if not limits.asked:
        return list(evaluations)
    whole = [one for one in evaluations if not one.dropped]
    keys = {candidate.name: candidate.key() for candidate in plan.candidates}
    asked = "".join([repr(limits), run.loaded.recipe.runtime, *(keys[one.name] for one in whole)])
    with run.folder.stage(f"{run.inside}served-costs", stage_key(run, data, asked)) as place:
        if place.aside is not None:
            found = _costs(run, data, whole, plan.metrics[0])
            (place.aside / "costs.json").write_text(json.dumps(found), encoding="utf-8")
    told = json.loads((place.folder / "costs.json").read_text(encoding="utf-8"))
    costs = {name: ServedCost(*cost) for name, cost in told.items()}
    kept = [
        replace(one, shares=limits.shares(costs[one.name])) if one.name in costs else one
        for one in evaluations
    ]
    broken = {name: why for name, cost in costs.items() if (why := limits.violation(cost))}
    return _left(run, kept, broken)


def _costs(
    run: RunContext, data: DataSplit, whole: Sequence[Evaluation], metric: str
) -> dict[str, ServedCost]:
    """Of those that an ensemble looks at; and of further ones, the best first, until one keeps the limits."""
    recipe = run.loaded.recipe
    limits, found = ServedLimits.of(recipe.budget), dict[str, ServedCost]()
    looked_at = {one.name for one in ensemble.looked_at(whole, metric)}
    ranked = [whole[at] for at in leaderboard.order(whole, metric)]
    for one in sorted(ranked, key=lambda one: one.name not in looked_at):
        kept = any(limits.violation(cost) is None for cost in found.values())
        if one.name in looked_at or not kept:
            table = data.training.table
            found[one.name] = served_cost(one.models[0], table, limits, recipe.runtime)
    return found


def winner_within(
    run: RunContext, data: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]
) -> Winner:
    """The best that keeps the limits when it is trained on all rows, too. Raises BudgetError where
    nobody does.
    """
    limits = ServedLimits.of(run.loaded.recipe.budget)
    found, attempt, bags = list(evaluations), 0, True
    while True:
        winner = refit(run, data, plan, found, attempt, bags)
        why = _of_winner(run, data, winner, attempt) if limits.asked else None
        if why is None:
            return winner
        if winner.bag is not None:  # measured one by one, its fold models took less
            text = f"The mean of fold models is not chosen: {why.describe()}."
            run.context.emit("note", text=text)
            attempt, bags = attempt + 1, False
            continue
        broken = {winner.evaluation.name: why}
        if winner.evaluation.name != ensemble.NAME:  # it may be a member
            broken |= {one.name: why for one in found if one.name == ensemble.NAME}
        found, attempt = _left(run, found, broken), attempt + 1


def _of_winner(run: RunContext, data: DataSplit, winner: Winner, attempt: int) -> Violation | None:
    """The limit that the winner does not keep, trained on all rows: a stage, as `measured`."""
    recipe = run.loaded.recipe
    limits = ServedLimits.of(recipe.budget)
    name = f"{run.inside}served-winner" + (f"-{attempt}" if attempt else "")
    key = stage_key(run, data, f"{winner.key}{limits!r}{recipe.runtime}")
    with run.folder.stage(name, key) as place:
        if place.aside is not None:
            cost = served_cost(winner.model, data.training.table, limits, recipe.runtime)
            (place.aside / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    told = json.loads((place.folder / "cost.json").read_text(encoding="utf-8"))
    return limits.violation(ServedCost(*told))


def _left(
    run: RunContext, evaluations: Sequence[Evaluation], broken: dict[str, Violation]
) -> list[Evaluation]:
    """Those of `broken` are dropped, which is said. Raises BudgetError where nobody is left."""
    found = []
    for one in evaluations:
        if one.name in broken and not one.dropped:
            why = broken[one.name].describe()
            run.context.emit("note", text=f"{one.name} is not chosen: {why}.")
            one = replace(one, dropped=why)
        found.append(one)
    if broken and all(one.dropped for one in found):
        told = [f"{one.name}: {one.dropped}" for one in found if one.shares]
        where = next(iter(broken.values())).where
        raise BudgetError(where, "a candidate that keeps it", "; ".join(told[:MOST_TOLD]), REMEDY)
    return found
