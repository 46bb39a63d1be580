"""What a run is expected to take: the plan that is made before it, and how it stands beside what was measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.core.units import show_bytes, show_seconds
from sixfold.recipe.section import Section
from sixfold.recipe.strategy import Strategy


class MemoryShare(Section):
    """What takes a part of the memory."""

    what: str
    bytes: int = Field(ge=0)


class PeakMemory(Section):
    """The most that is held at once. `error`: it may be so many times as much; `of`: the candidate that needs it;
    `limit`: what there is.
    """

    bytes: int = Field(ge=0)
    error: float = Field(ge=1)
    limit: int = Field(ge=0)
    of: str
    shares: tuple[MemoryShare, ...]

    def describe(self) -> str:
        """In a line, with the two that take most."""
        most = " and ".join(
            f"{share.what} {show_bytes(share.bytes)}" for share in self.shares[:2] if share.bytes
        )
        return (
            f"{show_bytes(self.bytes)} ({show_bytes(self.error * self.bytes)} at most) of {show_bytes(self.limit)}, "
            f"for {self.of}; most of it: {most}"
        )


class StageTime(Section):
    """One stage of the run, or all stages of a kind."""

    stage: str
    seconds: float = Field(ge=0)


class PlannedTime(Section):
    """All of it. `how`: tried on a few rows, counted, or both; `at_least`: trials were cut short."""

    seconds: float = Field(ge=0)
    error: float = Field(ge=1)
    how: Literal["tried", "counted", "tried and counted"]
    at_least: bool = False
    stages: tuple[StageTime, ...]

    def describe(self) -> str:
        """In a line, with the stage that takes most."""
        longest = max(self.stages, key=lambda one: one.seconds)
        least = "at least " if self.at_least else ""
        return (
            f"{least}{show_seconds(self.seconds)} ({show_seconds(self.error * self.seconds)} at most; {self.how}); "
            f"most of it: {longest.stage} {show_seconds(longest.seconds)}"
        )


class PlannedStep(Section):
    """A change that makes a candidate fit, and why it is that one."""

    candidate: str
    change: str
    why: str


class RunPlan(Section):
    """What a run is expected to take on a machine."""

    machine: str
    memory: PeakMemory
    device: PeakMemory | None = None
    time: PlannedTime | None = Field(None, description="None where only trials can tell.")
    disk_bytes: int | None = Field(None, ge=0, description="None where only trials can tell.")
    price: float | None = Field(
        None, ge=0, description="Of the time, in the currency of the price per hour."
    )
    strategies: dict[str, Strategy] = Field(
        default_factory=dict, description="Candidate → what `strategy: auto` chose for it."
    )
    steps: tuple[PlannedStep, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """What a terminal says."""
        lines = [f"memory: {self.memory.describe()}"]
        if self.device is not None:
            lines.append(f"device memory: {self.device.describe()}")
        lines += [
            f"time: {self.time.describe()}"
            if self.time is not None
            else "time: of some candidates only trials can tell"
        ]
        if self.disk_bytes is not None:
            lines.append(f"disk: {show_bytes(self.disk_bytes)}")
        if self.price is not None:
            lines.append(f"price: {self.price:.3g}")
        lines += [f"{step.candidate}: {step.change}: {step.why}" for step in self.steps]
        return tuple(lines)


class PlanLine(Section):
    """One row of the table in a report: what was predicted, what was measured; '' where neither can be told."""

    what: str
    predicted: str
    measured: str
    ratio: float | None = Field(None, description="Measured over predicted.")
