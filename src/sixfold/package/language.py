"""What a run of a language model leaves: the files of a checkpoint, measured, and its receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sixfold.compress.compress import Compressed
from sixfold.data.signature import inputs
from sixfold.evaluate.model import Model
from sixfold.package import receipt
from sixfold.package.receipt import ModelScores, RunClock, qualities
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import Dataset
from sixfold.plan.run_context import DataSplit
from sixfold.recipe.receipt import Cost, Receipt
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import Output, Signature
from sixfold.select.winner import Winner

FOLDER: Final = "hf"
ENGINES: Final = ("sixfold", "numpy", "torch", "transformers", "tokenizers")
HOW: Final = (
    "Validation folds: every fold's model, its tokenizer and weights learned without the fold's documents, scored on them; "
    "every fold counts once.",
    "Holdout: documents put aside before anything was learned, scored once, by the model as it is kept.",
    "A document is scored token by token, its end included; one longer than the context in spans that overlap by half.",
    "Ignoring the text before: each byte by its share in the training documents.",
    "Bytes: the size of the files in hf/.",
)


@dataclass(frozen=True)
class MeasuredLanguage:
    """`files`: of the bundle's runtime, name → content."""

    files: Mapping[str, bytes]
    signature: Signature
    receipt: Receipt


def measure(
    recipe: Recipe, data: DataSplit, winner: Winner, compressed: Compressed, clock: RunClock
) -> MeasuredLanguage:
    """Write out, score the holdout, count."""
    training, held_out, evaluation = data.training, data.held_out, winner.evaluation
    metrics, duration_s = winner.plan.metrics, clock.spent_s()
    before, after = winner.model, compressed.model
    files = bundle_files(after)
    scored = [
        ModelScores(evaluation.scores, before.scores(held_out, metrics)),
        ModelScores(compressed.scores, after.scores(held_out, metrics)),
    ]
    made = Receipt(
        name=recipe.name,
        candidate=evaluation.name,
        rows_trained=training.table.rows,
        rows_holdout=held_out.table.rows,
        metric=metrics[0],
        quality=qualities(metrics, winner.plan.baseline, scored[0], scored[1]),
        before=cost_of(before, bundle_files(before)),
        after=cost_of(after, files),
        steps=compressed.steps,
        verdict=receipt.outcome(compressed),
        machine=receipt.machine(),
        versions=receipt.versions(ENGINES),
        duration_s=round(duration_s, 2),
        how=HOW,
    )
    return MeasuredLanguage(files, signature_of(after, training, recipe), made)


def bundle_files(model: Model) -> dict[str, bytes]:
    """The checkpoint, in its folder. Raises TypeError for what is no language model."""
    if not isinstance(model.fitted, LanguageModel):
        raise TypeError(f"{type(model.fitted).__name__} is no LanguageModel")
    return {f"{FOLDER}/{name}": content for name, content in model.fitted.files().items()}


def cost_of(model: Model, files: Mapping[str, bytes]) -> Cost:
    """Bytes and parameters."""
    return receipt.counted(Cost(file_bytes=sum(map(len, files.values())), inputs=1), model)


def signature_of(model: Model, training: Dataset, recipe: Recipe) -> Signature:
    """A text in, a text out."""
    columns = model.preparer.inputs
    return Signature(
        task="generation",
        target=columns,
        outputs=(Output(name="text", columns=columns),),
        missing=recipe.data.missing,
        fields=training.fields,
        inputs=inputs(training.table, columns),
    )
