"""Fold models are in files: each is read alone, and a comparison holds none of them, however many
candidates it has.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluating import candidate, dataset
from sixfold import pipeline
from sixfold.core.errors import BudgetError, BundleError
from sixfold.evaluate.cross_validation import (
    FoldScoresOfAll,
    Group,
    cross_validate,
    evaluate_folds,
    join,
)
from sixfold.evaluate.fold_cache import FoldCache
from sixfold.evaluate.fold_models import FileWriter, FoldModels, ModelStore
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model
from sixfold.parts import state
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context
from sixfold.runs.disk import DiskLimit

TREE = {"family": "tree"}


def models(count: int) -> list[Model]:
    data = dataset(60)
    folds = make(Evaluate(folds=count), data)
    return list(cross_validate(candidate(TREE), data, folds, ["accuracy"], Context()).models)


@pytest.mark.parametrize("most_bytes", [1, 7_000, 1 << 30])
def test_every_model_is_read_alone_whatever_file_it_is_in(tmp_path: Path, most_bytes: int) -> None:
    written = models(5)
    with FileWriter(tmp_path, "models-0", None, most_bytes) as writer:
        stored = FoldModels(tuple(writer.add(model) for model in written))
    assert len(stored.files) == len(list(tmp_path.iterdir()))
    assert (len(stored.files) == 5) is (most_bytes == 1)
    assert (len(stored.files) == 1) is (most_bytes == 1 << 30)
    assert [state.digest(model) for model in stored] == [state.digest(model) for model in written]
    assert state.digest(stored[-1]) == state.digest(written[-1])
    assert stored[3] is not stored[3]  # nobody holds it
    assert stored.size_bytes == sum(map(state.size_bytes, written))
    assert stored.thresholds == (None,) * 5
    assert [state.digest(model) for model in stored.take([4, 0])] == [
        state.digest(written[at]) for at in (4, 0)
    ]
    assert [state.digest(model) for model in stored[1:3]] == [
        state.digest(model) for model in written[1:3]
    ]
    held = stored.held()
    for file in stored.files:
        file.unlink()
    assert held[2] is held[2]
    assert state.digest(held[2]) == state.digest(written[2])
    with pytest.raises(
        BundleError, match=r"models-0.*safetensors: expected the state of a fitted thing"
    ):
        stored[2]


def test_a_damaged_file_of_models_is_told_by_name(tmp_path: Path) -> None:
    with FileWriter(tmp_path, "models-0", None) as writer:
        place = writer.add(models(2)[0])
    file = Path(place.file)
    content = bytearray(file.read_bytes())
    content[3:8] = b"\xff" * 5
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"models-0\.0\.safetensors"):
        place.read()


def test_the_disk_is_asked_before_a_file_is_written(tmp_path: Path) -> None:
    model = models(2)[0]
    with (
        pytest.raises(BudgetError, match=r"budget\.disk"),
        FileWriter(tmp_path, "models-0", DiskLimit(tmp_path, 2000)) as writer,
    ):
        writer.add(model)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_on_disk_says_what_one_in_memory_does_and_may_be_moved(tmp_path: Path) -> None:
    data = dataset(90)
    folds = make(Evaluate(folds=3), data)
    plain = cross_validate(candidate(TREE), data, folds, ["accuracy", "log_loss"], Context())
    store = ModelStore(tmp_path / "a")
    (tmp_path / "a").mkdir()
    group = Group((candidate(TREE),), data, folds, Context(), FoldCache(0), store=store)
    FoldScoresOfAll(tuple(evaluate_folds(group, range(3), ["accuracy", "log_loss"]))).save(
        tmp_path / "a"
    )
    assert str(tmp_path) not in (tmp_path / "a" / "state.json").read_text()
    (tmp_path / "a").rename(tmp_path / "b")
    found = join(FoldScoresOfAll.load(tmp_path / "b").parts, data, folds)
    assert {file.parent for file in found.models.files} == {tmp_path / "b"}
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    for name, scores in plain.scores.items():
        np.testing.assert_array_equal(found.scores[name], scores)
    assert [state.digest(model) for model in found.models] == [
        state.digest(model) for model in plain.models
    ]


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many of the models that were made since are still held by somebody."""
    made, plain = list[weakref.ref[Model]](), Model.__init__

    def init(self: Model, *arguments: Any, **named: Any) -> None:
        plain(self, *arguments, **named)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Model, "__init__", init)
    return lambda: sum(each() is not None for each in made)


@pytest.mark.parametrize("count", [2, 7])
def test_models_in_memory_do_not_grow_with_the_candidates(
    tmp_path: Path, count: int, alive: Callable[[], int]
) -> None:
    """Candidates that train as one piece of work, and such that do not: one is alive while it is
    scored, none afterwards.
    """
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(60, 3)), columns=list("abc"))
    frame["y"] = frame["a"] - frame["b"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    most, chosen = list[int](), list[int]()

    def look(event: dict[str, Any]) -> None:
        if event["event"] == "fold_scored":
            most.append(alive())
        if event["event"] in ("candidate_finished", "winner"):
            chosen.append(alive())

    penalties = np.geomspace(0.01, 10.0, count).tolist()
    build = [
        {"family": "kernel_ridge", "alpha": penalties},
        {"family": "tree", "max_depth": list(range(1, count + 1))},
    ]
    loaded = from_object(
        {
            "version": 1,
            "data": {"source": str(tmp_path / "t.csv"), "target": "y"},
            "build": build,
            "evaluate": {"folds": 3},
        }
    )
    pipeline.run(loaded, tmp_path / "run", [look])
    assert len(most) == 3 * 2 * count
    assert len(chosen) == 2 * count + 1
    assert max(most) <= 2
    assert set(chosen) == {0}
