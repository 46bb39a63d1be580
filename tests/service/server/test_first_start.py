"""The first start: a key before anybody else can come."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sixfold.cli.up import command
from sixfold.core.errors import SystemFault
from sixfold.service import server
from sixfold.service.domain.keys import well_formed
from sixfold.service.domain.people import Scope
from sixfold.service.server import Up
from sixfold.service.stores.sql_database import open_database


def keys(home: Path) -> bool:
    database = open_database(f"sqlite:///{home.resolve() / 'sixfold.db'}")
    try:
        with database.reading() as rows:
            return rows.keys.any_of(Scope.ADMIN, 0.0)
    finally:
        database.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "sixfold.example"])
def test_a_public_host_without_a_key_is_refused_and_gets_none(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_serve", lambda *_: pytest.fail("it listened"))
    with pytest.raises(SystemFault, match="sixfold up --first-key"):
        server.up(Up(tmp_path / "home", host, 0))
    assert not keys(tmp_path / "home")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_on_loopback_the_first_start_makes_it(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []
    monkeypatch.setattr(server, "_serve", lambda asked, service, first: found.append(first))
    for _ in range(2):
        server.up(Up(tmp_path / "home", host, 0))
    assert found[0] is not None and well_formed(found[0]) and found[1] is None


def test_the_first_key_alone_and_then_any_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--home", str(tmp_path / "home"), "--first-key"]
    first, again = (CliRunner().invoke(command, arguments) for _ in range(2))
    assert well_formed(first.stdout.strip())
    assert again.stdout == "" and "There is a key already." in again.stderr
    served: list[str | None] = []
    monkeypatch.setattr(server, "_serve", lambda asked, service, key: served.append(key))
    server.up(Up(tmp_path / "home", "0.0.0.0", 0))
    assert served == [None]
