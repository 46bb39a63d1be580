"""Less memory for the same gradient: micro-batches, blocks that are computed twice, and what a training does that runs out
of memory.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from killed_training import KilledError
from sixfold.build import network as network_module
from sixfold.core.errors import BudgetError, FitError
from sixfold.parts.fit import Fit, Setting
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import PLAIN, Strategy
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train import memory_steps, recompute
from sixfold.train.loop import train
from sixfold.train.memory_steps import StepShape
from sixfold.train.module import ModuleFit, ModuleLearner, StoredExamples
from sixfold.train.step_cost import step_cost
from sixfold.train.stopping import EarlyStopping

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 12)).astype(np.float32)
Y = torch.from_numpy((X[:, 0] > 0).astype(np.int64))


class Blocks(nn.Module):
    """Residual blocks of the same width; `norm`: they mix the rows of a batch."""

    def __init__(
        self, width: int = 32, blocks: int = 4, dropout: float = 0.0, norm: bool = False
    ) -> None:
        super().__init__()
        self.first = nn.Linear(12, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, 4 * width),
                nn.BatchNorm1d(4 * width) if norm else nn.Identity(),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(4 * width, width),
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        out: torch.Tensor = self.last(h)
        return out


def network(**options: Any) -> Blocks:
    torch.manual_seed(0)
    return Blocks(**options)


def losses(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, y, reduction="none")


def fit(
    module: nn.Module, strategy: Strategy = PLAIN, context: Context | None = None, **options: Any
) -> ModuleFit:
    section = Train(**{"batch_size": 48, "epochs": 2, "precision": "float32", **options})
    return ModuleFit(
        module=module,
        examples=StoredExamples(X, Y),
        losses=losses,
        train=section,
        stopping=EarlyStopping(section.stop),
        context=context or Context(),
        seed=3,
        operations=0.0,
        strategy=strategy,
    )


def trained(work: ModuleFit, saves: Checkpoints | None = None) -> torch.Tensor:
    with closing(ModuleLearner(work)) as learner:
        ((_, weights),) = train(learner, None, saves)
    return weights


def gradient(work: ModuleFit) -> torch.Tensor:
    with closing(ModuleLearner(work)) as learner:
        learner.backward(next(iter(learner.batches())))
        return learner.gradient.clone()


@pytest.mark.parametrize("rows", [1, 5, 7, 16, 48])
def test_micro_batches_give_the_gradient_of_the_batch(rows: int) -> None:
    """Its loss is a mean over the batch, whatever is computed at once: also where the last one is smaller."""
    whole = gradient(fit(network()))
    parts = gradient(fit(network(), Strategy(micro_batch=rows)))
    assert torch.allclose(parts, whole, rtol=1e-5, atol=1e-7)


def test_a_training_in_micro_batches_ends_with_the_same_model() -> None:
    whole, parts = (trained(fit(network(), one)) for one in (PLAIN, Strategy(micro_batch=5)))
    assert torch.allclose(parts, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("dropout", "norm"), [(0.0, False), (0.3, False), (0.0, True)])
def test_blocks_that_are_computed_twice_learn_the_same_bits(
    dropout: float, norm: bool, precision: str
) -> None:
    """Dropout draws the same numbers again, and the means of a batch norm are counted once."""
    plain, twice = network(dropout=dropout, norm=norm), network(dropout=dropout, norm=norm)
    first = trained(fit(plain, precision=precision))
    second = trained(fit(twice, Strategy(gradient_checkpointing=True), precision=precision))
    assert torch.equal(first, second)
    assert "forward" not in vars(twice.blocks[0])  # the module is as it was


def test_the_blocks_are_those_of_the_largest_list() -> None:
    module = network()
    assert recompute.blocks_of(module) == list(module.blocks)
    assert recompute.blocks_of(nn.Linear(3, 3)) == []


def test_what_a_step_takes_is_what_a_strategy_saves() -> None:
    module, x = network(blocks=8), torch.zeros(1, 12)
    whole, few = step_cost(module, x, 640), step_cost(module, x, 160)
    recompute.start(module, bool)
    twice = step_cost(module, x, 640)
    recompute.stop(module)
    assert few.peak_bytes < 0.35 * whole.peak_bytes
    assert twice.peak_bytes < 0.6 * whole.peak_bytes
    assert whole.flops < twice.flops < 1.5 * whole.flops
    assert whole.flops == pytest.approx(4 * few.flops)


def test_a_row_more_never_takes_less() -> None:
    peaks = [
        step_cost(network(), torch.zeros(1, 12), rows).peak_bytes for rows in (1, 2, 3, 8, 9, 200)
    ]
    assert peaks == sorted(peaks)


def test_products_are_counted_as_they_are_and_nothing_of_the_module_changes() -> None:
    """Forward 2 · rows · inputs · outputs; backward twice that, without the gradient of what is read."""
    module = nn.Linear(12, 5)
    before = module.weight.clone()
    cost = step_cost(module, torch.zeros(1, 12), 10)
    assert cost.flops == pytest.approx(2 * (2 * 10 * 12 * 5))
    assert torch.equal(module.weight, before)
    assert module.weight.grad is None


def test_a_large_module_is_traced_without_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    small = step_cost(network(), torch.zeros(1, 12), 32)
    monkeypatch.setattr("sixfold.train.step_cost.LARGE", 10)
    large = step_cost(network(), torch.zeros(1, 12), 32)
    assert large.flops == pytest.approx(small.flops)
    assert large.peak_bytes == pytest.approx(small.peak_bytes, rel=0.1)


def test_each_step_is_stronger_and_the_first_costs_least() -> None:
    shape = StepShape.of(network(), 64, 32)._replace(halves=True, remembers=True)
    steps = list(memory_steps.steps(shape, PLAIN))
    assert [step.change for step in steps] == [
        "precision: bfloat16",
        "micro_batch: 16",
        "micro_batch: 8",
        "micro_batch: 4",
        "gradient_checkpointing: true",
        "offload: true",
        "micro_batch: 2",
        "micro_batch: 1",
    ]
    strongest = Strategy(
        precision="bfloat16", micro_batch=1, gradient_checkpointing=True, offload=True
    )
    assert steps[-1].strategy == strongest
    assert list(memory_steps.steps(shape, strongest)) == []
    assert [step.section for step in steps].count("train") == 1


@pytest.mark.parametrize(
    ("options", "halves", "remembers"),
    [
        ({}, True, True),
        ({"precision": "auto"}, True, True),
        ({"precision": "float32"}, False, True),
        ({"optimizer": "sgd"}, True, False),
        ({"optimizer": {"name": "sgd", "momentum": 0.9}}, True, True),
        ({"optimizer": "adafactor"}, True, False),
        ({"optimizer": "lbfgs"}, True, False),
    ],
)
def test_what_the_recipe_decided_is_not_changed(
    options: dict[str, Any], halves: bool, remembers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_steps, "native", lambda device: True)
    shape = StepShape.of(network(), 64, 32).trained(Train(**options))
    assert (shape.halves, shape.remembers) == (halves, remembers)


def test_a_machine_without_bfloat16_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not StepShape.of(network(), 64, 32).trained(Train()).halves
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert StepShape.of(network(), 64, 32).trained(Train()).halves


def test_a_module_that_mixes_rows_is_not_divided() -> None:
    """A batch norm over fewer rows is another network."""
    (step,) = memory_steps.steps(StepShape.of(network(norm=True), 64, 32), PLAIN)
    assert step.change == "gradient_checkpointing: true"


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            ),
            True,
        ),
        (BudgetError("budget.memory", "a", "b", "c"), True),
        (BudgetError("budget.time", "a", "b", "c"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(error: Exception, is_memory: bool) -> None:
    assert memory_steps.is_out_of_memory(error) is is_memory


class Scarce:
    """Memory for `rows` rows at once, in the place of a machine's; the first steps have more."""

    def __init__(self, rows: int, from_step: int = 0) -> None:
        self.rows, self.left = rows, from_step
        self.seen: list[int] = []

    def __call__(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0 and len(y) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.seen.append(len(y))
        return losses(outputs, y)


def test_a_training_that_runs_out_of_memory_goes_on_with_less() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    context = Context(emit_to=lambda kind, facts: events.append((kind, facts)))
    work = fit(network(dropout=0.2), Strategy(adapt=True), context)
    found = trained(replace(work, losses=Scarce(13, from_step=2)))
    warnings = [facts for kind, facts in events if kind == "warning"]
    assert [one["strategy"]["micro_batch"] for one in warnings] == [24, 12]
    assert warnings[0]["text"].startswith(
        "CUDA out of memory. Tried to allocate 2.00 GiB. From here on micro_batch: 24: gradients of 2 micro-batches"
    )
    plain = trained(fit(network(), Strategy(adapt=True)))
    less = trained(replace(fit(network(), Strategy(adapt=True)), losses=Scarce(13, from_step=2)))
    assert torch.allclose(less, plain, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(found).all()


def test_what_runs_out_of_memory_goes_through_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """From products in bfloat16 to an optimizer that remembers in files; each is said."""
    monkeypatch.setattr(memory_steps, "native", lambda device: True)
    events: list[dict[str, Any]] = []
    context = Context(
        emit_to=lambda kind, facts: events.append(facts) if kind == "warning" else None
    )
    work = replace(
        fit(network(), Strategy(adapt=True), context), train=Train(batch_size=48, epochs=2)
    )
    found = trained(replace(work, losses=Scarce(5, from_step=1)))
    changes = [one["text"].partition("From here on ")[2].partition(":")[0] for one in events]
    smaller = ["micro_batch"] * 3
    assert changes == [
        "precision",
        *smaller,
        "gradient_checkpointing",
        "offload",
        "micro_batch",
    ]
    assert events[-1]["strategy"]["micro_batch"] == 3
    assert torch.allclose(found, trained(fit(network())), atol=0.05)


def test_memory_that_is_too_little_for_a_row_is_an_error() -> None:
    work = replace(fit(network(), Strategy(adapt=True)), losses=Scarce(0))
    with pytest.raises(torch.OutOfMemoryError):
        trained(work)


def test_without_leave_nothing_is_changed() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        trained(replace(fit(network()), losses=Scarce(13)))


def test_a_budget_that_is_exceeded_is_met_with_less_too() -> None:
    """The guard of the budget says so between two steps; what was held counts no longer."""
    held = [0]
    recovered: list[int] = []

    def check() -> None:
        held[0] += 1
        if held[0] == 2:
            raise BudgetError("budget.memory", "at most 1.0 MB", "2.0 MB in use", "Raise it.")

    context = Context(check_memory=check, recover=lambda: recovered.append(held[0]))
    trained(fit(network(), Strategy(adapt=True), context))
    assert recovered == [2]


def test_what_was_found_is_saved_and_kept_after_a_kill(tmp_path: Path) -> None:
    """The state is saved right after the step that was done again, though nothing was due; who goes on knows."""
    saves = Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=1e6)
    work = replace(fit(network(), Strategy(adapt=True), Context(saves=saves)), losses=Scarce(13, 1))
    with closing(ModuleLearner(work)) as learner:
        plain, steps = learner.set_rate, [0]

        def killed(batch: Any) -> None:
            steps[0] += 1
            if steps[0] == 3:
                raise KilledError
            plain(batch)

        learner.set_rate = killed  # type: ignore[method-assign]
        with pytest.raises(KilledError):
            train(learner, None, saves)
    again = Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=1e6)
    seen = Scarce(13)
    with closing(ModuleLearner(replace(work, module=network(), losses=seen))) as learner:
        ((_, second),) = train(learner, None, again)
    assert max(seen.seen) <= 12
    whole = trained(replace(work, module=network(), losses=Scarce(13, 1), context=Context()))
    assert torch.equal(second, whole)


