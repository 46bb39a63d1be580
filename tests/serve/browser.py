"""A real browser for the pages: the one of this system, or Playwright's own (`make test` installs
it).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window. Raises playwright's Error where there is none:
    `make .venv/.browser` installs it.
    """
    own = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=own, args=["--no-sandbox"]
        )  # containers run as root
        try:
            yield running
        finally:
            running.close()
