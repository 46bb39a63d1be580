"""Any recipe, however damaged, is accepted or refused in our words; and our walk agrees with the
published schema.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sixfold.core.errors import RecipeError
from sixfold.recipe.load import _plain, from_object, load, problems
from sixfold.recipe.published import schema
from sixfold.recipe.schema import Data, Recipe
from sixfold.recipe.validate import problems as schema_problems
from sixfold.recipe.yaml_nodes import Document

FULL: dict[str, Any] = {
    "version": 1,
    "name": "full",
    "task": "classification",
    "data": {
        "source": "a.csv",
        "target": "y",
        "missing": ["?"],
        "types": {"a": "number"},
        "drop": ["b"],
        "holdout": 0.2,
    },
    "prepare": {
        "denoise": {"duplicates": "drop", "outliers": {"name": "iqr"}},
        "impute": {"number": "median", "columns": {"a": {"name": "constant", "value": 3}}},
        "features": {
            "number": ["standard", {"name": "pca"}],
            "category": "one_hot",
            "select": None,
        },
    },
    "build": [
        {"family": "mlp", "hidden": [[64], [32, 16]], "dropout": [0.0, 0.1]},
        {"family": "svm", "C": [0.1, 1], "kernel": "rbf"},
        "tree",
    ],
    "initialize": {"scheme": {"name": "constant", "value": 0.5}, "seed": 7},
    "train": {
        "optimizer": [{"name": "adam", "learning_rate": [0.1, 0.01]}, "sgd"],
        "batch_size": ["full", 8],
        "epochs": 3,
        "schedule": {"name": "step", "every": 0.3},
        "stop": {"patience": [3, 5], "metric": "accuracy"},
    },
    "evaluate": {"scheme": "repeated", "folds": 3, "repeats": 2, "metrics": ["accuracy", "f1"]},
    "compress": {
        "keep": {"f1": -0.01},
        "prune": ["features", {"target": "neurons"}],
        "fixed_point": {"factor": 64},
    },
    "budget": {"time": "10m", "memory": "4GiB", "disk": None},
    "serve": {"port": 0, "max_body": "1MiB"},
}
VALIDATOR = Draft202012Validator(schema())
VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        1.0,
        0.5,
        2,
        10**30,
        float("inf"),
        float("nan"),
        "",
        "full",
        "auto",
        "mlp",
        "adam",
        "median",
        "x",
        [],
        {},
        [[]],
        [1],
        ["x"],
        [[1], 2],
        {"name": "adam"},
        {"family": "mlp"},
        {"family": ["mlp"]},
        {"name": 3},
        {"x": 1},
        [{"name": "sgd", "momentum": 2}],
        "9" * 200,
    ]
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        *([path] if path else []),
        *(place for key, item in inner for place in places(item, (*path, key))),
    ]


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """The full recipe after one to three blows: a value replaced, a key renamed, added or
    removed.
    """
    recipe = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(recipe)))
        holder = at(recipe, tuple(way))
        blow = draw(st.sampled_from(["replace", "rename", "remove", "add"]))
        if blow == "replace":
            holder[last] = copy.deepcopy(draw(VALUES))
        elif blow == "remove":
            del holder[last]
        elif blow == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "namee", "family", "target", "name"]))] = holder.pop(
                last
            )
        elif isinstance(holder, dict):
            holder["extra"] = copy.deepcopy(draw(VALUES))
    return recipe


def finite(value: Any) -> bool:
    """JSON has no infinities and the schema cannot forbid them; we do."""
    if isinstance(value, dict | list):
        return all(finite(item) for item in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or bool(np.isfinite(value))


def test_the_full_recipe_is_whole() -> None:
    loaded = from_object(FULL)
    assert loaded.recipe.build[2] == {"family": "tree"}  # type: ignore[index]
    assert loaded.recipe.compress is not None
    assert loaded.recipe.compress.prune[0] == {"target": "features"}


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_a_damaged_recipe_is_refused_in_our_words(recipe: dict[str, Any]) -> None:
    try:
        from_object(recipe)
    except RecipeError as error:
        assert error.where.startswith("recipe")
        assert error.expected
        assert error.found
        assert error.remedy.endswith((".", "`."))
        assert "Input should" not in str(error)


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_our_walk_and_the_published_schema_agree(recipe: dict[str, Any]) -> None:
    ours = schema_problems(Document("recipe", recipe))
    assert (not ours) == (VALIDATOR.is_valid(recipe) and finite(recipe)), [
        str(problem) for problem in ours
    ]


@settings(max_examples=25, deadline=None)
@given(damaged())
def test_a_file_and_an_object_are_refused_alike(
    tmp_path_factory: pytest.TempPathFactory, recipe: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "r.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    found = problems(path)
    try:
        from_object(recipe)
    except RecipeError as error:
        assert (found[0].expected, found[0].found, found[0].remedy) == (
            error.expected,
            error.found,
            error.remedy,
        )
        assert found[0].where.startswith("r.yaml, line ") or found[0].where.startswith("r.yaml:")
        with pytest.raises(RecipeError) as caught:
            load(path)
        assert str(caught.value) == str(found[0])
    else:
        assert found == []


def test_what_python_writes_is_what_yaml_holds() -> None:
    value = {
        "data": Data(source="a.csv", target="y", holdout=10),
        "build": ({"family": "mlp", "hidden": (64, np.int64(32)), "dropout": np.float64(0.5)},),
        "initialize": {"seed": np.int32(3)},
    }
    loaded = from_object(value)
    assert loaded.recipe.build == [{"family": "mlp", "hidden": [64, 32], "dropout": 0.5}]
    assert loaded.recipe.initialize.seed == 3
    assert loaded.recipe == Recipe.model_validate(yaml.safe_load(loaded.text))
    path = from_object({"data": {"source": Path("folder") / "a.csv", "target": "y"}})
    assert path.recipe.data.source == str(Path("folder") / "a.csv")


def test_an_object_inside_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecipeError, match="recipe: expected at most 40 levels; found more"):
        _plain(loop)


def test_a_later_mistake_gets_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: {source: a.csv, target: y}\nevaluate:\n  folds: 7\n")
    loaded = load(path, ["evaluate.seed=3"])
    later = loaded.placed(RecipeError("evaluate.folds", "at most 5", "7", "Lower it."))
    assert (
        str(later)
        == "r.yaml, line 3, column 3: evaluate.folds: expected at most 5; found 7. Lower it."
    )
    changed = loaded.placed(RecipeError("evaluate.seed", "2", "3", "Change it."))
    assert changed.where == "--set evaluate.seed"
    for where in ("optimizer adam, beta1", "a.csv, line 3", "build[3]", "class 'yes'", ""):
        other = RecipeError(where, "x", "y", "Z.")
        assert loaded.placed(other) is other


def test_one_change_that_is_none() -> None:
    for change, message in {
        "epochs": "--set: expected KEY=VALUE, such as data.source=my.csv; found 'epochs'. Put an = between them.",
        "name.x=3": "--set: expected a key of a section; found 'name.x'. 'name' holds no section.",
    }.items():
        with pytest.raises(RecipeError) as caught:
            load_with(change)
        assert str(caught.value) == message


def load_with(change: str) -> None:
    load(Path(__file__).parents[2] / "recipes" / "digits.yaml", [change])
