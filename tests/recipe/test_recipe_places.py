"""A key in the wrong section: the error says where it belongs, as schema.json has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sixfold.core.errors import RecipeError
from sixfold.recipe import places
from sixfold.recipe.load import from_object, load
from sixfold.recipe.published import schema


def remedy(**sections: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        from_object(
            {"data": {"source": "a.csv", "target": "y", **sections.pop("data", {})}, **sections}
        )
    assert caught.value.expected == "a known key"
    return caught.value.remedy


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        (
            {"train": {"learning_rate": "auto"}},
            "learning_rate belongs into train.optimizer: write `optimizer: {name: adam, learning_rate: auto}`.",
        ),
        (
            {"train": {"learning_rate": 0.1}},
            "learning_rate belongs into train.optimizer: write `optimizer: {name: adam, learning_rate: 0.1}`.",
        ),
        ({"train": {"folds": 5}}, "folds belongs into evaluate: write `evaluate: {folds: 5}`."),
        ({"evaluate": {"epochs": 3}}, "epochs belongs into train: write `train: {epochs: 3}`."),
        (
            {"train": {"stop": {"epochs": 3}}},
            "epochs belongs into train: write `train: {epochs: 3}`.",
        ),
        (
            {"patience": 4},
            "patience belongs into train.stop: write `train: {stop: {patience: 4}}`.",
        ),
        (
            {"data": {"budget": {"time": "3m"}}},
            "budget belongs into the top of the recipe: write `budget: {time: 3m}`.",
        ),
        (
            {"train": {"seed": 3}},
            "seed belongs into data, initialize or evaluate: write `data: {seed: 3}`.",
        ),
        (
            {"prepare": {"number": "mean"}},
            "number belongs into prepare.impute or prepare.features: write `impute: {number: mean}`.",
        ),
    ],
)
def test_where_a_key_belongs(sections: dict[str, Any], text: str) -> None:
    assert remedy(**sections) == text


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        (
            {"train": {"optimizer": "sgd", "learning_rate": 0.1}},
            "learning_rate belongs into train.optimizer: write `optimizer: {name: sgd, learning_rate: 0.1}`.",
        ),
        (
            {"train": {"optimizer": "lbfgs", "weight_decay": 0.1}},
            "weight_decay belongs into train.optimizer: write `optimizer: {name: adam, weight_decay: 0.1}`.",
        ),
        (
            {"build": "boosting", "learning_rate": 0.1},
            "learning_rate belongs into build: write `build: {family: boosting, learning_rate: 0.1}`.",
        ),
        (
            {"build": {"family": "mlp", "learning_rate": 0.1}},
            "learning_rate belongs into train.optimizer: write `train: {optimizer: {name: adam, learning_rate: 0.1}}`.",
        ),
        (
            {"build": [{"family": "tree"}, {"family": "svm", "dropout": 0.1}]},
            "dropout belongs to ctc, fusion, language, mlp and others: write `build: {family: ctc, dropout: 0.1}`.",
        ),
        (
            {"train": {"C": 1.0}, "build": [{"family": "tree"}, "svm"]},
            "C belongs into build: write `build: {family: svm, C: 1.0}`.",
        ),
    ],
)
def test_plug_ins_that_the_recipe_names_go_before_others(
    sections: dict[str, Any], text: str
) -> None:
    assert remedy(**sections) == text


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        (
            {"prepare": {"standard": True}},
            "standard is a feature and belongs into prepare.features: write `features: {number: standard}`.",
        ),
        (
            {"prepare": {"mean": None}},
            "mean is an imputer and belongs into prepare.impute.number, prepare.impute.category or prepare.impute.boolean: "
            "write `impute: {number: mean}`.",
        ),
        (
            {"train": {"mlp": {"hidden": [3]}}},
            "mlp is a family and belongs into build: write `build: {family: mlp, hidden: [3]}`.",
        ),
        (
            {"evaluate": {"accuracy": 0.9}},
            "accuracy is a metric and belongs into evaluate.metrics or evaluate.threshold: write `metrics: [accuracy]`.",
        ),
        (
            {"train": {"kfold": 5}},
            "kfold is a splitter and belongs into evaluate.scheme: write `evaluate: {scheme: kfold}`.",
        ),
    ],
)
def test_the_name_of_a_plug_in_is_no_key(sections: dict[str, Any], text: str) -> None:
    assert remedy(**sections) == text


def test_a_key_that_moved_is_told_where_it_is_now() -> None:
    assert remedy(train={"calibrate": "platt"}) == (
        "calibrate belongs into evaluate: write `evaluate: {calibrate: platt}`."
    )
    assert remedy(train={"threshold": ["f1", "none"]}) == (
        "threshold belongs into evaluate: write `evaluate: {threshold: [f1, none]}`."
    )


def test_a_misspelled_key_gets_the_nearest_name_and_one_that_is_like_none_gets_none() -> None:
    known = (
        "All: average, batch_size, class_weight, clip, compile, epochs, optimizer, precision, report_every, schedule, "
        "spike, stop, warm_up."
    )
    assert remedy(train={"optimzer": 1}) == f"Did you mean 'optimizer'? {known}"
    assert remedy(train={"learning": 1}) == known
    scores = (
        "All: bag, calibrate, ensemble, folds, metrics, nested, positive, repeats, scheme, search, seed, select, share, "
        "threshold."
    )
    assert remedy(evaluate={"calibrat": 1}) == f"Did you mean 'calibrate'? {scores}"
    assert remedy(evaluate={"learning": 1}) == scores  # `calibrate` has half of its letters
    assert remedy(evaluate={"metric": "accuracy"}) == (
        "Did you mean 'metrics'? metric belongs into train.stop: write `train: {stop: {metric: accuracy}}`."
    )


def test_a_value_that_would_not_fit_there_is_not_told_to_be_written() -> None:
    assert (
        remedy(train={"folds": "many"})
        == "folds belongs into evaluate: write `evaluate: {folds: …}`."
    )
    assert (
        remedy(train={"hidden": [0]})
        == "hidden belongs into build: write `build: {family: mlp, hidden: …}`."
    )
    long = "x" * 200
    expected = "source belongs into data, data.users or data.items: write `data: {source: …}`."
    assert remedy(train={"source": long}) == expected


def test_file_line_and_column_stay(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "data: {source: a.csv, target: y}\ntrain:\n  epochs: 3\n  learning_rate: auto\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        load(recipe)
    assert str(caught.value) == (
        "r.yaml, line 4, column 3: train.learning_rate: expected a known key; found 'learning_rate'. "
        "learning_rate belongs into train.optimizer: write `optimizer: {name: adam, learning_rate: auto}`."
    )
    recipe.write_text("data: {source: a.csv, target: y}\n", encoding="utf-8")
    with pytest.raises(
        RecipeError,
        match=r"^--set train\.folds: expected a known key; found 'folds'\. folds belongs into",
    ):
        load(recipe, ["train.folds=5"])


def test_every_key_and_every_option_of_the_schema_has_its_place() -> None:
    """None is kept by hand: what the schema knows is found."""
    found = places._all()
    for section in (
        "Data",
        "Denoise",
        "Train",
        "Stop",
        "Evaluate",
        "Search",
        "Compress",
        "Budget",
        "Serve",
    ):
        assert schema()["$defs"][section]["properties"].keys() <= found.keys()
    for kind, place in (
        ("optimizer", ("train", "optimizer")),
        ("family", ("build",)),
        ("pruner", ("compress", "prune")),
    ):
        for name in schema()["x-plugins"][kind]:
            options = schema()["$defs"][f"{kind}.{name}"]["properties"]
            for key in (key for key, option in options.items() if "const" not in option):
                assert any(home.path == place and home.owner == name for home in found[key]), (
                    name,
                    key,
                )
