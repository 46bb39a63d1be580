"""What each entry of `build: auto` is worth, and in which order entries bring most: the evidence for PORTFOLIO in
src/sixfold/build/auto.py.

`python -m bench.portfolio` prints the table of docs/explanation/auto.md. The tables are those that come with
scikit-learn, and made ones: none of those of `bench.tables`. Of each, all entries are scored on
the same five folds, by log loss or RMSE. Regret: how far a score is from the table's best, in parts of what the best
is ahead of a model that ignores the columns; 0 is the best, 1 is that model or worse. Seconds are those of one core's
work. `--minutes`: after these no further table is begun; `--store FILE` keeps finished tables, and goes on after them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_classification,
    make_friedman1,
)

from bench.forecast import census, one_core
from sixfold.data.load import from_frame
from sixfold.evaluate import folds, scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.plan.candidates import resolve
from sixfold.recipe.load import from_object
from sixfold.runs.context import Context
from sixfold.select import ensemble

LONG_S = 1e9  # of a budget in which every entry has its place
ROWS = 400


def _shipped(load: Callable[..., Any]) -> pd.DataFrame:
    found: pd.DataFrame = load(as_frame=True).frame
    return found


def _named(x: Any, target: Any) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{at}" for at in range(x.shape[1])]).assign(target=target)


def _classes(above: Any) -> Any:
    return np.where(above, "yes", "no")


def rings() -> pd.DataFrame:
    """Classes by a radius, which no line divides."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8))
    return _named(x, _classes((x[:, :2] ** 2).sum(axis=1) + 0.3 * rng.normal(size=ROWS) > 1.4))


def wide() -> pd.DataFrame:
    """More columns than a fifth of the rows; neighboring ones are alike, as in a spectrum."""
    rng = np.random.default_rng(1)
    x = np.cumsum(rng.normal(size=(160, 60)), axis=1) / 4
    score = x[:, 10] - x[:, 30] + 0.5 * x[:, 50] * x[:, 20]
    return _named(x, _classes(score + 0.5 * rng.normal(size=160) > 0))


def steps() -> pd.DataFrame:
    """Values that jump, as a tree's do."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 8))
    y = 2.0 * (x[:, 0] > 0) + 3.0 * ((x[:, 1] > 0.5) & (x[:, 2] < 0)) + (x[:, 3] > 1)
    return _named(x, y + 0.5 * rng.normal(size=ROWS))


def friedman(rows: int = ROWS) -> pd.DataFrame:
    """Smooth, with five columns that tell nothing (Friedman, 1991)."""
    return _named(*make_friedman1(rows, noise=1.0, random_state=3))


def clusters() -> pd.DataFrame:
    """Three classes, each of two clusters."""
    x, y = make_classification(ROWS, 20, n_informative=5, n_classes=3, random_state=4)
    return _named(x, [f"k{one}" for one in y])


def categories() -> pd.DataFrame:
    """Two categories that tell something together alone, and one that does by itself."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 6, size=(ROWS, 5))
    score = 1.5 * ((codes[:, 0] % 2) ^ (codes[:, 1] % 2)) + 0.4 * codes[:, 2]
    frame = pd.DataFrame({f"c{at}": [f"v{one}" for one in codes[:, at]] for at in range(5)})
    return frame.assign(target=_classes(score + 0.7 * rng.normal(size=ROWS) > 1.7))


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "diabetes": lambda: _shipped(load_diabetes),
    "rings": rings,
    "wine": lambda: _shipped(load_wine),
    "steps": steps,
    "wide": wide,
    "categories": categories,
    "friedman": friedman,
    "breast_cancer": lambda: _shipped(load_breast_cancer),
    "clusters": clusters,
    "census": lambda: census(600),
    "iris": lambda: _shipped(load_iris),
    "friedman, 4,000": lambda: friedman(4_000),
    "census, 4,000": lambda: census(4_000),
}


@dataclass(frozen=True)
class Scored:
    """One entry on one table. `alone`: a family by itself, which is tried before the portfolio; `loss`: its regret;
    `weight`: in the ensemble of all entries.
    """

    table: str
    entry: str
    alone: bool
    loss: float
    weight: float
    seconds: float


