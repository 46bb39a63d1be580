"""The graph in two parts: from raw columns to the features that the model sees, and from these to
the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import Feeds
from sixfold.bundle.graph import CheckedModel, answering, session_on
from sixfold.bundle.manifest import AGAIN
from sixfold.bundle.onnx_graph import FLOAT
from sixfold.bundle.onnx_messages import written
from sixfold.bundle.runtime import EncodesInputs, Runtime
from sixfold.core.errors import BundleError


class NamedFeatures(NamedTuple):
    """What the features are called in the graph, their type there, and how many there are."""

    value: str
    elem_type: int
    width: int


@dataclass(frozen=True)
class FeatureReader:
    """`value`: what the features are called in the graph; `session`: None where they are its input;
    `width`: how many there are.
    """

    value: str
    session: Any
    width: int
    where: str

    @classmethod
    def of(cls, model: CheckedModel, named: NamedFeatures, where: str) -> FeatureReader:
        """Raises BundleError."""
        is_input = named.value in model.graph.inputs
        session = None if is_input else model.session_of(named.value, named.elem_type, where)
        return cls(named.value, session, named.width, where)

    def read(self, runtime: Runtime, feeds: Feeds) -> npt.NDArray[Any]:
        """[rows, features] as the model sees them. Raises BundleError for another number of them."""
        rows, parts = len(next(iter(feeds.values()))), []
        for start in range(0, rows, runtime.rows_at_once):
            some = {
                name: array[start : start + runtime.rows_at_once] for name, array in feeds.items()
            }
            given = runtime.encoded(some, start + 1) if isinstance(runtime, EncodesInputs) else some
            with answering(self.where):
                parts.append(
                    np.array(given[self.value])
                    if self.session is None
                    else self.session.run(None, dict(given))[0]
                )
        found = np.concatenate(parts)
        if found.shape[1] != self.width:
            raise BundleError(
                self.where, "a column for every feature", f"{found.shape[1]:,}", AGAIN
            )
        return found


@dataclass(frozen=True)
class AnswersFeatures:
    """The part of the graph behind the features. `output`: what of its outputs is taken."""

    named: NamedFeatures
    session: Any
    output: str
    rows_at_once: int
    where: str

    @classmethod
    def of(
        cls, model: CheckedModel, named: NamedFeatures, output: str, rows_at_once: int, where: str
    ) -> AnswersFeatures:
        """Raises WireError for a graph whose answers take more than the features, BundleError."""
        part = model.part_behind(named.value, named.elem_type, named.width, output)
        session = session_on(b"".join(written(part)), where)
        return cls(named, session, output, rows_at_once, where)

    def __call__(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[rows, features] → [rows, K]."""
        kind = np.float32 if self.named.elem_type == FLOAT else np.float64
        parts = []
        for start in range(0, max(1, len(x)), self.rows_at_once):
            given = {self.named.value: x[start : start + self.rows_at_once].astype(kind)}
            with answering(self.where):
                parts.append(self.session.run([self.output], given)[0])
        return np.asarray(np.concatenate(parts), dtype=np.float64)
