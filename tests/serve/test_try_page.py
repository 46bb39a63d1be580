"""The page to try a model by hand, in a real browser, against a real server."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bright_images
import httpx
import loud_recordings
import pytest
import spoken_letters
import tiny_bundle
from browser import browser
from playwright.sync_api import Browser, Page, expect
from server_process import Server

from sixfold import pipeline
from sixfold.recipe.load import load

pytestmark = pytest.mark.slow  # a browser starts in ten seconds here
PATIENCE_MS = 300_000  # a safety net, on a machine that is busy with other things
HEARD = re.compile("^a[a ]*$")  # a busy machine makes pauses
PHOTO = bright_images.photo(200, 9)
DROP = """(input, content) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
  input.closest(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
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
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("pages")
    running = {
        "tiny": Server(tiny_bundle.make(folder / "tiny")),
        "bright": Server(bright_images.make(folder / "bright")),
        "loud": Server(loud_recordings.make(folder / "loud")),
        "letters": Server(spoken_letters.make(folder / "letters")),
        "longer": Server(spoken_letters.make_longer(folder / "longer")),
        "shop": Server(_shop(folder / "shop")),
    }
    try:
        yield {name: f"http://127.0.0.1:{server.port}" for name, server in running.items()}
    finally:
        for server in running.values():
            server.stop()


def _shop(folder: Path) -> Path:
    """A recommender of 12 users: those who take tea take cake, too; half of them nothing else."""
    folder.mkdir()
    names = ["<b>tea</b>", "cake", "it's bread", "salt"]
    rows = ["user,item", *(f"u{user},{names[0]}\nu{user},{names[1]}" for user in range(6))]
    rows += [f"u{user},{name}" for user in range(6, 12) for name in names[2:]]
    rows += ["new,<b>tea</b>", "u0,salt", "u7,cake"]
    (folder / "shop.csv").write_text("\n".join([*rows, ""]))
    recipe = {
        "version": 1,
        "name": "shop",
        "task": "recommendation",
        "data": {"source": "shop.csv", "holdout": 0},
        "build": [{"family": "item_knn", "shrink": 0}],
        "evaluate": {"folds": 2},
    }
    (folder / "r.yaml").write_text(json.dumps(recipe))
    return pipeline.run(load(folder / "r.yaml"), folder / "run").bundle


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Nothing may be wrong with it: a script's error, or something that its own policy forbids."""
    opened, faults = chromium.new_page(permissions=["microphone"]), list[str]()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    yield opened
    opened.close()
    assert [
        fault for fault in faults if "status of 422" not in fault
    ] == []  # the browser tells of a refusal


def answer(page: Page) -> str:
    expect(page.locator("#result .answer")).to_be_visible()
    return page.locator("#result .answer").inner_text()


def test_a_table_is_answered_at_once_and_again(page: Page, servers: dict[str, str]) -> None:
    page.goto(servers["tiny"])
    assert answer(page) == "keep"
    page.get_by_label("size").fill("")
    page.get_by_label("label").fill("9")
    page.get_by_label("colour").fill("")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#result .answer")).to_have_text("<toss>")
    shown = page.locator("#result .bar em").first.inner_text()
    row = {"size": None, "label": 9, "new": False, "since": "2023-11-14T22:13:20Z", "colour": None}
    found = httpx.post(f"{servers['tiny']}/predict", json=[row]).json()["predictions"][0]
    assert shown == f"{100 * found['probability']['<toss>']:.2f} %"


def test_a_recommender_is_asked_for_users_sessions_and_likeness(
    page: Page, servers: dict[str, str]
) -> None:
    page.goto(servers["shop"])
    rows, result = page.locator("#result tr"), page.locator("#result")
    expect(result).to_contain_text("By what the user did.")
    page.get_by_label("user", exact=False).first.fill("new")
    page.get_by_role("button", name="Recommend").click()
    expect(rows.nth(1)).to_contain_text("cake")
    expect(rows.nth(1)).to_contain_text("<b>tea</b>")  # because of it
    asked = {"user": "new", "k": 10, "because": True}
    best = httpx.post(f"{servers['shop']}/recommend", json=asked).json()["items"][0]
    expect(rows.nth(1).locator(".number")).to_have_text(f"{best['score']:.4g}")
    page.get_by_label("What they had may come again").check()
    page.get_by_label("user", exact=False).first.fill("nobody")
    page.get_by_label("what they did since").fill("it's bread\n\n what is that \n")
    page.get_by_role("button", name="Recommend").click()
    expect(result).to_contain_text("Not known to the model: nobody, what is that.")
    expect(result).to_contain_text("By what was done since.")
    told = page.locator("#command").inner_text()
    answered = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True)
    shown = [each["item"] for each in json.loads(answered.stdout)["items"]]
    assert rows.locator("td:nth-child(2)").all_inner_texts() == shown
    page.get_by_label("items like this one").fill("cake")
    page.get_by_label("how many").fill("1")
    page.get_by_role("button", name="Recommend").click()
    expect(result).to_contain_text("Items that are like it.")
    assert rows.locator("td:nth-child(2)").all_inner_texts() == ["<b>tea</b>"]
    page.get_by_label("how many").fill("many")
    page.get_by_role("button", name="Recommend").click()
    expect(page.locator("#result .bad")).to_contain_text("k")


