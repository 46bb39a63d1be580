"""Local speech checkpoints: tiny ones of every kind are saved, read, and answer as transformers itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_speech
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import DataError
from sixfold.parts import state
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_trace import ROWS, traced
from sixfold.parts.packed import packed
from sixfold.parts.speech_checkpoint import (
    SpeechEncoderShape,
    digest,
    read_head,
    read_speech_checkpoint,
    read_speech_shape,
    standardized,
)

SAMPLES, WIDTH = 1_500, tiny_speech.SIZES["hidden_size"]


def recordings(rows: int = 4) -> Any:
    """int16 [rows, samples] of several loudness, beside 0 in the mean, and never 0."""
    texts = ("ae", "e", "aa", "ea")
    found = np.stack([tiny_speech.recording(texts[row], row, SAMPLES) for row in range(rows)])
    found = (found // np.arange(1, rows + 1)[:, None] + 300).astype(np.int16)
    return np.where(found == 0, 1, found)


def by_transformers(model: Any, normalize: bool, rows: Any) -> Any:
    """Scores by the published extractor and model."""
    given = tiny_speech.extractor(normalize)(
        list(rows / np.float32(32768)), sampling_rate=tiny_speech.RATE, return_tensors="pt"
    )
    with torch.no_grad():
        return model(given["input_values"]).logits.numpy()


@pytest.mark.parametrize(
    ("kind", "normalize"), [*((kind, True) for kind in tiny_speech.MODELS), ("wav2vec2", False)]
)
def test_scores_are_those_of_transformers_and_its_extractor(
    kind: str, normalize: bool, tmp_path: Path
) -> None:
    """By the module and by its nodes: extractor, vectors, and head, whose rows are put in order."""
    model = tiny_speech.write(tmp_path, kind, normalize=normalize)
    found, head, rows = read_speech_checkpoint(tmp_path), read_head(tmp_path, WIDTH), recordings()
    assert head is not None and head.alphabet == (" ", "a", "e")
    assert (found.shape.rate, found.shape.normalize) == (tiny_speech.RATE, normalize)
    wanted = by_transformers(model, normalize, rows)[:, :, [0, 4, 6, 5]]
    assert wanted.shape[1] == found.shape.frames(SAMPLES) and np.ptp(wanted, axis=1).max() > 0.1
    x, network = rows.astype(np.float32), torch.nn.Sequential(found.module, head.layer()).eval()
    with torch.no_grad():
        scores = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-4)
    graph = Graph()
    value = graph.input("x", TensorProto.FLOAT, SAMPLES)
    made = traced(network, graph, value, torch.zeros(ROWS, SAMPLES))
    graph.output("y", made, TensorProto.FLOAT, ["rows", *wanted.shape[1:]])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(session.run(None, {"x": x[:1]})[0], wanted[:1], rtol=0, atol=1e-4)


def test_silence_around_a_recording_does_not_count(tmp_path: Path) -> None:
    """The extractor normalizes before it pads; here the silence is there before."""
    said = recordings(1)[0]
    (wanted,) = tiny_speech.extractor()(
        [said / np.float32(32768)], sampling_rate=tiny_speech.RATE
    ).input_values
    row = np.concatenate([np.zeros(200), said, np.zeros(431)]).astype(np.float32)
    found = standardized(torch.from_numpy(np.stack([row, np.zeros_like(row)]))).numpy()
    np.testing.assert_allclose(found[0, 200:-431], wanted, rtol=0, atol=1e-5)
    assert not found[0, :200].any() and not found[0, -431:].any() and not found[1].any()


@pytest.mark.parametrize("samples", [10, 104, 105, 184, 185, 1_500, 7_999])
def test_frames_are_counted_as_transformers_does(samples: int, tmp_path: Path) -> None:
    model, shape = tiny_speech.write(tmp_path), read_speech_shape(tmp_path)
    lengths = model._get_feat_extract_output_lengths(torch.tensor([samples]))
    assert shape.frames(samples) == max(0, int(lengths[0]))
    assert (shape.hop, shape.seen) == (tiny_speech.HOP, 105)


def test_a_module_is_put_together_from_its_shape_and_weights(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path / "given", "wav2vec2_stable")
    found = read_speech_checkpoint(tmp_path / "given")
    (tmp_path / "state").mkdir()
    state.save(found.shape, tmp_path / "state")
    with torch.no_grad():  # as prediction asks for it
        again = state.load(tmp_path / "state", SpeechEncoderShape).network()
        again.load_state_dict(found.module.state_dict())
        x = torch.from_numpy(recordings(2).astype(np.float32))
        assert torch.equal(again(x), found.module(x))
    assert not any("parametrizations" in name for name, _ in again.named_parameters())


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_training_draws_from_torch_alone(kind: str, tmp_path: Path) -> None:
    """transformers masks by NumPy's generator, and skips layers: not here."""
    tiny_speech.write(tmp_path, kind)
    module, x = read_speech_checkpoint(tmp_path).module.train(), torch.randn(2, SAMPLES)
    before: Any = np.random.get_state()
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(module(x))
    assert torch.equal(*found) and not torch.equal(found[0], module(x))  # dropout, by its seed
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_a_checkpoint_without_a_head_has_none(tmp_path: Path) -> None:
    model = tiny_speech.write(tmp_path, head=False)
    assert read_head(tmp_path, WIDTH) is None
    x = recordings(2).astype(np.float32)
    with torch.no_grad():
        found = model.lm_head(read_speech_checkpoint(tmp_path).module(torch.from_numpy(x)))
    np.testing.assert_allclose(found, by_transformers(model, True, x), rtol=0, atol=1e-4)


