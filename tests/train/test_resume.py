"""Killed between any two steps and continued, training ends with the same bits; a damaged state is
seen and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fitting import fit_many
from killed_training import KilledError, killed_at
from sixfold.build.candidate import Candidate
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train.stepper import Stepper

X, Y = load_digits(return_X_y=True)
FITS = [Fit(X[:rows] / 16.0, Y[:rows], "classification", 10, seed=rows) for rows in (90, 75, 96)]


def candidate(train: dict[str, Any], **build: Any) -> Candidate:
    family = FAMILY.load("mlp")(**{"hidden": [8], **build})
    return Candidate("mlp", "mlp", family, Prepare(), Initialize(seed=1), Train(**train))


def saves(folder: Path, notes: list[str] | None = None) -> Checkpoints:
    """A state after every step."""
    emit = lambda kind, facts: (notes if notes is not None else []).append(facts["text"])  # noqa: E731
    return Checkpoints(folder, "key", emit, every_s=0.0)


def arrays(fitted: list[Fitted]) -> Iterator[np.ndarray[Any, Any]]:
    for one in fitted:
        yield from (*one.weights, *one.biases)  # type: ignore[attr-defined]


def assert_same_bits(one: list[Fitted], other: list[Fitted]) -> None:
    for left, right in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(left, right)


def train_until(
    one: Candidate, context: Context, steps: float, monkeypatch: pytest.MonkeyPatch
) -> list[Fitted]:
    """Trains the three fits; killed before step number `steps`."""
    with killed_at(steps, monkeypatch):
        return list(fit_many([one], FITS, context))


def full(name: str) -> bool:
    return bool(getattr(OPTIMIZER.load(name), "full_batch", False))


RECIPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{
        name: ({"optimizer": name, "batch_size": "full" if full(name) else 16, "epochs": 4}, {})
        for name in OPTIMIZER.names()
    },
    "stopping at different epochs, dropout, a mean of weights": (
        {
            "optimizer": {"name": "adam", "learning_rate": 0.05},
            "batch_size": 16,
            "epochs": 40,
            "average": {"ema": 0.9},
            "stop": {"patience": 2, "validation": 0.25},
            "clip": 1.0,
        },
        {"dropout": 0.2},
    ),
    "epochs that nobody looks at": ({"batch_size": 16, "epochs": 7, "report_every": 3}, {}),
    "the same, of one step each": ({"batch_size": "full", "epochs": 50, "report_every": 20}, {}),
    "the mean of the last epochs": (
        {"batch_size": 16, "epochs": 6, "average": {"swa": 0.5}, "schedule": "cosine"},
        {},
    ),
}


QUICK = {"adamw", "lbfgs"}
OF_TWO_KINDS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES
]


@pytest.mark.parametrize("name", OF_TWO_KINDS)
def test_killed_at_many_steps_it_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First step, mid-epoch, end of an epoch, after a replica has stopped; and several kills, one
    after the other.
    """
    one = candidate(*RECIPES[name][:1], **RECIPES[name][1])
    whole = train_until(one, Context(), np.inf, monkeypatch)
    for number, kills in enumerate([(1,), (2,), (6,), (7,), (11, 3, 9), (30,), (45, 20)]):
        context = Context(saves=saves(tmp_path / str(number)))
        ended = False
        for kill in kills:
            try:
                train_until(one, Context(saves=saves(tmp_path / str(number))), kill, monkeypatch)
                ended = True
            except KilledError:
                pass
        if not ended:
            assert_same_bits(train_until(one, context, np.inf, monkeypatch), whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "muon", "auto"])
def test_killed_in_a_range_test_or_after_it_the_rate_is_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done again, and finds the same. It takes 120 steps: 30 of each fit in 8 epochs of 6, 5
    and 4 whole batches.
    """
    one = candidate(
        {"optimizer": {"name": name, "learning_rate": "auto"}, "batch_size": 16, "epochs": 6}
    )
    whole = train_until(one, Context(), np.inf, monkeypatch)
    for number, kills in enumerate([(10,), (119,), (130,), (160, 119, 170)]):
        for kill in kills:
            with pytest.raises(KilledError):
                train_until(one, Context(saves=saves(tmp_path / str(number))), kill, monkeypatch)
        context = Context(saves=saves(tmp_path / str(number)))
        assert bool(states(tmp_path / str(number))) is (max(kills) > 120)
        assert_same_bits(train_until(one, context, np.inf, monkeypatch), whole)


def test_a_resumed_training_does_not_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two optimizers step the folds (6 or 5 batches an epoch): 44 steps. Step 20 is the first of a
    batch's two: done again.
    """
    one, steps = candidate({"batch_size": 16, "epochs": 4}), []
    plain = Stepper.take
    monkeypatch.setattr(
        Stepper, "take", lambda self, *closure: (steps.append(1), plain(self, *closure))
    )
    train_until(one, Context(), np.inf, monkeypatch)
    assert len(steps) == 44
    with pytest.raises(KilledError):
        train_until(one, Context(saves=saves(tmp_path)), 20, monkeypatch)
    steps.clear()
    train_until(one, Context(saves=saves(tmp_path)), np.inf, monkeypatch)
    assert len(steps) == 25


def states(folder: Path) -> list[Path]:
    return sorted((folder / "training-1").glob("step-*"))


def test_two_states_are_kept_and_a_damaged_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = candidate({"batch_size": 16, "epochs": 4})
    whole = train_until(one, Context(), np.inf, monkeypatch)
    with pytest.raises(KilledError):
        train_until(one, Context(saves=saves(tmp_path)), 20, monkeypatch)
    older, newer = states(tmp_path)
    data = bytearray((newer / "state.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (newer / "state.safetensors").write_bytes(bytes(data))
    notes: list[str] = []
    again = train_until(one, Context(saves=saves(tmp_path, notes)), np.inf, monkeypatch)
    assert (
        notes[0] == f"training-1/{newer.name}: state.safetensors is damaged; an older state is used"
    )
    assert_same_bits(again, whole)
    assert older.name < newer.name
