"""What answers for a bundle: the manifest names a runtime, which opens the files that were checked
and answers feeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy.typing as npt

from sixfold.bundle.allowed import check_allowed
from sixfold.bundle.manifest import MANIFEST, ONNX, Sealed
from sixfold.bundle.modality_reader import InputEncoder, modalities
from sixfold.core.errors import BundleError
from sixfold.recipe.kinds import READER, RUNTIME
from sixfold.recipe.signature import Signature

if TYPE_CHECKING:  # it takes packages that other runtimes do without
    from sixfold.bundle.language.model import LanguageRuntime
    from sixfold.bundle.recommend.runtime import RecommenderRuntime
    from sixfold.bundle.transcription.runtime import TranscriptionRuntime

Arrays = Mapping[str, npt.NDArray[Any]]
Outputs = dict[
    str, npt.NDArray[Any]
]  # output of the signature → [rows] labels, or float64 [rows, columns]


@dataclass(frozen=True)
class EncodedColumn:
    """An input of the graph that an encoder makes of a raw column: column `place` of what the front
    end reads into `group`.
    """

    name: str
    group: str
    place: int
    encoder: InputEncoder


class Runtime(Protocol):
    """An opened model. Calls may come from several threads at once.

    `rows_at_once`: that one call of `predict` takes. `depends_on_batch`: whether a row's answer
    depends on the rows beside it.
    """

    rows_at_once: int
    depends_on_batch: bool

    def predict(self, feeds: Arrays, first_row: int = 1) -> Outputs:
        """Answers to what the front end made of 1 to `rows_at_once` rows. Raises RowError; rows are
        counted from `first_row`.
        """


@runtime_checkable
class PlainRows(Protocol):
    """Ability of a runtime: one row, of which all columns are numbers, takes a shorter way to the
    same answers.
    """

    def predict_plain(self, numbers: npt.NDArray[Any]) -> Outputs:
        """float64 [columns] → outputs of one row."""


@runtime_checkable
class ReadsFiles(Protocol):
    """Ability of a runtime: some columns are files (images, recordings), which it decodes. `becomes`: of such
    a column what it is made into.
    """

    @property
    def becomes(self) -> dict[str, str]:
        """Column → `becomes 28 × 28, gray`."""

    def decoded_values(self, feeds: Arrays) -> int:
        """Of all files of `feeds`, by their headers: what `predict` will decode, pixels and samples.
        Raises RowError for what is no such file.
        """


@runtime_checkable
class EncodesInputs(Protocol):
    """Ability of a runtime: it answers by the file `model.onnx`, and says what that graph takes."""

    @property
    def encoders(self) -> Sequence[EncodedColumn]:
        """What makes inputs of the graph of raw columns."""

    def encoded(self, feeds: Arrays, first_row: int) -> dict[str, npt.NDArray[Any]]:
        """Input of the graph → its values."""

    def answered(self, given: Arrays) -> Outputs:
        """Answers to inputs of the graph, of 1 to `rows_at_once` rows."""


@runtime_checkable
class Proves(Protocol):
    """Ability of a runtime: what was stored with the bundle are no rows, and it answers it again."""

    def prove(self, stored: bytes, where: str) -> Proved:
        """Raises BundleError where it disagrees."""


@runtime_checkable
class Generates(Proves, Protocol):
    """Ability of a runtime: it generates texts, token by token."""

    def language_model(self) -> LanguageRuntime:
        """What does so."""


@runtime_checkable
class Recommends(Proves, Protocol):
    """Ability of a runtime: it says which items are for a user."""

    def recommender(self) -> RecommenderRuntime:
        """What does so."""


@runtime_checkable
class Transcribes(Protocol):
    """Ability of a runtime: it hears what is said in a recording, and when."""

    def transcriber(self) -> TranscriptionRuntime:
        """What does so."""


@dataclass(frozen=True)
class Proved:
    """What was asked again: `rows` of it, and the largest difference; `told`: the same in words."""

    rows: int
    worst: float
    told: str


class RuntimePlugin(Protocol):
    """A plug-in of the kind `runtime`: `files` of its own in a bundle, with the largest size of
    each in bytes; `proves`: what opening them proves, for `verify`.
    """

    files: ClassVar[Mapping[str, int]]
    proves: ClassVar[str]

    def open(self, sealed: Sealed, signature: Signature) -> Runtime:
        """Ready to answer for `signature`. The files may be a stranger's. Raises BundleError."""


@runtime_checkable
class PacksGraph(Protocol):
    """Ability of a plug-in: it can answer for any trained pipeline, which comes as one ONNX
    graph.
    """

    def pack(self, graph: bytes) -> dict[str, bytes]:
        """The content of its files."""


def runtime_plugin(name: str) -> RuntimePlugin:
    """The plug-in of a name. Raises RecipeError where there is none."""
    found: RuntimePlugin = RUNTIME.load(name)()
    return found


def packed_by(name: str, graph: bytes) -> dict[str, bytes]:
    """The runtime's files for a graph. Raises BundleError where it answers for other models
    alone.
    """
    plugin = runtime_plugin(name)
    if not isinstance(plugin, PacksGraph):
        remedy = f"Leave out serve.runtime, or set it to {ONNX}."
        raise BundleError(
            "serve.runtime", "a runtime that can answer for a graph", f"'{name}'", remedy
        )
    return plugin.pack(graph)


def open_runtime(sealed: Sealed, signature: Signature, allow: Collection[str] = ()) -> Runtime:
    """The runtime that the manifest names, opened, and readers for the signature's columns: only
    plug-ins of Sixfold's own, and those of other packages that are allowed. Raises BundleError.
    """
    check_allowed(READER, modalities(signature), allow, str(sealed.folder / "signature.json"))
    check_allowed(RUNTIME, {sealed.runtime}, allow, str(sealed.folder / MANIFEST))
    return runtime_plugin(sealed.runtime).open(sealed, signature)
