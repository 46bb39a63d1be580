"""Python's face: `run` a recipe, `fit` a table that is in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sixfold import pipeline
from sixfold.core.units import seconds
from sixfold.data import load as data_load
from sixfold.plan.machines import machine_of
from sixfold.plan.reading import read_rows
from sixfold.plan.rules import Planning
from sixfold.plan.run_plan import PlanQuestion, foresee
from sixfold.recipe import load as recipe_load
from sixfold.recipe.plan import RunPlan
from sixfold.recipe.schema import Recipe
from sixfold.runs.folder import Listener

if TYPE_CHECKING:
    import pandas as pd


def run(
    recipe: str | Path | Recipe | dict[str, Any],
    out: str | Path | None = None,
    listeners: Sequence[Listener] = (),
) -> pipeline.Run:
    """Execute a recipe (a file, a `Recipe`, or the same as a dict) in folder `out`; default
    `runs/NAME`.

    Called again with the same arguments it continues, or reads back what is finished. Raises a
    SixfoldError.
    """
    loaded = _loaded(recipe)
    return pipeline.run(loaded, Path(out) if out else Path("runs") / loaded.recipe.name, listeners)


def plan(
    recipe: str | Path | Recipe | dict[str, Any],
    machine: str | None = None,
    probe: bool = True,
    price: float | None = None,
) -> RunPlan:
    """What a recipe will take: memory, time, disk, and money at `price` an hour; nothing is written.

    `machine`: another one, such as "8xH100" or "16x cpu, 64GiB"; left out, this one. `probe`: try
    every candidate on a few rows; False counts alone. Raises a SixfoldError, BudgetError with the
    smallest change where it does not fit.

    >>> plan("recipes/digits.yaml", machine="16x cpu", price=0.8).price  # doctest: +SKIP
    """
    loaded = _loaded(recipe)
    there = None if machine is None else machine_of(machine)
    with loaded.placing():
        read = read_rows(loaded)
        planning = Planning(loaded.recipe, read.training, there).checked()
        return foresee(planning, PlanQuestion(probe, price, read.read_s))


def _loaded(recipe: str | Path | Recipe | dict[str, Any]) -> recipe_load.Loaded:
    if isinstance(recipe, str | Path):
        return recipe_load.load(Path(recipe))
    return recipe_load.from_object(recipe)


def fit(
    frame: pd.DataFrame,
    target: str | Sequence[str],
    budget: str | float | None = None,
    out: str | Path | None = None,
    **sections: Any,
) -> pipeline.Run:
    """Train on a pandas DataFrame within `budget` (wall-clock: "2m", or seconds).

    `sections` are sections of the recipe by name: `build={"family": "linear"}`,
    `evaluate={"folds": 10}`; `data` adds to `target`. `out` is the run folder; left out, a new
    temporary one. Raises a SixfoldError.

    >>> fit(frame, target="income", budget="2m").leaderboard  # doctest: +SKIP
    """
    parts = dict(sections)
    named = target if isinstance(target, str) else list(target)
    parts["data"] = {"source": "frame", "target": named, **parts.get("data", {})}
    if budget is not None:
        parts["budget"] = {**parts.get("budget", {}), "time": f"{seconds(budget):g}s"}
    loaded = recipe_load.from_object({"version": 1, "name": "frame", **parts})
    dataset = data_load.from_frame(frame, loaded.recipe.data, loaded.recipe.task_name)
    folder = Path(out) if out else Path(tempfile.mkdtemp(prefix="sixfold-"))
    return pipeline.run(loaded, folder, dataset=dataset)
