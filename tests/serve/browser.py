"""A real browser for the pages: the one of this system, or Playwright's own (`make test` installs
it).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# A microphone that is made, for pages that are allowed it: it beeps, or plays a file again and again.
MICROPHONE = "--use-fake-device-for-media-stream"


@contextmanager
def browser(heard: Path | None = None) -> Iterator[Browser]:
    """Chromium without a window; `heard`: a WAV file that its microphone hears. Raises playwright's Error where there is none:
    `make .venv/.browser` installs it.
    """
    plays = [] if heard is None else [f"--use-file-for-fake-audio-capture={heard}"]
    own = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=own,
            args=["--no-sandbox", MICROPHONE, *plays],  # containers run as root
        )
        try:
            yield running
        finally:
            running.close()
