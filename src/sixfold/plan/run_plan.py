"""The plan of a run: memory, time, disk and price on a machine, and what `strategy: auto` chose. `sixfold plan` shows it;
of a run it is the first stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sixfold.build.candidate import fits_of
from sixfold.core.cores import planned_for
from sixfold.plan.clock import CountedTime, counted, seconds
from sixfold.plan.forecast import TIME_ERROR, Forecast, disk_bytes, forecasts
from sixfold.plan.limits import Placed
from sixfold.plan.machines import Machine, this_machine
from sixfold.plan.memory import MEMORY_ERROR
from sixfold.plan.rules import Planning
from sixfold.plan.run_context import DataSplit, RunContext, stage_key
from sixfold.recipe.compression import Compress
from sixfold.recipe.plan import (
    MemoryShare,
    PeakMemory,
    PlannedStep,
    PlannedTime,
    RunPlan,
    StageTime,
)
from sixfold.recipe.strategy import Strategy
from sixfold.runs.budget import FINISH_COLUMN_S

COUNTED_ERROR: Final = 4.0  # time taken over time counted, at most: bench/plan.py
REPORT_S: Final = 2.6  # imports, the graph, latencies, report and bundle, and the process's end: measured (bench/plan.py)
COMPRESS_TIMES: Final = 1.0  # of all folds and the last training, for each pruning: guessed
HOW: Final[Mapping[frozenset[bool], Literal["tried", "counted", "tried and counted"]]] = {
    frozenset({True}): "tried",
    frozenset({False}): "counted",
    frozenset({True, False}): "tried and counted",
}
STAGE: Final = "plan"
FILE: Final = "plan.json"


@dataclass(frozen=True)
class PlanQuestion:
    """What a plan is asked for, besides the recipe. `probe`: candidates are tried on a few rows; `price`: of an hour;
    `read_s`: what it takes until the data are read.
    """

    probe: bool = False
    price: float | None = None
    read_s: float = 0.0


class CandidateTime(NamedTuple):
    """Seconds of one candidate; `tried`: on a few rows."""

    folds_s: float
    refit_s: float
    tried: bool
    at_least: bool = False
    shuffle_s: float = 0.0


def foresee(planning: Planning, question: PlanQuestion) -> RunPlan:
    """Raises what hinders a candidate from being tried on a few rows, and RecipeError."""
    there = planning.machine or this_machine(planning.device)
    placed, tried = planning.placed, _tried(planning, question)
    with planned_for(there.cores):
        times = _times(planning, tried, there)
    room = planning.room
    time = None if times is None else _time(planning, times, question, there)
    return RunPlan(
        machine=there.describe(),
        memory=_peak(placed, "host", room.host),
        device=_peak(placed, "device", room.device) if room.device else None,
        time=time,
        disk_bytes=_disk(planning, placed, tried),
        price=None
        if question.price is None or time is None
        else question.price * time.seconds / 3600,
        strategies={
            one.name: group.strategy for group in placed for one in group.work.alike if group.steps
        },
        steps=tuple(
            PlannedStep(candidate=group.work.alike[0].name, change=step.change, why=step.why)
            for group in placed
            for step in group.steps
        ),
    )


def _peak(placed: Sequence[Placed], where: str, limit: int) -> PeakMemory:
    needs: list[tuple[str, Mapping[str, int]]] = [
        (
            one.work.alike[0].name,
            one.placement.needs.host if where == "host" else one.placement.needs.device,
        )
        for one in placed
    ]
    name, most = max(needs, key=lambda pair: sum(pair[1].values()), default=("no candidate", {}))
    shares = sorted(most.items(), key=lambda pair: -pair[1])
    return PeakMemory(
        bytes=sum(most.values()),
        error=MEMORY_ERROR,
        limit=limit,
        of=name,
        shares=tuple(MemoryShare(what=what, bytes=max(0, size)) for what, size in shares if size),
    )


def _tried(planning: Planning, question: PlanQuestion) -> list[Forecast]:
    """None, or of all candidates that could be tried. Raises what hindered all of them."""
    if not question.probe:
        return []
    found, failed = forecasts(
        planning.as_trained, planning.training, planning.folds, planning.recipe.budget
    )
    if failed and not found:
        raise failed[0]
    return found


def _times(
    planning: Planning, tried: Sequence[Forecast], there: Machine
) -> list[CandidateTime] | None:
    """Of each candidate: as it was tried here, times what counting says of the other machine; or counted alone. None
    where neither can be told of one.
    """
    named = {one.candidate: one for one in tried}
    found: list[CandidateTime] = []
    for group in planning.placed:
        there_s = _counted(group, there)
        for one in group.work.alike:
            here = named.get(one.name)
            if here is not None:
                times = 1.0 if planning.machine is None else _ratio(group, there_s)
                if times is None:
                    return None
                aside_s = _observing_s(group, there)
                folds_s, refit_s = (aside_s + times * s for s in (here.folds_s, here.refit_s))
                shuffle_s = times * here.shuffle_s
                found.append(CandidateTime(folds_s, refit_s, True, here.at_least, shuffle_s))
            elif there_s is None:
                return None
            else:
                found.append(CandidateTime(there_s.folds_s, there_s.refit_s, False))
    return found if len(found) == len(planning.candidates) else None


def _counted(group: Placed, machine: Machine) -> CountedTime | None:
    return counted(group.work, group.placement.size, group.placement.stacks, machine)


def _ratio(group: Placed, there_s: CountedTime | None) -> float | None:
    """Of the time on another machine to that here, where it was tried."""
    here_s = _counted(group, this_machine())
    if there_s is None or here_s is None:
        return None
    return (there_s.folds_s + there_s.refit_s) / (here_s.folds_s + here_s.refit_s)


def _compressing_s(planning: Planning, section: Compress, there: Machine, guess: float) -> float:
    """Of all folds' models and of the last one, of the candidate that takes longest; what cannot be counted is guessed."""
    found = []
    for group in planning.placed:
        size, family = group.placement.size, group.work.alike[0].family
        fits = fits_of(group.work.alike, [size.few])
        work = family.compressing(fits, planning.training.table.rows, section)
        if work is not None:
            own_s = seconds(work.alone, there.core, 1, 1)
            again_s = seconds(work.trained, there.core, 1, there.cores)
            found.append((len(planning.folds) + 1) * (own_s + again_s))
    return max(found, default=guess)


