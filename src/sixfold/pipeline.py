"""The six steps, one after the other: the whole story. This file alone joins the kinds; what it
calls receives objects.

    data → (prepare → build → initialize → train) on every fold → evaluate → refit → compress →
    package

With `evaluate.nested` what is between data and compress is done once more for every outer fold, on
its training rows alone.

A step is `step(run, data, …) -> result`. Each of its stages is done once: when the same command
runs again, a finished stage is read back from the run folder, and the unfinished one is done. The
steps that try many settings hand their stages to an executor (`runs.stages`), which does them here,
or elsewhere.
"""

from __future__ import annotations

import html
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sixfold.build.candidate import by_device
from sixfold.compress.compress import Compressed, Job, compress
from sixfold.compress.served_cost import measured, winner_within
from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.data import holdout, lone_predictors, test_rows
from sixfold.data import load as data_load
from sixfold.data.asked import as_asked
from sixfold.evaluate.folds import scheme_of, thin_classes
from sixfold.package import own_bundle, report
from sixfold.package.package import package
from sixfold.parts import scratch, state
from sixfold.parts.table import Dataset
from sixfold.plan.rules import Planning
from sixfold.plan.run_context import (
    SPARE,
    DataSplit,
    Plan,
    RunContext,
    digest,
    joint_digest,
    stage_key,
    store,
)
from sixfold.plan.run_plan import first_stage, strongest
from sixfold.recipe.load import Loaded
from sixfold.recipe.receipt import Receipt, Step
from sixfold.runs import environment
from sixfold.runs.budget import WORK_SHARE, Limits
from sixfold.runs.context import Context
from sixfold.runs.folder import Listener, RunFolder
from sixfold.runs.memory import MemoryGuard, held_bytes
from sixfold.runs.processes import Processes
from sixfold.runs.rank_processes import RankProcesses
from sixfold.runs.ray_tasks import RayTasks
from sixfold.runs.saves import EVERY_S
from sixfold.runs.side_by_side import SHARED, Doers, SideBySide
from sixfold.runs.stages import Executor, Here, Work
from sixfold.select import ensemble, leaderboard
from sixfold.select.around import search_around
from sixfold.select.comparison import compare
from sixfold.select.nested import NestedChoice, nest
from sixfold.select.winner import Winner, blend
from sixfold.train import threads
from sixfold.train.device import describe, device_of


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the bundle in it, the receipt, how the candidates compared, and
    the report's `verdict`.
    """

    folder: Path
    bundle: Path
    receipt: Receipt
    leaderboard: leaderboard.Leaderboard
    warnings: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        sentences = self.receipt.nested.sentences() if self.receipt.nested else ()
        nested = "".join(f"<p>{html.escape(text)}</p>" for text in sentences)
        return (
            self.leaderboard._repr_html_() + nested + f"<p>Bundle: <code>{self.bundle}</code></p>"
        )


def run(
    loaded: Loaded,
    out: Path,
    listeners: Sequence[Listener] = (),
    dataset: Dataset | None = None,
    started: float | None = None,
    save_every_s: float = EVERY_S,
) -> Run:
    """Execute a recipe in folder `out`. The same call again continues a run that was killed.

    `dataset` takes the place of `data.source` (a table that is in memory already). `started`:
    time.monotonic() at which the time budget began; left out, now. `save_every_s`: seconds between
    two saved states of a training. Raises a SixfoldError.
    """
    limits = Limits.start(loaded.recipe.budget, started)
    ranks = RankProcesses(loaded.recipe.budget.data_parallel)
    guard, opened = (
        MemoryGuard(limits.memory_bytes, lambda: held_bytes() + ranks.held_bytes()),
        RunFolder(out, listeners, save_every_s, limits.disk_bytes),
    )
    with (
        loaded.placing(),
        ranks,
        guard,
        opened as folder,
        scratch.of_run(out, limits.disk_bytes),
        threads.one_order(),
    ):
        device = device_of(loaded.recipe.budget.device).type
        context = Context(
            loaded.recipe.initialize.seed,
            folder.emit,
            device=device,
            check_memory=guard.check,
            recover=guard.recover,
            ranks=ranks if ranks.count > 1 else None,
        )
        this = RunContext(loaded, folder, limits, context, guard=guard)
        own_bundle.check(folder, loaded.recipe.runtime)
        environment.tell(folder)
        data = read(this, dataset)
        this = replace(this, limits=limits.of_table(len(data.training.table.columns)))
        with executor_of(this) as executor:
            winner = executor.complete(
                find_winner(replace(this, workers=executor.workers, sharing=executor.sharing), data)
            )
        compressed = shrink(this, data, winner)
        guard.rest()  # over the budget or not: the run ends with what it has
        nested = Here(folder).complete(nest(this, data, winner.plan.metrics, choose_again))
        return finish(this, data, replace(winner, nested=nested), compressed)


@contextmanager
def executor_of(run: RunContext) -> Iterator[Executor]:
    """Who does the stages of a comparison: this process, others of this machine, or a cluster."""
    shutil.rmtree(run.folder.path / SHARED, ignore_errors=True)  # of a run that was killed
    budget = run.loaded.recipe.budget
    workers = budget.workers or (cores() if budget.executor == "processes" else 1)
    if budget.cluster is None and workers == 1:
        yield Here(run.folder)
        return
    doers: Doers = Processes(workers)
    if budget.cluster is not None:
        doers = RayTasks.joined(budget.cluster, budget.workers, run.folder.path)
        run.context.emit("note", text=f"Stages are done by {doers.description}")
    with SideBySide(run.folder, doers, run.limits.memory_bytes) as executor:
        yield executor


def read(run: RunContext, dataset: Dataset | None = None) -> DataSplit:
    """Step 0: read the data, say what was seen, put the holdout aside."""
    recipe, memory = run.loaded.recipe, MemoryLimit.of(run.loaded.recipe.budget.memory)
    if recipe.data.test is None:
        loaded = dataset or data_load.load(recipe.data, recipe.task_name, run.loaded.base, memory)
        whole = as_asked(loaded, recipe)
        training, held_out = holdout.split(whole, recipe.data)
        return _announced(run, DataSplit(whole.take(training), whole.take(held_out), digest(whole)))
    if dataset is not None:
        raise RecipeError(
            "data.test",
            "a training table that is a file, too",
            "one in memory",
            "Hold out a share with data.holdout, or write the table to a file and name it in data.source.",
        )
    training_rows, test = (
        as_asked(rows, recipe)
        for rows in test_rows.load(recipe.data, recipe.task_name, run.loaded.base, memory)
    )
    split = DataSplit(training_rows, test, joint_digest(training_rows, test))
    return _announced(run, split)


def _announced(run: RunContext, data: DataSplit) -> DataSplit:
    """Say what was noticed while reading."""
    run.guard.check()
    for text in data.training.notes:
        run.context.emit("note", text=text)
    alone = lone_predictors.warning(data.training, run.loaded.recipe.data.seed)
    for text in [*data.training.warnings, *([alone] if alone else [])]:
        run.context.emit("warning", text=text)
    run.context.emit("rows", training=data.training.table.rows, held_out=data.held_out.table.rows)
    return data


def make_plan(run: RunContext, data: DataSplit) -> Plan:
    """Resolve candidates, folds and metrics; say why where Sixfold chose, and what all of it will take. Raises what
    `check` would have told.
    """
    recipe, planned = run.loaded.recipe, Planning(run.loaded.recipe, data.training).checked()
    strategies = first_stage(run, data, planned, time.monotonic() - run.limits.started).strategies
    scheme, why = scheme_of(recipe.evaluate, data.training)
    if why:
        run.context.emit("note", text=f"Folds: {scheme}, {len(planned.folds)}: {why}.")
    if planned.chosen.why:
        run.context.emit("note", text=f"Metrics: {planned.chosen.why}")
    thin = thin_classes(planned.folds, data.training)
    if thin and not run.inside:  # of an outer fold's part it is no news
        run.context.emit("warning", text=thin)
    memory = {
        one.name: group.placement.needs.host_bytes
        for group in planned.placed
        for one in group.work.alike
    }
    if recipe.evaluate.search is not None:
        run.context.emit("search_planned", trials=recipe.evaluate.search.trials)
        chosen = strongest(strategies.values())
        return Plan((), planned.folds, planned.metrics, planned.baseline, chosen, memory)
    for candidate in planned.candidates:
        run.context.emit("candidate_planned", candidate=candidate.name, why=candidate.why)
    for text in describe(run.context.device, *by_device(planned.candidates)):
        run.context.emit("note", text=text)
    candidates = tuple(
        one.under(strategies.get(one.name, one.strategy)) for one in planned.candidates
    )
    return Plan(candidates, planned.folds, planned.metrics, planned.baseline, memory=memory)


def find_winner(run: RunContext, data: DataSplit) -> Work[Winner]:
    """Steps 1 to 5: compare all candidates, after a portfolio others around the best, and their
    ensemble; train the winner again, of those that keep `budget.bundle` and `budget.latency`. Raises BudgetError, FitError.
    """
    plan, evaluations = yield from compare(run, data, make_plan(run, data))
    plan, evaluations = yield from search_around(run, data, plan, evaluations)
    evaluations = measured(run, data, plan, evaluations)
    evaluations += blend(run, data, plan, evaluations)
    return winner_within(run, data, plan, evaluations)


def choose_again(run: RunContext, data: DataSplit) -> Work[NestedChoice]:
    """The same with the training rows of an outer fold: what `nest` asks for."""
    winner = yield from find_winner(run, data)
    return NestedChoice(winner.evaluation, len(winner.evaluations), winner.model)


def shrink(run: RunContext, data: DataSplit, winner: Winner) -> Compressed:
    """Step 6: prune, quantize, round, as far as the recipe's `keep` allows; without `compress`
    nothing happens.
    """
    section = run.loaded.recipe.compress
    if section is None:
        return Compressed(steps=(), model=winner.model, scores=winner.evaluation.scores)
    if winner.evaluation.name == ensemble.NAME:
        why = f"an ensemble ({', '.join(one.name for one in winner.candidates)}) is not compressed"
        step = Step(name="compress", accepted=False, why=why)
        run.context.emit("compression_step", **step.model_dump())
        return Compressed(steps=(step,), model=winner.model, scores=winner.evaluation.scores)
    context = replace(
        run.context.within("compress", step="compress"), deadline=run.limits.deadline(WORK_SHARE)
    )
    run.guard.recover()
    plan = winner.plan
    job = Job(
        section, winner.candidates[0], winner.evaluation, data.training, plan.folds, plan.metrics
    )
    try:
        with run.folder.stage("compress", stage_key(run, data, winner.key, section)) as place:
            if place.aside is not None:
                store(run, compress(job, winner.model, context), place.aside, SPARE)
    except BudgetError as error:
        run.context.emit("warning", text=f"Not compressed: {error}")
        step = Step(name="compress", accepted=False, why=str(error))
        return Compressed(steps=(step,), model=winner.model, scores=winner.evaluation.scores)
    return state.load(place.folder, Compressed)


def finish(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Run:
    """Score the holdout, measure, write the report and the bundle. The holdout is touched here,
    once.
    """
    packaged = package(run, data, winner, compressed)
    run.context.emit("run_finished", bundle=str(packaged.bundle), candidate=winner.evaluation.name)
    warnings = report.texts(run.folder.history(), "warning")
    board = leaderboard.leaderboard(winner.evaluations, winner.plan.metrics[0])
    return Run(
        run.folder.path, packaged.bundle, packaged.receipt, board, warnings, packaged.verdict
    )
