"""int8 vectors of a recommender: each item's, and each user's, with a scale of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.scorers import CODED
from sixfold.compress.amount import Found
from sixfold.compress.subject import CompressionState, Job
from sixfold.core.units import show_bytes
from sixfold.evaluate.model import Model
from sixfold.parts.recommender import Recommender

LESS_BYTES: Final = 0.98  # a gain: at most this share of the bytes
MOST: Final = 127  # of a code


def apply(subject: CompressionState, job: Job) -> Found:
    """Quantize the model and its twins; or None and why it cannot be done."""
    if not set(CODED) & set(_recommender(subject.model).arrays):
        return None, f"{job.candidate.name} has no vectors of items"

    def change(model: Model, position: int) -> Model:
        return replace(model, fitted=quantized(_recommender(model)))

    return subject.changed(
        job, change
    ), "8 bits a number of each vector, which has a scale of its own"


def quantized(fitted: Recommender) -> Recommender:
    """The same with codes in the place of vectors: the largest number of a vector is 127."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, array in fitted.arrays.items():
        if name not in CODED:
            arrays[name] = array
            continue
        scales = np.abs(array).max(axis=1) / MOST
        codes = np.rint(array / np.where(scales > 0, scales, 1.0)[:, None])
        arrays[CODED[name].codes] = codes.astype(np.int8)
        arrays[CODED[name].scales] = scales.astype(np.float32)
    return replace(fitted, arrays=arrays)


def gain(before: Recommender, after: Recommender) -> tuple[bool, str]:
    """Whether it takes fewer bytes, and the figures."""
    old, new = (_bytes(one) for one in (before, after))
    return (
        new <= LESS_BYTES * old,
        f"{show_bytes(old)} → {show_bytes(new)} as served, but for names",
    )


def _bytes(one: Recommender) -> int:
    seen = one.starts.nbytes + one.items.nbytes + one.weights.nbytes + one.user_counts.nbytes
    return seen + sum(array.nbytes for array in one.arrays.values())


def _recommender(model: Model) -> Recommender:
    if not isinstance(model.fitted, Recommender):
        raise TypeError(f"{type(model.fitted).__name__} is no Recommender")
    return model.fitted
