"""Within what a run has to stay, and who does its work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from sixfold.core.units import seconds, size_bytes
from sixfold.recipe.section import Section
from sixfold.recipe.strategy import PLAIN, AskedStrategy, Strategy


class Cluster(Section):
    """A Ray cluster. All of its nodes read and write the run's folder, at the same path."""

    name: Literal["ray"] = Field("ray", description="What kind of cluster it is.")
    address: str | None = Field(
        None,
        pattern=r"^(ray://)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
        description="HOST:PORT of a cluster that this machine is a node of, or ray://HOST:PORT from outside. Left out: what "
        "the environment says in RAY_ADDRESS; without it, a cluster of this machine for as long as the run lasts.",
    )
    cores: int = Field(1, ge=1, le=1024, description="Processor cores of a node that a stage has.")


class Budget(Section):
    """Within what: wall-clock time, memory, disk, device."""

    time: str | None = Field(None, description="Wall-clock time of a run: 90s, 10m, 2h.")
    memory: str | None = Field(None, description="Peak resident memory: 4GiB.")
    disk: str | None = Field(None, description="Bytes of the run folder: 1GiB.")
    bundle: str | None = Field(
        None,
        description="Bytes of the files from which the bundle answers (model.onnx, preparation included): 5MB. What takes "
        "more is not chosen; the members of an ensemble have two thirds of it.",
    )
    latency: str | None = Field(
        None,
        description="Median time of one row, from raw columns to the answer, in onnxruntime on one thread of this machine: "
        "1ms. As `bundle`.",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="Where networks train; cuda: the GPU of this machine. Solvers stay on the processor.",
    )
    executor: Literal["here", "processes", "ray"] | Cluster | None = Field(
        None,
        description="Who does the stages. here: the run's own process. processes: `workers` others on this machine. ray: a "
        "Ray cluster (HOST:PORT or ray://HOST:PORT in RAY_ADDRESS, or in the section Cluster). Left out: here, and processes "
        "where `workers` is above 1.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Stages that are done side by side, each in a process of its own; of this machine's cores and of `memory` "
        "each has its share. Left out: 1; where `executor` is named, as many as the cores allow.",
    )
    data_parallel: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes of this machine that train one network together, each on its share of the rows of every "
        "batch; the gradients are added up, so that the steps are those of one process.",
    )
    strategy: Literal["fixed", "auto"] | AskedStrategy = Field(
        "fixed",
        description="How networks are made to fit into memory. auto: the least that is needed, chosen and said before the "
        "start. fixed: as the recipe stands.",
    )

    @property
    def cluster(self) -> Cluster | None:
        """Where stages are done by one."""
        if isinstance(self.executor, Cluster):
            return self.executor
        return Cluster() if self.executor == "ray" else None

    def asked_strategy(self) -> Strategy:
        """What the recipe says itself; what auto finds is not in it."""
        if isinstance(self.strategy, AskedStrategy):
            return Strategy.model_validate(self.strategy.model_dump())
        return Strategy(adapt=True) if self.strategy == "auto" else PLAIN

    @field_validator("time", "latency")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value

    @field_validator("memory", "disk", "bundle")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None:
            size_bytes(value)
        return value
