"""The six steps, one after the other: the whole story. This file alone joins the kinds; what it calls receives objects.

    data → (prepare → build → initialize → train) on every fold → evaluate → refit → compress → bundle

With `evaluate.nested` what is between data and compress is done once more for every outer fold, on its training rows alone.

Each stage is `stage(work, previous) -> result`. It is done once: when the same command runs again, a finished stage is
read back from the run folder, and the unfinished one is done.
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sixfold.bundle.parity import unpack
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.compress.compress import Compressed, Job, compress
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.data import holdout, lone_predictors, test_rows
from sixfold.data import load as data_load
from sixfold.evaluate import out_of_fold
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.folds import scheme_of, thin_classes
from sixfold.evaluate.model import Model, fit_model
from sixfold.evaluate.shuffling import Effort
from sixfold.explain.permutation import importances
from sixfold.package import http_latency, own_bundle, report
from sixfold.package.html import render
from sixfold.package.receipt import Clock, measure, of_fold, with_http, with_nested
from sixfold.parts import state
from sixfold.parts.table import Dataset
from sixfold.plan.rules import Planning
from sixfold.plan.run_context import DataSplit, Plan, RunContext, digest, joint_digest, stage_key, store
from sixfold.recipe.load import Loaded
from sixfold.recipe.receipt import Nested, Receipt, Step
from sixfold.recipe.report import Report, Reproduction
from sixfold.recipe.signature import Signature
from sixfold.runs import environment
from sixfold.runs.budget import WORK_SHARE, Limits
from sixfold.runs.context import Context
from sixfold.runs.folder import Listener, RunFolder
from sixfold.runs.memory import MemoryGuard
from sixfold.runs.saves import EVERY_S
from sixfold.select import ensemble, leaderboard
from sixfold.select.comparison import refit_end
from sixfold.select.estimates import again_s
from sixfold.select.nested import NestedChoice, nest
from sixfold.select.searching import compare
from sixfold.train import threads
from sixfold.train.candidate import Candidate
from sixfold.train.device import describe, device_of

# Stages that nothing reads once there is a winner: they go first where the disk is short.
SPARE = ("evaluate-*", "nested-*")


@dataclass(frozen=True)
class Winner:
    """Steps 1 to 5: the best candidate (the members of an ensemble), its scores on every fold, and the model refitted on all
    training rows. `key`: what the model depends on, besides the rows. `nested`: what to expect of such a choice. `fold`:
    where there was no time to train again, the fold whose model it is.
    """

    candidates: tuple[Candidate, ...]
    key: str
    evaluation: Evaluation
    model: Model
    nested: Nested | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the bundle in it, the receipt, how the candidates compared, and the report's `verdict`."""

    folder: Path
    bundle: Path
    receipt: Receipt
    leaderboard: leaderboard.Leaderboard
    warnings: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        notes = self.receipt.nested.sentences() if self.receipt.nested else ()
        nested = "".join(f"<p>{html.escape(text)}</p>" for text in notes)
        return self.leaderboard._repr_html_() + nested + f"<p>Bundle: <code>{self.bundle}</code></p>"


def run(
    loaded: Loaded,
    out: Path,
    listeners: Sequence[Listener] = (),
    dataset: Dataset | None = None,
    started: float | None = None,
    save_every_s: float = EVERY_S,
) -> Run:
    """Execute a recipe in folder `out`. The same call again continues a run that was killed.

    `dataset` takes the place of `data.source` (a table that is in memory already). `started`: time.monotonic() at which the
    time budget began; left out, now. `save_every_s`: seconds between two saved states of a training. Raises a SixfoldError.
    """
    limits = Limits.start(loaded.recipe.budget, started)
    guard, opened = MemoryGuard(limits.memory_bytes), RunFolder(out, listeners, save_every_s, limits.disk_bytes)
    with loaded.placing(), guard, opened as folder, threads.one_order():
        device = device_of(loaded.recipe.budget.device).type
        context = Context(loaded.recipe.initialize.seed, folder.emit, device=device, check_memory=guard.check)
        work = RunContext(loaded, folder, limits, context, guard=guard)
        own_bundle.check(folder)
        environment.tell(folder)
        rows = read(work, dataset)
        work = replace(work, limits=limits.of_table(len(rows.training.table.columns)))
        plan = plan_work(work, rows)
        plan, evaluations, winner = find_winner(work, rows, plan)
        compressed = shrink(work, rows, plan, winner)
        guard.rest()  # over the budget or not: the run ends with what it has
        winner = replace(winner, nested=nest(work, rows, plan.metrics, choose_again))
        return finish(work, rows, plan, evaluations, winner, compressed)


