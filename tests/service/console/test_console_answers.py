"""What the console shows of an answer: its script in a real browser, beside a server that gives this answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import browser
from playwright.sync_api import Route

from sixfold.service import console

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here
SCRIPT = Path(console.__file__).parent / "static" / "console.js"
FORM = """<body data-form-token="t"><form id="try" data-predict="/p" data-took="in" data-so-far="so far">
<input data-column="user" value="u1"><button>Go</button></form><div id="answer"></div><script>"""


def test_items_of_a_recommender_are_a_list_in_their_order() -> None:
    answer = {"predictions": [{"items": json.dumps(["<b>tea</b>", "cake"])}]}

    def reply(route: Route) -> None:
        if route.request.url.endswith("/p"):
            route.fulfill(content_type="application/json", body=json.dumps(answer))
        else:
            page = f"{FORM}{SCRIPT.read_text()}</script></body>"
            route.fulfill(content_type="text/html", body=page)

    with browser() as chromium:
        page = chromium.new_page()
        page.route("**/*", reply)
        page.goto("http://console.test/")
        page.get_by_role("button", name="Go").click()
        page.wait_for_selector("#answer small")
        assert page.locator("#answer li").all_inner_texts() == ["<b>tea</b>", "cake"]
