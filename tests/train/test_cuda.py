"""What only a GPU can show. Run with `pytest tests/train/test_cuda.py` on a machine that has one;
elsewhere test_device.py and test_captured.py stand for it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train import replicas
from sixfold.train.stepper import Stepper
from trainings import images, texts
from trainings import trained as trained_fits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

X, Y = load_digits(return_X_y=True)
FITS = [Fit(X[:rows] / 16.0, Y[:rows], "classification", 10, seed=rows) for rows in (320, 290, 352)]
BUILDS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"hidden": [16, 8]}),
    *(
        (name, {"width": 16, "blocks": 1, "numbers": kind})
        for name in ("residual_mlp", "tabm")
        for kind in ("linear", "periodic")
    ),
]


MODULES = {"cnn": images, "language": texts}


def losses_of(fits: list[Fit], device: str, patch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """Of every step."""
    return np.concatenate(trained_fits(fits, Context(device=device), patch)[1])


def candidate(train: dict[str, Any], family: str = "mlp", **build: Any) -> Candidate:
    settings = FAMILY.load(family)(**build or {"hidden": [16, 8]})
    return Candidate(
        "one", family, settings, Prepare(), Initialize(seed=5), Train(**{"batch_size": 32, **train})
    )


def trained(one: Candidate, device: str = "cuda", **facts: Any) -> list[Fitted]:
    return list(fit_many([one], FITS, Context(device=device, **facts)))


def numbers(fitted: list[Fitted]) -> list[np.ndarray[Any, Any]]:
    return [array for one in fitted for array in one.parameters().values()]  # type: ignore[attr-defined]


def assert_close(one: list[Fitted], other: list[Fitted], tolerance: float) -> None:
    for left, right in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", OPTIMIZER.names())
def test_the_gpu_and_the_processor_train_the_same_network(name: str) -> None:
    """In float64, where 100 steps leave no more than rounding; muon multiplies in bfloat16 on both,
    and apart from them.
    """
    full = getattr(OPTIMIZER.load(name), "full_batch", False)
    rate = {} if name in ("auto", "lbfgs", "adafactor") else {"learning_rate": 0.001}
    batches = {"batch_size": "full", "epochs": 3} if full else {"batch_size": 32, "epochs": 10}
    train = {"optimizer": {"name": name, **rate}, "precision": "float64", **batches}
    tolerance = 2e-2 if name in ("muon", "auto") else 1e-6
    assert_close(trained(candidate(train)), trained(candidate(train), "cpu"), tolerance)


@pytest.mark.parametrize(("family", "build"), BUILDS)
def test_a_recorded_step_is_the_step(
    family: str, build: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a CUDA graph, dropout, a mean of weights, clipping and early stopping."""
    stop = {"patience": 3, "validation": 0.2}
    train = {
        "epochs": 8,
        "precision": "float64",
        "clip": 1.0,
        "average": {"ema": 0.9},
        "stop": stop,
        "schedule": "cosine",
    }
    one = candidate(train, family, dropout=0.2, **build)
    recorded = trained(one)
    monkeypatch.setattr(replicas, "recorder_of", lambda device, operations: None)
    assert_close(recorded, trained(one), 1e-8)


def test_killed_and_continued_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits are promised on a processor; here the numbers are close."""
    one = candidate({"epochs": 6, "precision": "float64"}, "mlp", hidden=[8], dropout=0.2)
    plain, steps = Stepper.take, []

    def take(self: Stepper, closure: Any = None) -> None:
        steps.append(1)
        if len(steps) == 25:
            raise KeyboardInterrupt
        plain(self, closure)

    whole = trained(one)
    saves = Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "take", take)
        with pytest.raises(KeyboardInterrupt):
            trained(one, saves=saves)
    assert_close(
        whole,
        trained(one, saves=Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0)),
        1e-8,
    )


def test_a_deadline_holds_though_python_runs_ahead() -> None:
    """It ends within the steps that were asked for, not when the queue of the GPU is empty."""
    notes: list[tuple[str, dict[str, Any]]] = []
    one = candidate({"epochs": 1_000_000}, "mlp", hidden=[64])
    trained(
        one,
        deadline=time.monotonic() + 2.0,
        emit_to=lambda kind, facts: notes.append((kind, facts)),
    )
    assert any(kind == "training_stopped" and facts.get("cut") for kind, facts in notes)


@pytest.mark.parametrize("name", MODULES)
def test_a_network_of_modules_is_trained_as_on_the_processor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single precision: what is multiplied in another order is a little apart, and each step makes more of it. Images are
    augmented by numbers that are drawn on the GPU, which are not the processor's.
    """
    there, here = (losses_of(MODULES[name](), device, monkeypatch) for device in ("cuda", "cpu"))
    assert len(there) == len(here) > 3
    np.testing.assert_allclose(there[:3], here[:3], rtol=2e-3 if name == "language" else 5e-2)
    np.testing.assert_allclose(np.mean(there[-3:]), np.mean(here[-3:]), rtol=0.1)


@pytest.mark.parametrize("name", MODULES)
def test_and_in_bfloat16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    half = losses_of(MODULES[name](precision="bfloat16"), "cuda", monkeypatch)
    single = losses_of(MODULES[name](), "cuda", monkeypatch)
    assert len(half) == len(single)
    np.testing.assert_allclose(half[:3], single[:3], rtol=0.05)
    np.testing.assert_allclose(np.mean(half[-3:]), np.mean(single[-3:]), rtol=0.15)


@pytest.mark.parametrize("compile", ["on", "auto"])
def test_compiled_layers_of_a_language_model(compile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = losses_of(texts(compile="off"), "cuda", monkeypatch)
    compiled = losses_of(texts(compile=compile), "cuda", monkeypatch)
    np.testing.assert_allclose(compiled[:3], plain[:3], rtol=2e-3)
