"""Deployments: what they remember, and the ways back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from service_worlds import World

from sixfold.service.domain.deployments import Canary, Deployment, DriftLimits, Scaling
from sixfold.service.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from sixfold.service.domain.people import Scope
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import deployments, people, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.people import KeyRequest

VERBS: tuple[Callable[..., Deployment], ...] = (
    deployments.roll_back,
    deployments.promote_canary,
    deployments.end_canary,
)


def versions(made: World, count: int) -> list[str]:
    """Ids of so many versions of the model `iris`."""
    for _ in range(count):
        made.finish(made.running())
    found = registry.model(made.service, made.operator, "iris", VersionQuery(100)).versions
    assert not found.more
    return [one.id for one in reversed(found.rows)]


def deploy(made: World, number: int, canary: int | None = None, **facts: object) -> Deployment:
    rules = None if canary is None else (VersionName("iris", str(canary)), Canary("", 0.1))
    asked = DeploymentRequest(VersionName("iris", str(number)), canary=rules, **facts)  # type: ignore[arg-type]
    with made.service.database.transaction() as rows:
        return deployments.deploy(made.service, rows, made.operator, "d", asked)


def test_a_roll_back_goes_to_the_version_before_and_again_before_that(here: World) -> None:
    first, second, third = versions(here, 3)
    for number in (1, 2, 2, 3):
        known = deploy(here, number)
    assert known.before == (second, first)
    assert deployments.roll_back(here.service, here.operator, "d").version_id == second
    back = deployments.roll_back(here.service, here.operator, "d")
    assert (back.version_id, back.before) == (first, ())
    with pytest.raises(Conflict, match="an earlier version that is active"):
        deployments.roll_back(here.service, here.operator, "d")
    assert deploy(here, 3).before == (first,) and third


def test_a_roll_back_passes_over_retired_versions_and_ends_a_canary(here: World) -> None:
    first, _, _ = versions(here, 3)
    for number in (1, 2, 3):
        deploy(here, number)
    registry.retire(here.service, here.operator, "iris", "2")
    deploy(here, 3, canary=1)
    back = deployments.roll_back(here.service, here.operator, "d")
    assert (back.version_id, back.canary) == (first, None)


def test_a_canary_is_promoted_or_ended(here: World) -> None:
    first, second = versions(here, 2)
    deploy(here, 1, canary=2)
    ended = deployments.end_canary(here.service, here.operator, "d")
    assert (ended.version_id, ended.canary, ended.before) == (first, None, ())
    for verb in (deployments.end_canary, deployments.promote_canary):
        with pytest.raises(Conflict, match="a canary"):
            verb(here.service, here.operator, "d")
    deploy(here, 1, canary=2)
    promoted = deployments.promote_canary(here.service, here.operator, "d")
    assert (promoted.version_id, promoted.canary, promoted.before) == (second, None, (first,))
    assert deployments.roll_back(here.service, here.operator, "d").version_id == first


def test_limits_of_drift_stay_when_versions_change(here: World) -> None:
    versions(here, 2)
    assert deploy(here, 1).drift == DriftLimits()
    limits = DriftLimits(0.1, 0.2, 0.3, 50)
    deployments.set_drift(here.service, here.operator, "d", limits)
    assert deploy(here, 2).drift == limits
    assert deployments.roll_back(here.service, here.operator, "d").drift == limits
    assert deploy(here, 2, drift=DriftLimits(0.4)).drift == DriftLimits(0.4)
    assert deployments.get(here.service, here.operator, "d").drift == DriftLimits(0.4)


@pytest.mark.parametrize("verb", VERBS)
def test_ways_back_are_for_who_may_deploy_and_of_ones_own(
    here: World, verb: Callable[..., Deployment]
) -> None:
    versions(here, 1)
    deploy(here, 1)
    with pytest.raises(NotFound):
        verb(here.service, here.tenant("other"), "d")
    _, key = people.create_key(
        here.service, here.operator, KeyRequest("r", frozenset({Scope.READ}))
    )
    with pytest.raises(Forbidden):
        verb(here.service, people.authenticate(here.service, key), "d")


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        ({"scaling": Scaling(least=-1)}, "scaling.least"),
        ({"scaling": Scaling(least=10**300, most=10**300)}, "scaling.least"),
        ({"scaling": Scaling(most=65)}, "scaling.most"),
        ({"scaling": Scaling(most=0, least=0, sleep_after_s=5.0)}, "scaling.most"),
        ({"scaling": Scaling(least=3, most=2)}, "scaling"),
        ({"scaling": Scaling(least=0)}, "scaling.sleep_after_s"),
        ({"scaling": Scaling(least=0, sleep_after_s=-5.0)}, "scaling.sleep_after_s"),
        ({"scaling": Scaling(target_queue=0)}, "scaling.target_queue"),
        ({"scaling": Scaling(most_together=0)}, "scaling.most_together"),
        ({"canary": (VersionName("iris"), Canary("", 50.0))}, "canary.share"),
        ({"canary": (VersionName("iris"), Canary("", 0.5, most_slower=0.0))}, "canary.most_slower"),
        ({"log_share": 100.0}, "log_share"),
    ],
)
def test_numbers_that_cannot_be_are_refused_whoever_asks(
    here: World, facts: dict[str, object], where: str
) -> None:
    """The console's form has no schema of its own."""
    versions(here, 1)
    asked = DeploymentRequest(VersionName("iris"), **facts)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest) as caught, here.service.database.transaction() as rows:
        deployments.deploy(here.service, rows, here.operator, "d", asked)
    assert caught.value.where == where
