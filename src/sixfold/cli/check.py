"""sixfold check: what can be found before a run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.core.units import seconds, show_bytes


@click.command(name="check")
@click.argument("recipe", type=EXISTING)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Overrule a key, such as data.source=my.csv."
)
@JSON
def command(recipe: Path, changes: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPE: its keys, the data, the folds, the candidates; and forecast time, memory and disk.

    Every candidate is tried on a few rows; nothing is written.
    """
    from sixfold.recipe.load import load, problems

    found: list[SixfoldError] = list(problems(recipe, changes))
    said: list[str] = []
    if not found:
        found, said = _beyond(load(recipe, changes))
    if as_json:
        parts = ("where", "expected", "found", "remedy")
        show_json({"problems": [{name: getattr(e, name) for name in parts} for e in found], "said": said})
    else:
        for text in said:
            click.echo(text)
        for error in found:
            click.echo(f"problem: {error}", err=True)
        click.echo(f"{len(found)} problem{'' if len(found) == 1 else 's'}" if found else "ok: ready to run")
    if found:
        sys.exit(found[0].exit_code)


def _beyond(loaded: Any) -> tuple[list[SixfoldError], list[str]]:
    """Checks that read the data and load the plug-ins, each on its own so that one mistake does not hide another."""
    from sixfold.evaluate.folds import make, scheme_of
    from sixfold.evaluate.nested import divide
    from sixfold.forecast import disk_bytes, forecasts, in_words
    from sixfold.prepare.plan import check_columns, treatments
    from sixfold.proposing import Proposer
    from sixfold.resolve import metrics_of, resolve
    from sixfold.train.device import device_of

    recipe = loaded.recipe
    try:
        dataset, training = _rows(loaded)
    except SixfoldError as error:
        return [loaded.placed(error)], []
    said = [*dataset.said, *(f"warning: {text}" for text in dataset.warnings)]
    found: list[SixfoldError] = []

    def attempt(work: Any) -> Any:
        try:
            return work()
        except SixfoldError as error:
            found.append(loaded.placed(error))
            return None

    metrics = attempt(lambda: metrics_of(recipe, training))
    folds = attempt(lambda: make(recipe.evaluate, training))
    time_s = seconds(recipe.budget.time) if recipe.budget.time else None
    trials = recipe.evaluate.search.trials if recipe.evaluate.search else None
    if trials:
        candidates = attempt(lambda: tuple(Proposer(recipe, training).samples()))
    else:
        candidates = attempt(lambda: resolve(recipe, training, time_s, folds))
    attempt(lambda: check_columns(recipe.prepare, training.table))
    attempt(lambda: device_of(recipe.budget.device))
    for candidate in candidates or ():
        attempt(lambda candidate=candidate: treatments(recipe.prepare, candidate.family.needs, training.table))
    if candidates and folds and metrics:
        again = attempt(lambda: divide(recipe.evaluate, training, metrics))
        said += _work(candidates, len(folds), scheme_of(recipe.evaluate, training), metrics[0], trials)
        said += _nested(recipe.evaluate.nested, trials or len(candidates), len(folds), bool(trials))
        if not found:
            planned, failed = forecasts(candidates, training, folds, recipe.budget)
            found += [loaded.placed(error) for error in failed]
            said += in_words(planned, recipe.budget, trials, again)
            attempt(lambda: _disk(disk_bytes(planned, trials, again)))
    return found, said


def _rows(loaded: Any) -> tuple[Any, Any]:
    """The dataset as it was read, and its training rows."""
    from sixfold.data import holdout, load, test_rows

    recipe = loaded.recipe
    if recipe.data.test is not None:
        training, _ = test_rows.load(recipe.data, recipe.task, loaded.base)
        return training, training
    dataset = load.load(recipe.data, recipe.task, loaded.base)
    return dataset, dataset.take(holdout.split(dataset, recipe.data)[0])


def _work(candidates: Any, folds: int, scheme: tuple[str, str], metric: str, trials: int | None) -> list[str]:
    """What will be done: folds, candidates, fits. `trials`: of a search, whose candidates are corners of what it may try."""
    name, why = scheme
    word, count = ("at a corner of the search", trials) if trials else ("candidate", len(candidates))
    return [
        f"folds: {name}, {folds}" + (f" ({why})" if why else ""),
        *(f"{word} {c.name}" + (f": {c.why}" if c.why else "") for c in candidates),
        f"{count} {'trials' if trials else 'candidates'} × {folds} folds = "
        f"{'at most ' if trials else ''}{count * folds} fits, by {metric}",
    ]


def _nested(outer: int | None, candidates: int, folds: int, at_most: bool) -> list[str]:
    """What nested cross-validation adds: every outer fold chooses, and trains its choice."""
    if outer is None:
        return []
    fits = f"{'at most ' if at_most else ''}{outer * (candidates * folds + 1):,} fits more"
    return [f"nested: {outer} outer folds × ({candidates} × {folds} folds + the chosen one) = {fits}"]


def _disk(planned: int) -> None:
    """Refuse a disk that cannot hold the stages; the report, the bundle and the events take a few MB more."""
    needed = 50_000_000 + planned
    free = shutil.disk_usage(Path.cwd()).free
    if free < needed:
        raise SystemFault(
            str(Path.cwd()),
            f"{show_bytes(needed)} of free disk",
            show_bytes(free),
            "Free some space, or run where there is more.",
        )
