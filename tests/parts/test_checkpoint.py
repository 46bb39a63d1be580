"""Local checkpoints: what transformers saved answers as transformers does, and no other folder is
read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertConfig, BertForSequenceClassification, BertModel

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint, state
from sixfold.parts.checkpoint import OF_TEXTS, digest, read_checkpoint, read_shape
from tiny_checkpoints import MODELS, SIZES, TOKENS, rewritten, write


@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_answers_as_that_of_transformers_and_comes_back_without_its_folder(
    kind: str, tmp_path: Path
) -> None:
    folder, tokens = write(tmp_path / "checkpoint", kind), torch.randint(3, TOKENS, (3, 9))
    found = read_checkpoint(folder, OF_TEXTS)
    assert all("pooler" in name for name in found.unused)
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder)(input_ids=tokens).last_hidden_state
        torch.testing.assert_close(
            found.module(input_ids=tokens).last_hidden_state, expected, rtol=1e-5, atol=1e-5
        )
        (tmp_path / "state").mkdir()
        state.save(found.shape, tmp_path / "state")
        again = state.load(tmp_path / "state", checkpoint.CheckpointShape).network()
        again.load_state_dict(found.module.state_dict())
        torch.testing.assert_close(
            again(input_ids=tokens).last_hidden_state, expected, rtol=1e-5, atol=1e-5
        )


def test_making_a_network_draws_nothing_that_others_draw(tmp_path: Path) -> None:
    shape = read_shape(write(tmp_path), OF_TEXTS)
    before = torch.get_rng_state()
    shape.network()
    read_checkpoint(tmp_path, OF_TEXTS)
    assert torch.equal(before, torch.get_rng_state())


def test_a_head_of_another_task_is_left_out_and_told(tmp_path: Path) -> None:
    BertForSequenceClassification(
        BertConfig(vocab_size=TOKENS, **SIZES, id2label={0: "a", 1: "b", 2: "c"})
    ).save_pretrained(tmp_path)
    found = read_checkpoint(tmp_path, OF_TEXTS)
    assert {"classifier.bias", "classifier.weight"} < set(found.unused)
    assert "id2label" not in found.shape.fields


def test_several_files_of_weights_are_one_checkpoint(tmp_path: Path) -> None:
    model = MODELS["bert"]()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(checkpoint.weight_files(tmp_path)) > 2
    found = read_checkpoint(tmp_path, OF_TEXTS).module.state_dict()
    assert all(
        torch.equal(found[name], value)
        for name, value in model.state_dict().items()
        if name in found
    )


def test_code_of_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = write(tmp_path, auto_map={"AutoModel": "own.Own", "AutoConfig": "own.OwnConfig"})
    (folder / "own.py").write_text("raise SystemExit")
    assert type(read_checkpoint(folder, OF_TEXTS).module) is BertModel


def test_a_digest_is_of_configuration_and_weights(tmp_path: Path) -> None:
    first = digest(write(tmp_path))
    (tmp_path / "README.md").write_text("words")
    assert digest(tmp_path) == first
    rewritten(tmp_path, hidden_dropout_prob=0.25)
    assert digest(tmp_path) != first


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model_type": "gpt2"},
            "expected a model_type of bert, distilbert, electra, roberta; found 'gpt2'. Choose",
        ),
        ({"model_type": ["bert"]}, r"expected a model_type of .*; found \['bert'\]"),
        ({"model_type": None}, "expected a model_type of .*; found none"),
        ({"is_decoder": True}, "expected is_decoder False; found True"),
        (
            {"quantization_config": {"bits": 4}},
            "expected no quantization_config; found {'bits': 4}",
        ),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type absolute; found 'relative_key'",
        ),
        ({"hidden_size": "wide"}, "a configuration that transformers knows; found .*hidden_size"),
        ({"hidden_act": "unknown"}, "a checkpoint that transformers can read; found 'unknown'"),
        (
            {"num_attention_heads": 5},
            "a checkpoint that transformers can read; found The hidden size",
        ),
        ({"hidden_size": 0}, "a checkpoint that transformers can read"),
        ({"hidden_size": 10**12}, "hidden_size of at most 10,000,000; found 1000000000000"),
        ({"num_hidden_layers": 5000}, "num_hidden_layers of at most 1,000; found 5000"),
        ({"num_hidden_layers": 1e400}, "num_hidden_layers of at most 1,000; found inf"),
        (
            {"vocab_size": 9_000_000},
            r"files of the [\d,]+ weights of config.json; found [\d,]+ bytes",
        ),
        (
            {"vocab_size": TOKENS + 1},
            "weights of every layer in config.json; found none that fit for embeddings.word_embeddings",
        ),
        (
            {"num_hidden_layers": 3},
            "weights of every layer .*; found none that fit for encoder.layer.2.* and 15 more",
        ),
    ],
)
def test_configurations_that_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_checkpoint(write(tmp_path, **changed), OF_TEXTS)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    def refused(match: str, folder: Path = tmp_path) -> None:
        with pytest.raises(DataError, match=match):
            read_checkpoint(folder, OF_TEXTS)

    refused(
        "expected a checkpoint: config.json, model.safetensors; found no such folder",
        tmp_path / "none",
    )
    write(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-9])
    refused("expected a checkpoint that transformers can read")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refused(
        r"found no model\.safetensors, but pytorch_model\.bin\. Save it with .*files with pickle in them are not read"
    )
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_bytes(b'{"model_type": ' + b"[" * 500 + b"]" * 500 + b"}")
    refused("expected at most 16 levels; found more")
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 30)  # without a block on the disk
    refused("expected at most 1,048,576 bytes; found 1,073,741,824")
    (tmp_path / "config.json").write_text("no JSON")
    refused("expected JSON; found something else")
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "somewhere/else"}')
    refused("expected a whole checkpoint; found adapter_config.json")
