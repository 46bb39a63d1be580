"""What a language model takes, by formula: as torch traces it; and what less memory it may take."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sixfold.build.language import Settings
from sixfold.core.cores import cores
from sixfold.parts.fit import Fit, Setting
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import PLAIN, Strategy
from sixfold.runs.context import Context
from sixfold.train.module import ModuleLearner
from sixfold.train.step_cost import step_cost
from tiny_language import sentences, stored, tokenizer

OWN = tokenizer()
SHAPE: dict[str, Any] = {"layers": 3, "width": 64, "heads": 4, "kv_heads": 2, "context": 64}
FAMILY = Settings(**SHAPE)
X = stored(sentences(200), OWN)


def fit_of(strategy: Strategy = PLAIN, **train: Any) -> Fit:
    section = Train.model_validate(
        {**FAMILY.train_defaults.options, "optimizer": "adamw", "epochs": 1, "clip": None, **train}
    )
    setting = Setting("language", FAMILY, train=section, strategy=strategy)
    return Fit(X, np.zeros((len(X), 3)), "generation", 3, seed=3, setting=setting)


@pytest.mark.parametrize("batch", [4, 16])
def test_the_formula_says_what_torch_traces(batch: int) -> None:
    fit = fit_of(batch_size=batch)
    module = FAMILY.module(fit)
    x, _ = FAMILY.examples(fit).read(np.arange(2), None)
    traced = step_cost(module, x, FAMILY.step_shape(fit, len(X)).at_once)
    cost = FAMILY.cost([fit], len(X))
    assert cost.shares["parameters"] == sum(one.nbytes for one in module.parameters())
    assert cost.shares["activations"] == pytest.approx(traced.peak_bytes, rel=0.25)


def test_work_is_that_of_the_products_and_the_attention() -> None:
    fit = fit_of(batch_size=8)
    module = FAMILY.module(fit)
    x, _ = FAMILY.examples(fit).read(np.arange(2), None)
    windows = len(FAMILY.examples(fit))
    work = FAMILY.expected([fit], len(X))
    assert work is not None
    traced = step_cost(module, x, windows)  # which does not count the attention of its fast kernels
    attention = 12 * 3 * 64 * 64 * windows * 64
    samples = (
        min(cores(), work.parts) * FAMILY.observing([fit], len(X)).flops
    )  # of text, as it learns
    assert work.flops - samples == pytest.approx(traced.flops + attention, rel=0.1)


def test_each_strategy_needs_less_than_the_one_before() -> None:
    fit = fit_of(batch_size=64)
    steps = list(FAMILY.lighter([fit], len(X)))
    assert "gradient_checkpointing: true" in [step.change for step in steps]
    plain, *lighter = (
        FAMILY.cost([replace(fit, setting=replace(fit.setting, strategy=strategy))], len(X))
        for strategy in (PLAIN, *(step.strategy for step in steps))
    )
    held = [one.fit_bytes for one in lighter]
    assert held == sorted(held, reverse=True)
    scoring = plain.shares["scoring"]  # is not what is trained
    assert held[-1] - scoring < 0.5 * (plain.fit_bytes - scoring)


@pytest.mark.parametrize(
    "strategy", [Strategy(micro_batch=3), Strategy(micro_batch=1, gradient_checkpointing=True)]
)
def test_the_step_is_that_of_the_whole_batch(strategy: Strategy) -> None:
    """A mean over the tokens of the batch, whatever is computed at once."""
    whole, less = (_gradient(fit_of(one, batch_size=16)) for one in (PLAIN, strategy))
    assert torch.allclose(less, whole, rtol=1e-5, atol=1e-6)


def _gradient(fit: Fit) -> torch.Tensor:
    with closing(ModuleLearner(FAMILY.work_of(fit, Context()))) as learner:
        learner.backward(next(iter(learner.batches())))
        return learner.gradient.clone()


def test_more_texts_need_no_less() -> None:
    fit = fit_of(batch_size=64)
    held = [FAMILY.cost([fit], rows).fit_bytes for rows in (10, 50, 200, 1_000)]
    assert held == sorted(held)


def test_one_network_alone_has_a_core_for_each_part() -> None:
    """So that fewer networks at once save weights, and not all of their activations."""
    many, alone = (
        FAMILY.cost([fit_of(one, batch_size=64)], len(X))
        for one in (PLAIN, Strategy(fits_at_once=1))
    )
    parts = FAMILY.parts(fit_of())(FAMILY.step_shape(fit_of(batch_size=64), len(X)).batch)
    assert alone.together == 1
    assert alone.shares["activations"] == min(cores(), parts) * many.shares["activations"]
