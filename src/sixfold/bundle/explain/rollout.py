"""Attention rollout (Abnar and Zuidema, Quantifying attention flow in transformers, ACL 2020): how much of
each token is in a place of the last layer, if attention were all that mixes tokens.

Of each layer the mean A of its heads' attentions, and half of what a token has from itself (the way around a
layer): (A + I) / 2; the product over the layers.

Shape letters: L layers, H heads, T tokens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from sixfold.bundle import onnx_shapes
from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.attributions import places_of
from sixfold.bundle.explain.backward import types_of
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer, over_time
from sixfold.bundle.explain.faithfulness import JudgedRow
from sixfold.bundle.explain.occlusion import GraphRuntime
from sixfold.bundle.frontend import Extra, RawRows
from sixfold.bundle.graph import CheckedModel, answering
from sixfold.bundle.onnx_graph import DOUBLE
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.runtime import EncodesInputs
from sixfold.bundle.texts import TokenEncoder
from sixfold.core.errors import RowError

HOW: Final = (
    "attention rollout: the mean of the heads and half of the token itself, layer after layer"
)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AttentionRollout:
    """One record a row: shares of the tokens of a text, which add up to 1."""

    records: list[dict[str, Any]]
    predictions: Predictions


def rolled_out(attentions_LTT: npt.NDArray[Any]) -> Floats:
    """[T, T]: how much of each token is in a place of the last layer; rows add up to 1."""
    found = np.eye(attentions_LTT.shape[1])
    for attention in np.asarray(attentions_LTT, dtype=np.float64):
        found = (attention @ found + found) / 2
    return found


def has_attention(explainer: Explainer) -> bool:
    """Whether it is an encoder of one text whose graph has attention; nothing is opened for that."""
    runtime = explainer.predictor.runtime
    encoders = list(runtime.encoders) if isinstance(runtime, EncodesInputs) else []
    if len(encoders) != 1 or len(explainer.columns) != 1 or not explainer.outputs:
        return False
    encoder = encoders[0].encoder
    if not isinstance(encoder, TokenEncoder) or not explainer.has_graph:
        return False
    return bool(_attentions(explainer.graph, encoders[0].name, encoder.cells))


def rollout_of_rows(
    explainer: Explainer,
    rows: RawRows,
    extra: Extra = "ignore",
    output: str | None = None,
    effort: ExplainEffort | None = None,
) -> AttentionRollout:
    """Of an encoder of texts, whose answer is made of the mean over its tokens. Raises RowError for rows
    that do not fit, for models without attention in their graph, and for more work than `effort` allows.
    """
    model, effort = explainer.once(_AttentiveModel.of), effort or ExplainEffort()
    feeds = explainer.predictor.front_end.feeds(rows, extra)
    if not len(next(iter(feeds.values()))):
        raise RowError("rows", "at least one row", "none", "Give a row.")
    predictions = explainer.predictor.run(feeds)
    tokens = model.runtime.encoded(feeds, 1)[model.name]
    places = places_of(explainer.outputs, predictions, output)
    end = time.monotonic() + effort.seconds
    model.check_time(np.array(tokens[:1], dtype=np.float64), len(tokens), effort.seconds)
    records = []
    for row, place in zip(np.array(tokens, dtype=np.float64), places, strict=True):
        piece = model.piece(row[None])
        shares = np.array([word["change"] for word in piece["words"]])
        game = _TokenGame(model, explainer.output_name, row)
        judged = faithfulness.of_one(JudgedRow(game, shares, place), end - time.monotonic())
        record = {
            "output": explainer.outputs[place],
            "scale": "share of attention",
            "method": HOW,
            "base": 0.0,
            "prediction": 1.0,
            "pieces": {model.encoder.column: piece},
        }
        records.append(record | judged)
    return AttentionRollout(records, predictions)


@dataclass(frozen=True)
class _AttentiveModel:
    """A graph that takes the tokens of one text as input `name`, and gives the attentions of its layers."""

    runtime: GraphRuntime
    name: str
    encoder: TokenEncoder
    session: Any

    @classmethod
    def of(cls, explainer: Explainer) -> _AttentiveModel:
        """Raises RowError."""
        runtime = explainer.predictor.runtime
        encoders = list(runtime.encoders) if isinstance(runtime, EncodesInputs) else []
        if len(encoders) != 1 or len(explainer.columns) != 1 or not explainer.outputs:
            raise _refused("a model of other columns than one text")
        encoder = encoders[0].encoder
        if not isinstance(encoder, TokenEncoder) or not explainer.has_graph:
            raise _refused("a model that is given no tokens")
        graph = explainer.graph
        values = _attentions(graph, encoders[0].name, encoder.cells)
        if not values:
            raise _refused("a network without attention")
        session = graph.session_giving(values, encoders[0].name)
        return cls(cast(GraphRuntime, runtime), encoders[0].name, encoder, session)

    def check_time(self, tokens: Floats, rows: int, most_s: float) -> None:
        """Raises RowError where so many rows like `tokens` [1, T] would take longer."""
        started = time.perf_counter()
        self.piece(tokens)
        expected_s = rows * (time.perf_counter() - started)
        if expected_s > most_s:
            raise over_time(most_s, expected_s, rows)

    def piece(self, tokens: Floats) -> dict[str, Any]:
        """The tokens of one text [1, T] with their shares."""
        with answering(self.name):
            found = self.session.run(None, {self.name: tokens})
        rolled = rolled_out(np.stack([each[0].mean(axis=0) for each in found]))
        there = self.encoder.there(tokens[0])
        texts = self.encoder.token_texts(tokens[0][there])
        shares = rolled[there].mean(axis=0)[there].tolist() if texts else []
        words = zip(texts, shares, strict=True)
        return {"kind": "text", "words": [{"text": text, "change": share} for text, share in words]}


@dataclass(frozen=True)
class _TokenGame:
    """The tokens of one text [T], of which some are left out; the others move together."""

    model: _AttentiveModel
    output: str
    tokens: Floats

    @property
    def count(self) -> int:
        """Tokens that are no padding."""
        return int(self.model.encoder.there(self.tokens).sum())

    def answers(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """[n, tokens] → [n, K]."""
        there = self.model.encoder.there(self.tokens)
        found, runtime = [], self.model.runtime
        for row in kept:
            left = self.model.encoder.padded(self.tokens[there][row])
            found.append(runtime.answered({self.model.name: left[None]})[self.output][0])
        return np.array(found, dtype=np.float64)


def _refused(found: str) -> RowError:
    expected = "a network with attention over the tokens of a text, or a --prompt"
    return RowError("the method", expected, found, "Leave method out.")


def _attentions(model: CheckedModel, name: str, length: int) -> dict[str, int]:
    """The attentions of the layers [rows, H, T, T], in their order, with their types."""
    shapes, types = onnx_shapes.shapes(model.graph), types_of(model.graph, {name: DOUBLE})
    found = [node.outputs[0] for node in model.graph.nodes if node.operator == "Softmax"]
    return {
        each: types[each]
        for each in found
        if len(shapes[each]) == 4 and shapes[each][2:] == (length, length)
    }
