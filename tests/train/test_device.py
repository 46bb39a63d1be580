"""Where networks train. Without a GPU torch's `meta` device stands for one: its tensors have no
numbers and cannot be read, so an epoch is walked through as it would be on a GPU, and every
operation that would mix devices is seen.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fitting import fit_many
from sixfold.build import _entrance, network
from sixfold.build.candidate import Candidate, by_device, fits_of
from sixfold.core.errors import FitError, RecipeError
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train import clock, device, range_test, replicas, starting
from sixfold.train.batches import Batch
from sixfold.train.functional import FunctionalProgram
from sixfold.train.replicas import ReplicaLearner
from sixfold.train.starting import replicas_of

GPU = torch.device("meta")
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("mlp", {"hidden": [8, 4], "activation": name})
        for name in ("relu", "tanh", "sigmoid", "gelu", "silu")
    ),
    *(
        (name, {"width": 8, "blocks": 1, "numbers": kind})
        for name in ("residual_mlp", "tabm")
        for kind in ("linear", "periodic")
    ),
]
IN_PLACE = {
    torch.ops.aten._fused_sgd_.default,
    torch.ops.aten._fused_adagrad_.default,
}  # which `meta` does not know
READS = ("lbfgs", "adafactor")
CROSSING = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}


class Apart(TorchDispatchMode):
    """No operation mixes devices but a copy; inside a recording there is no copy either, and
    nothing of the processor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recording, self.recorded = False, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._look(func, (args, kwargs))
        result = None if func in IN_PLACE else func(*args, **(kwargs or {}))
        self._look(func, (args, kwargs, result))
        return result

    def _look(self, func: Any, tree: Any) -> None:
        seen = {
            one.device for one in tree_leaves(tree) if isinstance(one, torch.Tensor) and one.ndim
        }
        assert seen <= {GPU} if self.recording else len(seen) < 2 or func in CROSSING, (func, seen)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    """A GPU that computes nothing. Dropout draws from a generator of the processor; fused kernels
    are let in.
    """
    _entrance._there.cache_clear()
    mode = Apart()

    def record(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
        mode.recorded, mode.recording = mode.recorded + 1, True
        result = call()
        mode.recording = False
        return result, lambda: None

    for module in (starting, range_test):
        monkeypatch.setattr(
            module, "generator", lambda device, seed: torch.Generator().manual_seed(seed)
        )
    monkeypatch.setattr(starting, "device_of", lambda name: GPU)
    monkeypatch.setattr(
        replicas, "recorder_of", lambda device, operations: record if device == GPU else None
    )
    optimizers = importlib.import_module("torch.optim.optimizer")
    monkeypatch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    yield mode
    _entrance._there.cache_clear()


def fits(sparse: bool = False) -> list[Fit]:
    """Folds of unequal size, with categories in two columns."""
    generator, found = np.random.default_rng(0), []
    for rows in (40, 33, 50):
        numbers, codes = generator.normal(size=(rows, 3)), generator.integers(0, 4, (rows, 2))
        x = np.column_stack([numbers, codes]).astype(np.float32)
        levels = () if sparse else (0, 0, 0, 4, 4)
        found.append(
            Fit(
                csr_array(x) if sparse else x,
                generator.integers(0, 3, rows),
                "classification",
                3,
                rows,
                levels=levels,
            )
        )
    return found


def candidate(train: dict[str, Any], family: str = "mlp", **build: Any) -> Candidate:
    section = Train(
        **{"batch_size": 16, "epochs": 2, "stop": {"patience": 3, "validation": 0.2}, **train}
    )
    return Candidate(
        "one", family, FAMILY.load(family)(**build), Prepare(), Initialize(seed=1), section
    )


def stacked(one: Candidate, some: list[Fit]) -> ReplicaLearner:
    family: Any = one.family
    numbered = dict(enumerate(fits_of([one], some)))
    return ReplicaLearner(family, replicas_of(family, numbered, Context(device="cuda")))


def step(built: ReplicaLearner, batch: Batch) -> torch.Tensor:
    built.set_rate(batch)
    losses = built.backward(batch)
    built.step(batch)
    return losses


def epoch(built: ReplicaLearner, gpu: Apart) -> None:
    """One epoch's steps, and the rows that are watched up to where their loss is read."""
    with gpu, torch.no_grad():
        losses = [step(built, batch) for batch in built.batches()]
        built.end_epoch(1)
        with pytest.raises(Exception, match="meta"):
            built.evaluate()
        built.start_epoch()
    assert all(one.device == GPU for one in [*losses, built.theta, built.gradient])


@pytest.mark.parametrize(
    "name", [name for name in OPTIMIZER.names() if name not in ("auto", *READS)]
)
def test_a_step_of_every_optimizer_stays_on_the_gpu(name: str, gpu: Apart) -> None:
    """But of those that read values in their step, which a real GPU alone can show."""
    built = stacked(
        candidate({"optimizer": name, "clip": 1.0, "average": {"ema": 0.9}}, hidden=[8]), fits()
    )
    epoch(built, gpu)
    with gpu:
        built.keep([0, 2])
    epoch(built, gpu)
    assert gpu.recorded == 2


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(("family", "build"), NETWORKS)
def test_a_step_of_every_network_stays_on_the_gpu(
    family: str, build: dict[str, Any], dropout: float, gpu: Apart
) -> None:
    epoch(stacked(candidate({}, family, dropout=dropout, **build), fits()), gpu)
    assert gpu.recorded == 1


def test_sparse_rows_come_to_the_gpu_a_block_at_a_time(gpu: Apart) -> None:
    built = stacked(candidate({"stop": {}}, hidden=[8]), fits(sparse=True))
    with gpu, torch.no_grad():
        for batch in built.batches():
            assert batch.x.device == step(built, batch).device == GPU


def test_a_network_by_torch_func_is_on_the_gpu_and_is_not_recorded(
    gpu: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what it does in a step."""
    monkeypatch.setattr(replicas, "Stackable", type("Nobody", (), {}))
    built = stacked(candidate({}, hidden=[8]), fits())
    assert isinstance(built.program, FunctionalProgram)
    epoch(built, gpu)
    assert gpu.recorded == 0


def test_what_strays_from_the_gpu_is_seen(gpu: Apart) -> None:
    """So the tests above can fail."""
    with gpu, pytest.raises(AssertionError, match="aten"):
        torch.add(torch.zeros(2, device=GPU), torch.zeros(2))
    zeros, gpu.recording = torch.zeros(2), True
    with gpu, pytest.raises(AssertionError, match="copy"):
        torch.zeros(2, device=GPU).copy_(zeros)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_the_first_step() -> None:
    one = candidate({}, hidden=[4])
    with pytest.raises(RecipeError) as caught:
        list(fit_many([one], fits(), Context(device="cuda")))
    text = str(caught.value)
    assert "budget.device" in text and "cuda, and " in text and "Write `device: cpu`" in text


def test_a_full_gpu_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."
        )

    monkeypatch.setattr(network, "train", full)
    with pytest.raises(FitError, match="CUDA out of memory") as caught:
        list(fit_many([candidate({}, hidden=[4])], fits(), Context()))
    assert "write `device: cpu`" in str(caught.value)


def test_who_trains_where_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "device_of", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA T4")
    svm = replace(candidate({}, hidden=[4]), name="svm", family=FAMILY.load("svm")())
    mlp = candidate({}, hidden=[4])
    assert device.describe("cuda", *by_device([mlp, svm])) == [
        "Device: NVIDIA T4 trains one.",
        "Device: the processor trains svm: their solvers do not work on a GPU.",
    ]
    assert device.describe("cpu", *by_device([mlp, svm])) == []


def test_the_processor_waits_for_nobody() -> None:
    watch = clock.Clock(None, torch.device("cpu"))
    for _ in range(100):
        watch.stepped()
    assert not watch.asked
    assert not watch.is_over
