"""sixfold inspect: what a bundle or a run folder holds."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json, standard_streams
from sixfold.core.visible import one_line
from sixfold.recipe.kinds import PLAIN_KINDS


@click.command(name="inspect")
@click.argument("path", type=EXISTING)
@click.option(
    "--example",
    is_flag=True,
    help="Print a CSV with a typical row instead: to try predict and serve.",
)
@ALLOW_PLUGIN
@JSON
def command(path: Path, example: bool, allow: tuple[str, ...], as_json: bool) -> None:
    """Show the signature, receipt and sizes of a bundle; the stages and events of a run folder."""
    if (path / "events.jsonl").exists() and not (path / "manifest.json").exists():
        facts = _run_folder(path)
        show_json(facts) if as_json else _print_run(facts)
        return
    from sixfold.bundle import manifest
    from sixfold.bundle.load import from_files, section_of
    from sixfold.recipe.report import Report

    sealed = manifest.read(path, allow)  # once: what was hashed is what is shown
    files = sealed.files
    sizes: dict[str, int] = {name: sealed.size_bytes(name) for name in (*files, *sealed.large)}
    sizes = dict(
        sorted({**sizes, manifest.MANIFEST: (path / manifest.MANIFEST).stat().st_size}.items())
    )
    bundle = from_files(sealed, allow)
    if example:
        _example(bundle)
        return
    report = section_of(Report, "report.json", files, path)
    if not as_json:
        _print_bundle(bundle, report, sizes)
        return
    show_json(
        {
            "name": bundle.name,
            "signature": bundle.signature.model_dump(mode="json"),
            "receipt": bundle.receipt.model_dump(mode="json"),
            "layers": [layer.model_dump(mode="json") for layer in report.layers],
            "verdict": list(report.verdict),
            "files": sizes,
        }
    )


def _print_bundle(bundle: Any, report: Any, sizes: dict[str, int]) -> None:
    from sixfold.cli.receipt_table import text
    from sixfold.core.values import show_day

    click.echo(text(bundle.receipt, report.verdict))
    becomes = bundle.predictor.becomes
    click.echo("\nAsks for:")
    for column in bundle.signature.inputs:
        detail = (
            f"{len(column.levels):,} known values"
            if column.type == "category"
            else becomes.get(column.name, "")
        )
        if column.median is not None:
            show = show_day if column.type == "date" else "{:g}".format
            detail = ", ".join(_range(column, show))
        about = ", ".join(filter(None, (detail, "may be missing" if column.optional else "")))
        click.echo(one_line(f"  {column.name:24} {column.type:10} {about}".rstrip()))
    click.echo("Answers:")
    for output in bundle.signature.outputs:
        click.echo(one_line(f"  {output.name:24} {', '.join(output.columns[:12])}"))
    print_layers(report.layers)
    click.echo("\nFiles:")
    for name, size in sizes.items():
        click.echo(f"  {name:24} {size:>12,} bytes")


def _range(column: Any, show: Callable[[float], str]) -> Iterator[str]:
    """`1 to 9, median 3`, or as much of it as a signature says; a date that no calendar has is
    shown as a number.
    """
    try:
        if column.minimum is not None and column.maximum is not None:
            yield f"{show(column.minimum)} to {show(column.maximum)}"
        yield f"median {show(column.median)}"
    except (OverflowError, ValueError):
        yield f"median {column.median:g}"


def print_layers(found: Sequence[Any]) -> None:
    """A network's layers, their shapes and numbers of parameters; nothing for other families."""
    if not found:
        return
    click.echo(f"\n{'layer':24} {'shape':>12} {'parameters':>12}")
    for layer in found:
        click.echo(one_line(f"{layer.name:24} {layer.shape:>12} {layer.parameters:>12,}"))
    click.echo(f"{'all':24} {'':>12} {sum(layer.parameters for layer in found):>12,}")


def report_of(path: Path, allow: Sequence[str] = ()) -> Any:
    """The report of a bundle, checked against its manifest; `allow`: a runtime that it may have."""
    from sixfold.bundle import manifest
    from sixfold.bundle.load import section_of
    from sixfold.recipe.report import Report

    return section_of(Report, "report.json", manifest.read(path, allow).files, path)


def _example(bundle: Any) -> None:
    """With the separator that `predict` reads a CSV by."""
    with standard_streams.exact() as out:
        writer = csv.writer(out, delimiter=bundle.recipe.data.separator or ",", lineterminator="\n")
        writer.writerow([column.name for column in bundle.signature.inputs])
        writer.writerow([_typical(column) for column in bundle.signature.inputs])


def _typical(column: Any) -> str:
    if column.type == "category":
        return str(column.levels[0]) if column.levels else ""
    if column.type not in PLAIN_KINDS:
        from sixfold.bundle.modality_reader import reader_of

        return reader_of(column.type).shown.in_csv
    if column.type == "boolean":
        return "false"
    if column.median is None:
        return ""
    if column.type == "date":
        from sixfold.core.values import show_date

        try:
            return show_date(float(math.floor(column.median)))
        except (
            OverflowError,
            ValueError,
        ):  # of a stranger's signature: a moment that no calendar has
            return ""
    return str(column.text_of(column.median))


def _run_folder(path: Path) -> dict[str, Any]:
    from sixfold.runs import events as stream

    events, damaged = list[dict[str, Any]](), list[int]()
    for number, event in stream.numbered(path / stream.NAME):
        if event is None:
            damaged.append(number)
        else:
            events.append(event)
    text = stream.damage(path / stream.NAME, damaged)
    finished = {
        str(e["stage"]): float(e["duration_s"])
        for e in events
        if e["event"] == "stage_finished"
        and isinstance(e.get("duration_s"), int | float)
        and "stage" in e
    }
    stages = {
        p.name: finished.get(p.name)
        for p in sorted(path.iterdir())
        if (p / "manifest.json").is_file()
    }
    counts = dict(Counter(str(event["event"]) for event in events))
    return {
        "folder": str(path),
        "stages": stages,
        "events": counts,
        "bundle": (path / "bundle").is_dir(),
        "warnings": [text] if text else [],
    }


def _print_run(facts: dict[str, Any]) -> None:
    click.echo(
        one_line(
            f"Run folder {facts['folder']}: {'finished' if facts['bundle'] else 'not finished: run the same command again'}"
        )
    )
    for name, duration_s in facts["stages"].items():
        click.echo(f"  {one_line(name):24} {'' if duration_s is None else f'{duration_s:.1f} s'}")
    for text in facts["warnings"]:
        click.echo(f"warning: {one_line(text)}", err=True)
    click.echo(
        one_line(
            "Events: " + ", ".join(f"{count} {name}" for name, count in facts["events"].items())
        )
    )