def test_a_vocabulary_says_which_tokens_are_characters(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path)
    tokens = {"[PAD]": 3, "[UNK]": 0, "_": 2, "É": 6, "B": 1, "<pad>": 4, "<x>": 5}
    tiny_speech.vocabulary(
        tmp_path,
        tokens,
        pad_token={"content": "[PAD]"},
        word_delimiter_token="_",
        do_lower_case=True,
    )
    head = read_head(tmp_path, WIDTH)
    assert head is not None and head.alphabet == (" ", "b", "é")
    model = tiny_speech.MODELS["wav2vec2"]().from_pretrained(tmp_path)
    assert torch.equal(head.weight, model.lm_head.weight[[3, 2, 1, 6]])
    assert torch.equal(head.bias, model.lm_head.bias[[3, 2, 1, 6]])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"<pad>": 0, "a": 7}, "characters with their numbers, below 7; found something else"),
        ({"<pad>": 0, "a": True}, "characters with their numbers"),
        ({"eng": {"a": 1}}, "characters with their numbers"),
        ({"<pad>": 0, "ts": 1}, "single characters, and '<pad>' for a blank; found 'ts'"),
        ({"a": 1}, "single characters, and '<pad>' for a blank; found too few of them"),
        ({"<pad>": 1, "<s>": 2}, "found too few of them"),
    ],
)
def test_vocabularies_that_are_refused(
    tokens: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny_speech.write(tmp_path)
    tiny_speech.vocabulary(tmp_path, tokens)
    with pytest.raises(DataError, match=f"{message}.*characters: texts"):
        read_head(tmp_path, WIDTH)


def test_a_head_without_its_characters_is_refused(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(DataError, match=r"found lm_head\.weight, but no vocab\.json.*new one"):
        read_head(tmp_path, WIDTH)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", {"model_type": "whisper"}, "a model_type of hubert, wav2vec2; found 'whi"),
        ("config.json", {"model_type": "wavlm"}, "a model_type of hubert, wav2vec2; found 'wavlm'"),
        ("config.json", {"add_adapter": True}, "expected add_adapter False; found True"),
        ("config.json", {"adapter_attn_dim": 16}, "expected no adapter_attn_dim; found 16"),
        ("config.json", {"conv_pos_batch_norm": True}, "conv_pos_batch_norm False; found True"),
        ("config.json", {"hidden_act": "gelu_new"}, "hidden_act of gelu, .*; found 'gelu_new'"),
        ("config.json", {"feat_extract_activation": "selu"}, "feat_extract_activation of gelu"),
        ("config.json", {"conv_stride": [5, 0, 4]}, "conv_kernel and conv_stride of 1 and more"),
        ("config.json", {"conv_stride": [5, 4]}, "a configuration that transformers knows"),
        ("config.json", {"hidden_size": 32}, "weights of every layer in config.json"),
        ("config.json", {"num_hidden_layers": 3}, "weights of every layer in config.json"),
        ("config.json", {"conv_dim": [16, 16, 10**8]}, "conv_dim of at most 10,000,000"),
        ("preprocessor_config.json", {"sampling_rate": 2_000}, "4,000 to 48,000; found 2,000"),
        ("preprocessor_config.json", {"sampling_rate": "8k"}, "sampling_rate and do_normalize of"),
        ("preprocessor_config.json", {"sampling_rate": None}, "sampling_rate and do_normalize of"),
        ("preprocessor_config.json", {"do_normalize": "yes"}, "sampling_rate and do_normalize of"),
        ("preprocessor_config.json", {"feature_size": 80}, "recordings of one channel"),
    ],
)
def test_other_folders_are_refused(
    name: str, content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny_speech.write(tmp_path)
    file = tmp_path / name
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    with pytest.raises(DataError, match=message):
        read_speech_checkpoint(tmp_path)


def test_folders_without_weights_or_extractor_are_refused_by_name(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path)
    before, file = digest(tmp_path), tmp_path / "preprocessor_config.json"
    told = file.read_text()
    file.unlink()
    with pytest.raises(DataError, match=r"found no preprocessor_config\.json"):
        read_speech_checkpoint(tmp_path)
    whole = json.dumps({"feature_extractor": json.loads(told)})  # as newer versions save it
    (tmp_path / "processor_config.json").write_text(whole)
    assert read_speech_shape(tmp_path).rate == tiny_speech.RATE
    assert digest(tmp_path) != before
    (tmp_path / "processor_config.json").write_text('{"processor_class": "Wav2Vec2Processor"}')
    with pytest.raises(DataError, match=r"processor_config\.json: expected sampling_rate"):
        read_speech_checkpoint(tmp_path)
    file.write_text(told)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(
        DataError,
        match=r"found no model\.safetensors, but pytorch_model\.bin.*pickle in them are not",
    ):
        read_speech_checkpoint(tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        read_speech_checkpoint(tmp_path / "nowhere")


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    with pytest.raises(DataError, match="expected a checkpoint that transformers can read"):
        read_speech_checkpoint(tmp_path)
    with pytest.raises(DataError, match="expected a file of safetensors"):
        read_head(tmp_path, WIDTH)
