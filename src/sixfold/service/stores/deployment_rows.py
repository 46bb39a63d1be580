"""Deployments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sixfold.service.domain.deployments import Deployment
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, TenantRowsOf

DEPLOYMENTS: Final = RowMapper(Deployment, tables.deployments)


@dataclass(frozen=True)
class DeploymentTable:
    """What is to answer, and where."""

    rows: TenantRowsOf[Deployment]

    def add(self, deployment: Deployment) -> None:
        """Raises Conflict."""
        self.rows.add(deployment)

    def get(self, tenant_id: str, deployment_id: str) -> Deployment | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=deployment_id))

    def named(self, tenant_id: str, name: str) -> Deployment | None:
        """By its name."""
        return self.rows.one(*self.rows.of(tenant_id, name=name))

    def save(self, deployment: Deployment) -> Deployment:
        """Raises Conflict, NotFound."""
        saved = replace(deployment, generation=deployment.generation + 1)
        self.rows.replace(saved, generation=deployment.generation)
        return saved

    def remove(self, tenant_id: str, deployment_id: str) -> bool:
        """Whether it was there."""
        return self.rows.delete(tenant_id, id=deployment_id)

    def page(self, tenant_id: str, query: PageQuery) -> Page[Deployment]:
        """By id."""
        return self.rows.page_of(tenant_id, query)

    def all(self) -> tuple[Deployment, ...]:
        """Of all tenants, by id."""
        return self.rows.many(order=[tables.deployments.c.id.asc()])
