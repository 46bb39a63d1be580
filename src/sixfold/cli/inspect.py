"""sixfold inspect: what a bundle or a run folder holds."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json


@click.command(name="inspect")
@click.argument("path", type=EXISTING)
@click.option("--example", is_flag=True, help="Print a CSV with a typical row instead: to try predict and serve.")
@JSON
def command(path: Path, example: bool, as_json: bool) -> None:
    """Show the signature, receipt and sizes of a bundle; the stages and events of a run folder."""
    if (path / "events.jsonl").exists() and not (path / "model.onnx").exists():
        facts = _run_folder(path)
        show_json(facts) if as_json else _print_run(facts)
        return
    from sixfold.bundle.load import load

    bundle = load(path)
    if example:
        _example(bundle)
        return
    facts = {
        "name": bundle.name, "signature": bundle.signature.model_dump(mode="json"),
        "receipt": bundle.receipt.model_dump(mode="json"), "layers": _reported(path, "layers"),
        "verdict": _reported(path, "verdict"),
        "files": {file.name: file.stat().st_size for file in sorted(path.iterdir())},
    }  # fmt: skip
    show_json(facts) if as_json else _print_bundle(bundle, facts)


def _print_bundle(bundle: Any, facts: dict[str, Any]) -> None:
    from sixfold.cli.receipt_table import text
    from sixfold.core.values import show_day

    click.echo(text(bundle.receipt, facts["verdict"]))
    click.echo("\nAsks for:")
    for column in bundle.signature.inputs:
        detail = f"{len(column.levels):,} known values" if column.type == "category" else ""
        if column.median is not None:
            show = show_day if column.type == "date" else "{:g}".format
            detail = f"{show(column.minimum)} to {show(column.maximum)}, median {show(column.median)}"
        about = ", ".join(filter(None, (detail, "may be missing" if column.optional else "")))
        click.echo(f"  {column.name:24} {column.type:10} {about}".rstrip())
    click.echo("Answers:")
    for output in bundle.signature.outputs:
        click.echo(f"  {output.name:24} {', '.join(output.columns[:12])}")
    print_layers(facts["layers"])
    click.echo("\nFiles:")
    for name, size in facts["files"].items():
        click.echo(f"  {name:24} {size:>12,} bytes")


def print_layers(found: list[dict[str, Any]]) -> None:
    """A network's layers, their shapes and numbers of parameters; nothing for other families."""
    if not found:
        return
    click.echo(f"\n{'layer':24} {'shape':>12} {'parameters':>12}")
    for layer in found:
        click.echo(f"{layer['name']:24} {layer['shape']:>12} {layer['parameters']:>12,}")
    click.echo(f"{'all':24} {'':>12} {sum(layer['parameters'] for layer in found):>12,}")


def layers(path: Path) -> list[dict[str, Any]]:
    """The layers that a bundle's report lists."""
    return _reported(path, "layers")


def _reported(path: Path, name: str) -> list[Any]:
    """A list of a bundle's report."""
    found: list[Any] = json.loads((path / "report.json").read_text(encoding="utf-8")).get(name, [])
    return found


def _example(bundle: Any) -> None:
    """With the separator that `predict` reads a CSV by."""
    writer = csv.writer(sys.stdout, delimiter=bundle.recipe.data.separator or ",", lineterminator="\n")
    writer.writerow([column.name for column in bundle.signature.inputs])
    writer.writerow([_typical(column) for column in bundle.signature.inputs])


def _typical(column: Any) -> str:
    if column.type == "category":
        return str(column.levels[0]) if column.levels else ""
    if column.type == "boolean":
        return "false"
    if column.median is None:
        return ""
    if column.type == "date":
        from datetime import UTC, datetime

        return datetime.fromtimestamp(column.median, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{column.median:g}"


def _run_folder(path: Path) -> dict[str, Any]:
    from sixfold.runs import events as stream

    events, damaged = list[dict[str, Any]](), list[int]()
    for number, event in stream.numbered(path / stream.NAME):
        if event is None:
            damaged.append(number)
        else:
            events.append(event)
    text = stream.damage(path / stream.NAME, damaged)
    finished = {e["stage"]: e["duration_s"] for e in events if e["event"] == "stage_finished"}
    stages = {p.name: finished.get(p.name) for p in sorted(path.iterdir()) if (p / "manifest.json").is_file()}
    counts = dict(Counter(event["event"] for event in events))
    return {
        "folder": str(path), "stages": stages, "events": counts, "bundle": (path / "bundle").is_dir(),
        "warnings": [text] if text else [],
    }  # fmt: skip


def _print_run(facts: dict[str, Any]) -> None:
    click.echo(
        f"Run folder {facts['folder']}: {'finished' if facts['bundle'] else 'not finished: run the same command again'}"
    )
    for name, duration_s in facts["stages"].items():
        click.echo(f"  {name:24} {'' if duration_s is None else f'{duration_s:.1f} s'}")
    for text in facts["warnings"]:
        click.echo(f"warning: {text}", err=True)
    click.echo("Events: " + ", ".join(f"{count} {name}" for name, count in facts["events"].items()))
