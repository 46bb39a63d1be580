"""Networks over the tokens of texts: padding changes nothing, and the exported graph answers as the
module does.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sixfold.build._network_export import embedded
from sixfold.build.networks.text_cnn import ConvolutionShape, TextCNN
from sixfold.build.networks.text_encoder import EncoderShape, TextTransformer
from sixfold.bundle.graph import CheckedModel
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.recipe.schema import Initialize
from sixfold.train.starting import fill

TOKENS, LENGTH = 50, 12


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "text_cnn":
        return started(TextCNN(ConvolutionShape(TOKENS, 3, 8, 6, (2, 3)))).eval()
    return started(TextTransformer(EncoderShape(TOKENS, LENGTH, 3, 16, 4, 2))).eval()


def started(module: nn.Module) -> nn.Module:
    fill(module, Initialize(), 0)
    return module


def some_tokens(rows: int = 5) -> torch.Tensor:
    tokens = torch.randint(1, TOKENS, (rows, LENGTH), generator=torch.Generator().manual_seed(1))
    for row in range(rows):
        tokens[row, LENGTH - 2 * row :] = 0 if row else tokens[row, LENGTH:]
    tokens[-1] = 0  # an empty text
    return tokens


@pytest.mark.parametrize("name", ["text_cnn", "text_encoder"])
def test_padding_changes_no_answer(name: str) -> None:
    made, tokens = network(name), some_tokens()
    with torch.no_grad():
        whole = made(tokens)
        for row in range(4):
            length = max(1, int((tokens[row] != 0).sum()))
            torch.testing.assert_close(
                made(tokens[row : row + 1, :length])[0], whole[row], rtol=1e-5, atol=1e-6
            )
        assert torch.isfinite(whole).all()


@pytest.mark.parametrize("name", ["text_cnn", "text_encoder"])
def test_a_network_learns_which_token_a_text_has(name: str) -> None:
    made = network(name).train()
    tokens = torch.randint(2, TOKENS, (64, LENGTH), generator=torch.Generator().manual_seed(2))
    labels = torch.arange(64) % 2
    tokens[labels == 1, 3] = 1
    optimizer = torch.optim.AdamW(made.parameters(), lr=3e-3)
    for _ in range(80):
        loss = nn.functional.cross_entropy(made(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((made.eval()(tokens).argmax(dim=1) == labels).float().mean()) == 1.0


@pytest.mark.parametrize("name", ["text_cnn", "text_encoder"])
def test_the_graph_answers_as_the_module(name: str) -> None:
    made, tokens = network(name), some_tokens()
    graph = Graph()
    scores = embedded(
        made,
        graph,
        graph.input("x", TensorProto.INT64, LENGTH),
        torch.ones(2, LENGTH, dtype=torch.int64),
    )
    graph.output("y", scores, TensorProto.FLOAT, ["rows", 3])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    for rows in (1, 2, 5):
        with torch.no_grad():
            expected = made(tokens[:rows]).numpy()
        found = session.run(None, {"x": tokens[:rows].numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
