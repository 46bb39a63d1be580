"""The walk of the tutorial "From a file to a deployed model, in the console": a service of its own, a real browser, and a picture
of every station.

    python docs/tutorials/console/walk.py FOLDER        the pictures go there; prints what each station took

The browser is the system's Chromium, or Playwright's.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from sklearn.datasets import load_wine

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1120, "height": 760}
COLORS = 128  # of a picture: what pages have, and a small file
PATIENCE_MS = 300_000
GRAPES = ("barolo", "grignolino", "barbera")
HELD = 150  # rows of the file; the others are asked in the end


@dataclass
class Walk:
    """`folder`: for pictures. `took_s`: seconds since the walk began, at every station."""

    folder: Path
    page: Page
    began: float
    took_s: dict[str, float] = field(default_factory=dict)

    def station(self, name: str, shows: str | None = None, alone: bool = False) -> None:
        """A picture of what is seen, from the element `shows` on; `alone`: of that element only."""
        self.took_s[name] = time.monotonic() - self.began
        path = self.folder / f"{len(self.took_s)}-{name}.png"
        self.page.evaluate("document.activeElement.blur()")
        if shows is None:
            self.page.evaluate("scrollTo(0, 0)")
        else:
            self.page.locator(shows).first.evaluate("place => place.scrollIntoView()")
        if alone and shows is not None:
            self.page.locator(shows).first.screenshot(path=path)
        else:
            self.page.screenshot(path=path)
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(COLORS)
        small.save(path, optimize=True)
        print(
            f"{self.took_s[name]:6.1f} s  {name}  ({path.stat().st_size / 1000:.0f} kB)", flush=True
        )


def main(folder: Path) -> None:
    """From `sixfold up` to an answer of the deployed model."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        table, rows = wine(Path(place))
        began = time.monotonic()
        with service(Path(place)) as (address, key):
            own = next(filter(None, map(shutil.which, BROWSERS)), None)
            browser = playwright.chromium.launch(executable_path=own, args=["--no-sandbox"])
            page = browser.new_context(base_url=address, viewport=SIZE, locale="en").new_page()
            page.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            walk = Walk(folder, page, began)
            train(walk, key, table)
            deploy(walk, rows)
            browser.close()
    print(f"{max(walk.took_s.values()):6.1f} s  from `sixfold up` to the first answer")


def wine(place: Path) -> tuple[Path, dict[str, str]]:
    """A table that anybody has, as a file; and a row that is not in it."""
    frame = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
    frame["target"] = [GRAPES[number] for number in frame["target"]]
    frame = frame.rename(columns={"target": "grape", "od280/od315_of_diluted_wines": "dilution"})
    path = place / "wine.csv"
    frame[:HELD].to_csv(path, index=False)
    last = frame.iloc[-1].drop("grape")
    return path, {str(name): str(value) for name, value in last.items()}


@contextmanager
def service(place: Path) -> Iterator[tuple[str, str]]:
    """`sixfold up` in a fresh folder: its address and the key that it shows once."""
    command = [sys.executable, "-u", "-m", "sixfold", "up", "--home", str(place / "home")]
    process = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = [process.stdout.readline() for _ in range(2)]
        address = re.search(r"http://\S+", said[0])
        key = re.search(r"sf_\w+", said[1])
        if address is None or key is None:
            raise SystemExit(f"the service does not come up: {''.join(said)}")
        yield address[0], key[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def train(walk: Walk, key: str, table: Path) -> None:
    """Sign in, drop the file, look at the plan, submit, watch."""
    page = walk.page
    page.goto("/")
    page.get_by_label("Key").fill(key)
    walk.station("sign-in")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="New job").click()
    page.locator("#file").set_input_files(table)
    expect(page.locator("#files table")).to_be_visible()
    expect(page.get_by_label("data.source", exact=True)).to_have_value("wine.csv")
    page.get_by_label("Target", exact=True).select_option("grape")
    expect(page.get_by_label("data.target", exact=True)).to_have_value("grape")
    page.get_by_label("build", exact=True).select_option("mlp")
    expect(page.get_by_label("Recipe", exact=True)).to_have_value(re.compile("build: mlp"))
    expect(page.locator("#planned")).to_contain_text("It fits")
    expect(page.locator("#planned")).not_to_have_class(re.compile("old"))
    walk.station("new-job")
    walk.station("plan", "#plan", alone=True)
    page.get_by_label("Publish as").fill("wine")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("img", name="Scores of the folds").first).to_be_visible()
    expect(page.locator("#state .badge").first).to_have_text("succeeded")
    walk.station("job")


def deploy(walk: Walk, row: dict[str, str]) -> None:
    """The model that the job made: its receipt, its deployment, an answer."""
    page = walk.page
    page.locator("#state .done a").click()
    page.get_by_role("link", name="version 1").click()
    expect(page.locator("ol.lineage")).to_be_visible()
    walk.station("version")
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.locator("#state .badge").first).to_have_text("ready")
    for name, value in row.items():
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer .answer")).to_have_text(re.compile("|".join(GRAPES)))
    walk.station("answer", "section:has(#try)", alone=True)
    expect(page.locator("#state svg").first).to_be_visible()
    page.locator("#drift").get_by_text(re.compile("newest 1 rows|No rows yet")).wait_for()
    walk.station("deployment")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} FOLDER")
    main(Path(sys.argv[1]))
