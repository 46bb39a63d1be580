"""`budget.executor: ray`: which cluster does the stages, and how many cores each has there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


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
