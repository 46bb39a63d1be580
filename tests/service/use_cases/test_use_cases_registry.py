"""Models, their versions, and the names that point at them."""

from __future__ import annotations

import pytest
from service_worlds import World

from sixfold.service.domain.errors import Conflict, InvalidRequest, NotFound
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion


def published(here: World, count: int) -> None:
    for at in range(count):
        with here.service.database.transaction() as rows:
            registry.publish(
                here.service, rows, here.operator.tenant_id, "m", NewVersion(f"{at:064x}", 1)
            )


def number(here: World, which: str) -> int:
    return registry.version(here.service, here.operator, "m", which).number


def test_promote_and_roll_back(here: World) -> None:
    published(here, 3)
    for which in ("1", "2", "latest"):
        registry.promote(here.service, here.operator, "m", "production", which)
    assert number(here, "production") == 3
    registry.retire(here.service, here.operator, "m", "2")
    registry.roll_back(here.service, here.operator, "m", "production")
    assert number(here, "production") == 1, "over the one that is retired"
    with pytest.raises(Conflict):
        registry.roll_back(here.service, here.operator, "m", "production")


def test_what_is_pointed_at_stays(here: World) -> None:
    published(here, 2)
    registry.promote(here.service, here.operator, "m", "production", "1")
    for change in (registry.retire, registry.delete_version):
        with pytest.raises(Conflict, match="the alias production"):
            change(here.service, here.operator, "m", "1")
    registry.delete_version(here.service, here.operator, "m", "2")
    assert number(here, "latest") == 1


def test_a_number_is_never_given_twice_while_its_version_is_there(here: World) -> None:
    published(here, 2)
    registry.delete_version(here.service, here.operator, "m", "1")
    published(here, 1)
    assert number(here, "latest") == 3


@pytest.mark.parametrize("which", ["0", "99", "nobody", "", "1 "])
def test_a_version_that_is_not_there(here: World, which: str) -> None:
    published(here, 1)
    with pytest.raises(NotFound):
        registry.version(here.service, here.operator, "m", which)


def test_a_retired_version_is_not_promoted(here: World) -> None:
    published(here, 1)
    registry.retire(here.service, here.operator, "m", "1")
    with pytest.raises(Conflict, match="a retired one"):
        registry.promote(here.service, here.operator, "m", "production", "1")
    with pytest.raises(InvalidRequest):
        registry.promote(here.service, here.operator, "m", "Not a name", "1")


def test_models_of_another_tenant_are_not_there(here: World) -> None:
    published(here, 1)
    other = here.tenant("other")
    with pytest.raises(NotFound):
        registry.model(here.service, other, "m", VersionQuery())
