"""`text_encoder` with a checkpoint: what is learned and what is not, resumed exactly, kept, and
what is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import tiny_bert
from killed_training import KilledError, killed_at, saving
from sixfold.build import _fine_tuning, text_encoder
from sixfold.build._token_network import TokenNetwork
from sixfold.build.networks.text_checkpoint import TunedEncoder
from sixfold.build.text_encoder import FittedCheckpoint, Settings
from sixfold.bundle.graph import CheckedModel
from sixfold.compress.quantize import quantized
from sixfold.core.errors import DataError, FitError
from sixfold.parts import checkpoint_files, state
from sixfold.parts.checkpoint_files import TOKENIZER
from sixfold.parts.fit import FeatureGroup, Fit, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.prepare.features.tokens import Settings as Tokens
from sixfold.prepare.step import Training
from sixfold.recipe.compression import Quantize
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from tiny_checkpoints import TOKENS, rewritten, write

MINILM = "SIXFOLD_BENCH_MINILM"
FRUIT = [
    "apple",
    "banana",
    "cherry",
    "grape",
    "lemon",
    "mango",
    "orange",
    "peach",
    "pear",
    "plum",
    "melon",
    "apricot",
]
TOOLS = [
    "hammer",
    "saw",
    "drill",
    "wrench",
    "chisel",
    "pliers",
    "screwdriver",
    "axe",
    "shovel",
    "rake",
    "spanner",
    "mallet",
]
LENGTH, GREAT = 12, tiny_bert.PIECES.index("great")


def fit_of(folder: Path, adapt: str = "whole", rows: int = 40, **options: Any) -> Fit:
    """Which texts hold GREAT is to be learned."""
    x = np.random.default_rng(0).integers(GREAT + 1, TOKENS, size=(rows, LENGTH))
    x[:, 9:] = 0
    y = np.arange(rows) % 2
    x[y == 1, 4] = GREAT
    optimizer = {"name": "adamw", "learning_rate": 0.003, "weight_decay": 0.5}
    train = Train(**{"optimizer": optimizer, "epochs": 2, "batch_size": 16, **options})
    tokenizer = checkpoint_files.digest(folder, [TOKENIZER])
    layout = (FeatureGroup("tokens", ("text",), 0, LENGTH, tokens=TOKENS, tokenizer=tokenizer),)
    setting = Setting("text_encoder", Settings(checkpoint=str(folder), adapt=adapt), train=train)  # type: ignore[arg-type]
    return Fit(x.astype(np.float32), y, "classification", 2, seed=5, layout=layout, setting=setting)


def trained(fit: Fit, context: Context | None = None) -> FittedCheckpoint:
    family: Any = fit.setting.family
    (found,) = family.fit([fit], context or Context())
    assert isinstance(found, FittedCheckpoint)
    return found


def encoder_of(folder: Path) -> dict[str, Any]:
    """The checkpoint's weights by their names in what was fitted."""
    found = text_encoder._read(str(folder)).module.state_dict()
    return {f"network.encoder.{name}": value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("adapt", ["whole", "lora"])
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    adapt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_of(write(tmp_path / "checkpoint"), adapt)
    whole = trained(fit).weights
    (tmp_path / "saves").mkdir()
    with killed_at(4, monkeypatch) as steps:
        with pytest.raises(KilledError):
            trained(fit, saving(tmp_path / "saves"))
        again = trained(fit, saving(tmp_path / "saves")).weights
    assert next(steps) < 8  # it went on, and did not begin anew
    for key, value in whole.items():
        np.testing.assert_array_equal(again[key], value)


def test_adapters_are_learned_and_the_weights_below_them_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_of(write(tmp_path), "lora")
    before, seen = encoder_of(tmp_path), list[dict[str, Any]]()
    merge = _fine_tuning.without_adapters

    def watch(module: torch.nn.Module) -> torch.nn.Module:
        seen.append({name: value.numpy().copy() for name, value in module.state_dict().items()})
        return merge(module)

    monkeypatch.setattr(_fine_tuning, "without_adapters", watch)
    found = trained(fit)
    (inside,) = seen
    for name, value in before.items():  # weight decay, too, leaves them alone
        under = name.replace(".weight", ".linear.weight").replace(".bias", ".linear.bias")
        np.testing.assert_array_equal(inside[under if under in inside else name], value)
    assert set(found.weights) == {
        *before,
        "network.head.weight",
        "network.head.bias",
        "shift",
        "scale",
    }
    product = "network.encoder.encoder.layer.0.attention.self.query"
    low_rank = inside[f"{product}.up"] @ inside[f"{product}.down"]
    assert np.abs(low_rank).max() > 1e-4
    np.testing.assert_allclose(
        found.weights[f"{product}.weight"], before[f"{product}.weight"] + 2 * low_rank, atol=1e-6
    )


def test_a_head_is_learned_on_an_encoder_that_stays(tmp_path: Path) -> None:
    """Without dropout in the encoder: its features are the same in training."""
    fit = fit_of(write(tmp_path), "head")
    before, found = encoder_of(tmp_path), trained(fit).weights
    assert all(np.array_equal(found[name], value) for name, value in before.items())
    module: Any = fit.setting.family.module(fit)  # type: ignore[attr-defined]
    assert not module.train().network.encoder.training
    assert module.network.head.training


def test_a_whole_checkpoint_is_learned_from_where_it_was(tmp_path: Path) -> None:
    fit = fit_of(write(tmp_path))
    before, found = encoder_of(tmp_path), trained(fit).weights
    changes = {name: float(np.abs(found[name] - value).max()) for name, value in before.items()}
    assert all(0 < change < 0.1 for change in changes.values())


@pytest.mark.parametrize("adapt", ["whole", "lora"])
def test_it_learns_is_kept_and_goes_on_from_there(adapt: str, tmp_path: Path) -> None:
    optimizer = {"name": "adamw", "learning_rate": {"whole": 0.002, "lora": 0.01}[adapt]}
    fit = fit_of(write(tmp_path / "checkpoint"), adapt, epochs=20, optimizer=optimizer)
    found = trained(fit)
    x = np.asarray(fit.x)
    answers = found.predict(x)
    assert (answers.argmax(axis=1) == fit.y).mean() > 0.9
    np.testing.assert_allclose(found.predict(x[3:4, :9]), answers[3:4], atol=1e-6)
    (tmp_path / "state").mkdir()
    state.save(found, tmp_path / "state")
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    again = state.load(tmp_path / "state", FittedCheckpoint)
    np.testing.assert_array_equal(again.predict(x), answers)
    family: Any = fit.setting.family
    further = family.resume(again)
    with torch.no_grad():
        scores = further.eval()(torch.from_numpy(x[:4].astype(np.int64))).softmax(1)
    np.testing.assert_allclose(scores, answers[:4], atol=1e-6)
    assert any(one.requires_grad for one in further.network.encoder.parameters())
    assert all(one.requires_grad for one in further.network.encoder.parameters()) is (
        adapt == "whole"
    )


def test_products_of_eight_bits_answer_nearly_the_same(tmp_path: Path) -> None:
    fit = fit_of(write(tmp_path))
    found = trained(fit)
    x = np.asarray(fit.x)
    small = quantized(found.single(), x, Quantize(activations="dynamic"))
    assert np.abs(small.predict(x) - found.predict(x)).max() < 0.05


def test_what_is_learned_is_said_with_the_digest(tmp_path: Path) -> None:
    family = Settings(checkpoint=str(write(tmp_path / "own")), adapt="lora", rank=2)
    text = family.derived(fit_of(tmp_path / "own"))
    assert text.startswith(
        f"text_encoder: checkpoint own (bert, SHA-256 {family.content_digest()[:12]}…): "
    )
    assert " weights are learned, of a checkpoint that has " in text
    assert " (lora); 2 arrays" in text
    assert "2 arrays of it are not used: pooler.dense.bias, pooler.dense.weight." in text


def test_a_checkpoint_is_part_of_what_a_fit_depends_on(tmp_path: Path) -> None:
    family = Settings(checkpoint=str(write(tmp_path)))
    before = family.content_digest()
    vocabulary = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(vocabulary | {"version": "2.0"}))
    assert family.content_digest() != before
    assert Settings().content_digest() == ""


