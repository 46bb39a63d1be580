"""People who sign on: made known, changed and removed by the administrators of their tenant alone."""

from __future__ import annotations

import pytest
from service_worlds import World

from sixfold.service.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from sixfold.service.domain.people import Scope
from sixfold.service.domain.sign_on import AccountIdentity
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import people, users
from sixfold.service.use_cases.people import KeyRequest
from sixfold.service.use_cases.users import UserRequest

ALICE = AccountIdentity("https://idp.example", "alice", "Alice")
READ = frozenset({Scope.READ})


def test_a_person_is_made_known_once(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ))
    assert users.page(here.service, here.operator, PageQuery()).rows == (user,)
    for again in (
        ALICE,
        AccountIdentity("https://other.example", "x", "Alice"),
    ):  # the account, the name
        with pytest.raises(Conflict):
            users.add(here.service, here.operator, UserRequest(again, READ))
    here.tenant("small")
    with pytest.raises(Conflict):  # in no other tenant either
        users.add(here.service, here.operator, UserRequest(ALICE, READ, "small"))
    with pytest.raises(NotFound):
        users.add(here.service, here.operator, UserRequest(ALICE, READ, "nowhere"))


def test_no_tenant_takes_an_account_from_another(here: World) -> None:
    with pytest.raises(Forbidden):
        users.add(here.service, here.tenant("small"), UserRequest(ALICE, READ))


def test_nobody_gives_a_person_what_they_do_not_have(here: World) -> None:
    tenant = here.tenant("small")
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ, "small"))
    assert users.page(here.service, tenant, PageQuery()).rows == (user,)
    with pytest.raises(Forbidden):
        users.set_scopes(here.service, tenant, user.id, {Scope.OPERATE})
    assert users.set_scopes(here.service, tenant, user.id, {Scope.ADMIN}).scopes == {Scope.ADMIN}


def test_people_of_another_tenant_are_not_there(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ))
    tenant = here.tenant("small")
    assert users.page(here.service, tenant, PageQuery()).rows == ()
    with pytest.raises(NotFound):
        users.set_scopes(here.service, tenant, user.id, READ)
    with pytest.raises(NotFound):
        users.remove(here.service, tenant, user.id)


def test_only_administrators_see_people(here: World) -> None:
    request = KeyRequest("k", frozenset(Scope) - {Scope.ADMIN, Scope.OPERATE})
    _, key = people.create_key(here.service, here.operator, request)
    lesser = people.authenticate(here.service, key)
    for ask in (
        lambda: users.page(here.service, lesser, PageQuery()),
        lambda: users.add(here.service, lesser, UserRequest(ALICE, READ)),
        lambda: users.set_scopes(here.service, lesser, "x", READ),
        lambda: users.remove(here.service, lesser, "x"),
    ):
        with pytest.raises(Forbidden):
            ask()


def test_keys_end_with_their_person_and_no_others_do(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ))
    theirs = [
        people.create_key(here.service, here.operator, KeyRequest(f"k{at}", READ, None, user.id))[1]
        for at in range(users.AT_ONCE + 3)
    ]
    _, other = people.create_key(here.service, here.operator, KeyRequest("other", READ))
    users.remove(here.service, here.operator, user.id)
    for key in theirs:
        with pytest.raises(Unauthenticated):
            people.authenticate(here.service, key)
    people.authenticate(here.service, other)
    people.authenticate(here.service, here.key)
    assert users.page(here.service, here.operator, PageQuery()).rows == ()
