"""Texts as the embeddings of a local checkpoint: numbers that every family takes. Nothing is
learned from the training rows.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import Field

from sixfold.bundle.tokens import TokenReader
from sixfold.core.cores import cores
from sixfold.core.errors import DataError
from sixfold.core.texts import LONGEST
from sixfold.parts.fit import FeatureKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import FittedFeatures, Role, Takes, Training
from sixfold.prepare.text import bert
from sixfold.prepare.text.word_pieces import read_word_pieces
from sixfold.recipe.section import Section
from sixfold.recipe.texts import LONGEST_READ, TextInput, TokenPieces

AT_ONCE: Final = (
    4  # texts embedded in one piece, always so many: a text's numbers depend on no other text
)
STEP: Final = 16  # tokens by which pieces are longer or shorter
CACHE_BYTES: Final = (
    256 << 20
)  # of embeddings that are kept for other folds and candidates; guessed
CHANGED: Final = "Put the old files back, or run the recipe again in a new folder."


@dataclass(frozen=True)
class Embedding(State):
    """A checkpoint by its folder and what that held (`digest`, SHA-256): its weights are read from
    there, and stand in no fold's state. `width`: numbers a text; `length`: tokens a text;
    `longest`: characters that are read.
    """

    grows: ClassVar[bool] = False
    folder: str
    digest: str
    width: int
    length: int
    longest: int

    @property
    def kind(self) -> FeatureKind:
        """Numbers."""
        return "numbers"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing was learned."""
        return ()

    @cached_property
    def _pieces(self) -> TokenPieces:
        return _word_pieces(self.folder, self.length, self.longest)

    def transform(self, texts: Sequence[str]) -> FloatArray:
        """Texts → float64 [rows, width]. Raises DataError where the folder has changed."""
        tokens = _token_reader(self.folder, self.length, self.longest).read(texts)
        return (
            _encoder(self.folder, self.digest)
            .embedded(tokens, self._pieces.padding)
            .astype(np.float64)
        )

    def described(self, column: str) -> TextInput:
        """For the encoder of texts, which gives tokens."""
        return TextInput(name="text_0", column=column, tokens=self._pieces)

    def export_encoded(self, graph: Graph, value: str) -> str:
        """The checkpoint's nodes behind the tokens of the column, double."""
        tokens, folder = graph.cast(value, TensorProto.INT64), _unchanged(self.folder, self.digest)
        nodes = bert.BertNodes(
            graph, bert.read_shape(folder), bert.read_arrays(folder), str(folder)
        )
        here = bert.present_tokens(graph, tokens, self._pieces.padding)
        places = graph.constant(np.arange(self.length), np.int64)
        return graph.cast(nodes.embedding(tokens, here, places), TensorProto.DOUBLE)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`body embedding 17`."""
        return tuple(FittedFeatures(f"{names[0]} embedding {at}", 0) for at in range(self.width))


class Settings(Section):
    """What a local checkpoint of BERT's kind makes of a text (as all-MiniLM-L6-v2): a few hundred
    numbers that say what it is about, for every family. The folder holds config.json,
    model.safetensors and tokenizer.json; it travels in the bundle.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"text"})
    role: ClassVar[Role] = "change"

    checkpoint: str = Field(
        min_length=1,
        description="The checkpoint's folder; relative to where the command is started.",
    )
    length: Literal["auto"] | Annotated[int, Field(ge=3, le=512)] = Field(
        "auto",
        description="Tokens of a text; longer ones are cut. auto: 128, or what the checkpoint can read.",
    )
    longest: int = Field(
        10_000,
        ge=1,
        le=min(LONGEST, LONGEST_READ),
        description="Characters of a text that are read.",
    )

    def content_digest(self) -> str:
        """SHA-256 of what the folder holds: part of what a stage depends on."""
        return bert.digest(Path(self.checkpoint))

    def fit(self, texts: Sequence[str], training: Training) -> Embedding:
        """Reads the folder, and no text. Raises DataError for a folder that is no such
        checkpoint.
        """
        folder = Path(self.checkpoint).resolve()
        found, shape = bert.digest(folder), bert.read_shape(folder)
        length = min(128, shape.longest) if self.length == "auto" else self.length
        if length > shape.longest:
            raise DataError(
                "prepare, embedding",
                f"length of at most {shape.longest}",
                str(length),
                "Lower it, or leave it out.",
            )
        return Embedding(str(folder), found, shape.width, length, self.longest)


