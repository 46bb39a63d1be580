"""Step 6b of a language model: its weights in fewer bits, each fold's model by its own training texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sixfold.compress.amount import Found
from sixfold.compress.language.calibration import calibration_of, divergence_on
from sixfold.compress.language.fewer_bits import FewerBits, Method, quantized, served_bytes
from sixfold.compress.subject import CompressionState, Job
from sixfold.core.units import show_bytes
from sixfold.evaluate.model import Model
from sixfold.parts.language_model import LanguageModel
from sixfold.runs.context import Context
from sixfold.train import threads

LESS_BYTES = 0.98  # a gain: at most this share of the bytes
WAYS = {
    "int8": "8 bits a weight, rounded to the nearest",
    "int4": "4 bits a weight (8 of the vectors of tokens), rounded to the nearest",
    "gptq": "4 bits a weight (8 of the vectors of tokens), by GPTQ",
}


def apply(subject: CompressionState, job: Job, method: Method, context: Context) -> Found:
    """Quantize the model and its twins, by one thread: the same bits on any number of cores. Raises
    BudgetError where no time is left for the next of them.
    """

    def change(model: Model, position: int) -> Model:
        context.check_time(f"quantizing by {method}")
        fitted, windows = calibration_of(model, subject.basis.rows(position))
        with threads.one_thread():
            return replace(model, fitted=quantized(fitted, FewerBits(method), windows))

    return subject.changed(job, change), WAYS[method]


def gain(before: LanguageModel, after: LanguageModel) -> tuple[bool, str]:
    """Whether the weights take fewer bytes as they are served, and the figures. How fast the model
    is, is measured once, on the bundle.
    """
    old, new = served_bytes(before), served_bytes(after)
    return new <= LESS_BYTES * old, f"{show_bytes(old)} → {show_bytes(new)} of weights as served"


def apart(job: Job, before: CompressionState, after: CompressionState) -> str:
    """How far the answers of the twins have moved, as a part of a sentence."""
    values = [
        divergence_on(old, new, job.dataset.take(fold.validation))
        for fold, old, new in zip(job.folds, before.fold_models, after.fold_models, strict=True)
    ]
    return f"KL {float(np.mean(values)):.3g} nats a token on held-out texts"
