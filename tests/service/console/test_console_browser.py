"""The console in a real browser, over HTTP: any error on its console fails the test, and so does what axe-core finds."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bright_images
import pytest
import spoken_letters
import tiny_bundle
from axe_playwright_python.sync_playwright import Axe
from browser import browser
from console_plans import DATA, PLAN
from console_worlds import (
    Site,
    addresses,
    deployed,
    filled,
    opened_route,
    published_bundle,
    report_events,
    served,
    site,
    with_traffic,
)
from playwright.sync_api import Browser, Page, Route, expect

from sixfold.service.domain.deployments import Scaling
from sixfold.service.use_cases import deployments, jobs, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.worker import child

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here
PATIENCE_MS = 300_000  # a safety net, on a machine that is busy with other things
HEARD = re.compile("^a[a ]*$")  # a busy machine makes pauses
NARROW = {"width": 360, "height": 640}
DROP = """(form, content) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([content], "wine <i>.csv", {type: "text/csv"}));
  form.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


DROP_PICTURE = """(place, content) => {
  const dropped = new DataTransfer(), bytes = Uint8Array.from(atob(content), one => one.charCodeAt(0));
  dropped.items.add(new File([bytes], "dusk.png", {type: "image/png"}));
  place.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its microphone hears an "a" without an end."""
    heard = tmp_path_factory.mktemp("heard") / "a.wav"
    heard.write_bytes(spoken_letters.said(40 * "a"))
    expect.set_options(timeout=PATIENCE_MS)
    with browser(heard) as running:
        yield running
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """A filled one, and its address."""
    folder = tmp_path_factory.mktemp("console")
    with site(folder) as made:
        filled(made, folder / "trees")
        with served(made.app) as address:
            with_traffic(made, folder / "tiny")
            yield made, address


@contextmanager
def opened(chromium: Browser, console: tuple[Site, str], **look: Any) -> Iterator[Page]:
    """A page that is signed in. Nothing may be wrong with it: a script's error, or something that its own policy forbids."""
    made, address = console
    context = chromium.new_context(base_url=address, **look)
    context.set_default_timeout(PATIENCE_MS)
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    page.goto("/login")
    page.locator("#key").fill(made.world.key)
    page.locator("form.stack button").click()
    page.wait_for_url("**/console")
    yield page
    context.close()
    assert [
        each for each in faults if "status of 4" not in each
    ] == []  # the browser tells of a refusal


@pytest.fixture
def page(chromium: Browser, console: tuple[Site, str]) -> Iterator[Page]:
    with opened(chromium, console) as found:
        yield found


def settled(page: Page, path: str) -> None:
    """With what is read behind it."""
    page.goto(path)
    expect(page.locator(".htmx-request")).to_have_count(0)
    if page.locator("#drift").count():
        expect(page.locator("#drift table")).to_be_visible()
    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "zh")])
def test_axe_finds_nothing_on_any_page_and_each_fits_on_a_telephone(
    chromium: Browser, console: tuple[Site, str], scheme: str, language: str
) -> None:
    with opened(chromium, console, color_scheme=scheme, locale=language) as page:
        axe, wide = Axe(), page.viewport_size
        assert wide is not None
        for path in addresses(console[0]):
            page.set_viewport_size(wide)
            settled(page, path)
            found = axe.run(page)
            assert (path, found.generate_report() if found.violations_count else "") == (path, "")
            page.set_viewport_size(NARROW)
            assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, 360)


def test_a_job_is_watched_live(page: Page, console: tuple[Site, str]) -> None:
    made, job = console[0], console[0].jobs["running"]
    page.goto(f"/console/jobs/{job.id}")
    expect(page.get_by_role("img", name="Loss")).to_be_visible()
    expect(page.get_by_role("img", name="Scores of the folds: accuracy")).to_be_visible()
    expect(page.locator("#log")).to_contain_text("<b id=evil>flavor</b>")
    assert page.locator("#evil").count() == 0
    with made.world.service.database.transaction() as rows:
        jobs.tell(made.world.service, rows, job, "<b id=later>said while it runs</b>", "warn")
    expect(page.locator("#log > div").first).to_contain_text("<b id=later>said while it runs</b>")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_contain_text("to be paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state .badge")).to_have_text("running")


