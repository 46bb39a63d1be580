"""Attention rollout: the attentions are those of transformers, and their product is done by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import language_bundles
from sixfold.bundle.explain.rollout import rolled_out
from sixfold.bundle.gguf_header import check_gguf
from sixfold.bundle.language import attention_rollout
from sixfold.bundle.language.attention_rollout import Attentions, shares_of
from sixfold.bundle.language.leave_one_out import AskedPrompt, rollout
from sixfold.bundle.load import load
from sixfold.core.errors import RowError
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.served_weights import served_network

IDS = tuple(4 + (7 * place) % 300 for place in range(40))


def by_hand(attentions: Any) -> Any:
    """Half of each layer's mean attention and half of the token itself, the layers multiplied."""
    found = None
    for layer in attentions:
        mean = layer.mean(axis=0)
        mixed = 0.5 * mean + 0.5 * np.eye(len(mean))
        mixed /= mixed.sum(axis=1, keepdims=True)
        found = mixed if found is None else mixed @ found
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_attentions_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    files = language_bundles.checkpoint(kind)
    content = gguf_bytes(files, "tiny", "f16")
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    found = Attentions(path, check_gguf(path, len(content))).means(IDS)
    network = served_network(files, content)
    network.set_attn_implementation("eager")
    with torch.no_grad():
        expected = network(torch.tensor([IDS]), output_attentions=True).attentions
    heads = [each[0].numpy() for each in expected]
    np.testing.assert_allclose(found, [each.mean(axis=0) for each in heads], atol=2e-4)
    rolled = rolled_out(found)
    np.testing.assert_allclose(rolled, by_hand(heads), atol=5e-4)
    np.testing.assert_allclose(rolled.sum(axis=1), 1.0, atol=1e-6)
    assert np.abs(np.triu(rolled, 1)).max() == 0.0  # nothing from what follows
    shares = shares_of(found, range(38, 40))
    np.testing.assert_allclose(shares, rolled[38:].mean(axis=0), atol=1e-12)


def test_tokens_of_a_prompt_have_shares(tmp_path: Path) -> None:
    bundle = load(language_bundles.bundle(tmp_path / "bundle"))
    runtime: Any = bundle.predictor.runtime
    model = runtime.language_model()
    try:
        found = rollout(model, "Hi, and now?", " no")
        asked = AskedPrompt.of(model, "Hi, and now?")
        record = found.record()
        assert "".join(each["text"] for each in record["tokens"]).strip() == "Hi, and now?"
        assert all(each["share"] > 0 for each in record["tokens"])
        total = sum(found.shares) + found.elsewhere
        assert total == pytest.approx(1.0, abs=1e-9)
        attentions = model.attentions.means(asked.ids)
        first = shares_of(attentions, range(len(asked.ids) - 1, len(asked.ids)))
        (told,) = model.tokens.plain.encode("?", add_special_tokens=False).ids
        one = rollout(model, "Hi, and now?", model.tokens.decode((told,)))
        np.testing.assert_allclose(one.shares, first[asked.start : asked.stop], atol=1e-9)
    finally:
        model.close()


def test_a_prompt_too_long_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_rollout, "MOST_CELLS", 4 * 10**2)
    files = language_bundles.checkpoint()
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(files, "tiny"))
    attentions = Attentions(path, check_gguf(path, path.stat().st_size))
    with pytest.raises(RowError, match="at most 10 tokens with the answer"):
        attentions.means(IDS)
