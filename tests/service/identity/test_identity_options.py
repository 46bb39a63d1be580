"""Options of `sixfold up` for a sign-on: what they make, and what is refused before anything is opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sixfold.cli import group
from sixfold.core.errors import SixfoldError
from sixfold.service import server
from sixfold.service.domain.people import Scope
from sixfold.service.domain.sign_on import SignOnRules
from sixfold.service.identity.oidc import OidcProvider
from sixfold.service.server import Up

ISSUER = ("--oidc-issuer", "https://idp.example/realms/staff")
CLIENT = ("--oidc-client-id", "sixfold")
SECRET = "a-secret-of-the-client"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Up]:
    found: list[Up] = []
    monkeypatch.setattr(server, "up", found.append)
    monkeypatch.delenv("SIXFOLD_OIDC_SECRET", raising=False)
    return found


def up(*options: str) -> Result:
    return CliRunner().invoke(group, ["up", *options])


def test_without_an_issuer_there_are_keys_alone(started: list[Up]) -> None:
    assert up().exit_code == 0 and started[0].sign_on is None


def test_everything_that_is_asked_for(
    started: list[Up], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    back = "https://sixfold.example/login/oidc/callback"
    more = ("--oidc-tenant-claim", "department", "--oidc-scope", "read", "--oidc-scope", "jobs")
    assert up(*ISSUER, *CLIENT).exit_code == 0
    assert (
        up(
            *ISSUER, *CLIENT, *more, "--oidc-redirect-uri", back, "--oidc-secret-file", str(file)
        ).exit_code
        == 0
    )
    monkeypatch.setenv("SIXFOLD_OIDC_SECRET", SECRET)
    assert up(*ISSUER, *CLIENT).exit_code == 0
    plain, full, of_environment = (one.sign_on for one in started)
    assert plain is not None and full is not None and of_environment is not None
    assert (plain.provider, plain.rules, plain.back) == (
        OidcProvider(ISSUER[1], "sixfold"),
        SignOnRules(),
        None,
    )
    assert full.provider == OidcProvider(ISSUER[1], "sixfold", SECRET)
    assert full.rules == SignOnRules("department", frozenset({Scope.READ, Scope.JOBS}))
    assert full.back == back
    assert of_environment.provider == full.provider
    assert SECRET not in repr(started)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (CLIENT, "are for --oidc-issuer"),
        (("--oidc-scope", "read"), "are for --oidc-issuer"),
        (ISSUER, "needs --oidc-client-id"),
        ((*ISSUER, *CLIENT, "--oidc-scope", "raed"), "Did you mean 'read'"),
        (("--oidc-issuer", "http://idp.example", *CLIENT), "https://…, or http on loopback"),
        ((*ISSUER, *CLIENT, "--oidc-secret-file", "nowhere"), "nowhere"),
        ((*ISSUER, *CLIENT, "--oidc-secret-file", "empty"), "the client's secret"),
        ((*ISSUER, *CLIENT, "--oidc-secret-file", "binary"), "the client's secret"),
    ],
)
def test_what_cannot_be_is_refused(
    started: list[Up], options: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = up(*options)
    told = done.output + str(done.exception)
    assert words in told and not started
    assert isinstance(done.exception, SixfoldError | SystemExit)


def test_the_extra_is_named_where_it_is_missing(
    started: list[Up], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "authlib.oidc.core", None)
    for name in [one for one in sys.modules if one.startswith("sixfold.service.identity")]:
        monkeypatch.delitem(sys.modules, name)
    done = up(*ISSUER, *CLIENT)
    assert isinstance(done.exception, ModuleNotFoundError) and done.exception.name.startswith(
        "authlib"
    )
