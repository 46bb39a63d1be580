"""The family `language`: its loss is transformers', a step is that of the whole batch however it is divided,
and what it is told that does not fit is refused.
"""

from __future__ import annotations

import copy
import itertools
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from sixfold.build._language_shape import SIZES, derived_size
from sixfold.build.language import Settings
from sixfold.core.errors import DataError, FitError
from sixfold.parts.fit import Fit, Setting
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.module import ModuleFit, ModuleLearner
from tiny_language import change_config, sentences, stored, tokenizer, write_checkpoint

OWN = tokenizer()
TINY: dict[str, Any] = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "context": 32}


def fit_of(x: StoredTokens, family: Settings, **train: Any) -> Fit:
    section = Train.model_validate({**family.train_defaults.options, "epochs": 1, **train})
    y = np.zeros((len(x), 3))
    setting = Setting("language", family, train=section)
    return Fit(x, y, "generation", 3, seed=3, setting=setting)


def learner_of(work: ModuleFit) -> ModuleLearner:
    return ModuleLearner(work)


def gradient(work: ModuleFit) -> torch.Tensor:
    with closing(learner_of(work)) as learner:
        batch = next(iter(learner.batches()))
        learner.backward(batch)
        return learner.gradient.clone()


def test_the_loss_of_a_batch_is_that_of_transformers(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, own=OWN)
    texts = sentences(1, words=60)
    family = Settings(checkpoint=str(folder), context=64)
    fit = fit_of(stored(texts, OWN), family, batch_size=1, clip=None)
    with closing(learner_of(family.work_of(fit, Context()))) as learner:
        batch = next(iter(learner.batches()))
        loss = learner.backward(batch)
        ids = torch.tensor([[0, *OWN.encode(texts)[0], 0]])[:, :65]
        other: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        expected = other(input_ids=ids, labels=ids).loss
        expected.backward()
        assert float(loss) == pytest.approx(float(expected.detach()), abs=1e-5)
        own = dict(learner.module.network.named_parameters())
        for name, parameter in other.named_parameters():
            torch.testing.assert_close(own[name].grad, parameter.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
def test_parts_and_micro_batches_make_the_step_of_the_whole_batch(rows: int) -> None:
    family = Settings(**TINY)
    fit = fit_of(stored(sentences(120), OWN), family, batch_size=24, clip=None, optimizer="adamw")
    work = family.work_of(fit, Context())
    whole = replace(work, parts=lambda rows: 1)
    expected = gradient(whole)
    assert work.parts(24) > 1
    for other in (work, replace(whole, rows_at_once=rows), replace(work, rows_at_once=rows)):
        found = gradient(replace(other, module=family.work_of(fit, Context()).module))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_as_many_workers_as_one_likes_give_the_same_bits() -> None:
    family = Settings(**TINY)
    fit = fit_of(stored(sentences(200), OWN), family, batch_size=32, optimizer="adamw")
    models = [family.trained(fit, Context(), None, workers) for workers in (1, 2, 3)]
    first = models[0]
    assert isinstance(first, LanguageModel)
    for other in models[1:]:
        assert isinstance(other, LanguageModel)
        assert other.files() == first.files()


def test_it_learns_and_a_seed_says_all() -> None:
    family = Settings(**TINY)
    x, held_out = stored(sentences(300), OWN), stored(sentences(20, seed=9), OWN)
    fit = fit_of(x, family, epochs=6, batch_size=8)
    model, again = (next(family.fit([fit], Context())) for _ in range(2))
    sums = model.predict(held_out).sum(axis=0)
    assert sums[0] / sums[1] < 0.6 * np.log(OWN.vocabulary)
    assert isinstance(model, LanguageModel)
    assert isinstance(again, LanguageModel)
    assert model.files() == again.files()
    other = next(family.fit([replace(fit, seed=4)], Context()))
    assert isinstance(other, LanguageModel)
    assert other.files() != model.files()


def test_it_goes_on_from_a_model_and_from_a_checkpoint(tmp_path: Path) -> None:
    family = Settings(**TINY)
    x = stored(sentences(200), OWN)
    model = next(family.fit([fit_of(x, family, batch_size=8)], Context()))
    assert isinstance(model, LanguageModel)
    for name, content in model.files().items():
        (tmp_path / name).write_bytes(content)
    tuned = Settings(checkpoint=str(tmp_path))
    still = {"name": "sgd", "learning_rate": 1e-12}
    assert tuned.shape_of(fit_of(x, tuned)).context == 32
    for one in (
        replace(fit_of(x, family, optimizer=still), start=model),
        fit_of(x, tuned, optimizer=still),
    ):
        (found,) = (one.setting.family or family).fit([one], Context())  # type: ignore[attr-defined]
        np.testing.assert_allclose(found.predict(x), model.predict(x), rtol=1e-5)


def test_sizes_have_the_parameters_they_say() -> None:
    for size, vocabulary, about in (
        ("nano", 1_024, 1e6),
        ("micro", 4_096, 6e6),
        ("small", 8_192, 28e6),
        ("medium", 16_384, 90e6),
        ("base", 32_768, 310e6),
        ("large", 32_768, 1.1e9),
    ):
        assert SIZES[size].parameters(vocabulary) == pytest.approx(about, rel=0.15), size
    fit = fit_of(stored(sentences(50), OWN), Settings(size="nano"))
    network = Settings(size="nano").module(fit)
    count = sum(one.numel() for one in network.parameters())
    assert count == SIZES["nano"].parameters(OWN.vocabulary)
    assert [derived_size(n) for n in (10, 3_000_000, 10**8, 10**10)] == [
        "nano",
        "micro",
        "small",
        "medium",
    ]


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for options, text in (
        (
            {"checkpoint": "a", "layers": 2},
            "layers is for a model from scratch; a checkpoint has its own",
        ),
        ({"checkpoint": "a", "size": "nano"}, "size is for a model from scratch"),
        ({"vocabulary": 100}, "a vocabulary of 260 to 200,000 tokens, or bytes"),
        ({"context": 2}, "greater than or equal to 8"),
        ({"size": "huge"}, "Input should be 'auto', 'nano'"),
    ):
        with pytest.raises(ValidationError, match=text):
            Settings.model_validate(options)
    with pytest.raises(FitError, match="heads that divide the width 48 into even parts; found 5"):
        Settings(width=48, heads=5).check_task("generation")
    with pytest.raises(FitError, match="a number that divides the 4 heads; found 3"):
        Settings(width=64, heads=4, kv_heads=3).check_task("generation")
    with pytest.raises(DataError, match="no such folder"):
        Settings(checkpoint=str(tmp_path / "none")).check_task("generation")
    folder = write_checkpoint(tmp_path, own=OWN)
    with pytest.raises(FitError, match=r"at most 64 tokens, which .* sees at once; found 128"):
        Settings(checkpoint=str(folder), context=128).check_task("generation")
    change_config(folder, model_type="mistral", sliding_window=32)
    with pytest.raises(FitError, match="at most 32 tokens"):
        Settings(checkpoint=str(folder), context=48).check_task("generation")


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="a C++ compiler is wanted"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
def test_compiled_layers_learn_the_same_and_go_on_after_a_kill_with_the_same_bits() -> None:
    x = stored(sentences(40, words=60), OWN)

    def learner(compile_: str) -> ModuleLearner:
        family = Settings(**TINY)
        fit = fit_of(
            x, family, batch_size=4, compile=compile_, precision="bfloat16", optimizer="adamw"
        )
        return learner_of(family.work_of(fit, Context()))

    @torch.no_grad()
    def stepped(one: ModuleLearner, first: int, last: int) -> list[float]:
        losses = []
        for batch in itertools.islice(one.batches(), first, last):
            losses.append(float(one.backward(batch)))
            one.step(batch)
        return losses

    with closing(learner("on")) as one, closing(learner("on")) as again:
        first = stepped(one, 0, 2)
        kept = copy.deepcopy(one.state_dict())
        assert kept["compiled"]
        second = stepped(one, 2, 4)
        again.load_state_dict(kept)
        assert stepped(again, 2, 4) == second
        assert torch.equal(again.theta, one.theta)
    with closing(learner("off")) as plain:
        assert stepped(plain, 0, 4) == pytest.approx([*first, *second], abs=0.05)
