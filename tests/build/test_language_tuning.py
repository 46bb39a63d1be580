"""Fine-tuning of a language model: what is learned and what stays, of which tokens the loss is, and how
it ends after a kill.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from transformers import AutoModelForCausalLM

from killed_training import KilledError, killed_at, saving
from language_checkpoints import WORDS, chat, chats, model, sentences, write
from sixfold.build._language_work import PairExamples, shortened
from sixfold.build.language import Settings
from sixfold.core.errors import FitError
from sixfold.parts.conversation import example_of, text_of
from sixfold.parts.fit import Fit, Setting
from sixfold.parts.language_checkpoint import read_language
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store
from sixfold.parts.token_windows import IGNORED
from sixfold.parts.whole_windows import PackedExamples
from sixfold.prepare.text.learned_tokens import stored_examples
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.distilled_texts import DistilledTexts
from sixfold.train.module import ModuleFit, ModuleLearner
from sixfold.train.token_objectives import PairNetwork

FAST = {"name": "adamw", "learning_rate": 0.01}


def stored(rows: list[dict[str, Any]]) -> StoredTokens:
    texts = [text_of(example_of(row, "here")) for row in rows]
    return stored_examples(texts, model().tokenizer)


def pairs(count: int = 24) -> StoredTokens:
    rows = [
        {"prompt": row["messages"][:1], "chosen": row["messages"][1:], "rejected": other}
        for row in chats(count)
        for other in [[{"role": "assistant", "content": f"No {WORDS[-1]}!"}]]
    ]
    return stored(rows)


def fit_of(x: StoredTokens, family: Settings, **train: Any) -> Fit:
    options = {"epochs": 2, "batch_size": 4, "optimizer": FAST, **train}
    section = Train.model_validate({**family.train_defaults.options, **options})
    setting = Setting("language", family, train=section)
    return Fit(x, np.zeros((len(x), 3)), "generation", 3, seed=3, setting=setting)


def trained(fit: Fit, context: Context | None = None) -> LanguageModel:
    family: Any = fit.setting.family
    (found,) = family.fit([fit], context or Context())
    assert isinstance(found, LanguageModel)
    return found


def first_step(work: ModuleFit) -> tuple[float, torch.Tensor]:
    with closing(ModuleLearner(work)) as learner:
        loss = learner.backward(next(iter(learner.batches())))
        return float(loss), learner.gradient.clone()


@pytest.mark.parametrize(
    "options",
    [
        {"adapt": "lora", "dropout": 0.2},
        {"adapt": "pissa", "base": "int4"},
        {"adapt": "dora"},
        {"freeze": "*embed_tokens*|*layers.0.*"},
    ],
)
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_of(stored(chats()), Settings(checkpoint=str(write(tmp_path / "c")), **options))
    whole = trained(fit).arrays
    (tmp_path / "saves").mkdir()
    with killed_at(4, monkeypatch), pytest.raises(KilledError):
        trained(fit, saving(tmp_path / "saves"))
    again = trained(fit, saving(tmp_path / "saves")).arrays
    for key, value in whole.items():
        np.testing.assert_array_equal(again[key], value)


def test_adapters_are_learned_and_merged_and_all_else_stays(tmp_path: Path) -> None:
    x, before = stored(chats()), model().arrays
    family = Settings(
        checkpoint=str(write(tmp_path / "c")), adapt="lora", rank=2, targets="*.q_proj|*.down_proj"
    )
    found = trained(fit_of(x, family))
    changed = {
        name for name, value in found.arrays.items() if not np.array_equal(value, before[name])
    }
    products = ("self_attn.q_proj", "mlp.down_proj")
    assert changed == {f"model.layers.{n}.{one}.weight" for n in (0, 1) for one in products}
    for name in changed:
        assert np.linalg.matrix_rank(found.arrays[name] - before[name], tol=1e-5) == 2
    assert set(found.arrays) == set(before)
    for name, content in found.files().items():
        (tmp_path / name).write_bytes(content)
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.arange(4, 30)[None]
    with torch.no_grad():
        ours = found.network().network(input_ids=ids).logits
        torch.testing.assert_close(theirs(input_ids=ids).logits, ours, rtol=1e-5, atol=1e-5)


def test_what_is_frozen_stays(tmp_path: Path) -> None:
    family = Settings(checkpoint=str(write(tmp_path / "c")), freeze="*embed_tokens*|*mlp*")
    found, before = trained(fit_of(stored(chats()), family)), model().arrays
    same = {name for name, value in found.arrays.items() if np.array_equal(value, before[name])}
    assert same == {name for name in before if "embed_tokens" in name or "mlp" in name}
    with pytest.raises(FitError, match=r"patterns for some of the weights.* found 'x'"):
        trained(fit_of(stored(chats()), Settings(checkpoint=str(tmp_path / "c"), freeze="x")))


def test_the_loss_is_the_mean_over_the_assistants_tokens(tmp_path: Path) -> None:
    """However the batch is divided, and whatever shares a window."""
    x = stored([*chats(20), chat("Say a long one?", "I say red, green, blue, one, two and three.")])
    family = Settings(checkpoint=str(write(tmp_path / "c")))
    fit = fit_of(x, family, batch_size=16, clip=None)
    network, losses = model().network(), []
    for ids in x.texts():
        plain = torch.from_numpy(np.where(ids < 0, ~ids, ids).astype(np.int64))
        scores = network.network(input_ids=plain[None, :-1]).logits[0].detach()
        learned = torch.from_numpy(ids[1:] >= 0)
        losses.append(
            functional.cross_entropy(scores[learned], plain[1:][learned], reduction="none")
        )
    work = family.work_of(replace(fit, setting=fit.setting), Context())
    assert isinstance(work.examples, PackedExamples)
    whole = replace(work, train=work.train.model_copy(update={"batch_size": "full"}))
    loss, expected = first_step(replace(whole, parts=lambda rows: 1))
    assert loss == pytest.approx(float(torch.cat(losses).mean()), abs=1e-5)
    for rows in (1, 3):
        fresh = family.work_of(fit, Context()).module
        same, gradient = first_step(replace(whole, module=fresh, rows_at_once=rows))
        assert same == pytest.approx(loss, abs=1e-6)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_preferences_start_at_ln_2_and_are_learned(tmp_path: Path) -> None:
    x = pairs()
    family = Settings(checkpoint=str(write(tmp_path / "c")), adapt="lora", beta=0.3)
    work = family.work_of(fit_of(x, family), Context())
    assert isinstance(work.module, PairNetwork)
    assert isinstance(work.examples, PairExamples)
    loss, _ = first_step(work)
    assert loss == pytest.approx(np.log(2), abs=1e-5)
    sums = model().predict(x)
    assert work.examples.reference is not None
    np.testing.assert_allclose(-work.examples.reference[:, 0].numpy(), sums[:, 0], rtol=1e-4)
    margins = work.examples.reference[:, 0] - work.examples.reference[:, 1]
    np.testing.assert_allclose(margins.numpy(), sums[:, 3], rtol=1e-3, atol=1e-3)
    after = trained(fit_of(x, family, epochs=4)).predict(x)
    assert (after[:, 3] > sums[:, 3]).all()


def test_the_longest_answer_goes_first(tmp_path: Path) -> None:
    rows = [
        {"prompt": "The red", "chosen": " is green", "rejected": " sea" * (9 if n == 7 else 2)}
        for n in range(16)
    ]
    family = Settings(checkpoint=str(write(tmp_path)))
    for seed in range(3):
        fit = replace(fit_of(stored(rows), family), seed=seed)
        with closing(ModuleLearner(family.work_of(fit, Context()))) as learner:
            batches = [batch.rows.tolist() for batch in learner.batches()]
        assert batches[0][0] == 7
        assert sorted(row for batch in batches for row in batch) == list(range(16))


def test_a_teacher_draws_the_model_to_it(tmp_path: Path) -> None:
    x, folder = stored(chats()), write(tmp_path / "c")
    other = write(tmp_path / "teacher", seed=5)
    family = Settings(checkpoint=str(folder), teacher=str(other), teacher_weight=1.0)
    fit = fit_of(x, family, epochs=6)
    assert isinstance(family.work_of(fit, Context()).examples, DistilledTexts)

    def distance(one: LanguageModel) -> float:
        batch = PackedExamples(x, 64).read(np.arange(len(PackedExamples(x, 64))), None)
        kept = batch.y != IGNORED
        with torch.no_grad():
            said = one.network()(batch.x)[kept].log_softmax(-1)
            goal = read_language(other).network()(batch.x)[kept].log_softmax(-1)
        return float(functional.kl_div(said, goal, log_target=True, reduction="batchmean"))

    plain = trained(fit_of(x, Settings(checkpoint=str(folder)), epochs=6))
    assert distance(trained(fit)) < 0.8 * distance(plain)
    small = write(tmp_path / "small", vocabulary=280)
    with pytest.raises(FitError, match=r"teacher: expected a model of the same .* tokens; found"):
        trained(fit_of(x, Settings(checkpoint=str(folder), teacher=str(small))))


def test_examples_that_are_too_long(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "c"))
    long = chat("Say red?", "I say " + "red, " * 40)
    x = stored([*chats(8), long])
    with pytest.raises(
        FitError, match=r"at most 48 tokens, the context; found \d+ in the example tha"
    ):
        trained(fit_of(x, Settings(checkpoint=folder, context=48)))
    family = Settings(checkpoint=folder, context=48, too_long="truncate")
    assert "1 example longer than 48 tokens: the rest is left out." in family.derived(
        fit_of(x, family)
    )
    trained(fit_of(x, family, epochs=1))
    late = chat("red, " * 60, "green")
    with pytest.raises(FitError, match="expected an answer within 48 tokens; found"):
        trained(fit_of(stored([*chats(8), late]), family))


def test_what_is_said_of_it(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "c"))
    for options in (
        {"adapt": "lora", "rank": 4},
        {"adapt": "dora"},
        {"adapt": "pissa", "base": "int8"},
    ):
        family = Settings.model_validate({"checkpoint": folder, **options})
        fit = fit_of(stored(chats()), family)
        count = sum(one.numel() for one in family.module(fit).parameters() if one.requires_grad)
        assert f"{count:,} weights are learned ({options['adapt']})" in family.derived(fit)
    assert "kept in int8" in family.derived(fit)
    assert "24 examples in " in family.derived(fit)
    told = Settings(checkpoint=folder).derived(fit_of(pairs(), Settings(checkpoint=folder)))
    assert "Preferences (DPO, beta 0.1): 24 pairs of answers." in told


def test_windows_grow_from_a_quarter_to_the_whole(tmp_path: Path) -> None:
    x, y = torch.arange(2 * 3 * 64).reshape(2, 3, 64), torch.arange(2 * 64).reshape(2, 64)
    lengths = []
    for done in (0.0, 0.1, 0.2, 0.3, 0.4, 0.9):
        some, targets = shortened(x, y, done, 0.4)
        assert torch.equal(some, x[..., : some.shape[-1]])
        assert torch.equal(targets, y[:, : some.shape[-1]])
        lengths.append(some.shape[-1])
    assert lengths == [16, 32, 40, 48, 64, 64]
    own = model().tokenizer
    texts = store(sentences() * 2, own, plain_rows(own))
    family = Settings(checkpoint=str(write(tmp_path)), short_first=0.5)
    trained(fit_of(texts, family, epochs=1, batch_size=16))
    with pytest.raises(FitError, match="expected texts that may be cut; found examples, which are"):
        trained(fit_of(stored(chats()), family))


def test_settings_that_do_not_fit_are_refused() -> None:
    for options, text in (
        ({"rank": 4}, "rank is for adapters, such as adapt: lora"),
        ({"base": "int4"}, "base is for adapters"),
        ({"temperature": 2.0}, "temperature is for a teacher, whose folder is missing"),
        ({"adapt": "lora"}, "adapt is for a checkpoint"),
        ({"freeze": "*mlp*"}, "freeze is for a checkpoint"),
        ({"checkpoint": "a", "adapt": "lora", "freeze": "*"}, "freeze is for adapt: whole"),
        ({"checkpoint": "a", "adapt": "head"}, "Input should be 'whole', 'lora'"),
    ):
        with pytest.raises(ValidationError, match=text):
            Settings.model_validate(options)
