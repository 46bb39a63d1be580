"""Fine-tuned checkpoints: they answer as transformers does, the graph as they do, and adapters
leave their weights alone.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from sixfold.build._network_export import embedded
from sixfold.build.networks.text_checkpoint import TunedEncoder, TunedShape, padding_first
from sixfold.bundle.graph import CheckedModel
from sixfold.parts import checkpoint
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.recipe.schema import Initialize
from sixfold.train.adapters.adapt import Adapter, adapted, without_adapters
from sixfold.train.adapters.low_rank import LowRank
from sixfold.train.starting import fill
from tiny_checkpoints import MODELS, TOKENS, write

LENGTH = 12


def tuned(folder: Path) -> TunedEncoder:
    found = checkpoint.read_checkpoint(folder, checkpoint.OF_TEXTS)
    shape = TunedShape(found.shape, found.digest, 3, 0.1)
    return TunedEncoder(shape, padding_first(found.module, shape.padding)).eval()


def some_tokens() -> torch.Tensor:
    """0 behind a text's end; the last text is empty."""
    tokens = torch.randint(3, TOKENS, (4, LENGTH), generator=torch.Generator().manual_seed(1))
    tokens[1, 5:], tokens[2, 9:], tokens[3] = 0, 0, 0
    return tokens


@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_those_of_the_mean_over_the_states_of_transformers(
    kind: str, tmp_path: Path
) -> None:
    module, tokens = tuned(write(tmp_path, kind)), some_tokens()[:3]
    plain = AutoModel.from_pretrained(tmp_path).eval()
    ids, here = tokens.clone(), (tokens != 0).long()
    ids[tokens == 0] = plain.config.pad_token_id
    with torch.no_grad():
        states = plain(input_ids=ids, attention_mask=here).last_hidden_state
        mean = (states * here[:, :, None]).sum(1) / here.sum(1, keepdim=True)
        torch.testing.assert_close(module(tokens), module.head(mean), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            module(tokens[1:2, :5]), module(tokens)[1:2], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", MODELS)
def test_the_graph_answers_as_the_module(kind: str, tmp_path: Path) -> None:
    module, tokens, graph = tuned(write(tmp_path, kind)), some_tokens(), Graph()
    x, example = (
        graph.input("x", TensorProto.INT64, LENGTH),
        torch.ones(2, LENGTH, dtype=torch.int64),
    )
    graph.output("y", embedded(module, graph, x, example), TensorProto.FLOAT, ["rows", 3])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    for rows in (1, 2, 4):
        with torch.no_grad():
            expected = module(tokens[:rows]).numpy()
        np.testing.assert_allclose(
            session.run(None, {"x": tokens[:rows].numpy()})[0], expected, rtol=0, atol=1e-5
        )


def test_the_padding_and_the_first_token_change_places_and_no_other(tmp_path: Path) -> None:
    folder = write(tmp_path, "roberta")
    plain = checkpoint.read_checkpoint(
        folder, checkpoint.OF_TEXTS
    ).module.embeddings.word_embeddings.weight
    module = tuned(folder)
    vectors = module.encoder.embeddings.word_embeddings
    assert (module.shape.padding, vectors.padding_idx) == (1, 0)
    torch.testing.assert_close(
        vectors.weight[[1, 0, *range(2, TOKENS)]], plain[:TOKENS], rtol=0, atol=0
    )


def test_filling_leaves_the_checkpoint_alone_and_adapters_start_by_the_seed(tmp_path: Path) -> None:
    module = tuned(write(tmp_path))
    module.encoder = adapted(module.encoder, Adapter(rank=2, alpha=4.0), "text_encoder")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fill(module, Initialize(), 7)
    changed = {
        name for name, value in module.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {
        "head.weight",
        "head.bias",
        *(name for name in before if name.endswith(".down")),
    }
    first = {name: value.clone() for name, value in module.state_dict().items()}
    fill(module, Initialize(), 8)
    assert not torch.equal(module.state_dict()["head.weight"], first["head.weight"])
    fill(module, Initialize(), 7)
    assert all(torch.equal(value, first[name]) for name, value in module.state_dict().items())


def test_adapters_change_nothing_at_first_and_merge_into_their_products(tmp_path: Path) -> None:
    module, tokens = tuned(write(tmp_path)), some_tokens()
    with torch.no_grad():
        plain, head = module(tokens), copy.deepcopy(module.head)
        module.encoder = adapted(module.encoder, Adapter(rank=2, alpha=4.0), "text_encoder")
        fill(module, Initialize(), 0)
        learned = {name: one for name, one in module.named_parameters() if one.requires_grad}
        assert len(learned) == 2 * 2 * 6 + 2  # A and B of six products in two layers, and the head
        module.head = head
        torch.testing.assert_close(module(tokens), plain, rtol=0, atol=0)
        for name, one in learned.items():
            if name.endswith(".up"):
                one.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
        learned_logits = module(tokens)
        assert not torch.allclose(learned_logits, plain)
        module = without_adapters(module)
        assert not any(isinstance(each, LowRank) for each in module.modules())
        torch.testing.assert_close(module(tokens), learned_logits, rtol=1e-5, atol=1e-5)
