"""bfloat16: products alone, weights and losses stay; and it is taken where it is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train import mixed_precision
from sixfold.train.mixed_precision import NOT_NATIVE, StepTimes, measured
from sixfold.train.module import BatchExamples, ModuleFit, ModuleLearner
from sixfold.train.stopping import EarlyStopping


class Seen(nn.Linear):
    """Remembers the precision of what it says."""

    seen: torch.dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = super().forward(x)
        type(self).seen = found.dtype
        return found


class Values:
    def __len__(self) -> int:
        return 8

    def read(self, rows: Any, draw: Any) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.linspace(-1, 1, 8)[:, None].repeat(1, 4)
        return x, 2 * x[:, 0]


def learner(precision: Any, notes: list[str]) -> ModuleLearner:
    def emit(kind: str, facts: dict[str, Any]) -> None:
        notes.append(facts["text"])

    section = Train(batch_size="full", epochs=1, precision=precision)
    torch.manual_seed(0)
    return ModuleLearner(
        ModuleFit(
            module=Seen(4, 1),
            examples=Values(),
            losses=lambda outputs, y: (outputs[:, 0] - y).square(),
            train=section,
            stopping=EarlyStopping(section.stop),
            context=Context(emit_to=emit),
            seed=1,
        )
    )


def gradient(precision: Any) -> torch.Tensor:
    one = learner(precision, [])
    one.backward(next(iter(one.batches())))
    assert one.gradient.dtype == one.theta.dtype == torch.float32
    return one.gradient


def test_products_are_in_bfloat16_and_the_rest_is_not() -> None:
    plain = gradient("float32")
    assert Seen.seen == torch.float32
    half = gradient("bfloat16")
    assert Seen.seen == torch.bfloat16
    torch.testing.assert_close(half, plain, rtol=2e-2, atol=1e-2)
    assert not torch.equal(half, plain)


@pytest.mark.parametrize("pays", [True, False])
def test_auto_measures_once_says_so_and_changes_nothing_else(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = StepTimes(0.02, 0.01) if pays else StepTimes(0.02, 0.019)

    def told(step: Any) -> StepTimes:
        step(False)
        step(True)
        return times

    monkeypatch.setattr("sixfold.train.module.native", lambda device: True)
    monkeypatch.setattr("sixfold.train.module.measured", told)
    notes = list[str]()
    one = learner("auto", notes)
    assert one.state_dict()["halved"] is None
    one.backward(next(iter(one.batches())))
    assert torch.equal(one.gradient, gradient("bfloat16" if pays else "float32"))
    assert one.state_dict()["halved"] is pays
    one.backward(next(iter(one.batches())))
    taken = "products are computed in bfloat16" if pays else "float32 stays"
    other = 10 if pays else 19
    assert notes == [
        f"precision auto: bfloat16 takes {other} ms a step against 20 ms in float32: {taken}."
    ]
    again = learner("auto", notes)
    again.load_state_dict(one.state_dict())
    assert again.halved is pays


def test_the_faster_of_several_steps_counts_where_one_is_not_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 3.0, 10.0, 12.5, 20.0, 21.0, 30.0, 34.0])
    monkeypatch.setattr(mixed_precision.time, "perf_counter", lambda: next(clock))
    asked = list[bool]()
    found = measured(asked.append)
    assert found == StepTimes(1.0, 2.5)
    assert not found.pays
    assert asked == [False, True] * 3
    clock = iter([0.0, 3.0, 10.0, 12.0])
    asked.clear()
    assert measured(asked.append) == StepTimes(3.0, 2.0)
    assert asked == [False, True] * 2


def test_auto_measures_nothing_where_bfloat16_would_be_emulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One trial of it would take longer than the steps that it is to save."""

    def refuse(step: Any) -> StepTimes:
        raise AssertionError("measured")

    monkeypatch.setattr("sixfold.train.module.native", lambda device: False)
    monkeypatch.setattr("sixfold.train.module.measured", refuse)
    notes = list[str]()
    one = learner("auto", notes)
    one.backward(next(iter(one.batches())))
    assert torch.equal(one.gradient, gradient("float32"))
    assert one.state_dict()["halved"] is False
    assert notes == [NOT_NATIVE]


def test_auto_measures_on_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixfold.train.module.native", lambda device: True)
    seen = list[int]()

    class Counted(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return super().forward(x)

    one = learner("auto", [])
    one.work = replace(one.work, parts=lambda rows: max(1, rows // 3))
    one.parts.parts[0] = one.parts.parts[0]._replace(module=Counted(4, 1))
    one._is_faster_halved(BatchExamples(torch.zeros(8, 4), torch.zeros(8), None), 0)
    assert set(seen) == {6}
