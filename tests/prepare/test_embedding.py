"""Embeddings of a local checkpoint as features: against transformers, against the graph, and what
of a folder is refused.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from preparing import session
from transformers import BertModel

import tiny_bert
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.modality_reader import reader_of
from sixfold.bundle.tokens import TokenReader
from sixfold.core.errors import DataError
from sixfold.parts import state
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.prepare.encoded_block import EncodedBlock
from sixfold.prepare.features import embedding
from sixfold.prepare.features.embedding import Embedding, Settings
from sixfold.prepare.plan import folder_digests
from sixfold.prepare.step import Training
from sixfold.prepare.text.word_pieces import read_word_pieces
from sixfold.recipe.schema import Feature

TRAINING = Training((), np.zeros((0, 1)), "classification", 0)
TEXTS = [
    "free freedom",
    "",
    "great!",
    "caf\u00e9 Awful",
    "\ud800",
    "a\x00b",
    "\u65e5\u672c",
    "abc " * 50,
    "x" * 200_000,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.write(tmp_path_factory.mktemp("checkpoint") / "bert")


def fit(folder: Path, **options: Any) -> Embedding:
    return Settings(checkpoint=str(folder), **options).fit(["never read"], TRAINING)


def by_transformers(folder: Path, texts: list[str], length: int, first: bool, unit: bool) -> Any:
    tokens = torch.from_numpy(TokenReader(read_word_pieces(folder, length, 10_000)).read(texts))
    here = (tokens != 0).long()
    with torch.no_grad():
        states = (
            BertModel.from_pretrained(folder)
            .eval()(input_ids=tokens, attention_mask=here)
            .last_hidden_state
        )
    found = (
        states[:, 0] if first else (states * here[:, :, None]).sum(1) / here.sum(1, keepdim=True)
    )
    return (torch.nn.functional.normalize(found, dim=1) if unit else found).numpy()


@pytest.mark.parametrize(("pooling", "unit"), [("mean_tokens", True), ("cls_token", False)])
def test_numbers_are_those_of_transformers(tmp_path: Path, pooling: str, unit: bool) -> None:
    own = tiny_bert.write(tmp_path / "bert", 3, unit, pooling)
    found = fit(own).transform(TEXTS)
    assert found.shape == (len(TEXTS), tiny_bert.WIDTH) and found.dtype == np.float64
    expected = by_transformers(own, TEXTS, tiny_bert.PLACES, pooling == "cls_token", unit)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_the_graph_gives_what_training_had_and_holds_the_weights_once(folder: Path) -> None:
    step, graph = fit(folder), Graph()
    inputs = RawInputs(graph, [], frozenset())
    block = EncodedBlock(
        "text", ("body",), step, ("x",) * step.width, ("body",) * step.width, (0,) * step.width
    )
    one = block.export(graph, inputs)
    graph.output("x", one, TensorProto.DOUBLE, ["rows", step.width])
    model = graph.model()
    (content,) = [prop.value for prop in model.metadata_props if prop.key == "text_0"]
    encoder = reader_of("text").encoder("text_0", content.encode(), "model.onnx")
    tokens = encoder.encode(TEXTS)
    checked = session(graph, {"text_0": tokens})
    np.testing.assert_allclose(
        checked.run(None, {"text_0": tokens})[0], step.transform(TEXTS), rtol=0, atol=2e-6
    )
    for row, text in enumerate(TEXTS):
        alone = checked.run(None, {"text_0": encoder.encode([text])})[0]
        np.testing.assert_allclose(alone[0], step.transform(TEXTS)[row], rtol=0, atol=2e-6)
    weights = (folder / "model.safetensors").stat().st_size
    packed_graph = CheckedModel.of(packed(model), "model.onnx").content
    assert weights < len(packed_graph) < weights + 40_000
    assert isinstance(onnx.load_from_string(packed_graph), onnx.ModelProto)


def test_a_text_has_the_same_bits_whatever_is_beside_it(folder: Path) -> None:
    together = fit(folder).transform(TEXTS)
    embedding._encoder.cache_clear()
    alone = np.concatenate([fit(folder).transform([text]) for text in TEXTS[::-1]])[::-1]
    np.testing.assert_array_equal(alone, together)


def test_equal_texts_are_embedded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding._encoder.cache_clear()
    fit(folder).transform(["free"] * 5 + ["great"])
    encoder = embedding._encoder(*(getattr(fit(folder), name) for name in ("folder", "digest")))
    assert len(encoder._known) == 2
    monkeypatch.setattr(encoder, "_session", None)  # whoever asks it fails
    assert fit(folder).transform(["great", "free"]).shape == (2, tiny_bert.WIDTH)


def test_what_is_kept_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding._encoder.cache_clear()
    monkeypatch.setattr(embedding, "CACHE_BYTES", 3 * tiny_bert.WIDTH * 4)
    for text in "abcdefgh":
        fit(folder).transform([text])
    step = fit(folder)
    assert len(embedding._encoder(step.folder, step.digest)._known) <= 3


def test_the_state_names_the_folder_and_holds_no_weights(folder: Path, tmp_path: Path) -> None:
    step = fit(folder)
    state.save(step, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2_000
    np.testing.assert_array_equal(
        state.load(tmp_path, Embedding).transform(TEXTS), step.transform(TEXTS)
    )


def test_a_checkpoint_that_changed_is_another_key_and_no_longer_the_states(tmp_path: Path) -> None:
    own = tiny_bert.write(tmp_path / "bert")
    features = Feature.model_validate({"text": {"name": "embedding", "checkpoint": str(own)}})
    step, before = fit(own), folder_digests(features)
    shutil.rmtree(own)
    tiny_bert.write(own, seed=1)
    assert folder_digests(features) != before == [step.digest]
    with pytest.raises(DataError, match="expected the checkpoint"):
        step.transform(["free"])
    assert folder_digests(Feature.model_validate({"text": "ngrams"})) == []


def changed(folder: Path, name: str, content: dict[str, Any]) -> None:
    read = json.loads((folder / name).read_text())
    for key, value in content.items():
        read[key] = {**read[key], **value} if isinstance(value, dict) else value
    (folder / name).write_text(json.dumps(read))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("config.json", {"model_type": "gpt2"}, "found 'gpt2'"),
        ("config.json", {"hidden_act": "relu"}, "found 'relu'"),
        (
            "tokenizer.json",
            {"model": {"type": "Unigram"}},
            "model.type: WordPiece; found 'Unigram'",
        ),
        ("tokenizer.json", {"normalizer": {"type": "Replace"}}, "found 'Replace'"),
        (
            "tokenizer.json",
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}}},
            "found 'Split'",
        ),
        ("tokenizer.json", {"model": {"vocab": {"[PAD]": 0, "a": 7}}}, "places that are not"),
        ("tokenizer.json", {"model": {"vocab": {"[PAD]": 0, "[UNK]": 1}}}, "[CLS]"),
    ],
)
def test_checkpoints_of_another_kind(
    tmp_path: Path, name: str, content: dict[str, Any], found: str
) -> None:
    own = tiny_bert.write(tmp_path / "bert")
    changed(own, name, content)
    with pytest.raises(DataError) as caught:
        fit(own, length=8).transform(["free"])
    assert found in str(caught.value)


def test_folders_that_are_no_checkpoint(tmp_path: Path) -> None:
    own = tiny_bert.write(tmp_path / "bert")
    (own / "model.safetensors").write_bytes((own / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(DataError, match="a whole safetensors file"):
        fit(own).transform(["free"])
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"found no model\.safetensors, but pytorch_model\.bin"):
        fit(own)
    with pytest.raises(DataError, match="found no such folder"):
        fit(tmp_path / "nowhere")
    with pytest.raises(DataError, match="length of at most 32"):
        fit(tiny_bert.write(tmp_path / "other"), length=64)
