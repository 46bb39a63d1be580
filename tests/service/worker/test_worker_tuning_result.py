"""What a fine-tuning leaves besides its bundle, from the run's events."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.worker import plan_answer
from sixfold.service.worker.tuning_result import TuningFacts, checkpoints, held_out


def steps(epoch: int, first: int, losses: list[float]) -> dict[str, Any]:
    numbers = list(range(first, first + len(losses)))
    return {"event": "steps", "epoch": epoch, "steps": numbers, "losses": losses}


@given(
    epochs=st.integers(1, 6),
    each=st.integers(1, 5),
    again=st.integers(1, 6),
    drawn=st.randoms(use_true_random=False),
)
def test_a_training_that_went_on_after_a_kill_is_one_table(
    epochs: int, each: int, again: int, drawn: Any
) -> None:
    """Epochs that were done again count once; those of folds do not count."""
    events = [
        steps(at, 1 + (at - 1) * each, [drawn.uniform(0, 9) for _ in range(each)])
        for at in range(1, epochs + 1)
    ]
    found = TuningFacts()
    for event in [{"event": "tokens", "tokens": 7}, *events[: min(again, epochs)]]:
        found.add(event)
        found.add({**event, "fold": 0, "losses": [99.0] * each, "tokens": 99})
    for event in [{"event": "tokens", "tokens": 7}, *events]:
        found.add(event)
    rows = list(csv.DictReader(io.StringIO(found.table().decode())))
    assert [int(row["step"]) for row in rows] == list(range(1, epochs * each + 1))
    assert [float(row["train_loss"]) for row in rows] == [
        loss for event in events for loss in event["losses"]
    ]
    assert (found.epochs, found.tokens) == (epochs, 7)
    for event in events:
        assert found.end_of(event["epoch"]) == (event["steps"][-1], event["losses"][-1])


def test_checkpoints_come_in_the_order_of_their_epochs(tmp_path: Path) -> None:
    for number in (10, 9, 11):
        (tmp_path / "checkpoints" / f"epoch-{number}").mkdir(parents=True)
    assert [epoch for epoch, _ in checkpoints(tmp_path)] == [9, 10, 11]
    assert list(checkpoints(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("quality", "found"),
    [
        ([("bits_per_byte", 2.0), ("perplexity", math.e)], {"full_valid_loss": 1.0}),
        ([("perplexity", None)], {}),
        ([("preference_accuracy", 0.5)], {}),
        ([], {}),
    ],
)
def test_a_checkpoints_loss_on_what_was_held_out(
    quality: list[tuple[str, float | None]], found: dict[str, float]
) -> None:
    rows = [{"metric": name, "holdout_after": value} for name, value in quality]
    assert held_out({"quality": rows}) == pytest.approx(found)


def test_settings_of_one_candidate_alone() -> None:
    train = {"epochs": 3, "batch_size": "full", "optimizer": {"name": "adamw"}, "clip": 1.0}
    one = {"family": "language", "build": {"adapt": "lora", "rank": 8}, "train": train}
    told = {"epochs": 3, "batch_size": "full", "adapt": "lora"}
    assert plan_answer.settings({"settings": {"language": one}}) == told
    assert plan_answer.settings({"settings": {"a": one, "b": one}}) == {}
    assert plan_answer.settings({}) == {}