def scored(table: str, frame: pd.DataFrame) -> list[Scored]:
    """Every entry of `build: auto` on the same folds."""
    classes = not pd.api.types.is_float_dtype(frame["target"])
    frame = frame.assign(target=frame["target"].astype(str)) if classes else frame
    metric = "log_loss" if classes else "rmse"
    recipe = from_object(
        {
            "data": {"source": "frame", "target": "target"},
            "task": "classification" if classes else "regression",
            "build": "auto",
            "evaluate": {"folds": 5, "metrics": [metric]},
        }
    ).recipe
    data = from_frame(frame, recipe.data, recipe.task_name)
    parts = tuple(folds.make(recipe.evaluate, data))
    alone = {one.name for one in resolve(recipe, data, None, parts)}
    found, seconds = [], []
    for one in resolve(recipe, data, LONG_S, parts):
        started = time.process_time()
        found.append(cross_validate(one, data, parts, [metric], Context()))
        seconds.append(time.process_time() - started)
    sign = -1.0 if scoring.greater_is_better(metric) else 1.0
    losses = [sign * float(np.mean(one.scores[metric])) for one in found]
    plain = sign * float(np.mean(baseline(data, parts, (metric,))[metric]))
    far = max(plain - min(losses), 1e-12)
    able = [at for at, one in enumerate(found) if one.output != "decision"]
    members = [found[at] for at in able]
    rows = ensemble.seen(members, np.arange(data.table.rows))
    blended = ensemble.blend(members, data.target, rows, metric).weights
    weights = dict(zip(able, blended, strict=True))
    return [
        Scored(
            table,
            one.name,
            one.name in alone,
            min(1.0, (loss - min(losses)) / far),
            weights.get(at, 0.0),
            round(seconds[at], 2),
        )
        for at, (one, loss) in enumerate(zip(found, losses, strict=True))
    ]


def greedy(
    losses: Mapping[str, Mapping[str, float]], best: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Entries, each the one that leaves least mean regret of the best so far, and what it leaves; of equal ones the
    one that is best by itself. `losses`: entry → table → regret; 1 where an entry is not tried on a table. `best`:
    table → the regret of what is tried before.
    """
    left, order = dict(losses), list[tuple[str, float]]()
    while left:
        leaves = {entry: _leaves(own, best) for entry, own in left.items()}
        entry = min(leaves, key=leaves.__getitem__)
        order.append((entry, leaves[entry][0]))
        best = {table: min(loss, left[entry].get(table, 1.0)) for table, loss in best.items()}
        del left[entry]
    return order


def _leaves(own: Mapping[str, float], best: Mapping[str, float]) -> tuple[float, float]:
    """The mean regret of the best so far and this one, and its own."""
    together = [min(loss, own.get(table, 1.0)) for table, loss in best.items()]
    return round(fmean(together), 9), fmean(own.get(table, 1.0) for table in best)


def markdown(found: Sequence[Scored]) -> str:
    """The table of the docs: families by themselves, the best first, and the others in the greedy order."""
    by: dict[str, dict[str, Scored]] = {}
    for one in found:
        by.setdefault(one.entry, {})[one.table] = one
    tables = list(dict.fromkeys(one.table for one in found))
    losses = {entry: {table: one.loss for table, one in own.items()} for entry, own in by.items()}
    before = [entry for entry, own in by.items() if any(one.alone for one in own.values())]
    before.sort(key=lambda entry: fmean(losses[entry].values()))
    best = {table: min(losses[entry].get(table, 1.0) for entry in before) for table in tables}
    later = {entry: own for entry, own in losses.items() if entry not in before}
    head = "| # | entry | tables | best on | regret | weight in the mean | seconds | regret of the best so far |"
    lines = [head, "| " + "--- | " * 8]
    order = [*((entry, fmean(best.values())) for entry in before), *greedy(later, best)]
    for number, (entry, left) in enumerate(order, start=1 - len(before)):
        own = list(by[entry].values())
        wins = sum(one.loss == 0.0 for one in own)
        regret, weight = fmean(one.loss for one in own), fmean(one.weight for one in own)
        place = str(number) if number > 0 else ""
        cells = [place, entry, str(len(own)), str(wins), f"{regret:.3f}", f"{weight:.2f}"]
        cells += [f"{median(one.seconds for one in own):.1f}", f"{left:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{len(tables)} tables: {'; '.join(tables)}."])


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; tables that are done are printed, whatever ends it."""
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"some of: {', '.join(TABLES)}")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args(arguments)
    store, until = options.store, time.time() + 60 * options.minutes
    lines = store.read_text().splitlines() if store and store.exists() else []
    found = [Scored(**json.loads(line)) for line in lines]
    with one_core():
        for table in options.tables or TABLES:
            if time.time() > until or any(one.table == table for one in found):
                continue
            new = scored(table, TABLES[table]())
            found += new
            print(table, f"{sum(one.seconds for one in new):.0f} s", file=sys.stderr, flush=True)
            if store:
                with store.open("a") as file:
                    file.writelines(json.dumps(asdict(one)) + "\n" for one in new)
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
