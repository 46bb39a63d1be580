"""Everything that can be checked about a bundle, checked again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from sixfold.bundle import manifest, page
from sixfold.bundle.agreement import disagreement
from sixfold.bundle.load import Bundle, from_files, section_of
from sixfold.bundle.parity import check_parity, unpack
from sixfold.bundle.runtime import Proves, Runtime, RuntimePlugin, Transcribes, runtime_plugin
from sixfold.core.errors import BundleError
from sixfold.core.units import show_bytes
from sixfold.recipe.report import Report

ANSWER_S: Final = 8.0  # of processor time for all stored rows: four times what those of large kernel machines take; guessed
FILE_S: Final = (
    1.0  # the same for every stored file: what a minute of sound takes by a wide search; guessed
)
# Of a network whose file is large enough to let a row take more: it is asked for each file in several forms.
FORMS: Final = 4
PRODUCTS_A_S: Final = 3e9  # a third of what one core does with Whisper's (measured)


def verify(path: str | Path, allow: Collection[str] = ()) -> list[str]:
    """What was checked, a sentence each; `allow`: as in `load`. Raises BundleError at the first
    thing that is wrong.

    Every file is read once: what was hashed is what is looked at. Each is let go when it has been
    looked at.
    """
    folder = Path(path)
    sealed = manifest.read(folder, allow)
    files = sealed.files
    total = sum(map(sealed.size_bytes, (*files, *sealed.large)))
    checked = [
        f"manifest: {len(files) + len(sealed.large)} files, {show_bytes(total)}, every SHA-256 agrees, nothing else in the folder"
    ]
    page.check(files.pop("report.html"), folder / "report.html")
    report = section_of(Report, "report.json", files, folder)
    del files["report.json"]
    plugin = runtime_plugin(sealed.runtime)
    model_bytes = sum(map(sealed.size_bytes, _model_files(plugin)))
    bundle = from_files(sealed, allow)
    parity_file = files.pop("parity.jsonl.gz")
    files.clear()
    if bundle.recipe.runtime != sealed.runtime:
        expected = f"serve.runtime: {sealed.runtime}, as in the manifest"
        raise BundleError(
            str(folder / "recipe.yaml"), expected, bundle.recipe.runtime, manifest.AGAIN
        )
    if found := disagreement(bundle.signature, bundle.recipe, bundle.receipt, report, model_bytes):
        where, expected, what = found
        raise BundleError(str(folder / where), expected, what, manifest.AGAIN)
    checked += [plugin.proves, *_sentences(bundle, report)]
    del report
    checked.append(_proved(bundle, parity_file))
    return checked


def _model_files(plugin: RuntimePlugin) -> Collection[str]:
    """Whose bytes the receipt tells."""
    return [plugin.model_file] if isinstance(plugin, manifest.KeepsOnDisk) else plugin.files


def _proved(bundle: Bundle, content: bytes) -> str:
    """What was stored, answered again."""
    runtime, told = bundle.predictor.runtime, bundle.receipt.parity_rows
    if isinstance(runtime, Proves):
        where = str(bundle.path / manifest.PARITY)
        proved = runtime.prove(content, where)
        if proved.rows != told:
            raise BundleError(where, f"{told} stored answers", f"{proved.rows}", manifest.AGAIN)
        return f"parity: {proved.told}"
    worst = _stored_rows(bundle, content)
    explained = "" if bundle.explainer.not_exact else "; attributions add up to the answers"
    return f"parity: {told:,} stored rows answered again, largest difference {worst:.1e}{explained}"


def _stored_rows(bundle: Bundle, content: bytes) -> float:
    """The largest difference of the stored rows' answers."""
    where, rows = bundle.path / "parity.jsonl.gz", bundle.receipt.parity_rows
    if rows < 1:
        raise BundleError(
            str(bundle.path / "receipt.json"), "a number of stored rows", f"{rows}", manifest.AGAIN
        )
    parity = unpack(content, str(where), bundle.signature, rows)
    bundle.explainer.check(parity.rows)
    files = rows * len(bundle.predictor.file_columns)
    with bundle.predictor.within(ANSWER_S + _file_s(bundle.predictor.runtime) * files):
        return check_parity(bundle.predictor, parity, str(bundle.path / "model.onnx"))


def _file_s(runtime: Runtime) -> float:
    """Of processor time, by what was counted in its graph before it ran."""
    products = runtime.transcriber().row_products if isinstance(runtime, Transcribes) else 0
    return max(FILE_S, FORMS * products / PRODUCTS_A_S)


def _sentences(bundle: Bundle, report: Report) -> list[str]:
    signature, receipt = bundle.signature, bundle.receipt
    return [
        f"signature.json: {len(signature.inputs)} inputs and {len(signature.outputs)} outputs as in the graph, "
        "by name, type and shape; its classes, targets and levels agree with each other",
        f"recipe.yaml: read as a recipe, '{bundle.recipe.name}'; task, target, columns and missing values as in the signature",
        f"receipt.json: {receipt.candidate}; name, metrics, raw columns, stored rows and bytes of the model agree",
        f"report.json: the same receipt; {len(report.leaderboard)} candidates, columns and classes agree",
        "report.html: a page that runs no script and loads nothing; its text is not compared",
    ]
