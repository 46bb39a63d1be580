"""What the stream of events costs: ten folds of the network of `folds_mlp` that tell every epoch, beside the same in silence.

Every replica's loss of every epoch goes to the `events.jsonl` of a run folder. "Peer" is the silent training: 0.97 is a cost of
3%. Scores have to be equal, bit for bit, and the stream has to hold folds × epochs losses.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.folds_mlp import Folds, folds_of, ours
from bench.pairs import Result
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder

ROUNDS = 15  # twice as many as elsewhere: the difference is small


def measure(folds: int = 10, epochs: int = 30, rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds of all folds."""
    some = folds_of(folds)
    with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "run") as folder:
        stream = Path(place) / "run" / "events.jsonl"

        def told() -> float:
            return ours(some, epochs, Context(emit_to=folder.emit))

        assert told() == ours(some, epochs)
        _check(stream, some, epochs)
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds):
            pair = [(told, times[0]), (lambda: ours(some, epochs), times[1])]
            for work, seen in pair if number % 2 else reversed(pair):
                seen.append(_seconds(work))
    mine, others = (statistics.median(seen) for seen in times)
    yield Result(
        f"digits, 64-128-64-10, {epochs} epochs, {folds} folds, every epoch told", "the same in silence", mine, others,
        quality=f"equal accuracies; {folds * epochs} losses in the stream", target=0.97, rounds=rounds,
    )  # fmt: skip


def _check(stream: Path, folds: Folds, epochs: int) -> None:
    events = [json.loads(line) for line in stream.read_text().splitlines()]
    told = {(event["fit"], event["epoch"]) for event in events if event["event"] == "epoch" and event["loss"] > 0}
    assert told == {(fold, epoch) for fold in range(len(folds)) for epoch in range(1, epochs + 1)}, len(told)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
