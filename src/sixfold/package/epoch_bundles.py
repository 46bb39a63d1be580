"""The models that were kept of the last epochs of a language model's training, each as a bundle that is served."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sixfold.bundle.language.parity import packed
from sixfold.bundle.manifest import PARITY
from sixfold.bundle.page import START
from sixfold.bundle.write import LanguageParts, write_bundle
from sixfold.evaluate.model import Model
from sixfold.package import language
from sixfold.package.language_parity import stored_texts
from sixfold.parts import state
from sixfold.parts.language_model import LanguageModel
from sixfold.plan.run_context import SPARE, DataSplit, RunContext, stage_key
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report
from sixfold.runs.saves import EPOCH
from sixfold.select.winner import Winner

STAGE: Final = "checkpoints"  # epoch-1, epoch-2 …: bundles
HOW: Final = (
    "Holdout: documents put aside before anything was learned, scored once, by the model of this epoch's end.",
    "Bytes: the size of model.gguf, which is what answers. Its speed is that of the run's last model, and not measured here.",
)


def write(run: RunContext, data: DataSplit, winner: Winner, last: Receipt) -> None:
    """A bundle for each, in the stage `checkpoints`. `last`: the receipt of the run's own bundle. Raises BundleError."""
    found = sorted((run.folder.path / "refit").glob(f"{EPOCH}*"), key=_epoch)
    if not found or winner.fold is not None or len(winner.candidates) != 1:
        return
    key = stage_key(run, data, f"{winner.key} {[one.name for one in found]}")
    with run.folder.stage(STAGE, key) as place:
        if place.aside is not None:
            for kept in found:
                model = replace(winner.model, fitted=state.load(kept, LanguageModel))
                _write(run, data, winner, _Epoch(model, _epoch(kept), last), place.aside)


@dataclass(frozen=True)
class _Epoch:
    """The model of epoch `number`; `last`: the receipt of the run's last model."""

    model: Model
    number: int
    last: Receipt


def _write(run: RunContext, data: DataSplit, winner: Winner, epoch: _Epoch, aside: Path) -> None:
    recipe = run.loaded.recipe
    served = language.served_file(epoch.model, recipe.name)
    checkpoint = language.checkpoint_files(epoch.model)
    texts = language.some_texts(data.training, epoch.model.preparer.inputs)
    proof = stored_texts(checkpoint, served, texts)
    content = {
        **language.bundle_files(epoch.model),
        language.GGUF: served,
        PARITY: packed(proof),
    }
    run.folder.disk.room(2 * sum(map(len, content.values())), SPARE, keep=(aside,))
    files = _on_disk(content, aside / "parts")
    cost = language.cost_of(epoch.model, served)
    scores = epoch.model.scores(data.held_out, winner.plan.metrics)
    quality = tuple(
        one.model_copy(
            update={
                "folds_before": (),
                "folds_after": (),
                "holdout_before": scores.get(one.metric),
                "holdout_after": scores.get(one.metric),
            }
        )
        for one in epoch.last.quality
    )
    changes = {"quality": quality, "before": cost, "after": cost, "parity_rows": len(proof)}
    changes |= {"steps": (), "verdict": "not asked for", "divergence": None, "how": HOW}
    receipt = epoch.last.model_copy(update=changes)
    told = f"The model after epoch {epoch.number}; the report of the run stands in its own bundle."
    report = Report(
        verdict=(told,), columns=(), baseline={}, leaderboard=(), receipt=receipt
    ).model_dump_json()
    parts = LanguageParts(
        files,
        language.signature_of(epoch.model, data.training, recipe),
        run.loaded.text,
        receipt,
        f"{START}<title>{recipe.name}</title><p>{told}</p>",
        report,
        recipe.runtime,
    )
    write_bundle(aside / f"{EPOCH}{epoch.number}", parts)
    shutil.rmtree(aside / "parts")


def _on_disk(content: Mapping[str, bytes], folder: Path) -> dict[str, bytes | Path]:
    """Name → file: what is served is read from a disk."""
    found: dict[str, bytes | Path] = {}
    for name, one in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one)
        found[name] = path
    return found


def _epoch(kept: Path) -> int:
    return int(kept.name.removeprefix(EPOCH))
