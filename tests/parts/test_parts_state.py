"""States are written without pickle and come back bit for bit; nothing but a State can be named in
the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.build.mlp import FittedPerceptron
from sixfold.core.errors import BundleError
from sixfold.parts import state
from sixfold.recipe.receipt import Step


def network() -> FittedPerceptron:
    ones = np.ones((3, 2), dtype=np.float32)
    return FittedPerceptron(
        (ones,), (np.zeros(3, np.float32),), "relu", "softmax", np.zeros(3), np.ones(3)
    )


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    state.save(network(), tmp_path)
    again = state.load(tmp_path, FittedPerceptron)
    assert again.weights[0].dtype == np.float32
    assert again.weights[0].tobytes() == network().weights[0].tobytes()
    assert isinstance(again.biases, tuple)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "state.safetensors"]


@pytest.mark.parametrize(
    "name",
    ["os:system", "sixfold.core.paths:write_atomic", "sixfold.parts.state:load", "builtins:eval"],
)
def test_only_states_can_be_named(tmp_path: Path, name: str) -> None:
    state.save(network(), tmp_path)
    tree = json.loads((tmp_path / "state.json").read_text())
    tree["state"] = name
    (tmp_path / "state.json").write_text(json.dumps(tree))
    with pytest.raises(BundleError, match="expected a State of Sixfold"):
        state.load(tmp_path, FittedPerceptron)


def test_another_state_than_expected_is_refused(tmp_path: Path) -> None:
    state.save(network(), tmp_path)

    class Other(state.State):
        pass

    with pytest.raises(BundleError, match="expected Other; found FittedPerceptron"):
        state.load(tmp_path, Other)


@dataclass(frozen=True)
class Strange(state.State):
    value: Any


def test_what_is_no_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object cannot be part of a State"):
        state.save(Strange(object()), tmp_path)
    state.save(Strange({1: (None, "x", [2.5, True])}), tmp_path)
    state.save(Strange(Step(name="a", accepted=True, why="b")), tmp_path)
