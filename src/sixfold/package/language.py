"""What a run of a language model leaves: the files of a checkpoint, measured, and its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from sixfold.bundle.language.parity import packed
from sixfold.bundle.manifest import PARITY
from sixfold.compress.compress import Compressed
from sixfold.compress.language.calibration import divergence_on
from sixfold.data.signature import inputs
from sixfold.evaluate.model import Model
from sixfold.package import language_speed, receipt
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.language_parity import TEXTS, stored_texts
from sixfold.package.language_speed import speeds
from sixfold.package.receipt import MEASURING, ModelScores, RunClock, qualities
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import Dataset
from sixfold.plan.run_context import DataSplit
from sixfold.recipe.receipt import Cost, Receipt
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import Output, Signature
from sixfold.select.winner import Winner

FOLDER: Final = "hf"
GGUF: Final = "model.gguf"
ENGINES: Final = ("sixfold", "numpy", "torch", "transformers", "tokenizers")
HOW: Final = (
    "Validation folds: every fold's model, its tokenizer and weights learned without the fold's documents, scored on them; "
    "every fold counts once.",
    "Holdout: documents put aside before anything was learned, scored once, by the model as it is kept.",
    "A document is scored token by token, its end included; one longer than the context in spans that overlap by half.",
    "Ignoring the text before: each byte by its share in the training documents.",
    "Bytes: the size of model.gguf, which is what answers.",
    "KL: mean over the tokens of documents held out (some 32,768 of many), of the answers of the model as it is kept from those "
    "of the one before compression.",
    *language_speed.HOW,
)
PROMPT: Final = 64  # tokens at most, where the speed is measured
CONTEXT: Final = 512  # of which as much as the model has
T = TypeVar("T")


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
    checkpoint = checkpoint_files(after)
    model, old = served_file(after, recipe.name), served_file(before, recipe.name)
    costs = _costs(_Pair(before, after), _Pair(old, model), training, clock)
    proof = stored_texts(checkpoint, model, some_texts(training, after.preparer.inputs))
    files = {**bundle_files(after), GGUF: model, PARITY: packed(proof)}
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
        baseline_is="giving each byte its share",
        before=costs[0],
        after=costs[1],
        divergence=_divergence(before, after, held_out),
        parity_rows=len(proof),
        steps=compressed.steps,
        verdict=receipt.outcome(compressed),
        machine=receipt.machine(),
        versions=receipt.versions(ENGINES),
        duration_s=round(duration_s, 2),
        how=HOW,
    )
    return MeasuredLanguage(files, signature_of(after, training, recipe), made)


class _Pair(NamedTuple, Generic[T]):
    """Before and after compression."""

    before: T
    after: T


def _costs(
    models: _Pair[Model], files: _Pair[bytes], training: Dataset, clock: RunClock
) -> list[Cost]:
    """Bytes, parameters and speed of both; of one that was not changed, its own twice."""
    texts = some_texts(training, models.after.preparer.inputs)
    fitted = _language(models.after)
    prompts = [ids[:PROMPT] for ids in fitted.tokenizer.encode(texts)]
    filled = [(list(ids) or [fitted.tokenizer.start]) for ids in prompts]
    asked = [filled[number % len(filled)] for number in range(language_speed.TOGETHER)]
    some = files if models.before is not models.after else files[:1]
    context = int(fitted.fields["max_position_embeddings"])
    found = speeds(some, asked, min(context, CONTEXT), MEASURING * clock.left_s())
    pairs = zip(models, files, [found[0], found[-1]], strict=True)
    return [speed.into(cost_of(model, file)) for model, file, speed in pairs]


def _divergence(before: Model, after: Model, held_out: Dataset) -> float | None:
    """On the documents held out; None where there are none, or nothing was changed."""
    if before is after or held_out.table.rows == 0:
        return None
    return divergence_on(before, after, held_out)


def served_file(model: Model, name: str) -> bytes:
    """The content of model.gguf: matrices in half precision, or in the blocks that were chosen."""
    return gguf_bytes(checkpoint_files(model), name, tensors=_language(model).blocks)


def checkpoint_files(model: Model) -> dict[str, bytes]:
    """What transformers loads. Raises TypeError for what is no language model."""
    return _language(model).files()


def _language(model: Model) -> LanguageModel:
    if not isinstance(model.fitted, LanguageModel):
        raise TypeError(f"{type(model.fitted).__name__} is no LanguageModel")
    return model.fitted


def bundle_files(model: Model) -> dict[str, bytes]:
    """The checkpoint, in its folder. Raises TypeError for what is no language model."""
    return {f"{FOLDER}/{name}": content for name, content in checkpoint_files(model).items()}


def cost_of(model: Model, served: bytes) -> Cost:
    """Bytes of the file that answers, and parameters."""
    return receipt.counted(Cost(file_bytes=len(served), inputs=1), model)


def some_texts(training: Dataset, columns: Sequence[str]) -> list[str]:
    """The first documents, of which parity stores a part."""
    column = training.table.columns[columns[0]]
    return [column.levels[code] for code in column.values[:TEXTS].tolist() if code >= 0]


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
