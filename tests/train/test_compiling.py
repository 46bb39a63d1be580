"""`train.compile`: programs are made where they pay back, said, and taken again after a kill."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from sixfold.core.errors import RecipeError
from sixfold.runs.context import Context
from sixfold.train import compiling
from sixfold.train.compiling import COST_S, REPAID, WATCHED, Compiling


class Layers(nn.Module):
    """Whose layers save half of a step, as it says."""

    def __init__(self) -> None:
        super().__init__()
        self.kind: Any = (4, 8)
        self.compiled: Any = None

    @property
    def compiled_saving(self) -> float:
        return 0.5


class Steps:
    """Gradients that take `eager_s` seconds, or `compiled_s`; the first one by a program takes 9 more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, eager_s: float, compiled_s: float) -> None:
        self.now, self.module, self.notes = 0.0, Layers(), list[str]()
        self.takes = {False: eager_s, True: compiled_s}
        self.compiles_s, self.fails = 9.0, False
        self.ways = list[bool]()
        monkeypatch.setattr(compiling.time, "perf_counter", lambda: self.now)

    def __call__(self) -> torch.Tensor:
        by_program = self.module.compiled is not None
        if by_program and self.fails:
            raise RuntimeError("\nno C++ compiler\nand more")
        self.now += self.takes[by_program]
        if by_program:
            self.now, self.compiles_s = self.now + self.compiles_s, 0.0
        self.ways.append(by_program)
        return torch.tensor(float(by_program))

    def compiling(self, wanted: Any) -> Compiling:
        return Compiling([self.module], wanted, self.context())

    def context(self) -> Context:
        return Context(emit_to=lambda kind, facts: self.notes.append(facts["text"]))


ENOUGH = int(2 * REPAID * COST_S)  # steps of a second, of which a half is saved


@pytest.mark.parametrize("left", [ENOUGH - 10, ENOUGH + 10])
def test_auto_compiles_where_it_saves_more_than_it_costs(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, 1.0, 0.5)
    one = steps.compiling("auto")
    losses = [float(one.gradient(steps, left)) for _ in range(WATCHED + 2)]
    pays = left > ENOUGH
    assert losses == [0.0] * (WATCHED - 1) + [float(pays)] * 3
    assert one.kind == ((4, 8) if pays else ())
    assert f"{left} steps of 1e+03 ms are left" in steps.notes[0]
    if pays:
        assert "layers are compiled." in steps.notes[0]
        assert steps.notes[1] == (
            "compile: layers are compiled in 9.5 s: a step's gradient takes 500 ms, 1e+03 ms before."
        )
    else:
        assert "layers stay as they are." in steps.notes[0]


def test_programs_that_are_no_faster_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 1.0, 1.0)
    one = steps.compiling("auto")
    losses = [float(one.gradient(steps, 10 * ENOUGH)) for _ in range(WATCHED + 1)]
    assert losses == [0.0] * (WATCHED + 1)
    assert one.kind == ()
    assert "layers stay as they were" in steps.notes[-1]


def test_off_measures_nothing_and_on_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 1.0, 2.0)
    off = steps.compiling("off")
    assert float(off.gradient(steps, 10 * ENOUGH)) == 0.0
    assert (off.kind, steps.notes) == ((), [])
    on = steps.compiling("on")
    assert float(on.gradient(steps, 0)) == 1.0
    assert on.kind == (4, 8)
    on.close()
    assert steps.module.compiled is None


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 1.0, 0.5)
    steps.fails = True
    one = steps.compiling("on")
    assert float(one.gradient(steps, 1)) == 0.0
    assert one.kind == ()
    assert steps.notes == [
        "compile: it failed, layers stay as they are: RuntimeError: no C++ compiler"
    ]


@pytest.mark.parametrize("decided", [(), (4, 8)])
def test_after_a_kill_the_same_way_is_taken(
    decided: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, 1.0, 0.5)
    one = steps.compiling("auto")
    one.use(decided)
    for left in itertools.repeat(10 * ENOUGH, WATCHED + 1):
        assert float(one.gradient(steps, left)) == float(bool(decided))
    assert steps.notes == []


def test_a_compiler_that_is_gone_after_a_kill_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 1.0, 0.5)
    steps.fails = True
    one = steps.compiling("auto")
    one.use((4, 8))
    assert float(one.gradient(steps, 1)) == 0.0
    assert "differs in the last bits: RuntimeError: no C++ compiler" in steps.notes[0]


def test_layers_of_another_kind_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 1.0, 0.5)
    steps.module.kind = None
    one = steps.compiling("on")
    assert float(one.gradient(steps, ENOUGH)) == 0.0
    assert "adapters" in steps.notes[0]
    with pytest.raises(RecipeError, match=r"layers of language models alone"):
        Compiling([nn.Linear(1, 1)], "on", steps.context())
    assert Compiling([nn.Linear(1, 1)], "auto", steps.context()).kind == ()
