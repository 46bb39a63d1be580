"""What a bundle answers: arrays for programs, records for people."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.recipe.signature import Signature

SHOWN = 20  # rows of the table in a notebook


@dataclass(frozen=True)
class Predictions:
    """One answer a row, in the order of the rows.

    `outputs`: name of a graph output → array: `label` str objects [rows], others float64 [rows, columns].
    """

    signature: Signature
    outputs: dict[str, npt.NDArray[Any]]

    @property
    def labels(self) -> npt.NDArray[np.object_] | None:
        """The predicted class of each row, [rows]; None where values are predicted."""
        return self.outputs.get("label")

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """[rows, classes] in the order of `signature.classes`; None where the model has none."""
        return self.outputs.get("probability")

    @property
    def decisions(self) -> npt.NDArray[np.float64] | None:
        """[rows, classes], the largest wins; None where the model has probabilities or predicts values."""
        return self.outputs.get("decision")

    @property
    def values(self) -> npt.NDArray[np.float64] | None:
        """[rows, outputs] of a regression or a reconstruction; None for classes."""
        return self.outputs.get("value")

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values()), ()))

    def columns(self) -> dict[str, list[Any]]:
        """Flat columns, for files: `label`, `probability_CLASS`, `decision_CLASS`; `value`, or `value_NAME`."""
        flat: dict[str, list[Any]] = {}
        for output in self.signature.outputs:
            array = self.outputs[output.name]
            if output.name == "label" or (output.name == "value" and len(output.columns) == 1):
                flat[output.name] = array.reshape(-1).tolist()
                continue
            for number, name in enumerate(output.columns):
                flat[f"{output.name}_{name}"] = array[:, number].tolist()
        return flat

    def records(self) -> list[dict[str, Any]]:
        """One mapping a row: `label` with `probability` or `decision` (class → number); `value` (or by name)."""
        rows: list[dict[str, Any]] = [{} for _ in range(len(self))]
        for output in self.signature.outputs:
            array = self.outputs[output.name]
            if output.name == "label" or (output.name == "value" and len(output.columns) == 1):
                for row, value in zip(rows, array.reshape(-1).tolist(), strict=True):
                    row[output.name] = value
                continue
            for row, values in zip(rows, array.tolist(), strict=True):
                row[output.name] = dict(zip(output.columns, values, strict=True))
        return rows

    def _repr_html_(self) -> str:
        flat = self.columns()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in flat)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_shown(column[row]))}</td>" for column in flat.values()) + "</tr>"
            for row in range(min(SHOWN, len(self)))
        )
        more = f"<p>… {len(self) - SHOWN:,} more rows</p>" if len(self) > SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
