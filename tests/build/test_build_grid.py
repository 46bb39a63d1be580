"""Grids and the names of what they expand to."""

from __future__ import annotations

import doctest

from sixfold.build import grid


def no_lists(key: str) -> bool:
    return False


def test_a_list_is_a_grid_and_the_last_key_changes_fastest() -> None:
    options = {"family": "svm", "kernel": ["rbf", "poly"], "C": [1, 10]}
    expanded = grid.expand(options, no_lists)
    assert [(one["kernel"], one["C"]) for one in expanded] == [
        ("rbf", 1),
        ("rbf", 10),
        ("poly", 1),
        ("poly", 10),
    ]
    assert options == {"family": "svm", "kernel": ["rbf", "poly"], "C": [1, 10]}


def test_a_list_field_is_a_grid_only_as_a_list_of_lists() -> None:
    def hidden(key: str) -> bool:
        return key == "hidden"

    assert grid.expand({"hidden": [128, 64]}, hidden) == [{"hidden": [128, 64]}]
    assert grid.expand({"hidden": [[128], [64, 32]]}, hidden) == [
        {"hidden": [128]},
        {"hidden": [64, 32]},
    ]
    assert grid.expand({"hidden": []}, hidden) == [{"hidden": []}]


def test_a_mapping_is_looked_into() -> None:
    options = {
        "optimizer": {"name": "adam", "betas": [0.9, 0.999], "learning_rate": [0.1, 0.01]},
        "epochs": [5, 6],
    }
    expanded = grid.expand(options, lambda key: key == "optimizer.betas")
    assert len(expanded) == 4
    assert expanded[1] == {
        "optimizer": {"name": "adam", "betas": [0.9, 0.999], "learning_rate": 0.1},
        "epochs": 6,
    }


def test_nothing_to_expand_is_one_candidate() -> None:
    assert grid.expand({"family": "tree"}, no_lists) == [{"family": "tree"}]


def test_names_say_what_differs_within_the_family() -> None:
    candidates = [
        {"family": "mlp", "hidden": [128, 64], "train": {"learning_rate": 0.1}},
        {"family": "mlp", "hidden": [32], "train": {"learning_rate": 0.1}},
        {"family": "svm", "C": 1, "kernel": "rbf"},
        {"family": "svm", "C": 10, "kernel": "rbf"},
        {"family": "tree", "max_depth": 8},
        {"family": "linear"},
        {"family": "linear"},
    ]
    assert grid.names(candidates) == [
        "mlp hidden=128-64",
        "mlp hidden=32",
        "svm C=1",
        "svm C=10",
        "tree",
        "linear",
        "linear #2",
    ]
    nested = [{"family": "mlp", "optimizer": {"learning_rate": rate}} for rate in (0.1, 0.01)]
    assert grid.names(nested) == ["mlp learning_rate=0.1", "mlp learning_rate=0.01"]
    assert grid.names([{"family": "svm"}, {"family": "svm", "C": 3}]) == ["svm", "svm C=3"]


def test_examples() -> None:
    assert doctest.testmod(grid).failed == 0
