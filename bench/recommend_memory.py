"""What a whole run of a recommender holds: 1 million interactions with 50,000 items.

Memory is the peak of a process that does nothing but run the recipe (`VmHWM`: what `getrusage` says includes who started it).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.child import Answer, Child, child, serve
from bench.pairs import Result
from sixfold import pipeline
from sixfold.core.memory import peak_bytes
from sixfold.recipe.load import load as load_recipe

LARGE = {"train": {"epochs": 1}}  # how often what is learned is seen does not change what it takes
MEMORY: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {},
    "als": {},
    "bpr": {},
    "two_tower": LARGE,
    "sasrec": LARGE,
}


def measure(
    rounds: int = 1,
    families: tuple[str, ...] = tuple(MEMORY),
    rows: int = 1_000_000,
    catalog: int = 50_000,
) -> Iterator[Result]:
    """The highest peak of `rounds` whole runs, from the file to the bundle, a process each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_interactions(folder / "seen.parquet", rows, catalog)
        for family in families:
            answers = [_run(name, family) for _ in range(rounds)]
            peak = max(float(answer["peak"]) for answer in answers)
            started, score = answers[0]["started"], answers[0]["score"]
            yield Result(
                f"{rows:,} interactions × {catalog:,} items, {family}: peak of a run",
                "2 GiB",
                peak,
                float(2 << 30),
                unit="B",
                target=1,
                quality=f"{started / 1e6:,.0f} MB of it are libraries; ndcg_at_10 {score:.3g}",
                rounds=rounds,
            )


def _run(folder: str, family: str) -> Answer:
    """In a process of its own, which begins anew."""
    asked: Child
    with child("bench.recommend_memory") as asked:
        return asked.ask(folder=folder, family=family, more=MEMORY[family])


def _write_interactions(path: Path, rows: int, catalog: int) -> None:
    """Of 200 items a user, the first ones more often."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, max(2, rows // 200), rows)
    items = np.minimum((catalog * rng.random(rows) ** 2).astype(np.int64), catalog - 1)
    columns = {"user": users, "item": items, "time": rng.integers(0, 10**9, rows)}
    pq.write_table(pa.table(columns), path)


def start() -> Callable[[Answer], Answer]:
    """In the child."""

    def answer(question: Answer) -> Answer:
        family, folder = question["family"], Path(question["folder"])
        recipe = {
            "version": 1,
            "name": "large",
            "task": "recommendation",
            "data": {"source": "seen.parquet", "time": "time"},
            "build": [{"family": family}],
            "evaluate": {"scheme": "leave_last", "metrics": ["ndcg_at_10"]},
            **question["more"],
        }
        path = folder / f"{family}.yaml"
        path.write_text(json.dumps(recipe))
        started = peak_bytes()
        made = pipeline.run(load_recipe(path), folder / family)
        score = float(np.mean(made.receipt.quality[0].folds_before))
        return {"peak": peak_bytes(), "started": started, "score": score}

    return answer


if __name__ == "__main__":
    serve(start)
