"""A bundle in memory: checked against its manifest, ready to answer."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from sixfold.bundle import manifest
from sixfold.bundle.explain import told
from sixfold.bundle.explain.attributions import Attributions, Method
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer
from sixfold.bundle.explain.told import AskedMethod, Explanations
from sixfold.bundle.file_values import with_paths
from sixfold.bundle.frontend import Extra, RawRows, shorten
from sixfold.bundle.manifest import Sealed
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtime import open_runtime
from sixfold.core import json_limits
from sixfold.core.errors import BundleError, RecipeError
from sixfold.recipe import load as recipe_load
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.schema import Recipe
from sixfold.recipe.section import Section
from sixfold.recipe.signature import Signature

S = TypeVar("S", bound=Section)
MOST_FAULTS: Final = 1000  # of one file that are looked at: each takes half a kilobyte


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
    explainer: Explainer

    @property
    def name(self) -> str:
        """The recipe's name: the name of the model when it is served."""
        return self.recipe.name

    def named(self, name: str) -> Bundle:
        """The same model under another name, for serving."""
        return replace(self, recipe=self.recipe.model_copy(update={"name": name}))

    def predict(self, rows: RawRows, extra: Extra = "ignore") -> Predictions:
        """Answers for a list of dicts, a dict of columns, or a pandas DataFrame, of raw values or
        of text.

        An image is given as bytes, base64 or the path of a file.
        Columns that the model does not ask for are passed over, or refused with `extra="refuse"`.
        Raises RowError with the row and the column that do not fit.
        """
        return self.predictor.predict(with_paths(rows, self.predictor.file_columns, Path()), extra)

    def explain(
        self, rows: RawRows, method: Method = "auto", effort: ExplainEffort | None = None
    ) -> Attributions:
        """How much every raw column adds to the answer to each row: exact for linear models, trees
        and boosting, by sampling otherwise. Rows as in `predict`.

        Raises RowError for rows that do not fit, a method that the model does not have, and more
        work than `effort` allows (a minute).
        """
        return self.explainer.explain(
            with_paths(rows, self.predictor.file_columns, Path()), method, effort
        )

    def explanations(
        self, rows: RawRows, method: AskedMethod = "auto", effort: ExplainEffort | None = None
    ) -> Explanations:
        """As records, what `explain` says, and of texts, images and recordings which pieces of them
        change the answer. Raises RowError.
        """
        given = with_paths(rows, self.predictor.file_columns, Path())
        return told.explanations(self.explainer, given, method, effort)

    def _repr_html_(self) -> str:
        inputs = ", ".join(
            f"{column.name} ({column.type})" for column in self.signature.inputs[:12]
        )
        more = (
            f" and {len(self.signature.inputs) - 12} more"
            if len(self.signature.inputs) > 12
            else ""
        )
        about = html.escape(f"{self.signature.task}, {self.receipt.candidate}")
        return f"<p><b>{html.escape(self.name)}</b>: {about}</p><p>{html.escape(inputs)}{more}</p>"


def load(path: str | Path, allow: Collection[str] = ()) -> Bundle:
    """Read a bundle folder. Every byte is checked against the manifest first. Raises BundleError.

    `allow`: names of installed plug-ins of other packages that the bundle may use (its runtime,
    readers of its columns).
    """
    return from_files(manifest.read(Path(path), allow), allow)


def from_files(sealed: Sealed, allow: Collection[str] = ()) -> Bundle:
    """The bundle of files that were read and checked."""
    folder, files = sealed.folder, sealed.files
    signature = section_of(Signature, "signature.json", files, folder)
    if found := signature.excess():
        raise BundleError(str(folder / "signature.json"), *found, manifest.AGAIN)
    runtime = open_runtime(sealed, signature, allow)
    receipt = section_of(Receipt, "receipt.json", files, folder)
    recipe = _recipe(files["recipe.yaml"], folder / "recipe.yaml")
    predictor = Predictor(runtime, signature, str(folder))
    kept = manifest.EXPLAINED if manifest.EXPLAIN in files else (manifest.PARITY,)
    some = {name: files[name] for name in kept if name in files}
    explainer = Explainer(predictor, some, str(folder))
    return Bundle(folder, signature, recipe, receipt, predictor, explainer)


def section_of(section: type[S], name: str, files: Mapping[str, bytes], folder: Path) -> S:
    """The content of one JSON file, by pydantic's reader alone, after a look at what it would
    build. Raises BundleError.
    """
    if found := json_limits.violation(files[name], manifest.LIMITS[name]):
        raise BundleError(str(folder / name), *found, manifest.AGAIN)
    try:
        return section.model_validate_json(files[name])
    except ValidationError as error:
        expected = f"a valid {section.__name__.lower()}"
        raise BundleError(str(folder / name), expected, _first(error), manifest.AGAIN) from None


def _first(error: ValidationError) -> str:
    """The first fault; of very many only the number, as pydantic builds all of them or none."""
    if error.error_count() > MOST_FAULTS:
        return f"{error.error_count():,} faults"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{shorten(place)}: {shorten(first['msg'])}"


def _recipe(content: bytes, where: Path) -> Recipe:
    """By the recipe's own reader: what trained is what is read here."""
    try:
        return recipe_load.from_text(content.decode("utf-8"), str(where))
    except UnicodeDecodeError as error:
        raise BundleError(
            str(where), "UTF-8 text", f"byte {error.start} that is not", manifest.AGAIN
        ) from None
    except RecipeError as error:
        raise BundleError(error.where, error.expected, error.found, manifest.AGAIN) from None
