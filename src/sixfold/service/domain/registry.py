"""Models, their versions, and the names that point at versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class VersionState(StrEnum):
    """A retired version answers nobody and is kept until it is deleted."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True)
class RegisteredModel:
    """`name` is unique in its tenant. `task` and `runtime`: of its newest version."""

    id: str
    tenant_id: str
    name: str
    created_at: float
    description: str = ""


@dataclass(frozen=True)
class Lineage:
    """Where a version came from: digests of data and recipe, the job and its run, the base version that was fine-tuned."""

    job_id: str | None = None
    recipe: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None


@dataclass(frozen=True)
class ModelVersion:
    """`number` counts from 1 within the model. `tree`: digest of the bundle's Tree. `served_as`: the name under which `/v1`
    knows it (`ft:…`); None for others. `receipt` and `summary` (task, runtime, inputs, outputs, bytes) are the bundle's own.
    """

    id: str
    tenant_id: str
    model_id: str
    number: int
    tree: str
    bytes: int
    created_at: float
    summary: Mapping[str, Any] = field(default_factory=dict)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)
    state: VersionState = VersionState.ACTIVE
    served_as: str | None = None


@dataclass(frozen=True)
class Alias:
    """`production`, `candidate` …: points at a version. `before`: the version it pointed at before, for a roll back."""

    tenant_id: str
    model_id: str
    name: str
    version_id: str
    changed_at: float
    before: tuple[str, ...] = ()
