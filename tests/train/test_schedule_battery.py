"""Every check for every schedule: against its formula, and how many checks each got is asserted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import SCHEDULE
from sixfold.recipe.section import Section
from sixfold.train.rate import Rate

# name → options, factor by the formula
FORMULAS: dict[str, tuple[dict[str, Any], Callable[[int, int], float]]] = {
    "constant": ({}, lambda t, T: 1.0),
    "step": ({"every": 0.25, "gamma": 0.5}, lambda t, T: 0.5 ** (4 * t // T)),
    "cosine": ({"minimum": 0.1}, lambda t, T: 0.1 + 0.9 * (1 + math.cos(math.pi * t / T)) / 2),
    "warm_up_stable_decay": (
        {"decay": 0.5, "minimum": 0.2},
        lambda t, T: 1.0 if 2 * t <= T else 0.2 + 0.8 * (1 - math.sqrt(2 * t / T - 1)),
    ),
    "one_cycle": ({"rise": 0.4, "start": 10.0, "end": 100.0}, lambda t, T: torch_one_cycle(T)[t]),
}


def torch_one_cycle(steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=steps,
        pct_start=0.4,
        div_factor=10.0,
        final_div_factor=100.0,
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            cycle.step()
    return rates


def check_section_with_described_options(name: str) -> None:
    made = SCHEDULE.make({"name": name})
    assert isinstance(made, Section)
    assert type(made).__doc__
    assert all(field.description for field in type(made).model_fields.values())


def check_formula(name: str) -> None:
    options, formula = FORMULAS[name]
    schedule = SCHEDULE.make({"name": name, **options})
    for steps in (40, 100):
        factors = [schedule.factor(step, steps) for step in range(steps)]
        assert factors == pytest.approx([formula(step, steps) for step in range(steps)], rel=1e-9)


def check_stays_in_range(name: str) -> None:
    schedule = SCHEDULE.make({"name": name})
    for steps in (1, 2, 3, 10, 1000):
        assert all(0 < schedule.factor(step, steps) <= 1 for step in range(steps))


def check_unknown_option(name: str) -> None:
    with pytest.raises(
        RecipeError, match=f"schedule {name}: expected one of its options; found 'surely_unknown'"
    ):
        SCHEDULE.make({"name": name, "surely_unknown": 1})


CHECKS: tuple[Callable[[str], None], ...] = (
    check_section_with_described_options,
    check_formula,
    check_stays_in_range,
    check_unknown_option,
)
PAIRS = [pytest.param(n, c, id=f"{n}-{c.__name__}") for n in SCHEDULE.names() for c in CHECKS]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_schedule(name: str, check: Callable[[str], None]) -> None:
    check(name)


def test_every_schedule_gets_its_checks() -> None:
    assert SCHEDULE.names() == sorted(FORMULAS)
    assert len(PAIRS) == 5 * 4


def test_warm_up_rises_then_the_schedule_begins() -> None:
    rate = Rate(0.4, SCHEDULE.make({"name": "cosine"}), warm_up=0.2, steps=20)
    expected = [0.1, 0.2, 0.3, 0.4] + [
        0.4 * (1 + math.cos(math.pi * t / 16)) / 2 for t in range(16)
    ]
    assert [rate.at(step) for step in range(20)] == pytest.approx(expected, rel=1e-12)


def test_without_warm_up_the_schedule_begins_at_once() -> None:
    rate = Rate(0.4, SCHEDULE.make({"name": "constant"}), warm_up=0.0, steps=3)
    assert [rate.at(step) for step in range(3)] == [0.4, 0.4, 0.4]


def test_warm_up_of_a_single_step() -> None:
    rate = Rate(0.4, SCHEDULE.make({"name": "cosine"}), warm_up=0.99, steps=1)
    assert rate.at(0) == pytest.approx(0.4)


def test_the_fall_of_warm_up_stable_decay_in_a_line() -> None:
    schedule = SCHEDULE.make({"name": "warm_up_stable_decay", "decay": 0.25, "shape": "linear"})
    factors = [schedule.factor(step, 8) for step in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.5])