def read(work: RunContext, dataset: Dataset | None = None) -> DataSplit:
    """Step 0: read the table, say what was seen, put the holdout aside."""
    recipe = work.loaded.recipe
    if recipe.data.test is not None:
        return _read_both(work, dataset)
    whole = dataset or data_load.load(recipe.data, recipe.task, work.loaded.base, _reading(work))
    training, held_out = holdout.split(whole, recipe.data)
    return _announced(work, DataSplit(whole.take(training), whole.take(held_out), digest(whole)))


def _read_both(work: RunContext, dataset: Dataset | None) -> DataSplit:
    """A training file, and another one as the holdout."""
    if dataset is not None:
        raise RecipeError(
            "data.test",
            "a training table that is a file, too",
            "one in memory",
            "Hold out a share with data.holdout, or write the table to a file and name it in data.source.",
        )
    recipe = work.loaded.recipe
    training, held_out = test_rows.load(recipe.data, recipe.task, work.loaded.base, _reading(work))
    return _announced(work, DataSplit(training, held_out, joint_digest(training, held_out)))


def _reading(work: RunContext) -> MemoryLimit:
    """What reading may take."""
    return MemoryLimit.of(work.loaded.recipe.budget.memory)


def _announced(work: RunContext, rows: DataSplit) -> DataSplit:
    """Say what was noticed while reading."""
    work.guard.check()
    for text in rows.training.notes:
        work.context.emit("note", text=text)
    alone = lone_predictors.warning(rows.training, work.loaded.recipe.data.seed)
    for text in [*rows.training.warnings, *([alone] if alone else [])]:
        work.context.emit("warning", text=text)
    work.context.emit("rows", training=rows.training.table.rows, held_out=rows.held_out.table.rows)
    return rows


def plan_work(work: RunContext, rows: DataSplit) -> Plan:
    """Resolve candidates, folds and metrics; say why where Sixfold chose. Raises what `check` would have told."""
    recipe, planned = work.loaded.recipe, Planning(work.loaded.recipe, rows.training).checked()
    scheme, why = scheme_of(recipe.evaluate, rows.training)
    if why:
        work.context.emit("note", text=f"Folds: {scheme}, {len(planned.folds)}: {why}.")
    if planned.chosen.why:
        work.context.emit("note", text=f"Metrics: {planned.chosen.why}")
    thin = thin_classes(planned.folds, rows.training)
    if thin and not work.inside:  # of an outer fold's part it is no news
        work.context.emit("warning", text=thin)
    if recipe.evaluate.search is not None:
        work.context.emit("search_planned", trials=recipe.evaluate.search.trials)
        return Plan((), planned.folds, planned.metrics, planned.baseline)
    for candidate in planned.candidates:
        work.context.emit("candidate_planned", candidate=candidate.name, why=candidate.why)
    for text in describe(work.context.device, planned.candidates):
        work.context.emit("note", text=text)
    return Plan(planned.candidates, planned.folds, planned.metrics, planned.baseline)


def find_winner(work: RunContext, rows: DataSplit, plan: Plan) -> tuple[Plan, list[Evaluation], Winner]:
    """Steps 1 to 5: compare all candidates and their ensemble, train the winner again. Raises BudgetError, FitError."""
    plan, evaluations = compare(work, rows, plan)
    evaluations += blend(work, rows, plan, evaluations)
    return plan, evaluations, refit(work, rows, plan, evaluations)


def choose_again(work: RunContext, rows: DataSplit) -> NestedChoice:
    """The same with the training rows of an outer fold: what `nest` asks for."""
    _, evaluations, winner = find_winner(work, rows, plan_work(work, rows))
    return NestedChoice(winner.evaluation, len(evaluations), winner.model)


