"""Networks over the tokens of texts: padding changes nothing, and the exported graph answers as the module does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from sixfold.build._network_export import embedded
from sixfold.build.networks.text_checkpoint import (
    LowRank,
    TextEmbedding,
    read_checkpoint,
    with_adapters,
    without_adapters,
)
from sixfold.build.networks.text_cnn import ConvolutionShape, TextCNN
from sixfold.build.networks.text_encoder import EncoderShape, TextTransformer
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import DataError
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


def checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=TOKENS, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["text_cnn", "text_encoder"])
def test_padding_changes_no_answer(name: str) -> None:
    made, tokens = network(name), some_tokens()
    with torch.no_grad():
        whole = made(tokens)
        for row in range(4):
            length = max(1, int((tokens[row] != 0).sum()))
            torch.testing.assert_close(made(tokens[row : row + 1, :length])[0], whole[row], rtol=1e-5, atol=1e-6)
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
        made, graph, graph.input("x", TensorProto.INT64, LENGTH), torch.ones(2, LENGTH, dtype=torch.int64)
    )
    graph.output("y", scores, TensorProto.FLOAT, ["rows", 3])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    for rows in (1, 2, 5):
        with torch.no_grad():
            expected = made(tokens[:rows]).numpy()
        found = session.run(None, {"x": tokens[:rows].numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_checkpoint_gives_what_transformers_gives(tmp_path: Path) -> None:
    folder, tokens = checkpoint(tmp_path), some_tokens(4)[:3]
    here = (tokens != 0).long()
    made = TextEmbedding(read_checkpoint(folder), unit_norm=True).eval()
    states = BertModel.from_pretrained(folder).eval()(input_ids=tokens, attention_mask=here).last_hidden_state
    mean = (states * here[:, :, None]).sum(1) / here.sum(1, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(made(tokens, here), nn.functional.normalize(mean, dim=1), rtol=1e-4, atol=1e-5)


def test_adapters_change_nothing_at_first_and_merge_into_their_products(tmp_path: Path) -> None:
    tokens = some_tokens(4)[:3]
    here = (tokens != 0).long()
    made = TextEmbedding(read_checkpoint(checkpoint(tmp_path)), unit_norm=False).eval()
    with torch.no_grad():
        plain = made(tokens, here)
        with_adapters(made.encoder, rank=2, alpha=4.0)
        torch.testing.assert_close(made(tokens, here), plain, rtol=0, atol=0)
        learned = [name for name, one in made.named_parameters() if one.requires_grad]
        assert len(learned) == 8  # down and up, of queries and values, in two layers
        for name, one in made.named_parameters():
            if name in learned:
                one.normal_(std=0.1)
        adapted = made(tokens, here)
        assert not torch.allclose(adapted, plain)
        without_adapters(made)
        assert not any(isinstance(each, LowRank) for each in made.modules())
        torch.testing.assert_close(made(tokens, here), adapted, rtol=1e-5, atol=1e-5)


def test_only_the_adapters_get_a_gradient(tmp_path: Path) -> None:
    tokens = some_tokens(2)
    made = TextEmbedding(with_adapters(read_checkpoint(checkpoint(tmp_path)), 2, 4.0), unit_norm=False)
    made(tokens, (tokens != 0).long()).sum().backward()
    assert all((one.grad is not None) is one.requires_grad for one in made.parameters())


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("config.json", None, "no config.json"),
        ("model.safetensors", None, "no model.safetensors"),
        ("config.json", "{}", "something else"),
        ("config.json", '{"model_type": "gpt2"}', "'gpt2'"),
    ],
)
def test_folders_that_are_no_checkpoint(tmp_path: Path, name: str, content: str | None, found: str) -> None:
    folder = checkpoint(tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")  # never read
    with pytest.raises(DataError) as error:
        read_checkpoint(folder)
    assert error.value.found == found


def test_adapters_need_attention() -> None:
    with pytest.raises(DataError, match="lora: expected products called query"):
        with_adapters(nn.Sequential(nn.Linear(2, 2)), 1, 1.0)
