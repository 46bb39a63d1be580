"""What an optimizer remembers, outside of memory: the same bits as inside, whatever the optimizer, and after a kill."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from test_memory_steps import fit, network, trained
from torch import nn

from killed_training import KilledError, every_step, killed_at
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.parts import scratch
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import PLAIN, Strategy
from sixfold.train import offload
from sixfold.train.loop import train
from sixfold.train.module import ModuleLearner
from sixfold.train.offload import OffloadedOptimizer, remembered

AWAY = Strategy(offload=True)
STEPPED = [
    name for name in OPTIMIZER.names() if name != "auto" and not OPTIMIZER.load(name).full_batch
]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that a small network has many of them, and the last one is not whole."""
    monkeypatch.setattr(offload, "PIECE", 512)
    monkeypatch.setattr(offload, "LEAST", 2)
    monkeypatch.setattr(scratch.SCRATCH, "given", tmp_path / "scratch")


@pytest.mark.parametrize("name", STEPPED)
def test_every_optimizer_learns_the_same_bits(name: str) -> None:
    options = {"optimizer": {"name": name}, "schedule": "constant", "epochs": 3}
    inside, outside = (trained(fit(network(), one, **options)) for one in (PLAIN, AWAY))
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("name", ["adamw", "muon", "schedule_free_adamw", "adafactor"])
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_killed_and_continued_it_ends_with_the_same_bits(
    name: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"optimizer": name, "epochs": 3}
    whole = trained(fit(network(), AWAY, **options))
    with (
        killed_at(steps, monkeypatch),
        closing(ModuleLearner(fit(network(), AWAY, **options))) as learner,
        pytest.raises(KilledError),
    ):
        train(learner, None, every_step(tmp_path))
    again = trained(fit(network(), AWAY, **options), every_step(tmp_path))
    assert torch.equal(again, whole)


@pytest.mark.parametrize("name", STEPPED)
def test_it_may_begin_in_the_middle(name: str) -> None:
    """As where memory has run out: what was remembered until then is kept."""
    options = {"optimizer": name, "epochs": 4}
    whole = trained(fit(network(), **options))
    with closing(ModuleLearner(fit(network(), **options))) as learner:
        plain, steps = learner.step, itertools.count(1)

        def step(batch: Any) -> None:
            plain(batch)
            if next(steps) == 3:
                learner.use(AWAY)

        learner.step = step  # type: ignore[method-assign]
        ((_, found),) = train(learner)
    assert torch.equal(found, whole)


def test_a_training_saved_after_it_began_goes_on_from_there(tmp_path: Path) -> None:
    """Who goes on begins as the recipe says, and finds another strategy in what was saved."""
    saves = every_step(tmp_path)
    whole = trained(fit(network()))
    with closing(ModuleLearner(fit(network()))) as learner:
        learner.use(AWAY)
        plain, steps = learner.set_rate, itertools.count(1)

        def killed(batch: Any) -> None:
            if next(steps) == 3:
                raise KilledError
            plain(batch)

        learner.set_rate = killed  # type: ignore[method-assign]
        with pytest.raises(KilledError):
            train(learner, None, saves)
    again = every_step(tmp_path)
    assert torch.equal(trained(fit(network()), again), whole)


def test_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 million numbers Adam remembers 268 MB, of which 33 MB are held at once."""
    monkeypatch.setattr(offload, "PIECE", 1 << 22)
    parameters = [nn.Parameter(torch.rand(1, 1 << 22)) for _ in range(8)]
    for one in parameters:
        one.grad = torch.ones_like(one)
    make = OPTIMIZER.make({"name": "adam"}).make
    optimizer = OffloadedOptimizer(make, parameters)
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        optimizer.step()
    state = sum(kept.tensor.nbytes for kept in optimizer.outside.values())
    assert state == 2 * 4 * 8 * (1 << 22)
    assert psutil.Process().memory_info().rss - before < 0.3 * state


@pytest.mark.parametrize(
    "options",
    [
        *({"name": name} for name in STEPPED),
        {"name": "sgd", "momentum": 0.9},
        {"name": "rmsprop", "momentum": 0.9},
    ],
    ids=str,
)
def test_what_an_optimizer_says_that_it_remembers_is_what_it_keeps(options: dict[str, Any]) -> None:
    """Of a matrix of 4,096 weights, after a step."""
    one = nn.Parameter(torch.rand(64, 64))
    one.grad = torch.rand_like(one)
    optimizer = OffloadedOptimizer(OPTIMIZER.make(options).make, [one])
    optimizer.step()
    kept = sum(kept.tensor.numel() for kept in optimizer.outside.values()) / one.numel()
    assert remembered(Train(optimizer=options)) == pytest.approx(kept, abs=0.05)


def test_a_rate_that_is_not_known_yet_changes_nothing() -> None:
    assert remembered(Train(optimizer={"name": "adamw", "learning_rate": "auto"})) == 2
    assert remembered(Train(optimizer="auto")) == 2


def test_a_disk_that_is_too_small_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch.SCRATCH, "most_bytes", 100)
    with pytest.raises(BudgetError, match=r"budget\.disk of 100 B"):
        trained(fit(network(), AWAY))


def test_an_optimizer_that_works_on_all_numbers_together_is_refused() -> None:
    with pytest.raises(RecipeError, match="an optimizer that works on each weight by itself"):
        trained(fit(network(), AWAY, optimizer="lbfgs", batch_size="full"))
