"""The whole sign-on in a real browser: from our page to the provider's and back, by the command that the docs name."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import browser
from identity_worlds import START_S, ProviderProcess
from playwright.sync_api import Page, expect
from service_worlds import world

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here
DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "sign-on.md"


def documented() -> list[str]:
    """The arguments of the command that starts the server."""
    (line,) = re.findall(r"^sixfold (up .*)$", DOCS.read_text(), re.MULTILINE)
    return shlex.split(line)


@contextmanager
def up(folder: Path, issuer: str) -> Iterator[str]:
    """With the documented command, at this provider: the address."""
    (folder / "home").mkdir()
    with world(folder / "home"):
        pass  # with a first key
    arguments = documented()
    arguments[arguments.index("--oidc-issuer") + 1] = issuer
    at = arguments.index("--oidc-redirect-uri")
    del arguments[at : at + 2]  # no proxy stands here
    (folder / arguments[arguments.index("--oidc-secret-file") + 1]).write_text("a secret\n")
    arguments += ["--home", "home", "--port", "0", "--workers", "0", "--log", "json"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sixfold", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=dict(os.environ),
        )
        assert process.stdout is not None
        guard = threading.Timer(START_S, process.kill)
        guard.start()
        found = re.search(r"http://127.0.0.1(:\d+)", process.stdout.readline())
        guard.cancel()
        try:
            assert found is not None, (folder / "log").read_text()
            yield f"http://localhost{found[1]}"  # another site than the provider's: strict cookies count
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


@pytest.fixture
def page(tmp_path: Path, provider: ProviderProcess) -> Iterator[Page]:
    """Of a person without a session. Nothing may be wrong with a page of ours."""
    with up(tmp_path, provider.url) as address, browser() as chromium:
        context = chromium.new_context(base_url=address, locale="en")
        page, faults = context.new_page(), list[str]()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text)
                if message.type == "error" and page.url.startswith(address)
                else None
            ),
        )
        yield page
        context.close()
        assert [one for one in faults if "status of 4" not in one] == []
    assert "a secret" not in (tmp_path / "log").read_text()


def test_a_person_signs_on_and_out(page: Page, provider: ProviderProcess) -> None:
    provider.know("alice", email="alice@example.com")
    page.goto("/console")
    page.get_by_role("link", name="Sign on with your company's account").click()
    page.wait_for_url(f"{provider.url}/**")
    page.locator("input[name=sub]").fill("alice")
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url("**/console")
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="System")).to_have_count(0)  # may read, and send jobs
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    page.get_by_role("link", name="Sign out there, too").click()
    page.wait_for_url(f"{provider.url}/**")
    page.goto("/console")
    page.wait_for_url("**/login")


def test_a_person_who_says_no_is_told(page: Page, provider: ProviderProcess) -> None:
    page.goto("/login/oidc")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("You are not signed in.")
    assert Axe().run(page).violations_count == 0
    page.get_by_role("link", name="To the sign-in page").click()
    assert Axe().run(page).violations_count == 0
    expect(page.get_by_label("Key")).to_be_visible()
