"""sixfold plan: what a run will take, before it starts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SixfoldError
from sixfold.core.visible import one_line


@click.command(name="plan")
@click.argument("recipe", type=EXISTING)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Overrule a key, such as budget.memory=4GiB.",
)
@click.option(
    "--machine",
    metavar="KIND",
    help="Another machine than this: 8xH100, 16x cpu, '4x zen4, 32GiB' (the host's memory). Its rates are stated ones.",
)
@click.option("--price", type=click.FloatRange(min=0), metavar="NUMBER", help="Of an hour on it.")
@click.option(
    "--probe/--no-probe",
    default=True,
    show_default=True,
    help="Try every candidate on a few rows, about a minute at most; or count operations alone, in seconds.",
)
@JSON
def command(
    recipe: Path,
    changes: tuple[str, ...],
    machine: str | None,
    price: float | None,
    probe: bool,
    as_json: bool,
) -> None:
    """Predict what RECIPE will take: peak memory, time of every stage, disk, and money at a price per hour.

    What does not fit is refused, with the smallest change that fits; `budget: {strategy: auto}` finds it by itself.
    Nothing is written.
    """
    from sixfold.recipe.load import load

    loaded = load(recipe, changes)
    with loaded.placing():
        plan, found, seen, settings = _planned(loaded, machine, price, probe)
    if as_json:
        parts = ("where", "expected", "found", "remedy")
        problems = [{name: getattr(e, name) for name in parts} for e in found]
        show_json(
            {
                "plan": None if plan is None else plan.model_dump(mode="json"),
                "problems": problems,
                "data": seen,
                "settings": settings,
            }
        )
    else:
        _show(plan)
        for error in found:
            click.echo(one_line(f"problem: {error}"), err=True)
        click.echo("fits" if not found else "does not fit, or cannot be run as it stands")
    if found:
        sys.exit(found[0].exit_code)


def _planned(
    loaded: Any, machine: str | None, price: float | None, probe: bool
) -> tuple[Any, list[SixfoldError], dict[str, Any], dict[str, Any]]:
    """The plan, what hinders the run, what was read, and how each candidate is trained; no plan where more than a lack of memory
    hinders it.
    """
    import psutil

    from sixfold.core.errors import BudgetError
    from sixfold.plan.machines import machine_of
    from sixfold.plan.reading import read_rows
    from sixfold.plan.rules import Planning
    from sixfold.plan.run_plan import PlanQuestion, foresee

    there = None if machine is None else machine_of(machine)
    read = read_rows(loaded)
    planning = Planning(loaded.recipe, read.training, there)
    found = [loaded.placed(error) for error in planning.violations()]
    age_s = time.time() - psutil.Process().create_time()  # as a run's, until it has checked all
    if any(not isinstance(error, BudgetError) for error in found):
        return None, found, _seen(read), {}
    question = PlanQuestion(probe=probe and not found, price=price, read_s=age_s)
    return foresee(planning, question), found, _seen(read), _settings(planning)


def _settings(planning: Any) -> dict[str, Any]:
    """Of each candidate, with all that the recipe leaves out."""
    return {
        one.name: {
            "family": one.family_name,
            "build": one.family.model_dump(mode="json"),
            "train": one.train.model_dump(mode="json"),
        }
        for one in planning.as_trained
    }


def _seen(read: Any) -> dict[str, Any]:
    """What the data are: rows, columns by kind, and every sentence that was said of them."""
    dataset = read.whole
    return {
        "rows": dataset.table.rows,
        "training_rows": read.training.table.rows,
        "task": dataset.target.task,
        "target": list(dataset.target.names),
        "columns": [
            {"name": name, "kind": column.kind, "missing": int(column.missing().sum())}
            for name, column in dataset.table.columns.items()
        ],
        "notes": list(dataset.notes),
        "warnings": list(dataset.warnings),
    }


def _show(plan: Any) -> None:
    if plan is None:
        return
    from sixfold.core.units import show_bytes, show_seconds

    click.echo(one_line(f"machine: {plan.machine}"))
    for text in plan.sentences():
        click.echo(one_line(text))
    for peak, name in ((plan.memory, "memory"), (plan.device, "device memory")):
        if peak is not None:
            for share in peak.shares:
                click.echo(one_line(f"  {name}  {share.what:<20} {show_bytes(share.bytes):>10}"))
    for stage in plan.time.stages if plan.time is not None else ():
        click.echo(one_line(f"  time    {stage.stage:<24} {show_seconds(stage.seconds):>10}"))
