"""Many fits at once equal the fits one by one: every optimizer, folds of unequal size, both kinds
of gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.build.network import NetworkFamily
from sixfold.parts.fit import Fit, Fitted, Shape
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.functional import FunctionalProgram
from sixfold.train.replicas import ReplicaLearner as original

RNG = np.random.default_rng(0)
DIGITS = load_digits(return_X_y=True)
# rows of each fold, and of a batch: equal; one step more for some; a fold smaller than a batch
FOLDS = {
    "equal": ([320, 320, 320], 32),
    "unequal": ([321, 290, 352, 31], 32),
    "tiny": ([40, 7, 33], 16),
}
EPOCHS = {"equal": 10, "unequal": 10, "tiny": 34}  # about 100 steps for the largest fold


def digits(rows: int, seed: int) -> Fit:
    x, y = DIGITS
    chosen = np.random.default_rng(seed).permutation(len(x))[:rows]
    return Fit(x[chosen] / 16.0, y[chosen], "classification", 10, seed=seed)


def values(rows: int, seed: int) -> Fit:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 6))
    return Fit(x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1), "reconstruction", 2, seed=seed)


def candidate(train: dict[str, Any], name: str = "mlp", **build: Any) -> Candidate:
    family = FAMILY.load("mlp")(**{"hidden": [16, 8], **build})
    return Candidate(name, "mlp", family, Prepare(), Initialize(seed=5), Train(**train))


def train_all(candidates: list[Candidate], fits: list[Fit]) -> list[Fitted]:
    return list(fit_many(candidates, fits, Context()))


def assert_equal_networks(one: Any, other: Any, tolerance: float) -> None:
    for left, right in zip(
        (*one.weights, *one.biases), (*other.weights, *other.biases), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


def full(name: str) -> bool:
    return bool(getattr(OPTIMIZER.load(name), "full_batch", False))


@pytest.mark.parametrize("folds", FOLDS)
@pytest.mark.parametrize("name", OPTIMIZER.names())
def test_together_equals_one_by_one(name: str, folds: str) -> None:
    """To 1e-5 a parameter in float32, after 100 steps."""
    rows, size = FOLDS[folds]
    train = {
        "optimizer": name,
        "batch_size": "full" if full(name) else size,
        "epochs": 3 if full(name) else EPOCHS[folds],
    }
    fits = [digits(count, seed) for seed, count in enumerate(rows)]
    one = candidate(train)
    for fit, together in zip(fits, train_all([one], fits), strict=True):
        assert_equal_networks(together, train_all([one], [fit])[0], 1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "silu"])
@pytest.mark.parametrize("make", [digits, values])
def test_gradients_by_hand_equal_autograd(make: Any, activation: str) -> None:
    """In float64: of every replica, with weights that differ by row, with and without dropout."""
    for dropout, smoothing in ((0.0, 0.0), (0.4, 0.0), (0.0, 0.2)):
        family = FAMILY.load("mlp")(
            hidden=[7, 5], activation=activation, dropout=dropout, label_smoothing=smoothing
        )
        fits = [make(20, seed) for seed in range(3)]
        shape = (fits[0].x.shape[1], fits[0].outputs)
        modules = [family.module(Shape(*shape, fits[0].task)).double() for _ in fits]
        theta = torch.stack(
            [
                torch.nn.utils.parameters_to_vector(module.parameters()).detach()
                for module in modules
            ]
        )
        x = torch.stack([torch.from_numpy(fit.x) for fit in fits])
        y = torch.stack(
            [torch.from_numpy(np.array(family.targets(modules[0], fit))) for fit in fits]
        )
        weight = torch.rand(3, 20, dtype=torch.float64)
        noise = [
            torch.rand(3, *drawn, dtype=torch.float64) for drawn in modules[0].noise_shapes(20)
        ]
        gradients = []
        losses = []
        for by_hand in (True, False):
            gradient = torch.zeros_like(theta)
            program = (
                family.program(modules[0], theta, gradient)
                if by_hand
                else FunctionalProgram(modules, family.losses, theta, gradient)
            )
            encoded = program.encode(y.unsqueeze(1), weight.unsqueeze(1))
            losses.append(program.gradient(x, *(part[:, 0] for part in encoded), noise))
            gradients.append(gradient)
            if not dropout:
                torch.testing.assert_close(
                    (program.losses(x, y) * weight).sum(dim=1), losses[-1].clone()
                )
        for at, module in enumerate(modules):
            module.zero_grad()
            drawn = [each[at] for each in noise]
            own = family.losses(module(x[at], drawn) if drawn else module(x[at]), y[at])
            (own * weight[at]).sum().backward()
            wanted = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
            for gradient in gradients:
                torch.testing.assert_close(gradient[at], wanted, rtol=0, atol=1e-12)
            for each in losses:
                torch.testing.assert_close(
                    each[at].clone(), (own * weight[at]).sum().detach(), rtol=0, atol=1e-12
                )


def test_a_grid_of_rates_trains_as_one() -> None:
    """Candidates that differ in optimizer and schedule, on folds of unequal size: each as if it
    were alone.
    """
    trains = [
        {"optimizer": {"name": "adam", "learning_rate": 0.01}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, "schedule": "cosine"},
        {"optimizer": {"name": "adamw", "learning_rate": 0.003}, "warm_up": 0.2},
    ]
    grid = [
        candidate({**each, "batch_size": 16, "epochs": 6}, f"mlp {at}")
        for at, each in enumerate(trains)
    ]
    assert len({each.batch_key() for each in grid}) == 1
    fits = [digits(count, seed) for seed, count in enumerate((100, 65, 96))]
    together = iter(train_all(grid, fits))
    for fit in fits:
        for each in grid:
            assert_equal_networks(next(together), train_all([each], [fit])[0], 1e-5)


def test_replicas_stop_each_in_its_own_epoch() -> None:
    train = {
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "batch_size": 16,
        "epochs": 60,
        "stop": {"patience": 2, "validation": 0.25},
    }
    fits = [digits(count, seed) for seed, count in enumerate((90, 61, 120, 44))]
    ends = []

    def listen(kind: str, facts: dict[str, Any]) -> None:
        if kind == "training_stopped":
            ends.append((facts["fit"], facts["best_epoch"]))

    one = candidate(train)
    together = list(fit_many([one], fits, Context(emit_to=listen)))
    assert sorted(fit for fit, _ in ends) == [0, 1, 2, 3]
    assert len({epoch for _, epoch in ends}) > 1
    for fit, fitted in zip(fits, together, strict=True):
        assert_equal_networks(fitted, train_all([one], [fit])[0], 1e-5)


@pytest.mark.parametrize("counts", [(64, 64, 64), (97, 80, 64, 7)])
def test_dropout_is_drawn_by_each_replica_for_itself(counts: tuple[int, ...]) -> None:
    """For its own rows of a batch, and not where others have a batch more."""
    one = candidate({"batch_size": 16, "epochs": 8}, dropout=0.3)
    fits = [digits(count, seed) for seed, count in enumerate(counts)]
    for fit, together in zip(fits, train_all([one], fits), strict=True):
        assert_equal_networks(together, train_all([one], [fit])[0], 1e-5)


def test_folds_that_lack_a_feature_train_apart() -> None:
    """A category that no training row of a fold has is a feature less: results come in the order
    that was asked for.
    """
    one = candidate({"batch_size": 16, "epochs": 3})
    fits = [
        values(40, 0),
        Fit(values(40, 1).x[:, :5], values(40, 1).y, "reconstruction", 2),
        values(40, 2),
    ]
    together = train_all([one], fits)
    assert [each.weights[0].shape[1] for each in together] == [6, 5, 6]  # type: ignore[attr-defined]
    for fit, fitted in zip(fits, together, strict=True):
        assert_equal_networks(fitted, train_all([one], [fit])[0], 1e-5)


def test_more_replicas_than_memory_go_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    one = candidate({"batch_size": 16, "epochs": 3})
    fits = [digits(64, seed) for seed in range(5)]
    whole = train_all([one], fits)
    monkeypatch.setattr("sixfold.build.network.STACK_BYTES", 200_000)
    stacks = []
    monkeypatch.setattr(
        "sixfold.build.network.ReplicaLearner",
        lambda family, replicas, ranks: (
            stacks.append(len(replicas)) or original(family, replicas, ranks)
        ),
    )
    for left, right in zip(whole, train_all([one], fits), strict=True):
        assert_equal_networks(left, right, 1e-5)
    assert sum(stacks) == 5
    assert 1 < len(stacks) < 5


LOOP = [name for name in FAMILY.names() if issubclass(FAMILY.load(name), NetworkFamily)]


@pytest.mark.parametrize("name", LOOP)
def test_a_family_trains_by_a_program_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by torch.func; and not that it could: that it does."""
    made = []

    class Counted(FunctionalProgram):
        def __init__(self, *parts: Any) -> None:
            made.append(name)
            super().__init__(*parts)

    monkeypatch.setattr("sixfold.train.replicas.FunctionalProgram", Counted)
    one = Candidate(
        name, name, FAMILY.load(name)(), Prepare(), Initialize(), Train(epochs=1, batch_size=16)
    )
    train_all([one], [digits(32, 0), digits(32, 1)])
    assert made == []


def test_the_families_of_the_loop_are_all_tried() -> None:
    assert sorted(LOOP) == ["mlp", "residual_mlp", "tabm"]


@pytest.mark.parametrize(
    ("name", "torchs"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_quick_step_is_torchs_own(name: str, torchs: Any) -> None:
    """Bit by bit, with a learning rate that changes."""
    start = [torch.randn(3, 7), torch.randn(5)]
    quick, plain = ([torch.nn.Parameter(part.clone()) for part in start] for _ in range(2))
    fast: Any = OPTIMIZER.make({"name": name, "weight_decay": 0.1}).make(quick)
    slow = torchs(plain, lr=0.001, weight_decay=0.1, fused=True)
    for step in range(20):
        for one, other in zip(quick, plain, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        fast.param_groups[0]["lr"] = slow.param_groups[0]["lr"] = 0.01 / (step + 1)
        fast.quick()() if step else fast.step()
        slow.step()
    for one, other in zip(quick, plain, strict=True):
        assert torch.equal(one, other)