def blend(work: RunContext, rows: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The ensemble of the candidates as one more of them, where the recipe asks for it and two or more can be averaged."""
    if not work.loaded.recipe.evaluate.ensemble:
        return []
    members, notes = ensemble.members(evaluations)
    for text in [*notes, *(["No ensemble: it takes two candidates or more."] if len(members) < 2 else [])]:
        work.context.emit("note", text=text)
    if len(members) < 2:
        return []

    def work_on(folder: Path) -> None:
        found = ensemble.cross_validate(members, rows.training, plan.folds, plan.metrics, _threshold(plan))
        store(work, found, folder)

    keys = [candidate.key() for candidate in plan.candidates if candidate.name in {one.name for one in members}]
    done = work.folder.stage(f"{work.inside}evaluate-ensemble", stage_key(work, rows, "".join(keys)), work_on)
    found = state.load(done, Evaluation)
    work.context.emit("candidate_finished", candidate=found.name, scores=found.means())
    return [found]


def refit(work: RunContext, rows: DataSplit, plan: Plan, evaluations: Sequence[Evaluation]) -> Winner:
    """The winner, trained again on all training rows; of an ensemble every member that has a weight. Where a budget does
    not allow that, the model of its first fold.
    """
    best = evaluations[leaderboard.best(evaluations, plan.metrics[0])]
    work.context.emit("winner", candidate=best.name, metric=plan.metrics[0])
    chosen, found = _chosen(plan, rows, evaluations, best)
    key = "".join([repr(found), *(candidate.key() for candidate in chosen)])
    needed_s = again_s(chosen, plan, evaluations, rows.training)
    try:
        model = _trained_again(work, rows, (chosen, found, key), refit_end(work, rows, plan, chosen, needed_s))
    except BudgetError as error:
        if work.inside:
            raise
        text = f"{best.name} is not trained on all rows: {error} The model is that of fold {best.numbers[0] + 1}."
        work.context.emit("warning", text=text, cut=True)
        return Winner(chosen, f"{key} of a fold of {len(plan.folds)}", best, best.models[0], fold=best.numbers[0])
    parts = [f"{weight:.2f} · {one.name}" for weight, one in zip(found.weights, chosen, strict=True)]
    for text in [*([f"Ensemble: {' + '.join(parts)}."] if len(parts) > 1 else []), *model.notes]:
        work.context.emit("note", text=text)
    return Winner(chosen, key, best, model)


def _trained_again(
    work: RunContext, rows: DataSplit, what: tuple[Sequence[Candidate], ensemble.Blend, str], end: float | None
) -> Model:
    """The candidates on all training rows, blended, until `end`. `what`: candidates, weights, key. Raises BudgetError."""
    chosen, found, key = what
    name = f"{work.inside}refit"
    saves = work.folder.saves(name, stage_key(work, rows, key))

    def work_on(folder: Path) -> None:
        models = []
        for number, candidate in enumerate(chosen):
            deadline = work.limits.part(end, len(chosen) - number)
            context = replace(work.context.within("refit", candidate=candidate.name), deadline=deadline, saves=saves)
            context.check_time(f"training {candidate.name} on all rows")
            models.append(fit_model(candidate, rows.training, context))
        store(work, ensemble.combine(models, found), folder, SPARE)

    return state.load(work.folder.stage(name, stage_key(work, rows, key), work_on), Model)


def _chosen(
    plan: Plan, rows: DataSplit, evaluations: Sequence[Evaluation], best: Evaluation
) -> tuple[tuple[Candidate, ...], ensemble.Blend]:
    """The candidates that the winner is made of, and their weights."""
    parts, found = [best], ensemble.Blend((1.0,), None)
    if best.name == ensemble.NAME:
        members, _ = ensemble.members(evaluations[:-1])
        seen = ensemble.seen(members, np.arange(rows.training.table.rows))
        found = ensemble.blend(members, rows.training.target, seen, plan.metrics[0], _threshold(plan))
        parts = [member for member, weight in zip(members, found.weights, strict=True) if weight > 0]
        found = found._replace(weights=tuple(weight for weight in found.weights if weight > 0))
    named = {candidate.name: candidate for candidate in plan.candidates}
    return tuple(named[part.name] for part in parts), found


def _threshold(plan: Plan) -> str:
    """The metric that the ensemble's own threshold maximises: that of all candidates, or none where they differ."""
    asked = {candidate.calibration.threshold for candidate in plan.candidates}
    return asked.pop() if len(asked) == 1 else "none"


def shrink(work: RunContext, rows: DataSplit, plan: Plan, winner: Winner) -> Compressed:
    """Step 6: prune, quantise, round, as far as the recipe's `keep` allows; without `compress` nothing happens."""
    section = work.loaded.recipe.compress
    if section is None:
        return Compressed(steps=(), model=winner.model, scores=winner.evaluation.scores)
    if winner.evaluation.name == ensemble.NAME:
        why = f"an ensemble ({', '.join(one.name for one in winner.candidates)}) is not compressed"
        step = Step(name="compress", accepted=False, why=why)
        work.context.emit("compression_step", **step.model_dump())
        return Compressed(steps=(step,), model=winner.model, scores=winner.evaluation.scores)
    context = replace(work.context.within("compress", step="compress"), deadline=work.limits.deadline(WORK_SHARE))
    work.guard.recover()
    job = Job(section, winner.candidates[0], winner.evaluation, rows.training, plan.folds, plan.metrics)

    def work_on(folder: Path) -> None:
        store(work, compress(job, winner.model, context), folder, SPARE)

    try:
        done = work.folder.stage("compress", stage_key(work, rows, winner.key, section), work_on)
    except BudgetError as error:
        work.context.emit("warning", text=f"Not compressed: {error}")
        step = Step(name="compress", accepted=False, why=str(error))
        return Compressed(steps=(step,), model=winner.model, scores=winner.evaluation.scores)
    return state.load(done, Compressed)


def finish(
    work: RunContext,
    rows: DataSplit,
    plan: Plan,
    evaluations: Sequence[Evaluation],
    winner: Winner,
    compressed: Compressed,
) -> Run:
    """Score the holdout, measure, write the report; then the bundle, if its graph answers as the pipeline does."""
    recipe, folder = work.loaded.recipe, work.folder

    def work_on(aside: Path) -> None:
        data, results = (rows.training, rows.held_out), (winner.evaluation, winner.model, compressed)
        clock = Clock(work.limits.started, work.limits.deadline(1.0))
        measured = measure(recipe, data, (plan.metrics, plan.baseline), results, work.context.seed, clock)
        effort = Effort(deadline=work.limits.report() or float("inf"))
        shuffled = importances(winner.evaluation, rows.training, plan.folds, work.context.seed, effort)
        found = (shuffled, folder.history(), compressed.model.fitted)
        trained = None if winner.fold is None else (winner.fold, len(plan.folds[winner.fold].train))
        receipt = with_nested(of_fold(measured.receipt, trained), winner.nested)
        parts = BundleParts(  # the report is not served
            measured.model, measured.signature, work.loaded.text, receipt, "", "{}", measured.parity
        )
        receipt = with_http(receipt, http_latency.over_http(parts, work.limits.deadline(1.0)))
        content = report.report(receipt, rows.training, evaluations, plan.baseline, found, plan.folds)
        steps = Reproduction(
            command=f"sixfold run {work.loaded.name}",
            recipe=work.loaded.text,
            data_sha256=rows.digest,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
        files = {"model.onnx": measured.model, "parity.jsonl.gz": measured.parity.packed()}
        files["report.html"] = render(content, steps).encode("utf-8")
        for name, part in (("signature", measured.signature), ("receipt", receipt), ("report", content)):
            files[f"{name}.json"] = part.model_dump_json().encode("utf-8")
        folder.disk.room(sum(map(len, files.values())), (*SPARE, "compress", "refit"), keep=(aside,))
        for name, written in files.items():
            (aside / name).write_bytes(written)
        out_of_fold.write(answers := io.BytesIO(), rows.training, evaluations, plan.folds)
        if folder.disk.has_room(len(answers.getbuffer())):
            (aside / "out_of_fold.parquet").write_bytes(answers.getbuffer())

    keys = [*(candidate.key() for candidate in plan.candidates), repr(winner.nested), winner.key]
    keys += [repr((one.name, one.numbers, one.dropped)) for one in evaluations]
    sections = [section for section in (recipe.compress, recipe.serve) if section is not None]
    done = folder.stage("outcome", stage_key(work, rows, "".join(keys), *sections), work_on)
    notes = Report.model_validate_json((done / "report.json").read_text(encoding="utf-8")).verdict
    receipt = _write_bundle(done, folder, work.loaded.text)  # for which this stage may go, where the disk is short
    work.context.emit("run_finished", bundle=str(folder.path / "bundle"), candidate=winner.evaluation.name)
    warnings = report.texts(folder.history(), "warning")
    board = leaderboard.leaderboard(evaluations, plan.metrics[0])
    return Run(folder.path, folder.path / "bundle", receipt, board, warnings, notes)


def _write_bundle(done: Path, folder: RunFolder, recipe: str) -> Receipt:
    receipt = Receipt.model_validate_json((done / "receipt.json").read_text(encoding="utf-8"))
    signature = Signature.model_validate_json((done / "signature.json").read_text(encoding="utf-8"))
    parity = unpack((done / "parity.jsonl.gz").read_bytes(), str(done / "parity.jsonl.gz"), signature)
    page, content = ((done / name).read_text(encoding="utf-8") for name in ("report.html", "report.json"))
    model = (done / "model.onnx").read_bytes()
    size = sum(path.stat().st_size for path in done.iterdir())
    folder.disk.room(
        size, (*SPARE, "refit", "compress", "outcome")
    )  # where the disk is short, the bundle alone is left
    own_bundle.make_way(folder)
    write_bundle(folder.path / "bundle", BundleParts(model, signature, recipe, receipt, page, content, parity))
    return receipt
