"""A server that begins: what the one before it told of its replicas is not true any more."""

from __future__ import annotations

from pathlib import Path

import pytest
from service_worlds import world
from starlette.testclient import TestClient

from sixfold.service.api.app import create
from sixfold.service.domain.deployments import DeploymentState
from sixfold.service.use_cases import deployments, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.registry import NewVersion


@pytest.mark.parametrize("state", list(DeploymentState))
def test_nothing_is_ready_before_it_answers(state: DeploymentState, tmp_path: Path) -> None:
    """Its bundle is nowhere, so that no replica ever comes up."""
    with world(tmp_path) as here:
        who = here.operator
        with here.service.database.transaction() as rows:
            registry.publish(here.service, rows, who.tenant_id, "m", NewVersion("0" * 64, 1))
            asked = DeploymentRequest(VersionName("m"))
            made = deployments.deploy(here.service, rows, who, "m", asked)
        deployments.became(here.service, made, state, "as it was")
        app = create(here.service, tmp_path)
        headers = {"Authorization": f"Bearer {here.key}"}
        with TestClient(app, base_url="http://127.0.0.1", headers=headers) as http:
            answer = http.get("/api/v1/deployments/m").json()
        assert answer["state"] != "ready"
