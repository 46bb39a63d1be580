"""Every replica's loss and watched metric of every epoch are in the stream of events, and are those
it would have alone.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.package.report import epochs_of
from sixfold.parts.fit import Fit, Watch
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder
from sixfold.runs.saves import Checkpoints
from sixfold.train import loss_reporter, replicas
from sixfold.train.stepper import Stepper

EPOCHS, ROWS = 6, (40, 47, 33)


def fits() -> list[Fit]:
    random = np.random.default_rng(0)
    tables = [random.normal(size=(rows, 4)) for rows in ROWS]
    return [
        Fit(x, (x[:, 0] > 0).astype(np.int64), "classification", 2, seed=at)
        for at, x in enumerate(tables)
    ]


def candidates(**stop: Any) -> list[Candidate]:
    trains = [
        Train(
            epochs=EPOCHS,
            batch_size=16,
            stop={"patience": EPOCHS, **stop},
            optimizer={"name": "adam", "learning_rate": rate},
        )
        for rate in (0.01, 0.03)
    ]
    return [
        Candidate(
            f"mlp {at}", "mlp", FAMILY.load("mlp")(hidden=[8]), Prepare(), Initialize(), train
        )
        for at, train in enumerate(trains)
    ]


def epochs(folder: Path) -> dict[tuple[int, str, int], tuple[float, float]]:
    """(fit, candidate, epoch) → loss and validation, read from the file."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return {
        (event.get("fit", 0), event.get("candidate", ""), epoch.number): (
            epoch.loss,
            epoch.validation,
        )
        for event in events
        if event["event"] == "epoch"
        for epoch in epochs_of(event)
    }


def test_a_kill_loses_no_epoch_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not told yet is told before a state is saved: a later command goes on after it."""
    monkeypatch.setattr(loss_reporter, "OFTEN_S", np.inf)
    one, fit = candidates()[0], fits()[0]
    plain, steps = Stepper.take, itertools.count()

    def take(self: Stepper, closure: Any = None) -> None:
        if next(steps) == 11:  # in the fourth epoch of three steps
            raise KeyboardInterrupt
        plain(self, closure)

    with RunFolder(tmp_path / "run") as folder:
        context = Context(
            emit_to=folder.emit,
            saves=Checkpoints(tmp_path / "saves", "key", folder.emit, every_s=0.0),
        )
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Stepper, "take", take)
            list(fit_many([one], [fit], context))
    assert 0 < len(epochs(tmp_path / "run")) < EPOCHS
    with RunFolder(tmp_path / "run") as folder:
        context = Context(
            emit_to=folder.emit, saves=Checkpoints(tmp_path / "saves", "key", folder.emit)
        )
        list(fit_many([one], [fit], context))
    assert [epoch for _, _, epoch in sorted(epochs(tmp_path / "run"))] == list(range(1, EPOCHS + 1))


def test_epochs_of_a_long_silence_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of epochs that nobody asked to be told of for a long time, the newest are kept; else every
    one is told.
    """
    monkeypatch.setattr(loss_reporter, "MOST", 8)
    monkeypatch.setattr(loss_reporter, "OFTEN_S", np.inf)
    monkeypatch.setattr(replicas, "UNSEEN", 4)
    for every, sizes in ((1, [1, 7, 4, 4, 4]), (50, [8]), (5, [5, 5, 5, 5])):
        told: list[dict[str, Any]] = []
        context = Context(
            emit_to=lambda kind, facts, told=told: told.append(facts) if kind == "epoch" else None
        )
        train = Train(epochs=20, batch_size="full", report_every=every)
        one = Candidate(
            "mlp", "mlp", FAMILY.load("mlp")(hidden=[8]), Prepare(), Initialize(), train
        )
        list(fit_many([one], fits()[:1], context))
        assert [len(each["losses"]) for each in told] == sizes
        assert told[-1]["epoch"] == 20


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_every_epoch_of_every_replica_is_told(metric: str, tmp_path: Path) -> None:
    watch = Watch("accuracy", True, lambda y, found, _: float(np.mean(found.argmax(axis=1) == y)))
    with RunFolder(tmp_path / "together") as folder:
        list(fit_many(candidates(metric=metric), fits(), Context(emit_to=folder.emit), watch))
    told = epochs(tmp_path / "together")
    assert set(told) == {
        (at, f"mlp {c}", e)
        for at in range(len(ROWS))
        for c in range(2)
        for e in range(1, EPOCHS + 1)
    }
    for at, fit in enumerate(fits()):
        for one in candidates(metric=metric):
            with RunFolder(tmp_path / f"{at} {one.name}") as folder:
                list(fit_many([one], [fit], Context(emit_to=folder.emit), watch))
            for (_, _, epoch), alone in epochs(tmp_path / f"{at} {one.name}").items():
                assert told[at, one.name, epoch] == pytest.approx(alone, abs=1e-5)