def test_rates_are_those_of_fine_tuning() -> None:
    rates = [
        Settings(**options).train_defaults.options["optimizer"]["learning_rate"]  # type: ignore[arg-type]
        for options in ({}, {"checkpoint": "a"}, {"checkpoint": "a", "adapt": "lora"})
    ]
    assert rates == [1e-3, 5e-5, 5e-4]


Change = Callable[[Fit, Path], Fit]


def other_group(**changed: Any) -> Change:
    return lambda fit, folder: replace(fit, layout=(replace(fit.layout[0], **changed),))


def other_config(**changed: Any) -> Change:
    return lambda fit, folder: (rewritten(folder, **changed), fit)[1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            other_group(tokenizer=""),
            FitError,
            "the tokens of bert; found tokens that were learned from the training",
        ),
        (
            other_group(tokenizer="ab"),
            FitError,
            "those of another tokenizer. Leave prepare.features for texts out",
        ),
        (
            other_group(tokens=TOKENS + 1),
            DataError,
            rf"at most vocab_size, {TOKENS}, tokens; found {TOKENS + 1} tokens",
        ),
        (other_group(stop=60), FitError, "at most 40 tokens a text; found 60"),
        (other_config(hidden_act="mish"), DataError, "an activation of gelu, .*; found 'mish'"),
        (
            other_config(model_type="gpt2"),
            DataError,
            "a model_type of bert, distilbert, electra, roberta",
        ),
    ],
)
def test_what_is_refused_before_a_step(
    change: Change, error: type[Exception], message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "bert")
    fit = change(fit_of(folder), folder)
    family: Any = fit.setting.family
    with pytest.raises(error, match=message):
        family.cost([fit], 40)
    with pytest.raises(error, match=message):
        trained(fit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapt": "lora"}, "adapt is for a checkpoint"),
        ({"checkpoint": "a", "size": "nano"}, "size is for a network from scratch"),
        ({"checkpoint": "a", "rank": 4}, "rank and alpha are for adapters"),
        ({"alpha": 4.0}, "rank and alpha are for adapters"),
    ],
)
def test_options_that_do_not_belong_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(**options)