def test_an_image_that_is_chosen_is_shown_and_answered(page: Page, servers: dict[str, str]) -> None:
    kinds = list[str]()
    page.on("request", lambda request: kinds.append(request.headers.get("content-type", "")))
    page.goto(servers["bright"])
    expect(page.locator("#result")).to_contain_text("Choose an image")
    page.get_by_label("photo").set_input_files(
        {"name": "dusk.png", "mimeType": "image/png", "buffer": PHOTO}
    )
    assert answer(page) == "bright"
    expect(page.locator(".sight img")).to_have_js_property("naturalWidth", 9)
    expect(page.locator(".drop")).to_contain_text("dusk.png")
    expect(page.locator(".drop")).to_contain_text("9 × 9 pixels")
    page.get_by_label("weight").fill("2.5")
    page.get_by_label("note").fill("a night\nand día, night")
    page.get_by_label("note").press("Control+Enter")
    expect(page.locator("#result .answer")).to_have_text("dark")
    expected = bright_images.probability(200, 2.5, 2)
    assert page.locator("#result .bar em").first.inner_text() == f"{100 * (1 - expected):.2f} %"
    assert [kind.partition(";")[0] for kind in kinds if kind] == ["multipart/form-data"] * 2


def test_an_image_may_be_dropped(page: Page, servers: dict[str, str]) -> None:
    page.goto(servers["bright"])
    content = base64.b64encode(bright_images.photo(0)).decode()
    page.get_by_label("photo").evaluate(DROP, content)
    assert answer(page) == "dark"
    expect(page.locator(".drop")).to_contain_text("dropped.png")


def test_a_recording_that_is_chosen_can_be_played_and_is_answered(
    page: Page, servers: dict[str, str]
) -> None:
    page.goto(servers["loud"])
    expect(page.locator("#result")).to_contain_text("Choose a recording")
    sound = {"name": "a.wav", "mimeType": "audio/wav", "buffer": loud_recordings.sound(1.0)}
    page.get_by_label("sound").set_input_files(sound)  # type: ignore[arg-type]
    assert answer(page) == "loud"
    expect(page.locator(".sight audio")).to_have_js_property("controls", True)
    expect(page.locator(".drop")).to_contain_text("0.10 s, 1.6 kB")


def test_words_are_shown_while_they_are_said(page: Page, servers: dict[str, str]) -> None:
    """With the keyboard alone."""
    page.goto(servers["longer"])
    button = page.locator("[data-microphone] button")
    expect(button).to_have_text("Record")
    button.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Listening.")
    expect(page.locator("#result h2")).to_have_text("So far")
    expect(page.locator("#result .answer")).to_have_text(HEARD)
    expect(page.locator(".clock")).to_contain_text(" / 0:40")
    button.press("Space")
    expect(page.locator("#result h2")).to_have_text("Answer")
    expect(page.locator("#result .answer")).to_have_text(HEARD)
    expect(button).to_have_text("Record")
    expect(button).to_be_focused()
    expect(page.locator(".drop")).to_contain_text("microphone.wav")
    expect(page.locator(".sight audio")).to_have_js_property("controls", True)


def test_a_recording_ends_where_the_model_hears_no_more(
    page: Page, servers: dict[str, str]
) -> None:
    page.goto(servers["letters"])
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#result h2")).to_have_text("Answer")
    expect(page.locator("#result .answer")).to_have_text(HEARD)
    expect(page.locator(".drop")).to_contain_text("0.80 s, 12.8 kB")


def test_sounds_are_recorded_too(page: Page, servers: dict[str, str]) -> None:
    page.goto(servers["loud"])
    page.get_by_role("button", name="Record").click()
    expect(page.locator(".clock")).to_contain_text(" / 1:00")
    page.get_by_role("button", name="Stop").click()
    assert answer(page) == "loud"
    page.goto(servers["bright"])  # a page of images has no such button
    assert page.get_by_role("button", name="Record").count() == 0


