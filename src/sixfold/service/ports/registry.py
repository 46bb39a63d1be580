"""Models and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sixfold.service.domain.registry import Alias, ModelVersion, RegisteredModel, VersionState
from sixfold.service.ports.pages import Page, PageQuery


class ModelRows(Protocol):
    """Of one tenant; and the names that point at versions."""

    def add(self, model: RegisteredModel) -> None:
        """Raises Conflict where the name is taken in the tenant."""

    def named(self, tenant_id: str, name: str) -> RegisteredModel | None: ...
    def get(self, tenant_id: str, model_id: str) -> RegisteredModel | None: ...
    def page(self, tenant_id: str, query: PageQuery) -> Page[RegisteredModel]: ...
    def remove(self, tenant_id: str, model_id: str) -> bool:
        """With its versions and aliases."""

    def point(self, alias: Alias) -> None:
        """Adds it, or points it anew."""

    def aliases(self, tenant_id: str, model_id: str) -> tuple[Alias, ...]: ...


@dataclass(frozen=True)
class VersionQuery:
    """At most `limit` versions of a model: below the number `before`, in a state; None: any."""

    limit: int = 1
    before: int | None = None
    state: VersionState | None = None


class VersionRows(Protocol):
    """Of one tenant."""

    def add(self, version: ModelVersion) -> None:
        """Raises Conflict where the number is taken in the model, or `served_as` in the tenant."""

    def get(self, tenant_id: str, version_id: str) -> ModelVersion | None: ...
    def served(self, tenant_id: str, name: str) -> ModelVersion | None:
        """By `served_as`."""

    def tuned(self, tenant_id: str) -> tuple[ModelVersion, ...]:
        """All active ones that have a `served_as`."""

    def numbered(self, tenant_id: str, model_id: str, number: int) -> ModelVersion | None: ...
    def of_model(self, tenant_id: str, model_id: str, query: VersionQuery) -> Page[ModelVersion]:
        """Newest first."""

    def save(self, version: ModelVersion) -> None: ...
    def remove(self, tenant_id: str, version_id: str) -> bool: ...
