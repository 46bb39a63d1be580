"""sixfold export: a model for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json
from sixfold.core.visible import one_line


@click.command(name="export")
@click.argument("bundle", type=EXISTING)
@click.option("--gguf", type=EXISTING, help="The file to write, for llama.cpp, ollama, LM Studio.")
@click.option("--hf", type=EXISTING, help="The folder to write, for transformers and vLLM.")
@click.option(
    "--mlflow", type=EXISTING, help="The folder to write, for MLflow and its model server."
)
@ALLOW_PLUGIN
@JSON
def command(
    bundle: Path,
    gguf: Path | None,
    hf: Path | None,
    mlflow: Path | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the language model of BUNDLE as one GGUF file, or as a folder of the Hugging Face
    format; or the BUNDLE of rows as an MLflow model.
    """
    from sixfold.bundle.export import export_gguf, export_hf
    from sixfold.bundle.mlflow_model import export_mlflow

    if gguf is None and hf is None and mlflow is None:
        raise click.UsageError("Say what to write: --gguf FILE, --hf FOLDER, or --mlflow FOLDER.")
    written: dict[str, object] = {}
    if gguf is not None:
        written["gguf"] = {"file": str(gguf), "bytes": export_gguf(bundle, gguf, allow)}
    if hf is not None:
        written["hf"] = {"folder": str(hf), "files": export_hf(bundle, hf, allow)}
    if mlflow is not None:
        written["mlflow"] = {"folder": str(mlflow), "files": export_mlflow(bundle, mlflow)}
    if as_json:
        show_json(written)
        return
    for path in (gguf, hf, mlflow):
        if path is not None:
            click.echo(one_line(f"wrote {path}"))
