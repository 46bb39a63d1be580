"""The last stage: score the holdout, measure, write the report; then the bundle, if its graph
answers as the pipeline does.
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sixfold.bundle.manifest import EXPLAIN, MODEL, PARITY
from sixfold.bundle.parity import unpack
from sixfold.bundle.runtime import runtime_plugin
from sixfold.bundle.write import BundleParts, LanguageParts, write_bundle
from sixfold.compress.compress import Compressed
from sixfold.evaluate import out_of_fold
from sixfold.evaluate.shuffling import Effort
from sixfold.explain.permutation import importances
from sixfold.package import http_latency, own_bundle, planned, receipt, recommendation, report
from sixfold.package.data_uris import DataUris
from sixfold.package.explanation import ReportShare, cohorts, explained, explanation
from sixfold.package.html import render
from sixfold.package.kept_limits import with_limits
from sixfold.package.made import Made, settled
from sixfold.package.players import players
from sixfold.package.thumbnails import of_stored, thumbnails
from sixfold.plan.run_context import SPARE, DataSplit, RunContext, stage_key
from sixfold.recipe.load import Loaded
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report, Reproduction
from sixfold.recipe.signature import Signature
from sixfold.recipe.task import OWN_RUNTIMES
from sixfold.runs.folder import RunFolder
from sixfold.select.served_limits import ServedLimits
from sixfold.select.winner import Winner


@dataclass(frozen=True)
class Packaged:
    """The bundle's folder and its receipt; `verdict`: the result in sentences."""

    bundle: Path
    receipt: Receipt
    verdict: tuple[str, ...]


def package(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Packaged:
    """Raises BundleError where the graph does not answer as the trained pipeline does: no bundle is
    written then.
    """
    recipe = run.loaded.recipe
    keys = [
        *(candidate.key() for candidate in winner.plan.candidates),
        repr(winner.nested),
        winner.key,
    ]
    keys += [repr((one.name, one.numbers, one.dropped, one.ahead)) for one in winner.evaluations]
    sections = [
        section for section in (recipe.compress, recipe.serve, recipe.report) if section is not None
    ]
    with run.folder.stage("outcome", stage_key(run, data, "".join(keys), *sections)) as place:
        if place.aside is not None:
            _write(run, data, winner, compressed, place.aside)
    verdict = Report.model_validate_json(
        (place.folder / "report.json").read_text(encoding="utf-8")
    ).verdict
    written = _bundle(
        place.folder, run.folder, run.loaded
    )  # for which this stage may go, where the disk is short
    if data.training.target.task == "generation":
        _of_language().keep_epochs(run, data, winner, written)
    return Packaged(run.folder.path / "bundle", written, verdict)


def _write(
    run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed, aside: Path
) -> None:
    """Everything that the bundle is made of, and the predictions out of fold."""
    made = _made(run, data, winner, compressed)
    steps = Reproduction(
        command=f"sixfold run {run.loaded.name}",
        recipe=run.loaded.text,
        data_sha256=data.digest,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    content, folder = made.report, run.folder
    files = dict(made.files)
    table, listed = data.training.table, content.examples
    shown = {**thumbnails(table, listed), **players(table, listed)}
    page = render(content, steps, shown, _explained_images(made))
    files["report.html"] = page.encode("utf-8")
    for name, part in (
        ("signature", made.signature),
        ("receipt", content.receipt),
        ("report", content),
    ):
        files[f"{name}.json"] = part.model_dump_json().encode("utf-8")
    folder.disk.room(sum(map(len, files.values())), (*SPARE, "compress", "refit*"), keep=(aside,))
    for name, written in files.items():
        (aside / name).parent.mkdir(exist_ok=True)
        (aside / name).write_bytes(written)
    out_of_fold.write(answers := io.BytesIO(), data.training, winner.evaluations, winner.plan.folds)
    if folder.disk.has_room(len(answers.getbuffer())):
        (aside / "out_of_fold.parquet").write_bytes(answers.getbuffer())


def _explained_images(made: Made) -> DataUris:
    """Of stored rows whose answers the report explains."""
    if made.report.explained is None or not made.report.explained.examples:
        return {}
    stored = unpack(made.files[PARITY], PARITY, made.signature)
    return of_stored(stored.rows, made.report.explained)


def _made(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Made:
    """By what answers: a graph, or files of its own."""
    task, make = data.training.target.task, _of_graph
    if task == "recommendation":
        make = recommendation.make
    elif task == "generation":
        make = _of_language().make
    return make(run, data, winner, compressed)


def _of_graph(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Made:
    """A pipeline that is one graph."""
    clock = receipt.RunClock(run.limits.started, run.limits.deadline(1.0))
    measured = receipt.measure(run.loaded.recipe, data, winner, compressed, run.context.seed, clock)
    effort = Effort(deadline=run.limits.report() or float("inf"))
    shuffled = importances(
        winner.evaluation, data.training, winner.plan.folds, run.context.seed, effort
    )
    limits = ServedLimits.of(run.loaded.recipe.budget)
    made = settled(measured.receipt, winner)
    made = with_limits(made, measured.model, data.training.table, limits)
    runtime = run.loaded.recipe.runtime
    kept = explanation(compressed.model, data.training.table, measured, runtime)
    parts = BundleParts(  # the report is not served
        measured.model,
        measured.signature,
        run.loaded.text,
        made,
        "",
        "{}",
        measured.parity,
        runtime,
        kept,
    )
    made = receipt.with_http(made, http_latency.over_http(parts, run.limits.deadline(1.0)))
    shown = run.loaded.recipe.report.examples
    lines = planned.lines(run.folder, run.limits.started)
    told = report.Told(
        explained(measured, kept, runtime, ReportShare(effort.left_s(), shown)),
        cohorts(data.training, winner, effort),
    )
    findings = report.Findings(
        shuffled, run.folder.history(), compressed.model.fitted, shown, lines, told
    )
    content = report.report(made, data.training, winner, findings)
    files = {MODEL: measured.model, PARITY: measured.parity.packed(), EXPLAIN: kept}
    return Made(files, measured.signature, content)


def _of_language() -> Any:
    """`language_outcome`, which needs an extra that other runs do without: see there."""
    return importlib.import_module("sixfold.package.language_outcome")


def _bundle(done: Path, folder: RunFolder, loaded: Loaded) -> Receipt:
    made = Receipt.model_validate_json((done / "receipt.json").read_text(encoding="utf-8"))
    signature = Signature.model_validate_json((done / "signature.json").read_text(encoding="utf-8"))
    texts = [(done / name).read_text(encoding="utf-8") for name in ("report.html", "report.json")]
    runtime = loaded.recipe.runtime
    parts: BundleParts | LanguageParts
    if signature.task in OWN_RUNTIMES:
        own = {*runtime_plugin(runtime).files, PARITY}
        files = {name: done / name for name in sorted(own)}
        parts = LanguageParts(files, signature, loaded.text, made, texts[0], texts[1], runtime)
    else:
        parity = unpack((done / PARITY).read_bytes(), str(done / PARITY), signature)
        model = (done / MODEL).read_bytes()
        kept = (done / EXPLAIN).read_bytes() if (done / EXPLAIN).is_file() else b""
        parts = BundleParts(
            model, signature, loaded.text, made, texts[0], texts[1], parity, runtime, kept
        )
    size = sum(path.stat().st_size for path in done.rglob("*") if path.is_file())
    folder.disk.room(
        size, (*SPARE, "refit*", "compress", "outcome")
    )  # where the disk is short, the bundle alone is left
    own_bundle.make_way(folder, runtime)
    write_bundle(folder.path / "bundle", parts)
    return made