NONE = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'))"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("", "This page may not use the microphone: allow it in the browser, or choose a file."),
        (NONE, "There is no microphone."),
        ("delete window.MediaRecorder", "This browser does not record: choose a file."),
    ],
)
def test_why_nothing_is_recorded_is_said(
    chromium: Browser, servers: dict[str, str], script: str, told: str
) -> None:
    """Of a page that was not allowed the microphone, too."""
    page = chromium.new_page()
    page.add_init_script(script)
    page.goto(servers["letters"])
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text(told)
    expect(page.get_by_role("button", name="Record")).to_be_visible()
    page.close()


def test_what_an_answer_depends_on_is_drawn(page: Page, servers: dict[str, str]) -> None:
    page.goto(servers["bright"])
    page.get_by_label("note").fill("a night, late")
    page.get_by_label("Show what the answer depends on").check()
    page.get_by_label("photo").set_input_files(
        {"name": "dusk.png", "mimeType": "image/png", "buffer": PHOTO}
    )
    expect(page.locator("#result .words span")).to_have_text(["a ", "night, ", "late"])
    numbers_stand_beside(page, "#result .heat i")
    page.goto(servers["loud"])
    sound = {"name": "a.wav", "mimeType": "audio/wav", "buffer": loud_recordings.sound(1.0)}
    page.get_by_label("sound").set_input_files(sound)  # type: ignore[arg-type]
    assert answer(page) == "loud"
    expect(page.locator(".timeline")).to_have_count(0)
    page.get_by_label("Show what the answer depends on").check()
    numbers_stand_beside(page, ".drop .timeline i")
    page.locator("#way").select_option("bands")
    expect(page.locator("#result")).to_contain_text("The grid under the player")
    numbers_stand_beside(page, ".drop .spectrum i")


def numbers_stand_beside(page: Page, colors: str) -> None:
    """For those who do not see colors: the largest as bars, all in a table, and the picture's own words. A busy machine
    has time for fewer pieces.
    """
    number = re.compile(r"^[+-]\d")
    expect(page.locator(colors).first).to_be_attached()
    count = page.locator(colors).count()
    assert count >= 9
    expect(page.locator("#result .added em").first).to_have_text(number)
    expect(page.locator("#result details").first.locator("td").first).to_have_text(number)
    expect(page.locator("#result details").first.locator("td")).to_have_count(count)
    told = re.compile(r"most: .* [+-]\d")
    expect(page.locator("[role=img]").first).to_have_attribute("aria-label", told)


def test_what_is_said_is_shown_where_it_is_said(page: Page, servers: dict[str, str]) -> None:
    page.goto(servers["letters"])
    page.get_by_label("Show what the answer depends on").check()
    said = {"name": "a.wav", "mimeType": "audio/wav", "buffer": spoken_letters.said("a--  --b")}
    page.get_by_label("sound").set_input_files(said)  # type: ignore[arg-type]
    assert answer(page) == "a b"
    expect(page.locator(".drop .timeline b")).to_have_text(["a", "b"])
    expect(page.locator("#result")).to_contain_text("b, 0.70 to 0.80 s: most from 0.7")
    numbers_stand_beside(page, ".drop .timeline i")
    page.get_by_label("Show what the answer depends on").uncheck()
    expect(page.locator(".timeline")).to_have_count(0)


def test_what_is_no_image_is_told_as_the_server_tells_it(
    page: Page, servers: dict[str, str]
) -> None:
    page.goto(servers["bright"])
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#result")).to_contain_text("photo: expected an image; found none.")
    page.get_by_label("photo").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"a text"}
    )
    expect(page.locator("#result .bad")).to_contain_text("row 1, column 'photo': expected an image")
    expect(page.locator("#result .bad")).to_contain_text("found text.")
    expect(page.locator(".sight")).to_have_text("no preview")


def test_a_file_that_is_too_large_is_not_sent(
    page: Page, servers: dict[str, str], tmp_path: Path
) -> None:
    sent = list[str]()
    page.goto(servers["bright"])
    page.on("request", lambda request: sent.append(request.url))
    (tmp_path / "large.png").write_bytes(bytes(9 << 20))
    page.get_by_label("photo").set_input_files(tmp_path / "large.png")
    expect(page.locator("#result .bad")).to_contain_text(
        "large.png: expected at most 8.4 MB; found 9.4 MB."
    )
    assert sent == []


def test_the_command_works_when_it_is_pasted(
    page: Page, servers: dict[str, str], tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page.goto(servers["bright"])
    command = page.locator("#command").inner_text()
    (tmp_path / "image.png").write_bytes(PHOTO)
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert '"label":"bright"' in done.stdout
