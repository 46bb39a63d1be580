"""What a fine-tuning job leaves besides its bundle: a table of its steps, the tokens it was trained on, and checkpoints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sixfold.runs import events
from sixfold.runs.saves import EPOCH

CHECKPOINTS: Final = "checkpoints"  # of the run's folder: a bundle for each kept epoch
COLUMNS: Final = ("step", "epoch", "train_loss")


@dataclass
class TuningFacts:
    """Of the last training, on all rows. `steps`: (step, epoch, loss) in order; `tokens`: of one epoch."""

    steps: dict[int, tuple[int, float]] = field(default_factory=dict)
    tokens: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """One event of the run; those of folds are passed over. A step that was done again replaces itself."""
        if "fold" in event:
            return
        if event["event"] == "steps":
            for step, loss in zip(event["steps"], event["losses"], strict=True):
                self.steps[int(step)] = int(event["epoch"]), float(loss)
        elif event["event"] == "tokens":
            self.tokens = int(event["tokens"])

    @property
    def epochs(self) -> int:
        """Those that were begun."""
        return max((epoch for epoch, _ in self.steps.values()), default=0)

    def end_of(self, epoch: int) -> tuple[int, float]:
        """The last step of an epoch, and its loss."""
        return max((step, loss) for step, (at, loss) in self.steps.items() if at == epoch)

    def table(self) -> bytes:
        """As CSV."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows((step, *self.steps[step]) for step in sorted(self.steps))
        return text.getvalue().encode()


def facts_of(run: Path) -> TuningFacts:
    """From the run's stream of events."""
    found = TuningFacts()
    for _, event in events.numbered(run / events.NAME):
        if event is not None:
            found.add(event)
    return found


def held_out(receipt: Mapping[str, Any]) -> dict[str, float]:
    """What the model of a receipt scores on the validation file, or on the examples that were put aside, in OpenAI's words."""
    for one in receipt.get("quality", ()):
        value = one["holdout_after"]
        if one["metric"] == "perplexity" and value is not None and value > 0:
            return {"full_valid_loss": math.log(value)}
    return {}


def checkpoints(run: Path) -> Iterator[tuple[int, Path]]:
    """Epoch and bundle of each that was kept, in order."""
    found = [
        (int(path.name.removeprefix(EPOCH)), path) for path in (run / CHECKPOINTS).glob(f"{EPOCH}*")
    ]
    yield from sorted(found)