def _observing_s(group: Placed, there: Machine) -> float:
    """What is shown of a training while it goes on, which trials do not do."""
    fits = fits_of(group.work.alike, [group.placement.size.few])
    aside = group.work.alike[0].family.observing(fits, group.work.training.table.rows)
    return seconds(aside, there.core, 1, 1)


def _ending_s(group: Placed) -> float:
    """What the report and the bundle take of a large model."""
    family, size = group.work.alike[0].family, group.placement.size
    fits = fits_of(group.work.alike, [size.few])
    return family.ending_s(family.cost(fits, group.work.training.table.rows).model_bytes)


def _time(
    planning: Planning,
    times: Sequence[CandidateTime],
    question: PlanQuestion,
    there: Machine,
) -> PlannedTime:
    recipe = planning.recipe
    search = recipe.evaluate.search
    trials = 1.0 if search is None else search.trials / max(1, len(times))
    folds_s = trials * sum(one.folds_s for one in times)
    refit_s = max((one.refit_s for one in times), default=0.0)
    stages = {"start, read, check": question.read_s, "evaluate": folds_s, "refit": refit_s}
    if recipe.compress is not None:
        guess = COMPRESS_TIMES * len(recipe.compress.prune) * (folds_s + refit_s)
        stages["compress"] = _compressing_s(planning, recipe.compress, there, guess)
    stages["nested"] = planning.again * (folds_s + refit_s)
    columns = len(planning.training.table.columns)
    stages["measure, report, bundle"] = (
        REPORT_S
        + FINISH_COLUMN_S * columns
        + max(map(_ending_s, planning.placed), default=0.0)
        + max((one.shuffle_s for one in times), default=0.0)
    )
    tried = {one.tried for one in times}
    return PlannedTime(
        seconds=sum(stages.values()),
        error=TIME_ERROR if tried == {True} else COUNTED_ERROR,
        how=HOW[frozenset(tried)],
        at_least=any(one.at_least for one in times),
        stages=tuple(
            StageTime(stage=name, seconds=value) for name, value in stages.items() if value
        ),
    )


def _disk(planning: Planning, placed: Iterable[Placed], tried: Sequence[Forecast]) -> int | None:
    """Bytes of all stages: models of every fold and of all rows, and answers out of fold."""
    search = planning.recipe.evaluate.search
    trials = None if search is None else search.trials
    if tried:
        return disk_bytes(tried, trials, planning.again)
    target, folds = planning.training.target, len(planning.folds)
    size, candidates = 0, 0
    for group in placed:
        own = len(group.work.alike)
        size += group.placement.needs.host.get("models", 0) * (folds + 1) // folds
        size += own * 8 * target.outputs * planning.training.table.rows
        candidates += own
    times = 1.0 if trials is None else trials / max(1, candidates)
    return round(size * times * (2 if planning.again else 1))


def first_stage(run: RunContext, data: DataSplit, planning: Planning, read_s: float) -> RunPlan:
    """The plan of this run, made once: a run that goes on keeps the strategies that it began with. Emits `planned`."""
    done = run.folder.path / STAGE
    if run.inside and done.is_dir():  # an outer fold trains as the run does
        return _stored(done)
    keys = "".join(candidate.key() for candidate in planning.candidates)
    key = stage_key(run, data, keys, run.loaded.recipe.budget)
    with run.folder.stage(STAGE, key) as place:
        if place.aside is not None:
            plan = foresee(planning, PlanQuestion(read_s=read_s))
            (place.aside / FILE).write_text(plan.model_dump_json(), encoding="utf-8")
            run.context.emit("planned", plan=plan.model_dump(mode="json"), text=plan.sentences())
    return _stored(done)


def _stored(folder: Path) -> RunPlan:
    return RunPlan.model_validate_json((folder / FILE).read_text(encoding="utf-8"))


def strongest(strategies: Iterable[Strategy]) -> Strategy | None:
    """One for all: what each of them trades for memory. None for none."""
    found: Strategy | None = None
    for one in strategies:
        found = one if found is None else found.and_of(one)
    return found
