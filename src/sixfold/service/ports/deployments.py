"""Deployments."""

from __future__ import annotations

from typing import Protocol

from sixfold.service.domain.deployments import Deployment
from sixfold.service.ports.pages import Page, PageQuery


class DeploymentRows(Protocol):
    """Of one tenant, but for the gateway, which keeps all of them up."""

    def add(self, deployment: Deployment) -> None:
        """Raises Conflict where the name is taken in the tenant."""

    def get(self, tenant_id: str, deployment_id: str) -> Deployment | None: ...
    def named(self, tenant_id: str, name: str) -> Deployment | None: ...
    def save(self, deployment: Deployment) -> Deployment:
        """As the next generation. Raises Conflict where the stored generation is not `deployment.generation`."""

    def remove(self, tenant_id: str, deployment_id: str) -> bool: ...
    def page(self, tenant_id: str, query: PageQuery) -> Page[Deployment]: ...
    def all(self) -> tuple[Deployment, ...]: ...
