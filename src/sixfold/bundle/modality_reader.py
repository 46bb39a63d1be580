"""The serving half of a modality: how a raw value of a column is read, and what the graph takes of
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from sixfold.bundle.pieces import ValuePieces
from sixfold.core import json_limits, values
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.encoded import EncodedInput
from sixfold.recipe.kinds import PLAIN_KINDS, READER
from sixfold.recipe.signature import Signature

AGAIN = "Copy the bundle again from where it was made."
E = TypeVar("E", bound=EncodedInput)
Cell = Callable[[Any], Any]  # from a raw value to what is held of it


class CellError(ValueError):
    """The value is not what the column takes; the message says what is. The front end adds the row
    and the column.
    """


class InputEncoder(Protocol):
    """What makes one input of the graph of one raw column. Calls may come from several threads at
    once.
    """

    column: str  # the raw column
    cells: int  # features of a row

    def encode(self, values: Sequence[Any], first_row: int = 1) -> npt.NDArray[np.float64]:
        """Values as `ModalityReader.cell` reads them → [rows, cells]. Raises RowError; rows are
        counted from `first_row`.
        """

    def encode_in_place(self, values: Sequence[Any], first_row: int = 1) -> npt.NDArray[np.float64]:
        """The same, in memory that the next call of this thread may write over."""


@runtime_checkable
class DecodesFiles(Protocol):
    """Ability of an encoder: it decodes files (images, recordings), of which a small one may hold
    many values.
    """

    def decoded_values(self, values: Sequence[Any], first_row: int = 1) -> int:
        """Of all of them together, by their headers alone: pixels, samples of all channels. Raises
        RowError for what is no such file.
        """

    def describe(self) -> str:
        """What every file becomes: `28 × 28, gray`."""


@runtime_checkable
class LeavesOut(Protocol):
    """Ability of an encoder: a value has pieces that can be left out, which tells what the model
    looks at.
    """

    def pieces(self, value: Any, features: npt.NDArray[np.float64], most: int) -> ValuePieces:
        """At most `most` pieces of a value, of which `encode` made `features` [cells]."""


@runtime_checkable
class LeavesOutBands(Protocol):
    """Ability of an encoder: of a recording bands of frequency can be left out, in windows of time."""

    def bands(self, value: Any, features: npt.NDArray[np.float64], most: int) -> ValuePieces:
        """At most `most` pieces of the samples [cells] that `encode` made of a value."""


@dataclass(frozen=True)
class Shown:
    """How a column is shown to who sends rows. `hint`: what a field takes; `example`: as JSON;
    `in_csv`: the same in a CSV; `schema`: the JSON Schema of a value; `remedy`: what to do about a
    value that is refused. `field`: of the page to try; of a file, `accept`: media types, with a
    comma between them, and `noun`: `an image`.
    """

    hint: str
    example: str
    in_csv: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": ["string", "null"]})
    remedy: str = "Send null where the value is missing."
    field: Literal["line", "area", "file"] = "line"
    accept: str = ""
    noun: str = "a file"


class ModalityReader(Protocol):
    """A plug-in of the kind `reader`; its file has the modality's name.

    `missing`: what a missing value is read as; None where every row must have one. `in_files`: a
    value is a file: its bytes, these as base64, or, for callers on this machine, its path.
    """

    missing: ClassVar[str | None]
    in_files: ClassVar[bool]
    shown: ClassVar[Shown]

    def cell(self, missing: frozenset[str]) -> Cell:
        """From a raw value to what the encoder takes; `missing`: tokens, '' among them. Raises
        CellError.
        """

    def encoder(self, name: str, described: bytes, where: str) -> InputEncoder:
        """Of what the model's metadata say of the input `name`: read as if a stranger wrote it.
        Raises BundleError.
        """


def text_of(value: Any, expected: str) -> str:
    """The value as the text that it has in a CSV, without spaces around it. Raises CellError."""
    text = value if type(value) is str else values.spell(value)
    if text is None:
        raise CellError(expected)
    return text.strip()


@cache
def reader_of(modality: str) -> ModalityReader:
    """The reader of a modality. Raises RecipeError where there is none of this name."""
    found: ModalityReader = READER.load(modality)()
    return found


def modalities(signature: Signature) -> list[str]:
    """Of the columns that have a reader, in their order, each once."""
    return list(
        dict.fromkeys(each.type for each in signature.inputs if each.type not in PLAIN_KINDS)
    )


def input_names(described: Iterable[str], modality: str) -> list[str]:
    """The inputs of a graph that are made of columns of a modality, in their order."""
    own = re.compile(rf"{modality}_\d{{1,4}}", re.ASCII)
    return sorted(filter(own.fullmatch, described), key=lambda name: (len(name), name))


def described_input(
    section: type[E], name: str, content: bytes, limits: JsonLimits, where: str
) -> E:
    """The description of an input, by pydantic's reader alone, after a look at what it would build.
    Raises BundleError.
    """
    if violation := json_limits.violation(content, limits):
        raise BundleError(where, f"{name}: {violation[0]}", violation[1], AGAIN)
    try:
        found = section.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise BundleError(
            where, f"{name} described as Sixfold does", first["msg"][:200], AGAIN
        ) from None
    if found.name != name:
        raise BundleError(where, f"the description of {name}", found.name, AGAIN)
    return found