def test_networks_are_what_the_family_makes(tmp_path: Path) -> None:
    fit = fit_of(write(tmp_path))
    module: Any = FAMILY.load("text_encoder")(checkpoint=str(tmp_path)).module(fit)
    assert isinstance(module.network, TunedEncoder)
    assert issubclass(FittedCheckpoint, TokenNetwork)


@pytest.mark.slow
@pytest.mark.skipif(MINILM not in os.environ, reason=f"{MINILM} names no checkpoint's folder")
def test_a_real_checkpoint_knows_what_words_mean_that_no_training_text_holds() -> None:
    folder = os.environ[MINILM]
    texts, labels = (
        [f"my {word}" for word in (*FRUIT, *TOOLS)],
        np.arange(len(FRUIT) + len(TOOLS)) // len(FRUIT),
    )
    seen = np.arange(len(labels)) % len(FRUIT) < 8
    step = Tokens(checkpoint=folder, length=8).fit(
        texts, Training((), np.zeros((0, 1)), "classification", 0)
    )
    x = step.transform(texts).astype(np.float32)
    group = FeatureGroup(
        "tokens", ("text",), 0, 8, tokens=len(step.pieces.pieces), tokenizer=step.tokenizer
    )
    train = Train(optimizer={"name": "adamw", "learning_rate": 0.003}, epochs=10, batch_size=8)
    setting = Setting("text_encoder", Settings(checkpoint=folder, adapt="lora"), train=train)
    found = trained(
        Fit(x[seen], labels[seen], "classification", 2, layout=(group,), setting=setting)
    )
    answers = found.predict(x)
    assert (answers.argmax(axis=1) == labels)[~seen].mean() >= 0.9
    graph = Graph()
    graph.output(
        "y",
        found.export(graph, graph.input("x", TensorProto.FLOAT, 8)),
        TensorProto.DOUBLE,
        ["rows", 2],
    )
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], answers, rtol=0, atol=1e-5)
