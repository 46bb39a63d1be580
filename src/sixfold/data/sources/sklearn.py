"""The tables that come with scikit-learn: `sklearn:breast_cancer`. Nothing is downloaded."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from pydantic import Field
from sklearn import datasets

from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

TABLES: Final = {
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "linnerud": datasets.load_linnerud,
    "wine": datasets.load_wine,
}


class Settings(Section):
    """One of scikit-learn's bundled tables. The target is the column `target`, with the names of its classes where it
    has any; `linnerud` has three: Weight, Waist, Pulse.
    """

    table: str = Field(description="breast_cancer, diabetes, digits, iris, linnerud or wine.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The table called `name`. Raises DataError."""
        if name not in TABLES:
            raise DataError("data.source", "a table of scikit-learn", f"'{name}'", did_you_mean(name, TABLES))
        return cls(table=name)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Features as numbers; classes as text."""
        bunch: Any = TABLES[self.table]()
        matrix = np.asarray(bunch.data, dtype=np.float64)
        columns = {
            str(name): pa.chunked_array([np.ascontiguousarray(matrix[:, i])])
            for i, name in enumerate(bunch.feature_names)
        }
        target = np.asarray(bunch.target)
        if target.ndim == 2:
            columns |= {str(name): pa.chunked_array([target[:, i].copy()]) for i, name in enumerate(bunch.target_names)}
        elif "target_names" in bunch:
            columns["target"] = pa.chunked_array([pa.array([str(bunch.target_names[code]) for code in target])])
        else:
            columns["target"] = pa.chunked_array([target.astype(np.float64)])
        return Raw(columns, len(matrix), f"sklearn:{self.table}", lambda row: f"row {row + 1:,}")
