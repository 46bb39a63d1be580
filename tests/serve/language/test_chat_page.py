"""The chat page in a real browser, against a real server."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import language_bundles

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import browser
from server_process import Server

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Server(language_bundles.bundle(tmp_path_factory.mktemp("page") / "bundle"))
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Nothing may be wrong with it: a script's error, or something that its own policy forbids."""
    with browser() as chromium:
        opened, faults = chromium.new_page(), list[str]()
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on(
            "console",
            lambda message: faults.append(message.text) if message.type == "error" else None,
        )
        yield opened
        assert [fault for fault in faults if "status of 400" not in fault] == []


def test_a_chat_goes_on(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("tokens").fill("8")
    page.get_by_label("seed").fill("1")
    for count in (1, 2):
        page.get_by_label("Message").fill("Hi")
        page.keyboard.press("Enter")
        expect(page.locator(".turn.user")).to_have_count(count)
        expect(page.locator(".turn.assistant")).to_have_count(count)
        expect(page.locator(".turn.waiting")).to_have_count(0)
    first, second = page.locator(".turn.assistant").all_inner_texts()
    assert first.strip() and second.strip()
    expect(page.locator("#speed")).to_contain_text("tokens in")
    assert "curl" in page.locator("#command").inner_text()
    page.get_by_role("button", name="Start anew").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_tokens_that_an_answer_depends_on_are_shown(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#tokens").fill("4")
    page.get_by_label("temperature").fill("0")
    page.get_by_label("Show what the answer depends on").check()
    page.get_by_label("Message").fill("Is the sea salty?")
    page.get_by_role("button", name="Send").click()
    why = page.locator(".turn.why")
    expect(why.locator(".words")).to_have_text("Is the sea salty?")
    expect(why.locator(".added em").first).to_have_text(re.compile(r"^[+-]\d"))
    expect(why).to_contain_text("its log-probability is -")


def test_what_is_refused_is_shown(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("temperature").fill("9")
    page.locator("#tokens").fill("8")
    page.get_by_label("Message").fill("Hi")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn.bad")).to_contain_text("temperature: expected a number from 0 to 2")


def test_the_docs(page: Page, address: str) -> None:
    page.goto(f"{address}/docs")
    expect(page.locator("#command")).to_contain_text(f"{address}/v1/chat/completions")
