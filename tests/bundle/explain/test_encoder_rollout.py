"""Attention rollout of an encoder of texts: its attentions are found in the bundle's graph, and are those
that the module of torch computes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_bundle

from sixfold.build._network_export import embedded
from sixfold.build.networks.text_encoder import MASKED, EncoderShape, TextTransformer
from sixfold.bundle.explain.explainer import Explainer
from sixfold.bundle.explain.told import explanations, faithfulness_of
from sixfold.bundle.load import load
from sixfold.bundle.manifest import MODEL
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.core.errors import RowError
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.recipe.signature import Input, Output, Signature
from sixfold.recipe.texts import TextInput, TokenPieces

CLASSES = ("dry", "wet")
SIGNATURE = Signature(
    task="classification",
    target=("kind",),
    classes=CLASSES,
    inputs=(Input(name="note", type="text"),),
    outputs=(Output(name="label", columns=("kind",)), Output(name="probability", columns=CLASSES)),
    missing=("", "NA"),
)
PIECES = ("[PAD]", "[UNK]", "sun", "moon", "rain", "##y", "[CLS]", "[SEP]")
TOKENS = TokenPieces(
    kind="word_pieces",
    unicode="NFC",
    case="fold",
    longest=1000,
    pieces=PIECES,
    unknown=1,
    before=(6,),
    after=(7,),
    length=8,
)
IDS = [6, 4, 5, 3, 2, 7, 0, 0]


@pytest.fixture(scope="module")
def module() -> TextTransformer:
    torch.manual_seed(0)
    made = TextTransformer(EncoderShape(8, 8, 2, width=12, heads=3, layers=2)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2).add_(0.3 * torch.randn(parameter.shape))
    return made


@pytest.fixture(scope="module")
def explainer(module: TextTransformer) -> Explainer:
    g = Graph()
    tokens = RawInputs(g, [], set()).encoded(
        "text", TextInput(name="text_0", column="note", tokens=TOKENS)
    )
    example = torch.ones(2, 8, dtype=torch.int64)
    scores = embedded(module, g, g.cast(tokens, TensorProto.INT64), example)
    p = g.op("Softmax", g.cast(scores, TensorProto.DOUBLE), axis=1)
    names = g.constant(np.array(CLASSES, dtype=object))
    label = g.op("Gather", names, g.op("ArgMax", p, axis=1, keepdims=1))
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", p, TensorProto.DOUBLE, ["rows", 2])
    content = packed(g.model())
    return Explainer(onnx_predictor(content, SIGNATURE), {MODEL: content}, "here")


def rolled_by_hand(module: TextTransformer) -> Any:
    """[tokens that are no padding] their shares in the mean of the last layer."""
    tokens, mixed = torch.tensor([IDS]), np.eye(8)
    with torch.no_grad():
        bias = ((tokens == 0).float() * MASKED)[:, None, None, :]
        x = module.vectors(tokens) + module.places
        for layer in module.layers:
            joined: Any = layer
            parts = joined.query_key_value(joined.before_attention(x)).chunk(3, dim=2)
            query, key = (part.reshape(1, 8, 3, 4).transpose(1, 2) for part in parts[:2])
            weights = (query @ key.mT / 2 + bias).softmax(3)[0].mean(0).double().numpy()
            mixed = (0.5 * weights + 0.5 * np.eye(8)) @ mixed
            x = joined(x, bias)
    return mixed[:6].mean(axis=0)[:6]


def test_shares_are_those_of_the_module(explainer: Explainer, module: TextTransformer) -> None:
    found = explanations(explainer, [{"note": "Rainy moon, sun"}, {"note": ""}], "rollout")
    record = found.records[0]
    assert record["scale"] == "share of attention"
    words = record["pieces"]["note"]["words"]
    # a comma is a word of its own, which no piece is
    assert [each["text"] for each in words] == [
        "[CLS]",
        "rain",
        "##y",
        "moon",
        "[UNK]",
        "sun",
        "[SEP]",
    ]
    found = explanations(explainer, [{"note": "Rainy moon sun"}], "rollout", output="wet")
    record = found.records[0]
    assert record["output"] == "wet"
    words = record["pieces"]["note"]["words"]
    assert [PIECES.index(each["text"]) for each in words] == IDS[:6]
    shares = [each["change"] for each in words]
    np.testing.assert_allclose(shares, rolled_by_hand(module), atol=1e-6)
    assert sum(shares) == pytest.approx(1.0, abs=1e-6)


def test_models_without_attention_say_so(explainer: Explainer, tmp_path: Path) -> None:
    plain = load(tiny_bundle.make(tmp_path / "plain")).explainer
    with pytest.raises(RowError, match="a model of other columns than one text"):
        explanations(plain, [tiny_bundle.raw()], "rollout")
    with pytest.raises(RowError, match="at least one row"):
        explanations(explainer, [], "rollout")
    with pytest.raises(RowError, match="one that is not rollout"):
        faithfulness_of(explainer, [{"note": "sun"}], "rollout")
