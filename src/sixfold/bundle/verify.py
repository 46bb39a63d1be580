"""Everything that can be checked about a bundle, checked again."""

from __future__ import annotations

from pathlib import Path

from sixfold.bundle import manifest
from sixfold.bundle.load import from_files, json_of
from sixfold.bundle.parity import check_parity, unpack
from sixfold.core.errors import BundleError
from sixfold.core.units import show_bytes


def verify(path: str | Path) -> list[str]:
    """What was checked, a sentence each. Raises BundleError at the first thing that is wrong."""
    folder = Path(path)
    files = manifest.read(folder)
    total = sum(map(len, files.values()))
    checked = [f"manifest: {len(files)} files, {show_bytes(total)}, every SHA-256 agrees, nothing else in the folder"]
    bundle = from_files(folder, files)
    signature = bundle.signature
    checked.append("model.onnx: every tensor is inside; onnxruntime runs it")
    checked.append(
        f"signature.json: {len(signature.inputs)} inputs and {len(signature.outputs)} outputs as in the graph, "
        "by name, type and shape"
    )
    checked.append(f"recipe.yaml: readable, '{bundle.recipe.name}'")
    checked.append(f"receipt.json: readable, {bundle.receipt.candidate}")
    json_of(files["report.json"], folder / "report.json")
    parity = unpack(files["parity.jsonl.gz"], str(folder / "parity.jsonl.gz"))
    worst = check_parity(bundle.predictor, parity, str(folder / "model.onnx"))
    if bundle.receipt.parity_rows not in (0, len(parity.rows)):
        raise BundleError(
            str(folder / "receipt.json"), f"{len(parity.rows)} stored rows", f"{bundle.receipt.parity_rows}",
            "The receipt is of another bundle: copy the bundle again from where it was made.",
        )  # fmt: skip
    checked.append(f"parity: {len(parity.rows):,} stored rows answered again, largest difference {worst:.1e}")
    return checked
