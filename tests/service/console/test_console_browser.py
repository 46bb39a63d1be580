"""The console in a real browser, over HTTP: any error on its console fails the test, and so does what axe-core finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bright_images
import pytest
import tiny_bundle
from axe_playwright_python.sync_playwright import Axe
from browser import browser
from console_worlds import Site, filled, report_events, served, site
from playwright.sync_api import Browser, Page, Route, expect
from service_worlds import World

from sixfold.bundle.load import load
from sixfold.service.domain.deployments import Scaling
from sixfold.service.use_cases import deployments, jobs, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.registry import NewVersion

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here
NARROW = {"width": 360, "height": 640}
DROP = """(form, content) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([content], "wine <i>.csv", {type: "text/csv"}));
  form.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """A filled one, and its address."""
    folder = tmp_path_factory.mktemp("console")
    with site(folder) as made:
        filled(made, folder / "trees")
        with served(made.app) as address:
            yield made, address


@contextmanager
def opened(chromium: Browser, console: tuple[Site, str], **look: Any) -> Iterator[Page]:
    """A page that is signed in. Nothing may be wrong with it: a script's error, or something that its own policy forbids."""
    made, address = console
    context = chromium.new_context(base_url=address, **look)
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    page.goto("/login")
    page.get_by_label("Key").fill(made.world.key)
    page.get_by_role("button", name="Sign in").click()
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


def paths(made: Site) -> list[str]:
    found = [
        "/console",
        "/console/jobs",
        "/console/jobs/new",
        "/console/models",
        "/console/models/iris",
    ]
    found += [
        "/console/deployments",
        "/console/keys",
        "/console/system",
        "/console/nothing",
        "/docs",
    ]
    return found + [
        f"/console/jobs/{made.jobs[name].id}" for name in ("running", "failed", "second")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Browser, console: tuple[Site, str], scheme: str) -> None:
    with opened(chromium, console, color_scheme=scheme) as page:
        axe = Axe()
        for path in paths(console[0]):
            page.goto(path)
            found = axe.run(page)
            assert (path, found.generate_report() if found.violations_count else "") == (path, "")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        assert axe.run(page).violations_count == 0


def test_every_page_fits_on_a_telephone(chromium: Browser, console: tuple[Site, str]) -> None:
    with opened(chromium, console, viewport=NARROW, locale="en") as page:
        for path in paths(console[0]):
            page.goto(path)
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
    page.get_by_role("button", name="Use as data.source").click()
    recipe = page.get_by_label("Recipe", exact=True)
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
    page.goto("/console/models/iris")
    page.get_by_role("link", name="show").first.click()
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


def publish(made: World, folder: Path, name: str) -> None:
    tree, size = made.service.artifacts.put_tree(folder)
    signature = load(folder).signature.model_dump(mode="json")
    with made.service.database.transaction() as rows:
        new = NewVersion(tree, size, {"signature": signature})
        registry.publish(made.service, rows, made.operator.tenant_id, name, new)


def deploy(made: World, folder: Path, name: str) -> None:
    publish(made, folder, name)
    with made.service.database.transaction() as rows:
        deployments.deploy(
            made.service, rows, made.operator, name, DeploymentRequest(VersionName(name))
        )


def test_a_deployed_model_answers_a_form(
    page: Page, console: tuple[Site, str], tmp_path: Path
) -> None:
    """A real bundle behind a real replica."""
    publish(console[0].world, tiny_bundle.make(tmp_path / "tiny"), "tiny")
    page.goto("/console/deployments")
    page.get_by_label("Model", exact=True).select_option("tiny")
    page.get_by_role("button", name="Deploy").click()
    page.wait_for_url("**/console/deployments/tiny")
    expect(page.locator("#state .badge")).to_have_text("ready", timeout=120_000)
    page.get_by_label("label").fill("9")
    for column in ("size", "colour"):
        page.get_by_label(column).fill("")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .answer")).to_have_text("<toss>", timeout=60_000)
    expect(page.locator("#state")).to_contain_text("ms")
    assert Axe().run(page).violations_count == 0
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
    deploy(made, bright_images.make(tmp_path / "bright"), "bright")
    page.goto("/console/deployments/bright")
    expect(page.locator("#state .badge")).to_have_text("ready", timeout=120_000)
    photo = {"name": "dusk.png", "mimeType": "image/png", "buffer": bright_images.photo(200, 9)}
    page.get_by_label("photo").set_input_files(photo)
    page.get_by_label("weight").fill("2.5")
    page.get_by_label("note").fill("day")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .answer")).to_have_text("bright", timeout=60_000)
    page.get_by_label("weight").fill("heavy")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .fault")).to_contain_text("weight")


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
