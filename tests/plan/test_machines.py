"""Machines that a plan may be for: what they are called, and what is wrong with a name."""

from __future__ import annotations

import pytest

from sixfold.core.cores import cores, planned_for
from sixfold.core.errors import RecipeError
from sixfold.plan.machines import ACCELERATORS, CORES, GIB, machine_of, this_machine


@pytest.mark.parametrize(
    ("text", "count", "memory", "accelerators"),
    [
        ("8xH100", 96, 800 * GIB, 8),
        ("h100", 12, 100 * GIB, 1),
        ("16x cpu", 16, 64 * GIB, 0),
        ("2 x zen4, 32GiB", 2, 32 * GIB, 0),
        ("1×A100-40,64GiB", 12, 64 * GIB, 1),
    ],
)
def test_a_number_a_kind_and_the_memory_of_the_host(
    text: str, count: int, memory: int, accelerators: int
) -> None:
    machine = machine_of(text)
    assert (machine.cores, machine.memory_bytes, machine.accelerators) == (
        count,
        memory,
        accelerators,
    )
    assert (machine.accelerator is None) is (accelerators == 0)


@pytest.mark.parametrize("text", ["", "8x", "0xH100", "-1xH100", "8xH100 lots", "cpu; rm"])
def test_what_is_no_machine_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="--machine: expected a number and a kind"):
        machine_of(text)


def test_a_kind_that_is_not_known_has_a_nearest_one() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'H100'"):
        machine_of("8xH1000")


def test_every_rate_is_a_rate() -> None:
    for rates in (*CORES.values(), *(rates for _, rates in ACCELERATORS.values())):
        assert 1e10 < rates.flops_per_s < 1e15
        assert 1e9 < rates.bytes_per_s < 1e13
        assert 1e-6 < rates.call_s < 1e-4
        assert 0.1 < rates.solver_speed < 10


def test_this_machine_is_measured() -> None:
    here = this_machine()
    assert here.cores == cores()
    assert here.core.flops_per_s > 1e8
    assert here.source == "measured"


def test_cores_of_another_machine_are_counted_inside_alone() -> None:
    before = cores()
    with planned_for(96):
        assert cores() == 96
    assert cores() == before
