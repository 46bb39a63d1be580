"""Every replica's loss and watched metric of every epoch are in the stream of events, and are those it would have alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many
from sixfold.train.stopping import Watch

EPOCHS, ROWS = 6, (40, 47, 33)


def fits() -> list[Fit]:
    random = np.random.default_rng(0)
    tables = [random.normal(size=(rows, 4)) for rows in ROWS]
    return [Fit(x, (x[:, 0] > 0).astype(np.int64), "classification", 2, seed=at) for at, x in enumerate(tables)]


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
        Candidate(f"mlp {at}", "mlp", FAMILY.load("mlp")(hidden=[8]), Prepare(), Initialize(), train)
        for at, train in enumerate(trains)
    ]  # fmt: skip


def epochs(folder: Path) -> dict[tuple[int, str, int], tuple[float, float]]:
    """(fit, candidate, epoch) → loss and validation, read from the file."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return {
        (event.get("fit", 0), event.get("candidate", ""), event["epoch"]): (event["loss"], event["validation"])
        for event in events
        if event["event"] == "epoch"
    }


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_every_epoch_of_every_replica_is_told(metric: str, tmp_path: Path) -> None:
    watch = Watch("accuracy", True, lambda y, found: float(np.mean(found.argmax(axis=1) == y)))
    with RunFolder(tmp_path / "together") as folder:
        list(fit_many(candidates(metric=metric), fits(), Context(emit_to=folder.emit), watch))
    told = epochs(tmp_path / "together")
    assert set(told) == {(at, f"mlp {c}", e) for at in range(len(ROWS)) for c in range(2) for e in range(1, EPOCHS + 1)}
    for at, fit in enumerate(fits()):
        for one in candidates(metric=metric):
            with RunFolder(tmp_path / f"{at} {one.name}") as folder:
                list(fit_many([one], [fit], Context(emit_to=folder.emit), watch))
            for (_, _, epoch), alone in epochs(tmp_path / f"{at} {one.name}").items():
                assert told[at, one.name, epoch] == pytest.approx(alone, abs=1e-5)
