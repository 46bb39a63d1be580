"""The tables that come with scikit-learn: `sklearn:breast_cancer`. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field
from sklearn import datasets

from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.core.paths import system_fault
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

IMAGES: Final = "digit_images"


class Settings(Section):
    """One of scikit-learn's bundled tables. The target is the column `target`, with the names of its classes where it
    has any; `linnerud` has three: Weight, Waist, Pulse. `digit_images` are the digits as PNG files, which are written into
    ~/.cache/sixfold: a column `image` with their paths.
    """

    table: str = Field(description="breast_cancer, diabetes, digits, digit_images, iris, linnerud or wine.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The table called `name`. Raises DataError."""
        if name not in TABLES and name != IMAGES:
            raise DataError(
                "data.source", "a table of scikit-learn", f"'{name}'", did_you_mean(name, [*TABLES, IMAGES])
            )
        return cls(table=name)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Features as numbers; classes as text."""
        if self.table == IMAGES:
            return _digit_images(Path.home() / ".cache" / "sixfold" / IMAGES)
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


def _digit_images(folder: Path) -> Raw:
    """The digits as files, written where they are not there yet. Raises SystemFault."""
    bunch: Any = datasets.load_digits()
    pixels = np.asarray(np.rint(bunch.images * (255 / 16)), dtype=np.uint8)
    paths = [folder / f"{number:04}.png" for number in range(len(pixels))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, pixels, strict=True):
            if not path.is_file():
                aside = path.with_suffix(".tmp")
                Image.fromarray(image).save(aside, format="PNG")
                aside.replace(path)
    except OSError as error:
        raise system_fault(folder, error) from error
    columns = {
        "image": pa.chunked_array([pa.array([str(path) for path in paths], pa.string())]),
        "target": pa.chunked_array([pa.array([str(digit) for digit in bunch.target], pa.string())]),
    }
    return Raw(columns, len(paths), f"sklearn:{IMAGES}", lambda row: paths[row].name)
