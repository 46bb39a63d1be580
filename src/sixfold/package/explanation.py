"""What a bundle keeps so that its answers can be explained where nothing of training is installed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.stored import Stored, smallest
from sixfold.evaluate.model import Model
from sixfold.package.receipt import Measured
from sixfold.parts.fit import Attributable, Wrapping
from sixfold.parts.table import FloatArray, Table
from sixfold.prepare.preparer import Preparer


def explanation(model: Model, training: Table, measured: Measured) -> bytes:
    """The content of `explain.safetensors`: of a sum of trees the training rows of every leaf, of a
    linear model its weights and the means of its features; of any model how many of the stored rows
    are real.
    """
    real = measured.parity.real
    fitted = model.fitted.inner if isinstance(model.fitted, Wrapping) else model.fitted
    additive = fitted.additive() if isinstance(fitted, Attributable) else None
    if additive is None or not isinstance(model.preparer, Preparer):
        return Stored(real=real).packed()
    columns = {column.name: at for at, column in enumerate(measured.signature.inputs)}
    sources = [columns.get(name, -1) for name in model.preparer.feature_sources]
    arrays = {"source": np.array(sources, dtype=np.int32)}
    if additive.kind == "linear":
        arrays |= additive.arrays | {"mean": _means(model.preparer, training)}
    else:
        arrays["cover"] = smallest(additive.arrays["cover"])
    return Stored(
        kind=additive.kind,
        link=additive.link,
        calibrated=model.calibrator is not None,
        value=model.features_name(),
        real=real,
        arrays=arrays,
    ).packed()


def _means(preparer: Preparer, training: Table) -> FloatArray:
    """[features] over the training rows, in double precision."""
    total: npt.NDArray[np.float64] = np.zeros(len(preparer.feature_names))
    for _, x in preparer.batches(training):
        total += x.sum(axis=0, dtype=np.float64)
    return total / max(1, training.rows)