def test_a_stack_that_runs_out_of_memory_goes_on_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five networks as one are too many, two are not; the models are those that they would have been."""
    family = FAMILY.make({"family": "mlp", "hidden": [6]}, "family")
    section = Train.model_validate({"epochs": 2, "batch_size": 16})
    x, y = X.astype(np.float64), np.asarray(Y)

    def fits(strategy: Strategy) -> list[Fit]:
        setting = Setting("mlp", family, train=section, strategy=strategy)
        return [Fit(x, y, "classification", 2, seed=seed, setting=setting) for seed in range(5)]

    plain = list(family.fit(fits(PLAIN), Context()))
    events: list[dict[str, Any]] = []
    sizes: list[int] = []
    whole = network_module.train

    def scarce(learner: Any, *rest: Any) -> Any:
        sizes.append(len(learner.first))
        if len(learner.first) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(learner, *rest)

    monkeypatch.setattr(network_module, "train", scarce)
    context = Context(
        emit_to=lambda kind, facts: events.append(facts) if kind == "warning" else None
    )
    less = list(family.fit(fits(Strategy(adapt=True)), context))
    assert sizes == [5, 2, 3, 1, 2]
    assert [event["strategy"]["fits_at_once"] for event in events] == [2, 1]
    for one, other in zip(plain, less, strict=True):
        assert np.allclose(one.predict(x), other.predict(x), atol=1e-6)
    with pytest.raises(FitError, match="out of memory"):
        list(family.fit(fits(PLAIN), Context()))
