"""Keys and tenants: who comes in, and what they may do."""

from __future__ import annotations

import pytest
from service_worlds import World

from sixfold.service.domain.errors import Forbidden, NotFound, Unauthenticated
from sixfold.service.domain.keys import new_key
from sixfold.service.domain.people import Quota, Scope
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import people
from sixfold.service.use_cases.people import KeyRequest

NOBODYS = "sf_" + "0" * 49
READ = frozenset({Scope.READ})


def test_the_first_start_makes_one_key(here: World) -> None:
    assert people.first_start(here.service) is None
    assert here.operator.allows(Scope.OPERATE) and here.operator.allows(Scope.JOBS)


@pytest.mark.parametrize("key", ["", "sf_", "x", NOBODYS, "sf_" + "é" * 49, "sf_\ud800"])
def test_a_key_that_nobody_made_opens_nothing(here: World, key: str) -> None:
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, key)


def test_a_well_formed_key_that_nobody_made_opens_nothing(here: World) -> None:
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, new_key())


def test_a_key_is_never_stored(here: World) -> None:
    row, key = people.create_key(here.service, here.operator, KeyRequest("ci", READ))
    assert key not in repr(row)
    assert people.authenticate(here.service, key).scopes == READ
    listed = people.keys(here.service, here.operator, PageQuery()).rows
    assert row.id in {one.id for one in listed} and key not in repr(listed)


def test_expiry_and_revocation_hold_at_once(here: World) -> None:
    _, short = people.create_key(here.service, here.operator, KeyRequest("a", READ, 60.0))
    row, gone = people.create_key(here.service, here.operator, KeyRequest("b", READ))
    people.revoke_key(here.service, here.operator, row.id)
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, gone)
    people.authenticate(here.service, short)
    here.clock.at += 60
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, short)


def test_rotation_overlaps(here: World) -> None:
    row, old = people.create_key(here.service, here.operator, KeyRequest("a", READ))
    _, new = people.rotate_key(here.service, here.operator, row.id, overlap_s=100.0)
    people.authenticate(here.service, old)
    here.clock.at += 101
    people.authenticate(here.service, new)
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, old)


def test_nobody_gives_what_they_do_not_have(here: World) -> None:
    tenant = here.tenant("small")
    for scope in (Scope.OPERATE, Scope.WORK):
        with pytest.raises(Forbidden):
            people.create_key(here.service, tenant, KeyRequest("x", frozenset({scope})))
    with pytest.raises(Forbidden):
        people.create_tenant(here.service, tenant, "y", Quota())


def test_keys_of_another_tenant_are_not_there(here: World) -> None:
    tenant = here.tenant("small")
    row, _ = people.create_key(here.service, here.operator, KeyRequest("a", READ))
    for ask in (people.revoke_key, people.rotate_key):
        with pytest.raises(NotFound):
            ask(here.service, tenant, row.id)
