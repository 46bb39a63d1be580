"""Small candidates, trained and scored on folds: what compression starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sixfold.compress.subject import Job
from sixfold.data.documents import document_target
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.recipe.compression import Compress
from sixfold.recipe.load import from_object
from sixfold.runs.context import Context
from tiny_language import sentences

Made = tuple[Job, Model]
Build = Callable[..., Made]


def dataset(task: str = "classification", rows: int = 300) -> Dataset:
    """Two columns that matter, four that do not, one category."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6))
    city = rng.integers(0, 3, rows).astype(np.int32)
    score = 2 * x[:, 0] - x[:, 1] + (city == 1) + rng.normal(0, 0.3, rows)
    columns: dict[str, Column] = {f"x{i}": Column("number", x[:, i].copy()) for i in range(6)}
    columns["city"] = Column("category", city, ("a", "b", "c"))
    if task == "classification":
        target = Target("classification", (score > 0).astype(np.int64), ("y",), ("no", "yes"))
    else:
        target = Target("regression", 100 * score, ("y",))
    return Dataset(Table(columns, rows), target)


def images(folder: Path, rows: int = 120) -> Dataset:
    """Pictures of bars that lie or stand, in files."""
    rng, files = np.random.default_rng(0), []
    for number in range(rows):
        bars = np.repeat(rng.integers(0, 2, (8, 1)) * 200, 8, axis=1) + rng.integers(0, 40, (8, 8))
        Image.fromarray((bars if number % 2 else bars.T).astype(np.uint8)).save(
            folder / f"{number:03}.png"
        )
        files.append(str(folder / f"{number:03}.png"))
    column = Column("image", np.arange(rows, dtype=np.int32), tuple(files))
    return Dataset(
        Table({"bars": column}, rows),
        Target("classification", np.arange(rows) % 2, ("y",), ("a", "b")),
    )


def texts(rows: int = 45) -> Dataset:
    """Sentences of few words."""
    content = tuple(sentences(rows, words=16))
    column = Column("text", np.arange(rows, dtype=np.int32), content)
    target = document_target("text", column, "sentences").target
    return Dataset(Table({"text": column}, rows), target)


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks at how long something took."""
    monkeypatch.setattr("sixfold.compress.measure.RUNS", 40)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`made(family, options, compress, task, **sections)` trains once for all values of
    `compress`.
    """
    cache: dict[str, Made] = {}

    def build(
        family: str,
        options: dict[str, Any],
        compress: dict[str, Any],
        task: str = "classification",
        **sections: Any,
    ) -> Made:
        key = repr((family, options, task, sections))
        if key not in cache:
            others = {
                "cnn": lambda: images(tmp_path_factory.mktemp("bars")),
                "language": texts,
            }
            data = others.get(family, lambda: dataset(task))()
            named = {} if task == "generation" else {"target": "y"}
            recipe = from_object(
                {
                    "version": 1,
                    "task": task,
                    "data": {"source": "memory", **named},
                    "build": {"family": family, **options},
                    "train": {"epochs": 20, "batch_size": 8}
                    if task == "generation"
                    else {"epochs": 20, "batch_size": 32},
                    "evaluate": {"folds": 3},
                    **sections,
                }
            ).recipe
            candidate = resolve(recipe, data, None)[0]
            folds = make(recipe.evaluate, data)
            metrics = metrics_of(recipe, data, folds).names
            evaluation = cross_validate(candidate, data, folds, metrics, Context())
            job = Job(Compress(), candidate, evaluation, data, folds, tuple(metrics))
            cache[key] = job, fit_model(candidate, data, Context())
        job, model = cache[key]
        return replace(job, section=Compress.model_validate(compress)), model

    return build
