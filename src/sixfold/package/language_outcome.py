"""What a run leaves of a language model.

It needs the engine that serves one (extra `language`), so it is loaded for one alone.
"""

from __future__ import annotations

from sixfold.compress.compress import Compressed
from sixfold.package import (
    answered_questions,
    epoch_bundles,
    language,
    learned_text,
    planned,
    receipt,
    report,
)
from sixfold.package.made import Made, settled
from sixfold.package.served_parity import worst_difference
from sixfold.plan.run_context import DataSplit, RunContext
from sixfold.recipe.receipt import Receipt
from sixfold.select.winner import Winner


def make(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Made:
    """Its columns are not shuffled: there is one."""
    clock = receipt.RunClock(run.limits.started, run.limits.deadline(1.0))
    measured = language.measure(run.loaded.recipe, data, winner, compressed, clock)
    worst = worst_difference(measured.files, measured.signature)
    made = settled(measured.receipt.model_copy(update={"parity_worst": worst}), winner)
    lines = planned.lines(run.folder, run.limits.started)
    findings = report.Findings((), run.folder.history(), compressed.model.fitted, 0, lines)
    told = learned_text.learned(run.folder.history(), made.candidate)
    origin = winner.candidates[0].family.origin()
    asked = answered_questions.asked(run.loaded.recipe.report, origin, compressed.model.fitted)
    content = report.report(made, data.training, winner, findings).model_copy(
        update={"language": told.model_copy(update={"questions": asked})}
    )
    return Made(measured.files, measured.signature, content)


def keep_epochs(run: RunContext, data: DataSplit, winner: Winner, last: Receipt) -> None:
    """The models of the last epochs, where the recipe keeps some; `last`: of the run's own bundle."""
    epoch_bundles.write(run, data, winner, last)
