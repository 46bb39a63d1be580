"""A bundle in memory: checked against its manifest, ready to answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from sixfold.bundle import manifest
from sixfold.bundle.frontend import Extra, RawRows
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.predictor import Predictor
from sixfold.core.errors import BundleError
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.schema import Recipe
from sixfold.recipe.section import Section
from sixfold.recipe.signature import Signature

S = TypeVar("S", bound=Section)
AGAIN = "Copy the bundle again from where it was made, or run the recipe again."


@dataclass(frozen=True)
class Bundle:
    """The deployable result of a run.

    >>> load("runs/income/bundle").predict([{"age": 39, "education": "Bachelors"}]).labels  # doctest: +SKIP
    """

    path: Path
    signature: Signature
    recipe: Recipe
    receipt: Receipt
    predictor: Predictor

    @property
    def name(self) -> str:
        """The recipe's name: the name of the model when it is served."""
        return self.recipe.name

    def predict(self, rows: RawRows, extra: Extra = "ignore") -> Predictions:
        """Answers for a list of dicts, a dict of columns, or a pandas DataFrame, of raw values or of text.

        Columns that the model does not ask for are passed over, or refused with `extra="refuse"`.
        Raises RowError with the row and the column that do not fit.
        """
        return self.predictor.predict(rows, extra)

    def _repr_html_(self) -> str:
        inputs = ", ".join(f"{column.name} ({column.type})" for column in self.signature.inputs[:12])
        more = f" and {len(self.signature.inputs) - 12} more" if len(self.signature.inputs) > 12 else ""
        return f"<p><b>{self.name}</b>: {self.signature.task}, {self.receipt.candidate}</p><p>{inputs}{more}</p>"


def load(path: str | Path) -> Bundle:
    """Read a bundle folder. Every byte is checked against the manifest first. Raises BundleError."""
    folder = Path(path)
    return from_files(folder, manifest.read(folder))


def from_files(folder: Path, files: dict[str, bytes]) -> Bundle:
    """The bundle of files that were read and checked; `folder` is for messages."""
    signature = _parse(
        Signature, json_of(files["signature.json"], folder / "signature.json"), folder / "signature.json"
    )
    receipt = _parse(Receipt, json_of(files["receipt.json"], folder / "receipt.json"), folder / "receipt.json")
    recipe = _parse(Recipe, _yaml(files["recipe.yaml"], folder / "recipe.yaml"), folder / "recipe.yaml")
    predictor = Predictor(files["model.onnx"], signature, str(folder / "model.onnx"))
    return Bundle(folder, signature, recipe, receipt, predictor)


def json_of(content: bytes, where: Path) -> Any:
    """The JSON value of a file's content. Raises BundleError."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(str(where), "JSON", str(error), AGAIN) from None


def _yaml(content: bytes, where: Path) -> Any:
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise BundleError(str(where), "YAML", str(error).splitlines()[0], AGAIN) from None


def _parse(section: type[S], content: Any, where: Path) -> S:
    try:
        return section.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(
            str(where), f"a valid {section.__name__.lower()}", f"{place}: {first['msg']}", AGAIN
        ) from None
