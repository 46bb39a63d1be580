"""A step that is recorded and played again is the step: the same bits, whoever leaves the stack
meanwhile.

A CUDA graph plays kernels on the addresses that they were recorded with, and no Python. `on_tape`
does just that on the processor: what would be stale there (a rate written into a call, memory that
moved) is stale here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train import captured, replicas

X, Y = load_digits(return_X_y=True)
FITS = [Fit(X[:rows] / 16.0, Y[:rows], "classification", 10, seed=rows) for rows in (90, 75, 97)]
STEPPED = [
    name for name in OPTIMIZER.names() if not getattr(OPTIMIZER.load(name), "full_batch", False)
]
READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


class Tape(TorchDispatchMode):
    """Every operation with its arguments and its results."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            raise RuntimeError(f"{func} reads a value back, which a CUDA graph cannot")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def play(self) -> None:
        """All of it once more, on the same memory."""
        with torch.no_grad():
            for func, args, kwargs, before in self.calls:
                now = func(*args, **kwargs)
                for old, new in zip(tree_leaves(before), tree_leaves(now), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


RECORDED: list[Tape] = []


def on_tape(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
    call()
    with Tape() as tape:
        result = call()
    RECORDED.append(tape)
    return result, tape.play


def candidate(train: dict[str, Any], family: str = "mlp", **build: Any) -> Candidate:
    small: dict[str, Any] = {"hidden": [8]} if family == "mlp" else {"width": 8, "blocks": 1}
    settings = FAMILY.load(family)(**small | build)
    return Candidate(
        "one", family, settings, Prepare(), Initialize(seed=1), Train(**{"batch_size": 16, **train})
    )


def numbers(fitted: Fitted) -> Iterator[np.ndarray[Any, Any]]:
    yield from fitted.parameters().values()  # type: ignore[attr-defined]


def both(
    one: Candidate, fits: list[Fit], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Fitted, Fitted]]:
    """Trained without and with a recording, which has to be one."""
    plain = list(fit_many([one], fits, Context()))
    RECORDED.clear()
    with monkeypatch.context() as patch:
        patch.setattr(replicas, "recorder_of", lambda device, operations: on_tape)
        played = list(fit_many([one], fits, Context()))
    assert RECORDED and all(tape.calls for tape in RECORDED)
    return list(zip(plain, played, strict=True))


def assert_same_bits(pairs: list[tuple[Fitted, Fitted]]) -> None:
    for plain, played in pairs:
        for left, right in zip(numbers(plain), numbers(played), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", STEPPED)
def test_every_optimizer_steps_by_played_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate that changes every step, which no recording may hold."""
    train = {
        "optimizer": name,
        "epochs": 4,
        "schedule": "cosine",
        "warm_up": 0.2,
        "average": {"ema": 0.9},
        "clip": 1.0,
    }
    assert_same_bits(both(candidate(train), FITS, monkeypatch))
    assert len(RECORDED) == 1


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "silu"])
def test_the_perceptron_with_dropout_and_smoothed_labels(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = candidate(
        {"epochs": 3}, hidden=[8, 6], activation=activation, dropout=0.3, label_smoothing=0.1
    )
    assert_same_bits(both(one, FITS, monkeypatch))


@pytest.mark.parametrize("family", ["residual_mlp", "tabm"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_tabular_networks_with_waves_and_categories(
    family: str, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their graph of autograd is recorded with its backward pass."""
    generator = np.random.default_rng(3)
    fits = []
    for rows in (60, 71):
        x = np.column_stack(
            [
                generator.normal(size=(rows, 3)),
                generator.integers(-1, 4, rows),
                generator.integers(0, 2, rows),
            ]
        )
        fits.append(
            Fit(x, generator.normal(size=rows), "regression", 1, seed=rows, levels=(0, 0, 0, 4, 2))
        )
    one = candidate({"epochs": 3}, family, numbers="periodic", dropout=dropout)
    assert_same_bits(both(one, fits, monkeypatch))


def test_who_leaves_the_stack_leaves_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Early stopping makes θ anew: what was recorded before is not played again."""
    stop = {"patience": 1, "validation": 0.25}
    train = {"optimizer": {"name": "adam", "learning_rate": 0.05}, "epochs": 40, "stop": stop}
    assert_same_bits(both(candidate(train, dropout=0.2), FITS, monkeypatch))
    assert len(RECORDED) > 1


def test_a_range_test_records_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the copies that are tested, and of the training."""
    train = {"optimizer": {"name": "adam", "learning_rate": "auto"}, "epochs": 3}
    assert_same_bits(both(candidate(train), FITS, monkeypatch))
    assert len(RECORDED) == 2


def test_an_optimizer_that_asks_for_gradients_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L-BFGS calls for as many as it likes, and reads their losses."""
    monkeypatch.setattr(replicas, "recorder_of", lambda device, operations: on_tape)
    RECORDED.clear()
    list(
        fit_many(
            [candidate({"optimizer": "lbfgs", "batch_size": "full", "epochs": 2})], FITS, Context()
        )
    )
    assert not RECORDED


def test_a_call_that_reads_a_value_back_is_refused() -> None:
    """So the tape is as strict as a graph is."""
    with pytest.raises(RuntimeError, match="reads a value back"):
        captured.Captured(lambda x: x * float(x.sum()), [torch.ones(2)], on_tape)


def test_only_a_gpu_records_and_only_short_steps() -> None:
    """A long step takes longer than asking for it."""
    cuda = torch.device("cuda")
    assert captured.recorder_of(torch.device("cpu"), 1e6) is None
    assert captured.recorder_of(cuda, 1e6) is captured.on_cuda
    assert captured.recorder_of(cuda, 2 * captured.LONG) is None