def test_a_new_job_from_a_dropped_file(page: Page, console: tuple[Site, str]) -> None:
    page.goto("/console/jobs/new")
    page.locator("#upload").evaluate(DROP, "alcohol,kind\n13.2,<b>red</b>\n12.1,white\n")
    expect(page.locator("#files table")).to_contain_text("<b>red</b>")
    expect(page.locator("#files th").first).to_have_text("alcohol number".replace(" ", ""))
    expect(page.locator("#files")).to_contain_text("2 rows")
    recipe = page.get_by_label("Recipe", exact=True)  # nobody has written anything: it is taken
    expect(recipe).to_have_value(
        "version: 1\nname: my-model\ndata:\n  source: wine <i>.csv\n  target: target\n"
    )
    page.get_by_label("Target", exact=True).select_option("kind")
    expect(page.get_by_label("data.target", exact=True)).to_have_value("kind")
    page.get_by_label("train.epochs", exact=True).fill("many")
    page.get_by_label("train.epochs", exact=True).press("Tab")
    expect(page.locator("#check")).to_contain_text("1 to mend")
    expect(page.get_by_role("button", name="line 7")).to_be_visible()
    page.get_by_role("button", name="line 7").click()
    assert page.evaluate("getSelection().toString()") == "  epochs: many"
    recipe.fill((recipe.input_value()).replace("many", "9"))
    expect(page.locator("#check")).to_contain_text("The recipe is good.")
    expect(page.get_by_label("train.epochs", exact=True)).to_have_value("9")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/console/jobs/job-*")
    expect(page.locator("h1")).to_have_text("my-model")
    expect(page.locator("pre")).to_contain_text("epochs: 9")


def test_the_keyboard_alone_is_enough(page: Page, console: tuple[Site, str]) -> None:
    """From the first page to a cancelled job: Tab, Enter, Space."""
    waiting = console[0].world.submit()
    page.goto("/console")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    press_until(page, "iris")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/jobs/{waiting.id}")
    press_until(page, "Cancel")
    page.keyboard.press("Space")
    expect(page.locator("#state .badge")).to_have_text("cancelled")


