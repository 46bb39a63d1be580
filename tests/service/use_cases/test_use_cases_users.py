"""People who sign on: made known, changed and removed by the administrators of their tenant alone."""

from __future__ import annotations

import pytest
from service_worlds import World

from sixfold.service.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from sixfold.service.domain.people import ROLES, Principal, Scope, allowed, role_of
from sixfold.service.domain.sign_on import AccountIdentity
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import people, sessions, users
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


def test_nobody_changes_who_may_do_more_nor_themselves(here: World) -> None:
    chief = users.add(here.service, here.operator, UserRequest(ALICE, ROLES["operator"]))
    bob = AccountIdentity("https://idp.example", "bob", "Bob")
    other = users.add(here.service, here.operator, UserRequest(bob, ROLES["administrator"]))
    who = Principal(other.tenant_id, "key-1", other.scopes, other.id)
    changes = (
        lambda user_id: users.set_scopes(here.service, who, user_id, READ),
        lambda user_id: users.disable(here.service, who, user_id),
        lambda user_id: users.remove(here.service, who, user_id),
    )
    for change in changes:
        with pytest.raises(Forbidden):
            change(chief.id)
        with pytest.raises(Conflict, match="another person than yourself"):
            change(other.id)
    assert set(users.page(here.service, here.operator, PageQuery()).rows) == {chief, other}


def test_who_is_disabled_comes_in_no_more_until_they_are_enabled(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ))
    _, key = people.create_key(here.service, here.operator, KeyRequest("k", READ, None, user.id))
    by_key = sessions.sign_in(here.service, key)
    with here.service.database.transaction() as rows:
        by_sign_on = sessions.of_user(here.service, rows, user)
    doors = (
        lambda: people.authenticate(here.service, key),
        lambda: sessions.of_token(here.service, by_key),
        lambda: sessions.of_token(here.service, by_sign_on),
    )
    assert {door().user_id for door in doors} == {user.id}
    users.disable(here.service, here.operator, user.id)
    for door in doors:
        with pytest.raises(Unauthenticated):
            door()
    users.enable(here.service, here.operator, user.id)
    assert {door().scopes for door in doors} == {READ}


def test_a_key_opens_no_more_than_its_person_may_do_by_now(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, ROLES["administrator"]))
    for scopes in (READ, ROLES["developer"], ROLES["administrator"]):
        request = KeyRequest("k", scopes, None, user.id)
        _, key = people.create_key(here.service, here.operator, request)
        token = sessions.sign_in(here.service, key)
        for may in (READ, frozenset({Scope.READ, Scope.KEYS}), ROLES["administrator"]):
            users.set_scopes(here.service, here.operator, user.id, may)
            expected = allowed(scopes) & allowed(may)
            assert people.authenticate(here.service, key).scopes == expected
            assert sessions.of_token(here.service, token).scopes == expected


def test_it_is_known_when_a_person_was_last_here(here: World) -> None:
    user = users.add(here.service, here.operator, UserRequest(ALICE, READ))
    _, key = people.create_key(here.service, here.operator, KeyRequest("k", READ, None, user.id))
    with here.service.database.transaction() as rows:
        token = sessions.of_user(here.service, rows, user)
    assert user.used_at is None
    for door in (
        lambda: people.authenticate(here.service, key),
        lambda: sessions.of_token(here.service, token),
    ):
        here.clock.at += people.USED_EVERY_S + 1
        door()
        (found,) = users.page(here.service, here.operator, PageQuery()).rows
        assert found.used_at == here.clock.at


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_known_by_what_it_allows(name: str) -> None:
    assert role_of(ROLES[name]) == role_of(allowed(ROLES[name])) == name
    assert role_of(ROLES[name] ^ {Scope.WORK}) is None


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
