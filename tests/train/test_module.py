"""One module as a learner: the same loop, exact resume, deadline, mean of weights, clipping and
schedule as for replicas.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from killed_training import KilledError, every_step, killed_at
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train.batches import Batches
from sixfold.train.loop import Trained, train
from sixfold.train.module import ModuleFit, ModuleLearner, StoredExamples, load_weights
from sixfold.train.replicas import Replica, ReplicaLearner
from sixfold.train.stepper import Stepper
from sixfold.train.stopping import EarlyStopping

X, Y = load_digits(return_X_y=True)
IMAGES = X.reshape(-1, 1, 8, 8).astype(np.uint8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(216, 10),
    )


def shifted(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Each batch a column to the side, or not."""
    return torch.roll(x, int(torch.randint(0, 2, (), generator=draw)), dims=-1)


def losses(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, y, reduction="none")


def fit(
    context: Context | None = None, rows: int = 90, images: Any = IMAGES, **options: Any
) -> ModuleFit:
    section = Train(**{"batch_size": 16, "epochs": 3, **options})
    labels = torch.from_numpy(Y)
    return ModuleFit(
        module=network(),
        examples=StoredExamples(images[:rows], labels[:rows], augment=shifted),
        losses=losses,
        train=section,
        stopping=EarlyStopping(section.stop),
        context=context or Context(),
        seed=7,
        operations=0.0,
        watched=StoredExamples(images[1000:1080], labels[1000:1080])
        if section.stop.patience
        else None,
    )


def train_until(
    one: ModuleFit, steps: float, saves: Checkpoints | None, patch: pytest.MonkeyPatch
) -> list[Trained]:
    with killed_at(steps, patch):
        return train(ModuleLearner(one), saves=saves)


RECIPES: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd, a schedule, a warm-up": {
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "schedule": "cosine",
        "warm_up": 0.2,
        "clip": 0.5,
    },
    "muon, a mean of weights": {"optimizer": "muon", "average": {"ema": 0.9}},
    "the mean of the last epochs": {"average": {"swa": 0.3}},
    "schedule-free": {"optimizer": "schedule_free_adamw"},
    "watched": {"stop": {"patience": 1, "validation": 0.2}, "epochs": 6},
    "all rows at once": {"optimizer": "lbfgs", "batch_size": "full"},
    "batches in parts": {"batch_size": 64, "rows": 200},
    "products in bfloat16": {"precision": "bfloat16", "batch_size": 64, "rows": 200},
    "spikes are watched for": {"spike": 3.0},
}


@pytest.mark.parametrize("name", RECIPES)
def test_killed_at_many_steps_it_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First step, mid-epoch, end of an epoch: weights, and the means that a batch norm has seen."""
    whole = train_until(fit(**RECIPES[name]), np.inf, None, monkeypatch)[0].weights
    for number, kills in enumerate([(1,), (4, 5), (6,)]):
        folder = tmp_path / str(number)
        ended: list[Trained] = []
        for kill in (*kills, np.inf):
            try:
                ended = train_until(fit(**RECIPES[name]), kill, every_step(folder), monkeypatch)
                break
            except KilledError:
                continue
        np.testing.assert_array_equal(ended[0].weights, whole)


def test_it_learns_from_a_memory_mapped_file_and_its_weights_predict(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    events: list[dict[str, Any]] = []
    listening = Context(emit_to=lambda kind, facts: events.append({"kind": kind, **facts}))
    one = fit(listening, rows=800, images=mapped, epochs=8)
    (trained,) = train(ModuleLearner(one))
    module = load_weights(network(), trained.weights)
    with torch.no_grad():
        right = module(torch.from_numpy(IMAGES[1000:]).float()).argmax(dim=1).numpy() == Y[1000:]
    assert right.mean() > 0.85
    told = [loss for event in events if event["kind"] == "epoch" for loss in event["losses"]]
    assert len(told) == 8
    assert told[-1] < told[0] / 3


def test_the_deadline_holds_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    listening = Context(emit_to=lambda kind, facts: events.append(facts.get("reason", "")))
    steps, plain = itertools.count(1), Stepper.take
    now = [0.0]

    def take(self: Stepper, closure: Any = None) -> None:
        plain(self, closure)
        now[0] += next(steps) >= 0

    monkeypatch.setattr(Stepper, "take", take)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (trained,) = train(ModuleLearner(fit(listening)), deadline=8.5)
    assert now[0] == 9  # the step in which the time was over is the last
    assert "the time is over in epoch 2 of 3" in events
    assert bool(trained.weights.isfinite().all())


def test_a_mean_of_weights_is_what_is_judged_and_training_goes_on_from_the_last() -> None:
    learner = ModuleLearner(fit(average={"ema": 0.9}, stop={"patience": 2, "validation": 0.2}))
    with torch.no_grad():
        for batch in itertools.islice(learner.batches(), 3):
            learner.set_rate(batch)
            learner.backward(batch)
            learner.step(batch)
        before = learner.theta.clone()
        (judged,) = learner.evaluate()
        assert torch.equal(learner.theta, before)
        module = load_weights(network(), learner.weights(0))
        x, y = torch.from_numpy(IMAGES[1000:1080]).float(), torch.from_numpy(Y[1000:1080])
        assert judged == pytest.approx(float(losses(module(x), y).mean()), rel=1e-5)
    assert not torch.equal(learner.shown, learner.theta)


@pytest.mark.parametrize(
    "options",
    [
        {"clip": 0.1, "schedule": "cosine", "warm_up": 0.3, "average": {"ema": 0.9}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "average": {"swa": 0.3}},
        {"optimizer": "lbfgs", "epochs": 2},  # of more steps what was rounding grows
    ],
)
def test_it_is_stepped_as_a_replica_is(options: dict[str, Any]) -> None:
    """A perceptron on all rows at once, in float64: the same weights by hand and by autograd of its
    module.
    """
    section = Train(**{"batch_size": "full", "epochs": 12, "precision": "float64", **options})
    family = FAMILY.load("mlp")(hidden=[5], activation="tanh")
    x, y = X[:60] / 16.0, Y[:60]
    rows = Fit(x, y, "classification", 10)
    modules = [family.module(rows.shape).to(torch.float64) for _ in range(2)]
    for one in modules:
        family.targets(one, rows)
    modules[1].load_state_dict(modules[0].state_dict())
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    replica = Replica(
        number=0,
        fit=rows,
        module=modules[0],
        batches=Batches(inputs, labels, 60, 0),
        stopping=EarlyStopping(section.stop),
        watched=None,
        noise=torch.Generator(),
        context=Context(),
    ).with_train(section)
    single = ModuleFit(
        module=modules[1],
        examples=StoredExamples(x, labels, torch.float64),
        losses=family.losses,
        train=section,
        stopping=EarlyStopping(section.stop),
        context=Context(),
        seed=0,
    )
    (left,), (right,) = train(ReplicaLearner(family, [replica])), train(ModuleLearner(single))
    np.testing.assert_allclose(left.weights, right.weights, rtol=1e-7, atol=1e-9)


def test_every_optimizer_says_what_the_loop_asks() -> None:
    full = [name for name in OPTIMIZER.names() if OPTIMIZER.load(name).full_batch]
    assert full == ["lbfgs"]
