"""Commands of the pages that no test can execute as they stand (they name hosts of a company) are commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from sixfold.cli import group

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = ("sign-on.md", "logs-and-traces.md", "run-the-service.md")


def commands(page: str) -> list[list[str]]:
    """Their words: without what is set before them, and without where their output goes."""
    found = []
    for block in BLOCK.findall((HOW_TO / page).read_text()):
        for line in block.splitlines():
            words = shlex.split(line.partition(" 2> ")[0].partition("   ")[0])
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words[:1] == ["sixfold"]:
                found.append(words[1:])
    return found


def parsed(words: list[str]) -> dict[str, Any]:
    """As the command line reads them; the command itself is not called."""
    verb = group.get_command(click.Context(group), words[0])
    assert verb is not None, words
    return verb.make_context(words[0], words[1:]).params


@pytest.mark.parametrize("page", PAGES)
def test_the_command_line_knows_them(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_API_KEY", "sf_")  # what a worker needs
    found = commands(page)
    assert found
    for words in found:
        assert parsed(words)


def test_what_they_ask_for() -> None:
    up, worker, serve, traced = commands("logs-and-traces.md")
    assert [one[0] for one in (up, worker, serve, traced)] == ["up", "worker", "serve", "up"]
    assert parsed(up)["log"] == parsed(serve)["log"] == "json"
    sign_on, *people = commands("sign-on.md")
    assert parsed(sign_on)["oidc_scopes"] == ("read", "jobs")
    assert {words[0] for words in people} == {"users"}
