"""From a recipe to candidates: grids, names, what fits the task, what cannot train; and the
schema's own facts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.build import grid
from sixfold.build.candidate import Candidate
from sixfold.core.errors import FitError, RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Column, Dataset, Table, Target, Task
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.recipe.generate import generate_schema
from sixfold.recipe.kinds import FAMILY, METRIC, SPLITTER
from sixfold.recipe.load import from_object
from sixfold.recipe.validate import facts, grid_size, options

ROWS = 40


def dataset(task: Task = "classification") -> Dataset:
    rng = np.random.default_rng(0)
    table = Table({name: Column("number", rng.normal(size=ROWS)) for name in ("a", "b")}, ROWS)
    if task == "classification":
        return Dataset(table, Target(task, np.arange(ROWS) % 2, ("y",), ("no", "yes")))
    return Dataset(
        table,
        Target(task, rng.normal(size=(ROWS, 2) if task == "reconstruction" else ROWS), ("y",)),
    )


def candidates(task: Task = "classification", **sections: Any) -> list[Any]:
    data = {"source": "a.csv"} if task == "reconstruction" else {"source": "a.csv", "target": "y"}
    recipe = from_object({"task": task, "data": data, **sections}).recipe
    return resolve(recipe, dataset(task), None)


def test_lists_are_candidates_named_by_what_differs() -> None:
    found = candidates(
        build=[{"family": "svm", "C": [0.1, 1]}, {"family": "mlp", "hidden": [[8], [4, 2]]}, "tree"]
    )
    assert [c.name for c in found] == [
        "svm C=0.1",
        "svm C=1",
        "mlp hidden=8",
        "mlp hidden=4-2",
        "tree",
    ]
    assert [getattr(c.family, "hidden", None) for c in found] == [None, None, (8,), (4, 2), None]
    assert len({c.key() for c in found}) == 5


def test_a_list_that_is_one_value_is_no_grid() -> None:
    assert [c.family.hidden for c in candidates(build={"family": "mlp", "hidden": [8, 4]})] == [
        (8, 4)
    ]
    assert [c.family.hidden for c in candidates(build={"family": "mlp", "hidden": []})] == [()]
    left_out = candidates(build={"family": "mlp", "hidden": [None, [8]]})
    assert [(c.name, c.family.hidden) for c in left_out] == [
        ("mlp hidden=None", None),
        ("mlp hidden=8", (8,)),
    ]


def test_the_loops_grid_multiplies_networks_only() -> None:
    train = {
        "optimizer": [{"name": "sgd", "momentum": [0.0, 0.9]}, "adam"],
        "epochs": [3, 4],
        "stop": {"patience": 2},
    }
    found = candidates(build=["linear", "mlp"], train=train)
    assert [c.name for c in found][:2] == ["linear", "mlp optimizer=sgd momentum=0.0 epochs=3"]
    assert [c.name for c in found][-1] == "mlp optimizer=adam epochs=4"
    assert len(found) == 1 + 3 * 2
    assert {
        (c.train.optimizer["name"], c.train.optimizer.get("momentum"), c.train.epochs)
        for c in found[1:]
    } == {
        (name, momentum, epochs)
        for name, momentum in (("sgd", 0.0), ("sgd", 0.9), ("adam", None))
        for epochs in (3, 4)
    }
    assert all(c.train.stop.patience == 2 for c in found)


@pytest.mark.parametrize(
    ("definition", "value"),
    [
        ("family.mlp", {"family": "mlp", "hidden": [[8], [4, 2]], "dropout": [0.0, 0.1, 0.2]}),
        ("family.mlp", {"family": "mlp", "hidden": [8, 4]}),
        ("family.mlp", {"family": "mlp", "hidden": [None, [8, 4]]}),
        ("family.svm", {"family": "svm", "C": [1], "kernel": ["rbf", "linear"]}),
        (
            "Train",
            {
                "optimizer": [
                    {"name": "sgd", "momentum": [0, 0.5], "learning_rate": [1, 2]},
                    "adam",
                ],
                "epochs": [1, 2],
            },
        ),
        (
            "Train",
            {
                "stop": [{"patience": [1, 2]}, {"patience": 3}],
                "schedule": {"name": "step", "every": [0.1, 0.2]},
            },
        ),
        ("Train", {}),
    ],
)
def test_combinations_are_counted_as_they_are_made(definition: str, value: dict[str, Any]) -> None:
    assert grid_size(definition, value) == len(grid.expand(value, lambda key: key == "hidden"))


def test_auto_says_why() -> None:
    found = candidates(build="auto")
    assert len(found) > 2
    assert all(c.why for c in found)
    assert len({c.name for c in found}) == len(found)


def test_auto_counts_the_folds_and_the_time_for_training() -> None:
    """A run that was killed asks again: the answer hangs on the recipe and the rows, on no
    clock.
    """

    def found(folds: int, budget_s: float | None, **sections: Any) -> list[Candidate]:
        recipe = from_object(
            {"data": {"source": "a.csv", "target": "y"}, "build": "auto", **sections}
        ).recipe
        data = dataset("classification")
        fold = Fold(np.arange(data.table.rows, dtype=np.int64), np.zeros(0, dtype=np.int64))
        return resolve(recipe, data, budget_s, [fold] * folds)

    def names(folds: int, budget_s: float | None) -> list[str]:
        return [candidate.name for candidate in found(folds, budget_s)]

    def alone(**sections: Any) -> set[str]:
        """Families by themselves: a setting of the portfolio may take less, and stay."""
        plain = [one for one in found(5, 0.9, **sections) if not one.why.startswith("portfolio")]
        return {one.family_name for one in plain}

    everything = names(5, None)
    assert names(5, 60.0) == names(5, 60.0)
    assert set(names(5, 60.0)) > set(everything)
    assert len(names(2000, 60.0)) < len(everything)
    assert names(5, 1e-6) == ["linear"]
    # boosting is expected to take 0.3 s; of 0.9 s half is kept to finish, or a part of the rest to
    # compress
    assert "boosting" in alone()
    assert "boosting" not in alone(compress={})


@pytest.mark.parametrize("task", ["classification", "regression", "reconstruction"])
def test_every_family_of_a_task_resolves_and_no_other(task: Task) -> None:
    for name in FAMILY.names():
        of_folder = name in ("image_encoder", "speech_encoder", "whisper")
        build = {"family": name, **({"checkpoint": "folder"} if of_folder else {})}
        if task in FAMILY.load(name).tasks:
            assert [c.name for c in candidates(task, build=build)] == [name]
            continue
        recipe = from_object({"data": {"source": "a.csv", "target": "y"}, "build": build}).recipe
        with pytest.raises(
            RecipeError, match=f"build: expected families for {task}; found '{name}'. Choose from: "
        ):
            resolve(recipe, dataset(task), None)


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (
            "zeros",
            "zeros starts hidden layers at 0: no gradient passes them, and they never change",
        ),
        (
            {"name": "constant", "value": 0.1},
            "constant starts all units of a hidden layer equal: their gradients are equal, and they stay equal",
        ),
    ],
)
def test_a_network_that_cannot_train_is_refused(scheme: Any, text: str) -> None:
    with pytest.raises(FitError) as caught:
        candidates(build="mlp", initialize={"scheme": scheme})
    assert str(caught.value) == (
        f"initialize.scheme: expected a start that can train; found {text}. Use he_normal or xavier_uniform."
    )
    assert candidates(
        build=["linear", {"family": "mlp", "hidden": []}], initialize={"scheme": scheme}
    )


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(
        RecipeError, match="optimizer sgd: expected nesterov with a momentum above 0"
    ):
        candidates(build="mlp", train={"optimizer": {"name": "sgd", "nesterov": True}})
    with pytest.raises(
        RecipeError, match="family linear: expected alpha and C are the same strength"
    ):
        candidates(build={"family": "linear", "alpha": 1, "C": 1})


def test_metrics() -> None:
    recipe = from_object(
        {"data": {"source": "a.csv", "target": "y"}, "evaluate": {"metrics": ["f1", "f1", "mcc"]}}
    )
    assert metrics_of(recipe.recipe, dataset(), ()).names == ("f1", "mcc")
    with pytest.raises(RecipeError, match="expected metrics for regression; found 'f1'"):
        metrics_of(recipe.recipe, dataset("regression"), ())


def test_the_generator_is_deterministic() -> None:
    assert generate_schema() == generate_schema()


def test_the_schema_knows_what_the_classes_say() -> None:
    for kind in (FAMILY, METRIC):
        for name in kind.names():
            assert facts(kind.name, name)["tasks"] == sorted(kind.load(name).tasks)
    for name in FAMILY.names():
        assert facts("family", name).get("trained_by_the_loop", False) == hasattr(
            FAMILY.load(name), "module"
        )
    for name in SPLITTER.names():
        assert facts("splitter", name).get("keeps_groups", False) == getattr(
            SPLITTER.load(name), "keeps_groups", False
        )
        assert set(options("splitter", name)) == set(SPLITTER.load(name).model_fields)