def press_until(page: Page, text: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"  # it is seen where one is
            return
    raise AssertionError(f"{text} is not reached by Tab")


def test_a_report_is_shown_in_a_frame_without_scripts(page: Page) -> None:
    page.goto("/console/models/iris/2")
    frame = page.locator("#report iframe")
    expect(frame).to_have_attribute("sandbox", "")
    expect(page.frame_locator("#report iframe").get_by_role("heading")).to_have_text("The report")


def test_the_language_is_switched_and_kept(page: Page) -> None:
    page.goto("/console/jobs")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("任务")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Jobs")


def test_a_deployed_model_answers_a_form(
    page: Page, console: tuple[Site, str], tmp_path: Path
) -> None:
    """A real bundle behind a real replica."""
    published_bundle(console[0].world, tiny_bundle.make(tmp_path / "shapes"), "shapes")
    page.goto("/console/models/shapes/1")
    page.get_by_role("link", name="Deploy", exact=True).click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("shapes")
    expect(page.get_by_label("Version", exact=True)).to_have_value("1")
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/console/deployments/shapes")
    expect(page.locator("#state .badge")).to_have_text("ready")
    page.get_by_label("label").fill("9")
    for column in ("size", "colour"):
        page.get_by_label(column).fill("")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .answer")).to_have_text("<toss>")
    expect(page.locator("#state")).to_contain_text("ms")
    assert Axe().run(page).violations_count == 0
    page.get_by_text("End", exact=True).click()
    page.get_by_role("button", name="Delete the deployment").click()
    page.wait_for_url("**/console/deployments")


def test_curves_of_a_job_go_on_while_it_runs(page: Page, console: tuple[Site, str]) -> None:
    made = console[0]
    job = made.world.running()
    page.goto(f"/console/jobs/{job.id}")
    expect(page.locator("#no-curves")).to_be_visible()
    report_events(made.world, job, epochs=3, folds=1)
    expect(page.get_by_role("img", name="Loss")).to_be_visible()
    expect(page.locator("#no-curves")).to_be_hidden()
    expect(page.locator("#log")).to_contain_text("fold 1: accuracy 0.940")


def test_a_model_of_images_is_asked_with_a_file(
    page: Page, console: tuple[Site, str], tmp_path: Path
) -> None:
    made = console[0].world
    published_bundle(made, bright_images.make(tmp_path / "bright"), "bright")
    deployed(made, "bright", DeploymentRequest(VersionName("bright")))
    page.goto("/console/deployments/bright")
    expect(page.locator("#state .badge")).to_have_text("ready")
    photo = {"name": "dusk.png", "mimeType": "image/png", "buffer": bright_images.photo(200, 9)}
    page.get_by_label("photo").set_input_files(photo)
    expect(page.locator("#try img")).to_be_visible()
    page.get_by_label("photo").set_input_files([])
    expect(page.locator("#try img")).to_be_hidden()
    content = base64.b64encode(photo["buffer"]).decode()
    page.locator("#try [data-drop]").evaluate(DROP_PICTURE, content)
    expect(page.locator("#try img")).to_be_visible()
    page.get_by_label("weight").fill("2.5")
    page.get_by_label("note").fill("day")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .answer")).to_have_text("bright")
    page.get_by_label("weight").fill("heavy")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .fault")).to_contain_text("weight")


def test_a_model_of_speech_hears_the_microphone(
    chromium: Browser, console: tuple[Site, str], tmp_path: Path
) -> None:
    """In Chinese: what a page says, its scripts say."""
    made, folder = console[0].world, tmp_path / "letters"
    published_bundle(made, spoken_letters.make_longer(folder), "letters")
    deployed(made, "letters", DeploymentRequest(VersionName("letters")))
    with opened(chromium, console, permissions=["microphone"], locale="zh") as page:
        page.goto("/console/deployments/letters")
        expect(page.locator("#state .badge.ready")).to_be_visible()
        button = page.locator("[data-microphone] button")
        expect(button).to_have_text("录音")
        assert Axe().run(page).generate_report().startswith("Found 0 ")
        button.press("Enter")
        expect(page.locator("[data-microphone] [role=status]")).to_have_text("正在听。")
        expect(page.locator("#answer h3")).to_have_text("目前听到")
        expect(page.locator("#answer .answer")).to_have_text(HEARD)
        button.press("Enter")
        expect(page.locator("#answer h3")).to_have_count(0)
        expect(page.locator("#answer .answer")).to_have_text(HEARD)
        expect(button).to_have_text("录音")


def test_a_language_model_is_talked_to(page: Page, console: tuple[Site, str]) -> None:
    """The answer of the route is made here: words as they come, and nothing of them is markup."""
    made = console[0].world
    with made.service.database.transaction() as rows:
        new = NewVersion("0" * 64, 1, {"signature": {"task": "generation", "inputs": []}})
        version = registry.publish(made.service, rows, made.operator.tenant_id, "story", new)
        sleeping = Scaling(0, 1, 60.0)
        asked = DeploymentRequest(VersionName("story", str(version.number)), sleeping)
        deployments.deploy(made.service, rows, made.operator, "story", asked)
    parts = ["Once ", "<b id=bold>upon</b>", " a time"]
    chunks = [json.dumps({"choices": [{"delta": {"content": part}}]}) for part in parts]
    body = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"])
    asks = list[Any]()

    def answer(route: Route) -> None:
        asks.append((route.request.post_data_json, route.request.headers["x-csrf-token"]))
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    page.route("**/v1/chat/completions", answer)
    page.goto("/console/deployments/story")
    for words in ("Tell a story", "Go on"):
        page.get_by_label("Say something").fill(words)
        page.get_by_label("Say something").press("Control+Enter")
        expect(page.locator("#talk > div").last).to_contain_text("Once <b id=bold>upon</b> a time")
        page.wait_for_function("document.getElementById('words').value === ''")
    assert page.locator("#bold").count() == 0
    assert asks[0][0]["model"] == "story" and len(asks[0][1]) == 64


def test_the_plan_is_shown_before_submitting(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a child that answers at once; what the command itself says is tested in test_console_planner.py."""
    script = tmp_path / "quick.py"
    monkeypatch.setattr(child, "PROGRAM", (sys.executable, str(script)))
    script.write_text(f"print({json.dumps({'plan': PLAN, 'problems': [], 'data': DATA})!r})")
    page.goto("/console/jobs/new")
    recipe = "version: 1\ndata:\n  source: sklearn:iris\n  target: target\nbuild: linear\n"
    page.get_by_label("Recipe", exact=True).fill(recipe)
    expect(page.locator("#planned")).to_contain_text("1 min 30 s")
    expect(page.locator("#planned")).to_contain_text("<b>linear</b>")
    expect(page.locator("#planned")).not_to_have_class(re.compile("old"))
    assert Axe().run(page).violations_count == 0
    page.get_by_label("Recipe", exact=True).press("End")
    page.get_by_label("Recipe", exact=True).press_sequentially("nonsense: 1")
    expect(page.locator("#check")).to_contain_text("to mend")
    expect(page.locator("#planned")).to_have_class(re.compile("old"))


def test_a_deployment_shows_what_its_versions_do_and_goes_back(
    page: Page, console: tuple[Site, str]
) -> None:
    page.goto("/console/deployments/tiny")
    state, drift = page.locator("#state"), page.locator("#drift")
    for text in ("answers", "canary 10 %", "shadow", "90.0 % of 150 answers are the same"):
        expect(state).to_contain_text(text)
    for name in ("Requests a minute", "Latency, p95", "Errors"):
        expect(state.get_by_role("img", name=name)).to_be_visible()
    expect(drift).to_contain_text("Beyond the limits")
    expect(drift.locator("tbody tr").first).to_contain_text("drifted")
    sizes = [float(one) for one in drift.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert len(sizes) > 5 and sizes[0] > 0.25
    expect(drift.get_by_role("img", name="PSI of size over time")).to_be_visible()
    page.goto("/console/deployments")
    expect(page.get_by_role("row", name="tiny")).to_contain_text("Drift")

    page.goto("/console/deployments/tiny")
    page.get_by_text("When to raise an alarm").click()
    page.get_by_label("PSI above").fill("100")
    page.get_by_role("button", name="Set the limits").click()
    expect(drift).to_contain_text("All columns are within the limits.")
    page.get_by_text("When to raise an alarm").click()
    page.get_by_label("PSI above").fill("0.25")
    page.get_by_label("KS above").fill("2")
    page.get_by_role("button", name="Set the limits").click()  # the browser refuses it
    expect(page.get_by_label("KS above")).to_be_focused()
    page.get_by_label("KS above").fill("")
    page.get_by_role("button", name="Set the limits").click()
    expect(drift).to_contain_text("Beyond the limits")

    page.get_by_role("button", name="End the canary").click()
    expect(state).not_to_contain_text("canary")
    page.get_by_role("button", name="Roll back to tiny 1").click()
    expect(page.get_by_role("link", name="tiny 1")).to_be_visible()
    opened_route(console[0], "tiny", 1)


def test_versions_are_chosen_and_compared_by_the_keyboard(page: Page) -> None:
    page.goto("/console/models/iris")
    expect(page.get_by_label("Compare version 1")).to_be_checked()
    page.get_by_label("Compare version 1").focus()
    press_until(page, "Compare")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/models/iris/compare?version=2&version=1")
    expect(page.locator("table.compare").first).to_contain_text("better")
    expect(page.locator("main")).to_contain_text("The same recipe.")


def test_a_version_says_where_it_comes_from(page: Page, console: tuple[Site, str]) -> None:
    page.goto("/console/models/iris/2")
    steps = page.locator("ol.lineage h3").all_inner_texts()
    assert steps == ["Data", "Recipe", "Run", "Bundle"]
    page.locator("ol.lineage").get_by_role("link").click()
    page.wait_for_url(f"**/console/jobs/{console[0].jobs['second'].id}")


def test_a_person_is_given_a_role_and_disabled(page: Page) -> None:
    page.goto("/console/people")
    berta = page.get_by_role("row").filter(has_text="Berta")
    berta.get_by_label("Role").focus()
    page.keyboard.type("Developer")
    press_until(page, "Set the role")
    page.keyboard.press("Enter")
    expect(berta.get_by_role("cell").nth(1)).to_have_text("Developer")
    berta.get_by_role("button", name="Disable").click()
    expect(berta).to_contain_text("disabled")
    berta.get_by_role("button", name="Enable").click()
    expect(berta).not_to_contain_text("disabled")


def test_what_is_shown_anew_keeps_the_focus(page: Page) -> None:
    """A part that is polled takes nothing away from who uses the keyboard."""
    page.goto("/console/deployments/tiny")
    page.evaluate("""() => {
      let seen = 0;
      document.body.addEventListener("htmx:afterSettle", event => {
        seen += event.target.id === "state";
        document.body.dataset.seen = seen;
      });
    }""")
    link = page.locator("#of-first")
    link.focus()
    expect(page.locator("body")).to_have_attribute("data-seen", re.compile("[2-9]"))
    expect(link).to_be_focused()
