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
QUESTIONS: Final = "digit_questions"
MADE: Final = (IMAGES, QUESTIONS)  # of the digits
LARGER: Final = ("larger than", "bigger than", "greater than", "above", "more than")
SMALLER: Final = ("smaller than", "lower than", "less than", "below", "under")
OPENINGS: Final = (
    "Tell me:",
    "Please check:",
    "One more:",
    "Next, and quickly:",
    "For the records:",
    "We have to know:",
    "Somebody asks:",
    "From the archive:",
    "As far as you see:",
    "A simple one:",
    "With a fresh eye:",
    "Look again:",
)
CLOSINGS: Final = (
    "",
    " on this form",
    " or is it not",
    " in your opinion",
    " as printed here",
    " by now",
    " after all",
    " in this row",
    " for once",
    " according to the scan",
    " if anyone can read it",
    " without any doubt",
)


class Settings(Section):
    """One of scikit-learn's bundled tables. The target is the column `target`, with the names of
    its classes where it has any; `linnerud` has three: Weight, Waist, Pulse. `digit_images` are the
    digits as PNG files, which are written into ~/.cache/sixfold: a column `image` with their paths.
    `digit_questions` puts a made question and a number beside each: whether the digit is larger, or
    smaller, than the column `limit`; the answer takes all three columns.
    """

    table: str = Field(
        description="breast_cancer, diabetes, digits, digit_images, digit_questions, iris, linnerud or wine."
    )

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The table called `name`. Raises DataError."""
        if name not in TABLES and name not in MADE:
            raise DataError(
                "data.source",
                "a table of scikit-learn",
                f"'{name}'",
                did_you_mean(name, [*TABLES, *MADE]),
            )
        return cls(table=name)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Features as numbers; classes as text."""
        if self.table in MADE:
            images = _digit_images(Path.home() / ".cache" / "sixfold" / IMAGES)
            return images if self.table == IMAGES else _digit_questions(images)
        bunch: Any = TABLES[self.table]()
        matrix = np.asarray(bunch.data, dtype=np.float64)
        columns = {
            str(name): pa.chunked_array([np.ascontiguousarray(matrix[:, i])])
            for i, name in enumerate(bunch.feature_names)
        }
        target = np.asarray(bunch.target)
        if target.ndim == 2:
            columns |= {
                str(name): pa.chunked_array([target[:, i].copy()])
                for i, name in enumerate(bunch.target_names)
            }
        elif "target_names" in bunch:
            columns["target"] = pa.chunked_array(
                [pa.array([str(bunch.target_names[code]) for code in target])]
            )
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


def _digit_questions(images: Raw) -> Raw:
    """Each column alone, and `image` with `limit`, says nothing of the answer; the question with
    one of them does for 78%.
    """
    digits = images.columns["target"].cast(pa.int64()).to_numpy()
    random, rows = np.random.default_rng(0), images.rows
    larger, limit = random.random(rows) < 0.5, (digits + random.integers(1, 10, rows)) % 10
    words, openings, closings = (
        random.integers(count, size=rows) for count in (len(LARGER), len(OPENINGS), len(CLOSINGS))
    )
    questions = [
        f"{OPENINGS[opening]} is the digit {(LARGER if up else SMALLER)[word]} the limit{CLOSINGS[closing]}?"
        for opening, up, word, closing in zip(openings, larger, words, closings, strict=True)
    ]
    answers = ["yes" if yes else "no" for yes in (digits > limit) == larger]
    columns = {
        "image": images.columns["image"],
        "question": pa.chunked_array([pa.array(questions, pa.string())]),
        "limit": pa.chunked_array([pa.array(limit.astype(np.float64))]),
        "target": pa.chunked_array([pa.array(answers, pa.string())]),
    }
    return Raw(columns, rows, f"sklearn:{QUESTIONS}", images.place)
