"""sixfold check: what can be found before a run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.core.units import show_bytes
from sixfold.core.visible import one_line


@click.command(name="check")
@click.argument("recipe", type=EXISTING)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Overrule a key, such as data.source=my.csv.",
)
@JSON
def command(recipe: Path, changes: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPE: its keys, the data, the folds, the candidates; and forecast time, memory and
    disk.

    Every candidate is tried on a few rows; nothing is written.
    """
    from sixfold.recipe.load import load, problems

    found: list[SixfoldError] = list(problems(recipe, changes))
    notes: list[str] = []
    if not found:
        found, notes = _beyond(load(recipe, changes))
    if as_json:
        parts = ("where", "expected", "found", "remedy")
        show_json(
            {"problems": [{name: getattr(e, name) for name in parts} for e in found], "note": notes}
        )
    else:
        for text in notes:
            click.echo(one_line(text))
        for error in found:
            click.echo(one_line(f"problem: {error}"), err=True)
        click.echo(
            f"{len(found)} problem{'' if len(found) == 1 else 's'}" if found else "ok: ready to run"
        )
    if found:
        sys.exit(found[0].exit_code)


def _beyond(loaded: Any) -> tuple[list[SixfoldError], list[str]]:
    """What reading the data and loading the plug-ins shows: the rules that a run obeys, and then
    trials of each candidate.
    """
    from sixfold.data import lone_predictors
    from sixfold.plan.reading import read_rows
    from sixfold.plan.rules import Planning

    recipe = loaded.recipe
    try:
        dataset, training, _ = read_rows(loaded)
    except SixfoldError as error:
        return [loaded.placed(error)], []
    alone = lone_predictors.warning(training, recipe.data.seed)
    notes = [*dataset.notes, *_warnings(*dataset.warnings, alone)]
    plan = Planning(recipe, training)
    found, more = plan.violations(), list[str]()
    if not found:
        found, more = _tried(plan)
    return [loaded.placed(error) for error in found], notes + more


def _tried(plan: Any) -> tuple[list[SixfoldError], list[str]]:
    """What will be done and what it will take, from trials of each candidate; and what hindered
    these.
    """
    from sixfold.core.paths import refusal
    from sixfold.evaluate.folds import scheme_of, thin_classes
    from sixfold.plan.forecast import describe, disk_bytes, forecasts

    recipe, folds = plan.recipe, plan.folds
    trials = recipe.evaluate.search.trials if recipe.evaluate.search else None
    notes = _warnings(thin_classes(folds, plan.training))
    notes += _work(
        plan.candidates, len(folds), scheme_of(recipe.evaluate, plan.training), plan.chosen, trials
    )
    notes += _nested(
        recipe.evaluate.nested, trials or len(plan.candidates), len(folds), bool(trials)
    )
    planned, found = forecasts(plan.as_trained, plan.training, folds, recipe.budget)
    notes += describe(planned, recipe.budget, trials, plan.again)
    notes += [
        f"strategy of {group.work.alike[0].name}: {step.change}: {step.why}"
        for group in plan.placed
        for step in group.steps
    ]
    for refused in (
        refusal(Path("runs") / recipe.name),
        _disk(disk_bytes(planned, trials, plan.again)),
    ):
        found += [] if refused is None else [refused]
    return found, notes


def _warnings(*texts: str) -> list[str]:
    return [f"warning: {text}" for text in texts if text]


def _work(candidates: Any, folds: int, scheme: Any, metrics: Any, trials: int | None) -> list[str]:
    """What will be done: folds, metrics where they are unusual, candidates, fits.

    `scheme`, `metrics`: what was chosen, and why. `trials`: of a search, whose candidates are
    corners of what it may try.
    """
    word, count = (
        ("at a corner of the search", trials) if trials else ("candidate", len(candidates))
    )
    return [
        f"folds: {scheme.name}, {folds}" + (f" ({scheme.why})" if scheme.why else ""),
        *([f"metrics: {metrics.why}"] if metrics.why else []),
        *(f"{word} {c.name}" + (f": {c.why}" if c.why else "") for c in candidates),
        f"{count} {'trials' if trials else 'candidates'} × {folds} folds = "
        f"{'at most ' if trials else ''}{count * folds} fits, by {metrics.names[0]}",
    ]


def _nested(outer: int | None, candidates: int, folds: int, at_most: bool) -> list[str]:
    """What nested cross-validation adds: every outer fold chooses, and trains its choice."""
    if outer is None:
        return []
    fits = f"{'at most ' if at_most else ''}{outer * (candidates * folds + 1):,} fits more"
    return [
        f"nested: {outer} outer folds × ({candidates} × {folds} folds + the chosen one) = {fits}"
    ]


def _disk(planned: int) -> SystemFault | None:
    """A disk that cannot hold the stages; the report, the bundle and the events take a few MB
    more.
    """
    needed = 50_000_000 + planned
    free = shutil.disk_usage(Path.cwd()).free
    if free >= needed:
        return None
    here, remedy = str(Path.cwd()), "Free some space, or run where there is more."
    return SystemFault(here, f"{show_bytes(needed)} of free disk", show_bytes(free), remedy)
