"""The winner of a comparison: the ensemble as one more candidate, the best of all, and its last
training on all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sixfold.build.auto import is_plain_table
from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation, FoldScoresOfAll, join
from sixfold.evaluate.fold_models import ModelStore
from sixfold.evaluate.folds import MOST_BLENDED
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.plan.run_context import SPARE, DataSplit, Plan, RunContext, stage_key, store
from sixfold.recipe.receipt import Nested
from sixfold.select import bagging, ensemble, leaderboard
from sixfold.select.bagging import Bag, BagStage
from sixfold.select.comparison import refit_end
from sixfold.select.ensemble import ChosenMembers
from sixfold.select.estimates import again_s
from sixfold.select.last_training import lost


@dataclass(frozen=True)
class Winner:
    """Steps 1 to 5: what was compared, the best candidate (the members of an ensemble), its scores
    on every fold, and the model refitted on all training rows. `key`: what the model depends on,
    besides the rows. `nested`: what to expect of such a choice. `fold`: where there was no time to
    train again, the fold whose model it is. `left_out`: as in `ensemble.Blend`. `bag`: where the
    model is the mean of fold models.
    """

    plan: Plan
    evaluations: tuple[Evaluation, ...]
    candidates: tuple[Candidate, ...]
    key: str
    evaluation: Evaluation
    model: Model
    nested: Nested | None = None
    fold: int | None = None
    left_out: tuple[str, ...] = ()
    bag: Bag | None = None


def blend(
    run: RunContext, data: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]
) -> list[Evaluation]:
    """The ensemble of the candidates as one more of them, where the recipe asks for it and two or
    more can be averaged.
    """
    if not _blends(run, data, plan):
        return []
    members, notes = ensemble.members(evaluations)
    members = ensemble.looked_at(members, plan.metrics[0])
    for text in [
        *notes,
        *(["No ensemble: it takes two candidates or more."] if len(members) < 2 else []),
    ]:
        run.context.emit("note", text=text)
    if len(members) < 2:
        return []
    keys = [
        candidate.key()
        for candidate in plan.candidates
        if candidate.name in {one.name for one in members}
    ]
    keys += [repr(one.shares) for one in members]
    with run.folder.stage(
        f"{run.inside}evaluate-ensemble", stage_key(run, data, "".join(keys))
    ) as place:
        if place.aside is not None:
            models = ModelStore(place.aside, run.folder.disk)
            asked = ensemble.threshold_asked(plan.candidates)
            made = ensemble.cross_validate(
                members, data.training, plan.folds, plan.metrics, asked, models
            )
            FoldScoresOfAll((made,)).save(place.aside, run.folder.disk)
    found = join(FoldScoresOfAll.load(place.folder).parts, data.training, plan.folds)
    run.context.emit("candidate_finished", candidate=found.name, scores=found.means())
    return [_placed(run, data, plan, evaluations, members, found)]


def _placed(
    run: RunContext,
    data: DataSplit,
    plan: Plan,
    evaluations: Sequence[Evaluation],
    members: Sequence[Evaluation],
    found: Evaluation,
) -> Evaluation:
    """The ensemble, ahead of its members where it is better than to pick the best of them: that one's mean
    is the best of many, which the ensemble's is not.
    """
    metric = plan.metrics[0]
    best = evaluations[leaderboard.order(evaluations, metric)[0]]
    mean, alone = (float(np.mean(one.scores[metric])) for one in (found, best))
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    if best.name not in {one.name for one in members} or sign * (mean - alone) > 0:
        return found
    picked = ensemble.picked(members, data.training.target, plan.folds, metric)
    if not round(sign * (mean - picked), 12) > 0:
        return found
    text = (
        f"The ensemble goes before {best.name}, whose mean {metric} of {alone:.4f} is the best of {len(members)}: who is picked "
        f"on the other folds scores {picked:.4f} on each, the ensemble, weighted on the other folds, {mean:.4f}."
    )
    run.context.emit("note", text=text)
    return replace(found, ahead=True)


def _blends(run: RunContext, data: DataSplit, plan: Plan) -> bool:
    """As the recipe says; where it does not, after a portfolio, if nothing is compressed: an ensemble
    would not be.
    """
    recipe = run.loaded.recipe
    if recipe.evaluate.ensemble is not None:
        return recipe.evaluate.ensemble
    folds = 2 <= len(plan.folds) <= MOST_BLENDED
    wanted = recipe.has_portfolio and recipe.compress is None
    return wanted and folds and is_plain_table(data.training)


def refit(
    run: RunContext,
    data: DataSplit,
    plan: Plan,
    evaluations: Sequence[Evaluation],
    attempt: int = 0,
    bags: bool = True,
) -> Winner:
    """The winner, trained again on all training rows; of an ensemble every member that has a
    weight. Or the mean of its fold models, where that validates better. Where a budget does not
    allow either, the model of its first fold. `attempt`: how many winners were made so, and not
    taken; `bags`: whether the mean may be it.
    """
    best = evaluations[leaderboard.best(evaluations, plan.metrics[0])]
    run.context.emit("winner", candidate=best.name, metric=plan.metrics[0])
    if (
        run.folder.disk.most is not None
    ):  # the files of its fold models may have to go for what follows
        best = replace(best, models=best.models.held())
    members = _members(plan, data, evaluations, best)
    chosen, key, fold = members.candidates, members.key, None
    needed_s = again_s(chosen, plan, evaluations, data.training)
    bag = bagging.decide(run, data, plan, members, BagStage(attempt, needed_s)) if bags else None
    try:
        if bag is None:
            end = refit_end(run, data, plan, chosen, needed_s)
            model = _trained_again(run, data, members, RefitStage(attempt, end))
            _warn(run, data, plan, best, model)
        else:
            key = f"{key} {bag}"
            model = _bagged(run, data, members, bag, RefitStage(attempt, None))
    except BudgetError as error:
        if run.inside:
            raise
        text = f"{best.name} is not trained on all rows: {error} The model is that of fold {best.numbers[0] + 1}."
        run.context.emit("warning", text=text, cut=True)
        key = f"{key} of a fold of {len(plan.folds)}"
        model, fold, bag = best.models[0], best.numbers[0], None
    else:
        _tell(run, members, model)
    gone = members.blend.left_out
    made = Winner(plan, tuple(evaluations), chosen, key, best, model, fold=fold, left_out=gone)
    return replace(made, bag=bag)


def _warn(run: RunContext, data: DataSplit, plan: Plan, best: Evaluation, model: Model) -> None:
    """Of a last training that learned less than those of the folds."""
    metric = plan.metrics[0]
    if not run.inside and metric in plan.baseline:
        baseline, time_s = plan.baseline[metric], run.limits.time_s
        text = lost(data.training, best, model, metric, baseline, time_s)
        if text:
            run.context.emit("warning", text=text)


def _tell(run: RunContext, members: ChosenMembers, model: Model) -> None:
    """What an ensemble is made of, and what was done to columns and scores."""
    weights = zip(members.blend.weights, members.candidates, strict=True)
    parts = [f"{weight:.2f} · {one.name}" for weight, one in weights]
    for text in [*([f"Ensemble: {' + '.join(parts)}."] if len(parts) > 1 else []), *model.notes]:
        run.context.emit("note", text=text)


class RefitStage(NamedTuple):
    """`attempt`: as in `refit`; `end`: time.monotonic() at which it ends, or None."""

    attempt: int
    end: float | None

    @property
    def name(self) -> str:
        """Each attempt has its own stage: a run that is continued finds all of them."""
        return f"refit-{self.attempt}" if self.attempt else "refit"


def _trained_again(
    run: RunContext, data: DataSplit, members: ChosenMembers, stage: RefitStage
) -> Model:
    """The candidates on all training rows, blended. Raises BudgetError."""
    name, key = f"{run.inside}{stage.name}", stage_key(run, data, members.key)
    saves = run.folder.saves(name, key)
    with run.folder.stage(name, key) as place:
        if place.aside is not None:
            models = []
            for number, candidate in enumerate(members.candidates):
                deadline = run.limits.part(stage.end, len(members.candidates) - number)
                context = replace(
                    run.context.within("refit", candidate=candidate.name),
                    deadline=deadline,
                    saves=saves,
                )
                context.check_time(f"training {candidate.name} on all rows")
                models.append(fit_model(candidate, data.training, context))
            store(run, ensemble.combine(models, members.blend), place.aside, SPARE)
            saves.put_epochs(place.aside)
    return state.load(place.folder, Model)


def _bagged(
    run: RunContext, data: DataSplit, members: ChosenMembers, bag: Bag, stage: RefitStage
) -> Model:
    """The fold models as one. Raises BudgetError where the disk has no room."""
    key = stage_key(run, data, f"{members.key} {bag}")
    with run.folder.stage(f"{run.inside}{stage.name}", key) as place:
        if place.aside is not None:
            store(run, bagging.combined(members, bag), place.aside, SPARE)
    return state.load(place.folder, Model)


def _members(
    plan: Plan, data: DataSplit, evaluations: Sequence[Evaluation], best: Evaluation
) -> ChosenMembers:
    parts, found = [best], ensemble.Blend((1.0,), None)
    if best.name == ensemble.NAME:
        members, _ = ensemble.members(evaluations[:-1])
        members = ensemble.looked_at(members, plan.metrics[0])
        seen = ensemble.seen(members, np.arange(data.training.table.rows))
        asked = ensemble.threshold_asked(plan.candidates)
        found = ensemble.blend(members, data.training.target, seen, plan.metrics[0], asked)
        parts = [
            member for member, weight in zip(members, found.weights, strict=True) if weight > 0
        ]
        found = found._replace(weights=tuple(weight for weight in found.weights if weight > 0))
    named = {candidate.name: candidate for candidate in plan.candidates}
    return ChosenMembers(tuple(named[part.name] for part in parts), tuple(parts), found)
