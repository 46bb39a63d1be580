"""The last stage: score the holdout, measure, write the report; then the bundle, if its graph
answers as the pipeline does.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sixfold.bundle.parity import unpack
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.compress.compress import Compressed
from sixfold.evaluate import out_of_fold
from sixfold.evaluate.shuffling import Effort
from sixfold.explain.permutation import importances
from sixfold.package import http_latency, own_bundle, planned, receipt, report
from sixfold.package.html import render
from sixfold.package.thumbnails import thumbnails
from sixfold.plan.run_context import SPARE, DataSplit, RunContext, stage_key
from sixfold.recipe.load import Loaded
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report, Reproduction
from sixfold.recipe.signature import Signature
from sixfold.runs.folder import RunFolder
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
    keys += [repr((one.name, one.numbers, one.dropped)) for one in winner.evaluations]
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
    return Packaged(run.folder.path / "bundle", written, verdict)


def _write(
    run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed, aside: Path
) -> None:
    """Everything that the bundle is made of, and the predictions out of fold."""
    folder, plan = run.folder, winner.plan
    clock = receipt.RunClock(run.limits.started, run.limits.deadline(1.0))
    measured = receipt.measure(run.loaded.recipe, data, winner, compressed, run.context.seed, clock)
    effort = Effort(deadline=run.limits.report() or float("inf"))
    shuffled = importances(winner.evaluation, data.training, plan.folds, run.context.seed, effort)
    trained = (
        None
        if winner.fold is None
        else receipt.TrainedFold(winner.fold, len(plan.folds[winner.fold].train))
    )
    made = receipt.with_nested(receipt.of_fold(measured.receipt, trained), winner.nested)
    parts = BundleParts(  # the report is not served
        measured.model,
        measured.signature,
        run.loaded.text,
        made,
        "",
        "{}",
        measured.parity,
        run.loaded.recipe.serve.runtime,
    )
    made = receipt.with_http(made, http_latency.over_http(parts, run.limits.deadline(1.0)))
    shown = run.loaded.recipe.report.examples
    lines = planned.lines(folder, run.limits.started)
    findings = report.Findings(shuffled, folder.history(), compressed.model.fitted, shown, lines)
    content = report.report(made, data.training, winner, findings)
    steps = Reproduction(
        command=f"sixfold run {run.loaded.name}",
        recipe=run.loaded.text,
        data_sha256=data.digest,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    files = {"model.onnx": measured.model, "parity.jsonl.gz": measured.parity.packed()}
    files["report.html"] = render(
        content, steps, thumbnails(data.training.table, content.examples)
    ).encode("utf-8")
    for name, part in (("signature", measured.signature), ("receipt", made), ("report", content)):
        files[f"{name}.json"] = part.model_dump_json().encode("utf-8")
    folder.disk.room(sum(map(len, files.values())), (*SPARE, "compress", "refit"), keep=(aside,))
    for name, written in files.items():
        (aside / name).write_bytes(written)
    out_of_fold.write(answers := io.BytesIO(), data.training, winner.evaluations, plan.folds)
    if folder.disk.has_room(len(answers.getbuffer())):
        (aside / "out_of_fold.parquet").write_bytes(answers.getbuffer())


def _bundle(done: Path, folder: RunFolder, loaded: Loaded) -> Receipt:
    made = Receipt.model_validate_json((done / "receipt.json").read_text(encoding="utf-8"))
    signature = Signature.model_validate_json((done / "signature.json").read_text(encoding="utf-8"))
    parity = unpack(
        (done / "parity.jsonl.gz").read_bytes(), str(done / "parity.jsonl.gz"), signature
    )
    page, content = (
        (done / name).read_text(encoding="utf-8") for name in ("report.html", "report.json")
    )
    model = (done / "model.onnx").read_bytes()
    size = sum(path.stat().st_size for path in done.iterdir())
    folder.disk.room(
        size, (*SPARE, "refit", "compress", "outcome")
    )  # where the disk is short, the bundle alone is left
    runtime = loaded.recipe.serve.runtime
    own_bundle.make_way(folder, runtime)
    write_bundle(
        folder.path / "bundle",
        BundleParts(model, signature, loaded.text, made, page, content, parity, runtime),
    )
    return made
