"""`optimizer: auto` beside the optimizers that it could have chosen, each with
`learning_rate: auto`, on small networks.

Held-out loss, mean over three splits; all get as many epochs, and stop early alike.
`python -m bench.optimizer_auto` prints the table of docs/explanation/auto-optimizer.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.networks import Network, loss, networks
from bench.pairs import Result
from sixfold.recipe.kinds import OPTIMIZER

PEERS: dict[str, dict[str, Any]] = {
    "adamw": {"name": "adamw", "learning_rate": "auto"},
    "rmsprop": {"name": "rmsprop", "learning_rate": "auto"},
    "schedule_free_adamw": {"name": "schedule_free_adamw", "learning_rate": "auto"},
    "muon": {"name": "muon", "learning_rate": "auto"},
    "adamw, its own rate": {"name": "adamw"},
    "lbfgs": {"name": "lbfgs"},
}
AUTO = {"name": "auto"}


def measure(some: Sequence[Network] | None = None) -> list[Result]:
    """One line a network and peer. `lbfgs`, which takes no mini-batches, of full batches only."""
    results = []
    for network in networks() if some is None else some:
        ours, seconds = _timed(network, AUTO)
        for peer, options in PEERS.items():
            if peer == "lbfgs" and network.batch != "full":
                continue
            theirs, their_seconds = _timed(network, options)
            quality = f"seconds of CPU {seconds:.2f}, {their_seconds:.2f}"
            results.append(Result(network.name, peer, ours, theirs, "held-out loss", quality))
    return results


def _timed(network: Network, options: dict[str, Any]) -> tuple[float, float]:
    OPTIMIZER.make(
        {key: value for key, value in options.items() if key == "name"}
    )  # imported before the clock runs
    started = time.process_time()
    return loss(network, options), time.process_time() - started


def main() -> None:
    """The table: loss (seconds)."""
    print(
        f"| network, rows a batch | auto | {' | '.join(PEERS)} |\n| --- |{' --- |' * (len(PEERS) + 1)}"
    )
    results = measure()
    for name in dict.fromkeys(result.workload for result in results):
        of = {result.peer: result for result in results if result.workload == name}
        first = next(iter(of.values()))
        cells = [f"{first.ours:.3f} ({first.quality.split()[3].rstrip(',')} s)"]
        cells += [
            f"{of[peer].peers:.3f} ({of[peer].quality.split()[-1]} s)" if peer in of else ""
            for peer in PEERS
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
