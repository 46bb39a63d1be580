"""What the stream of events costs: trainings that tell every epoch of every replica, beside the
same in silence.

Ten folds of the network of `folds_mlp`, and the worst case: that of `tiny_steps`, whose epoch is
one step of a fraction of a millisecond. Every replica's loss of every epoch goes to the
`events.jsonl` of a run folder. "Peer" is the silent training: 0.97 is a cost of 3%. Scores have to
be equal, bit for bit, and the stream has to hold replicas × epochs losses.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.folds_mlp import folds_of, ours
from bench.pairs import Result
from bench.tiny_steps import ours as tiny
from sixfold.package.report import epochs_of
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder

ROUNDS = 15  # twice as many as elsewhere: the difference is small


def measure(
    folds: int = 10, epochs: int = 30, steps: int = 1000, rounds: int = ROUNDS
) -> Iterator[Result]:
    """Seconds of all folds; and of all steps."""
    some = folds_of(folds)
    title = f"digits, 64-128-64-10, {folds} folds, {epochs} epochs told"
    yield _row(title, lambda context: ours(some, epochs, context), folds, epochs, rounds)
    yield _row(
        f"10-10-10, {steps} epochs of one step told",
        lambda context: tiny(steps, context, 1),
        1,
        steps,
        rounds,
    )


def _row(
    title: str, train: Callable[[Context], float], replicas: int, epochs: int, rounds: int
) -> Result:
    """`train` gives a score, which the events must not change."""
    with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "run") as folder:
        told, silent = Context(emit_to=folder.emit), Context()
        assert train(told) == train(silent)
        _check(Path(place) / "run" / "events.jsonl", replicas, epochs)
        times: dict[str, list[float]] = {"told": [], "silent": []}
        for number in range(rounds):
            pair = [("told", told), ("silent", silent)]
            for name, context in pair if number % 2 else reversed(pair):
                times[name].append(_seconds(lambda context=context: train(context)))  # type: ignore[misc]
    medians = (statistics.median(seen) for seen in times.values())
    quality = f"equal scores; {replicas * epochs} losses in the stream"
    return Result(
        title, "the same in silence", *medians, quality=quality, target=0.97, rounds=rounds
    )


def _check(stream: Path, replicas: int, epochs: int) -> None:
    """Who tells alone has no number."""
    events = [json.loads(line) for line in stream.read_text().splitlines()]
    told = {
        (event.get("fit", 0), epoch.number)
        for event in events
        if event["event"] == "epoch"
        for epoch in epochs_of(event)
        if epoch.loss > 0
    }
    assert told == {(at, epoch) for at in range(replicas) for epoch in range(1, epochs + 1)}, len(
        told
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
