"""One fit of the network of `folds_mlp`: a stack of one beside eager torch, Keras' `fit` and
Lightning's `Trainer`.

Same rows, standardization, start by he_normal or the peer's default, Adam at 0.001, batches of 64
in a new order every epoch, 30 epochs, single precision. From arrays in memory to the accuracy on
the held-out fold; building the model, tracing and compiling count, since the run lasts a few
seconds; imports count for nobody. Keras runs on each of its backends once; the fastest is measured,
also without its compilation (a second `fit` of the same compiled model).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import child
from bench.folds_mlp import BATCH, X, Y, eager, folds_of, least_s, ours
from bench.keras_child import fastest, keras
from bench.pairs import ROUNDS, Absent, Result, against, close, need

SAME = 0.04  # one fold has 180 rows: 7 of them


def measure(folds: int = 10, epochs: int = 30, rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds of one fit."""
    some = folds_of(folds)[:1]
    title, least = f"digits, 64-128-64-10, {epochs} epochs, one fold", least_s(some, epochs)

    def row(name: str, target: float | None) -> Result:
        return Result(title, name, target=target, floor=least)

    def mine() -> float:
        return ours(some, epochs)

    yield against(
        row("eager torch", 4), mine, lambda: eager(some, epochs), close("accuracy", SAME), rounds
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "fold.npz"
        train, held_out = some[0]
        np.savez(data, x=X[train], y=Y[train], x_held_out=X[held_out], y_held_out=Y[held_out])
        question: dict[str, Any] = {"data": str(data), "epochs": epochs, "batch": BATCH}
        with child("bench.peers.lightning_fit") as lightning:

            def trained() -> float:
                need("lightning")
                return float(lightning.ask(**question)["accuracy"])

            yield against(
                row("Lightning Trainer", 9), mine, trained, close("accuracy", SAME), rounds
            )
        try:
            backend, tried = fastest("bench.peers.keras_fit", **question)
        except Absent as error:
            yield Result(title, "Keras 3 fit", target=9, absent=str(error))
            return
        with keras("bench.peers.keras_fit", backend) as peer:
            for name, target, again in (
                (f"Keras 3 fit on {backend} (fastest of {tried})", 9.0, False),
                (f"Keras 3 fit on {backend}, compiled before", None, True),
            ):

                def fitted(again: bool = again) -> float:
                    return float(peer.ask(**question, again=again)["accuracy"])

                yield against(row(name, target), mine, fitted, close("accuracy", SAME), rounds)
