"""A batch among processes: the bits of one process, for every kind of module; killed and continued,
too; and what is said of a helper that is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sixfold.core.errors import SystemFault
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import Strategy
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train.loop import train
from sixfold.train.module import ModuleFit, ModuleLearner, StoredExamples
from sixfold.train.stopping import EarlyStopping

X = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(np.int64)


def perceptron(middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), middle, nn.ReLU(), nn.Linear(16, 2))


def losses(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, y, reduction="none")


def fit(module: nn.Module, processes: int, **train: Any) -> ModuleFit:
    section = Train.model_validate({"batch_size": 150, "epochs": 3, **train})
    return ModuleFit(
        module=module,
        examples=StoredExamples(X, torch.from_numpy(Y)),
        losses=losses,
        train=section,
        stopping=EarlyStopping(section.stop),
        context=Context(),
        seed=7,
        operations=0.0,
        processes=processes,
    )


def trained(work: ModuleFit, saves: Checkpoints | None = None) -> torch.Tensor:
    with closing(ModuleLearner(work)) as learner:
        ((_, weights),) = train(learner, None, saves)
    return weights


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss of every gradient that is asked for in this process."""
    seen, plain = list[float](), ModuleLearner.backward

    def backward(self: ModuleLearner, batch: Any) -> torch.Tensor:
        loss = plain(self, batch)
        seen.append(float(loss))
        return loss

    monkeypatch.setattr(ModuleLearner, "backward", backward)
    return seen


KINDS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "dropout": (lambda: nn.Dropout(0.3), {}),
    "a batch norm, gradients clipped": (lambda: nn.BatchNorm1d(16), {"clip": 0.1}),
    "lbfgs, which asks several times a step": (
        nn.Identity,
        {"optimizer": "lbfgs", "batch_size": "full"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("processes", [2, 3])
def test_the_losses_are_those_of_one_process(kind: str, processes: int, curve: list[float]) -> None:
    middle, options = KINDS[kind]
    expected = trained(fit(perceptron(middle()), 1, **options))
    alone = curve.copy()
    curve.clear()
    found = trained(fit(perceptron(middle()), processes, **options))
    assert len(alone) > 2
    assert curve == alone
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_strategy_that_changes_reaches_the_helpers() -> None:
    micro = Strategy(micro_batch=7)
    works = [fit(perceptron(nn.Identity()), number) for number in (1, 2)]
    found = []
    for work in works:
        with closing(ModuleLearner(work)) as learner:
            learner.backward(next(iter(learner.batches())))
            learner.use(micro)
            learner.backward(next(iter(learner.batches())))
            found.append(learner.gradient.clone())
    assert torch.equal(*found)


class KilledError(Exception):
    """In the place of a signal."""


@pytest.mark.slow
def test_killed_and_continued_by_more_or_fewer_processes(tmp_path: Path) -> None:
    expected = trained(fit(perceptron(nn.BatchNorm1d(16)), 1))

    def saves() -> Checkpoints:
        return Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0)

    for processes in (2, 3):
        work = fit(perceptron(nn.BatchNorm1d(16)), processes)
        learner = ModuleLearner(work)
        plain, steps = learner.step, list[int]()

        def step(batch: Any, plain: Any = plain, steps: list[int] = steps) -> None:
            steps.append(1)
            if len(steps) == 3:
                raise KilledError
            plain(batch)

        learner.step = step  # type: ignore[method-assign]
        with closing(learner), pytest.raises(KilledError):
            train(learner, None, saves())
    assert torch.equal(trained(fit(perceptron(nn.BatchNorm1d(16)), 1, []), saves()), expected)


@pytest.mark.slow
def test_a_helper_that_is_gone_is_told() -> None:
    learner = ModuleLearner(fit(perceptron(nn.Identity()), 2))
    with closing(learner):
        assert learner.parts.sharing is not None
        os.kill(learner.parts.sharing.helpers[0], signal.SIGKILL)
        with pytest.raises(SystemFault, match=r"budget\.batch_workers") as caught:
            for batch in list(learner.batches()) * 3:
                learner.backward(batch)
    assert "the last saved state" in caught.value.remedy


@pytest.mark.slow
def test_a_network_of_images_and_a_language_model(curve: list[float]) -> None:
    from sixfold.build.language import Settings
    from sixfold.parts.fit import FeatureGroup, Fit, Setting
    from sixfold.parts.image_resize import ImageShape
    from sixfold.recipe.kinds import FAMILY
    from tiny_language import sentences, stored, tokenizer

    cnn: Any = FAMILY.load("cnn")(size="nano", shift=0.1, mixup=0.2)
    pixels = np.random.default_rng(0).integers(0, 255, (128, 64)).astype(np.float32)
    layout = (FeatureGroup("pixels", ("image",), 0, 64, ImageShape(8, 8, 1)),)
    section = Train(**{**cnn.train_defaults.options, "epochs": 2, "batch_size": 64})
    setting = Setting("cnn", cnn, train=section)
    y = np.arange(128) % 10
    images = Fit(pixels, y, "classification", 10, seed=3, layout=layout, setting=setting)

    own = tokenizer()
    language = Settings(layers=2, width=32, heads=4, kv_heads=2, context=32)
    options = {**language.train_defaults.options, "epochs": 1, "batch_size": 32}
    named = Setting("language", language, train=Train.model_validate(options))
    texts = stored(sentences(200), own)
    tokens = Fit(texts, np.zeros((200, 3)), "generation", 3, seed=3, setting=named)

    for family, one in ((cnn, images), (language, tokens)):
        found = []
        for processes in (1, 2):
            curve.clear()
            (model,) = family.fit([one], Context(batch_workers=processes))
            found.append((curve.copy(), model))
        (alone, model), (shared, other) = found
        assert len(alone) > 2
        assert shared == alone
        np.testing.assert_array_equal(model.predict(one.x), other.predict(one.x))