def _unchanged(folder: str, digest: str) -> Path:
    """Raises DataError where the folder holds something else than it did."""
    found = bert.digest(Path(folder))
    if found != digest:
        raise DataError(
            folder, f"the checkpoint {digest[:12]}…", f"another one, {found[:12]}…", CHANGED
        )
    return Path(folder)


@cache
def _word_pieces(folder: str, length: int, longest: int) -> TokenPieces:
    return read_word_pieces(Path(folder), length, longest)


@cache
def _token_reader(folder: str, length: int, longest: int) -> TokenReader:
    return TokenReader(_word_pieces(folder, length, longest))


@cache
def _encoder(folder: str, digest: str) -> TextEmbedder:
    return TextEmbedder(_unchanged(folder, digest))


@dataclass(frozen=True)
class _TextPiece:
    """Texts that are embedded together, by their tokens as bytes, and how many of these are
    read.
    """

    length: int
    keys: tuple[bytes, ...]


class TextEmbedder:
    """A checkpoint in memory, once a process, and the embeddings of texts that it has met: equal
    ones are computed once.
    """

    def __init__(self, folder: Path) -> None:
        shape, graph = bert.read_shape(folder), Graph()
        tokens = graph.input_of("tokens", TensorProto.INT64, ["rows", "length"])
        here = graph.input_of("here", TensorProto.FLOAT, ["rows", "length"])
        places = graph.input_of("places", TensorProto.INT64, ["length"])
        nodes = bert.BertNodes(graph, shape, bert.read_arrays(folder), str(folder))
        graph.output(
            "embedding",
            nodes.embedding(tokens, here, places),
            TensorProto.FLOAT,
            ["rows", shape.width],
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            graph.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._width, self._lock = shape.width, threading.Lock()
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}

    def embedded(self, tokens: IntArray, padding: int) -> npt.NDArray[np.float32]:
        """int64 [rows, L] → [rows, width]. Texts of about one length are embedded together, several
        pieces at once.
        """
        with self._lock:
            keys = [row.tobytes() for row in tokens]
            missing = {
                key: row for key, row in zip(keys, tokens, strict=True) if key not in self._known
            }
            fresh = self._computed(missing, padding)
            found = (
                np.stack([fresh[key] if key in fresh else self._known[key] for key in keys])
                if keys
                else None
            )
            if (len(self._known) + len(fresh)) * self._width * 4 > CACHE_BYTES:
                self._known.clear()
            self._known.update(fresh)
        return np.zeros((0, self._width), dtype=np.float32) if found is None else found

    def _computed(
        self, rows: dict[bytes, IntArray], padding: int
    ) -> dict[bytes, npt.NDArray[np.float32]]:
        by_length: dict[int, list[bytes]] = {}
        for key, row in rows.items():
            used = int(np.flatnonzero(row != padding)[-1]) + 1
            by_length.setdefault(min(len(row), -(-used // STEP) * STEP), []).append(key)
        pieces = [
            _TextPiece(length, tuple(keys[start : start + AT_ONCE]))
            for length, keys in sorted(by_length.items())
            for start in range(0, len(keys), AT_ONCE)
        ]

        def run(piece: _TextPiece) -> npt.NDArray[np.float32]:
            tokens = np.full((AT_ONCE, piece.length), padding, dtype=np.int64)
            tokens[: len(piece.keys)] = [rows[key][: piece.length] for key in piece.keys]
            here, places = (tokens != padding).astype(np.float32), np.arange(piece.length)
            given = {"tokens": tokens, "here": here, "places": places}
            found: npt.NDArray[np.float32] = self._session.run(None, given)[0]
            return found

        with ThreadPoolExecutor(cores()) as pool:
            answers = list(pool.map(run, pieces))
        return {
            key: answer
            for piece, some in zip(pieces, answers, strict=True)
            for key, answer in zip(piece.keys, some, strict=False)
        }
