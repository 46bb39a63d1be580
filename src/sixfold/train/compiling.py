"""`train.compile`: layers that torch's compiler makes one program of, where that pays back.

A program takes some seconds to make, and its numbers differ from the plain layers' in their last bits: so it is decided
once, after a few steps, and a training that goes on after a kill takes the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from sixfold.core.errors import RecipeError
from sixfold.runs.context import Context

COST_S: Final = (
    20.0  # to make a program, the compiler's import with it; measured on two cores: 10 to 20
)
REPAID: Final = 1.5  # times its cost that it has to save; guessed: a machine may be slower, or busy
WATCHED: Final = 3  # steps that are timed, of which the fastest counts
Wanted = Literal["auto", "on", "off"]


@runtime_checkable
class LayerCompilable(Protocol):
    """Ability of a module: layers as programs, for inputs of one kind. `kind`: that of the last pass in training, None
    where its layers cannot be compiled; `compiled`: the one whose programs are used.
    """

    kind: Any
    compiled: Any

    @property
    def compiled_saving(self) -> float:
        """Share of a step that it saves, about."""


class Compiling:
    """`modules`: that share parameters; `kind`: None where it is not decided, () where they stay as they are, or the
    kind of inputs that goes through programs.
    """

    def __init__(self, modules: Sequence[nn.Module], wanted: Wanted, context: Context) -> None:
        self.modules = [one for one in modules if isinstance(one, LayerCompilable)]
        if wanted == "on" and not self.modules:
            raise RecipeError(
                "train.compile",
                "auto or off: layers of language models alone are compiled",
                "on",
                "Leave it out.",
            )
        self.wanted, self.context = wanted, context
        self.kind: tuple[Any, ...] | None = None if self.modules and wanted != "off" else ()
        self.times: list[float] = []
        self.made = False  # whether programs ran in this process

    def note(self, text: str) -> None:
        """For people."""
        self.context.emit("note", text=text)

    def use(self, kind: Sequence[Any] | None) -> None:
        """As it was decided before a kill: the program is made at the next gradient."""
        self.kind = None if kind is None else tuple(kind)
        self._set(self.kind or None)

    def gradient(self, work: Callable[[], torch.Tensor], left: int) -> torch.Tensor:
        """What `work` gives, which writes a gradient; after some steps by programs, if these are worth it. `left`: steps
        of the training that are still to come.
        """
        if self.kind is not None:
            return work() if self.made or not self.kind else self._again(work)
        started = time.perf_counter()
        loss = work()
        self.times.append(time.perf_counter() - started)
        if self.wanted != "on" and len(self.times) < WATCHED:
            return loss
        if not self._pays(left):
            self.kind = ()
            return loss
        return self._compiled(work)

    def close(self) -> None:
        """The modules are as they were."""
        self._set(None)

    def _pays(self, left: int) -> bool:
        """Said, where it is close to it."""
        one = self.modules[0]
        if one.kind is None:
            if self.wanted == "on":
                self.note(
                    "compile: not these layers, which have adapters, biases or are computed twice."
                )
            return False
        if self.wanted == "on":
            return True
        saved, least = left * min(self.times) * one.compiled_saving, REPAID * COST_S
        if saved:
            pays = "layers are compiled" if saved >= least else "layers stay as they are"
            self.note(
                f"compile auto: {left:,} steps of {1e3 * min(self.times):.3g} ms are left, of which compiled layers would "
                f"save some {saved:.2g} s; they take {COST_S:g} s to compile, {least:g} s are asked for: {pays}."
            )
        return saved >= least

    def _compiled(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        before, kind = min(self.times), tuple(self.modules[0].kind)
        self._set(kind)
        try:
            started = time.perf_counter()
            loss = work()
            cost = time.perf_counter() - started
            started = time.perf_counter()
            loss = work()
            after = time.perf_counter() - started
        except RuntimeError as error:  # torch's own: no C++ compiler, or what it does not know
            self.note(f"compile: it failed, layers stay as they are: {_first_line(error)}")
            return self._given_up(work)
        times = f"compiled in {cost:.3g} s: a step's gradient takes {1e3 * after:.3g} ms, {1e3 * before:.3g} ms before"
        if self.wanted == "auto" and after >= before:
            self.note(f"compile auto: {times}: layers stay as they were.")
            return self._given_up(work)
        self.note(f"compile: layers are {times}.")
        self.kind, self.made = kind, True
        return loss

    def _again(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        """After a kill: what was compiled is compiled."""
        try:
            loss = work()
        except RuntimeError as error:
            self.note(
                "compile: layers were compiled before the training was interrupted, which fails now; it goes on without, "
                f"and differs in the last bits: {_first_line(error)}"
            )
            return self._given_up(work)
        self.made = True
        return loss

    def _given_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        self.kind = ()
        self._set(None)
        return work()

    def _set(self, kind: tuple[Any, ...] | None) -> None:
        for one in self.modules:
            one.compiled = kind


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
