"""`sixfold users`, over HTTP: the commands of docs/how-to/sign-on.md do what the page says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from service_worlds import World

from sixfold.cli import group
from sixfold.service.domain.errors import Conflict, Forbidden
from sixfold.service.domain.people import ROLES
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import people, users
from sixfold.service.use_cases.people import KeyRequest

sys.path.insert(0, str(Path(__file__).parents[2] / "cli"))
from test_documented_service_commands import commands

ALICE = ("--issuer", "https://idp.example", "--subject", "7f0c")


def asked(*words: str) -> Result:
    return CliRunner().invoke(group, list(words))


def shown(*words: str) -> str:
    done = asked(*words)
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.output


def test_the_commands_of_the_page(here: World) -> None:
    _, *given = commands("sign-on.md")
    user, states = "", list[str]()
    for words in given:
        output = shown(*(user if word == "USER" else word for word in words))
        user = user or output.split()[0]
        found = users.page(here.service, here.operator, PageQuery()).rows
        may = "nobody" if not found else ",".join(sorted(found[0].scopes))
        states.append(f"{words[1] if words[1:] else 'list'}: {output.split()[1]}, {may}")
    developer = ",".join(sorted(ROLES["developer"]))
    assert states == [
        f"add: good, {developer}",
        f"list: good, {developer}",
        "change: good, admin",
        "change: good, predict,read",
        "disable: disabled, predict,read",
        "enable: good, predict,read",
        "remove: removed, nobody",
    ]


def test_as_json(here: World) -> None:
    made = json.loads(shown("users", "add", "Alice", *ALICE, "--role", "viewer", "--json"))
    assert made["role"] == "viewer" and made["account"] == "https://idp.example 7f0c"
    assert json.loads(shown("users", "--json")) == [made]
    disabled = json.loads(shown("users", "disable", made["id"], "--json"))
    assert disabled["disabled_at"] == here.clock.at
    assert json.loads(shown("users", "remove", made["id"], "--json")) == disabled
    assert json.loads(shown("users", "--json")) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", "Alice", *ALICE], "--role"),
        (["add", "Alice", *ALICE, "--role", "viewer", "--scope", "read"], "--role"),
        (["add", "Alice", "--role", "viewer"], "--issuer"),
        (["change", "user-1"], "--role"),
        (["disable"], "sixfold users disable USER"),
        (["add", "Alice", *ALICE, "--role", "king"], "viewer"),
    ],
)
def test_what_is_left_out_is_said(words: list[str], told: str) -> None:
    done = asked("users", *words)
    assert done.exit_code == 2 and told in done.output


def test_what_the_service_refuses_is_told(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add = ("users", "add", "Alice", *ALICE, "--role", "viewer")
    shown(*add)
    assert isinstance(asked(*add).exception, Conflict)
    request = KeyRequest("lesser", ROLES["developer"])
    _, key = people.create_key(here.service, here.operator, request)
    monkeypatch.setenv("SIXFOLD_API_KEY", key)
    assert isinstance(asked("users").exception, Forbidden)
