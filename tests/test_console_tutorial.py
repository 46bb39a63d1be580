"""The console's tutorial is walked, and its pictures are those that the walk makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorials" / "console.md"
PICTURES = PAGE.with_suffix("")
MOST_BYTES = 80_000


def shown() -> set[str]:
    return set(re.findall(r"\]\(console/([^)]+\.png)\)", PAGE.read_text()))


def test_every_picture_is_shown_small_and_described() -> None:
    assert shown() == {path.name for path in PICTURES.glob("*.png")} != set()
    assert all(path.stat().st_size <= MOST_BYTES for path in PICTURES.glob("*.png"))
    assert all(text.strip() for text in re.findall(r"!\[([^\]]*)\]", PAGE.read_text()))


@pytest.mark.slow
def test_the_tutorial_is_walked(tmp_path: Path) -> None:
    """From `sixfold up` to an answer, in a real browser, with a real job and a real deployment."""
    command = [sys.executable, str(PICTURES / "walk.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.png")} == shown()
    assert all(path.stat().st_size <= MOST_BYTES for path in tmp_path.glob("*.png"))
    assert "from `sixfold up` to the first answer" in done.stdout
