"""What a bundle answers: arrays for programs, records for people."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.bundle.unfamiliar import Known, Unfamiliar
from sixfold.core import values
from sixfold.core.values import LevelType
from sixfold.recipe.signature import Signature

SHOWN = 20  # rows of the table in a notebook


@dataclass(frozen=True)
class Predictions:
    """One answer a row, in the order of the rows.

    `outputs`: name of a graph output → array: `label` str objects [rows], others float64 [rows,
    columns]. `feeds`: what the graph was asked; `known`: what training held.
    """

    signature: Signature
    outputs: dict[str, npt.NDArray[Any]]
    feeds: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)
    known: Known | None = field(default=None, repr=False, compare=False)

    @cached_property
    def labels(self) -> npt.NDArray[Any] | None:
        """The predicted class of each row, [rows], in the target's own type: text (objects), whole
        numbers (int64, objects where one is too large), numbers (float64) or booleans. None where
        values are predicted.
        """
        texts = self.outputs.get("label")
        if texts is None or self.signature.class_type in ("text", "date"):
            return texts
        known = _typed(self.signature.classes, self.signature.class_type)
        return np.array([known[text] for text in texts.tolist()], dtype=label_dtype(self.signature))

    @cached_property
    def unfamiliar(self) -> tuple[Unfamiliar, ...]:
        """Per raw column what training had not: categories, numbers out of range, missing
        values.
        """
        return (self.known or Known(self.signature)).count(self.feeds)

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """[rows, classes] in the order of `signature.classes`; None where the model has none."""
        return self.outputs.get("probability")

    @property
    def decisions(self) -> npt.NDArray[np.float64] | None:
        """[rows, classes], the largest wins; None where the model has probabilities or predicts
        values.
        """
        return self.outputs.get("decision")

    @property
    def values(self) -> npt.NDArray[np.float64] | None:
        """[rows, outputs] of a regression or a reconstruction; None for classes."""
        return self.outputs.get("value")

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values()), ()))

    def columns(self) -> dict[str, list[Any]]:
        """Flat columns, for files: `label`, `probability_CLASS`, `decision_CLASS`; `value`, or
        `value_NAME`.
        """
        flat: dict[str, list[Any]] = {}
        for output in self.signature.outputs:
            array = self.outputs[output.name]
            if (plain := self._plain(output.name)) is not None:
                flat[output.name] = plain
                continue
            for number, name in enumerate(output.columns):
                flat[f"{output.name}_{name}"] = array[:, number].tolist()
        return flat

    def records(self) -> list[dict[str, Any]]:
        """One mapping a row: `label` with `probability` or `decision` (class → number); `value` (or
        by name).
        """
        rows: list[dict[str, Any]] = [{} for _ in range(len(self))]
        for output in self.signature.outputs:
            array = self.outputs[output.name]
            if (plain := self._plain(output.name)) is not None:
                for row, value in zip(rows, plain, strict=True):
                    row[output.name] = value
                continue
            for row, numbers in zip(rows, array.tolist(), strict=True):
                row[output.name] = dict(zip(output.columns, numbers, strict=True))
        return rows

    def _plain(self, name: str) -> list[Any] | None:
        """An output of one plain value a row: the label, the text, or the one value."""
        array = self.labels if name == "label" else self.outputs[name]
        if array is None or (array.ndim == 2 and (name != "value" or array.shape[1] > 1)):
            return None
        plain: list[Any] = array.reshape(-1).tolist()
        return plain

    def _repr_html_(self) -> str:
        flat = self.columns()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in flat)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(_shown(column[row]))}</td>" for column in flat.values())
            + "</tr>"
            for row in range(min(SHOWN, len(self)))
        )
        more = f"<p>… {len(self) - SHOWN:,} more rows</p>" if len(self) > SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def label_dtype(signature: Signature) -> np.dtype[Any]:
    """Of `Predictions.labels`."""
    known = list(_typed(signature.classes, signature.class_type).values())
    if all(isinstance(value, bool) for value in known):
        return np.dtype(bool)
    if all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in known):
        return np.dtype(np.int64)
    return np.dtype(np.float64 if all(isinstance(value, float) for value in known) else object)


@lru_cache(maxsize=64)
def _typed(classes: tuple[str, ...], kind: LevelType) -> dict[str, Any]:
    """Class → the value that it is; all whole numbers, or none."""
    found = {text: values.typed(text, kind) for text in classes}
    if kind == "number" and any(isinstance(value, float) for value in found.values()):
        return {text: float(value) for text, value in found.items()}
    return dict(found)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
