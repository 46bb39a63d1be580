"""Docs are executed: every bash and python block of every page and of the README, in a folder as a
new user has it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES_WITH_BLOCKS = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "recipes", place / "recipes")
    for name, epochs in (("story", 12), ("transcribe", 20)):  # all of them are minutes
        recipe = place / "recipes" / f"{name}.yaml"
        text = recipe.read_text()
        assert f"epochs: {epochs}" in text
        recipe.write_text(text.replace(f"epochs: {epochs}", "epochs: 2"))
    return place


def execute(language: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = (
        ["bash", "-euo", "pipefail", "-c", code]
        if language == "bash"
        else [sys.executable, "-c", code]
    )
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


def test_there_is_something_to_execute() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES_WITH_BLOCKS}
    assert {
        "README.md",
        "docs/tutorials/first-model.md",
        "docs/how-to/python.md",
        "docs/how-to/serve.md",
    } <= names


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", PAGES_WITH_BLOCKS, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_a_page_does_what_it_says(page: Path, folder: Path) -> None:
    if page.name == "ray.md":
        pytest.importorskip("ray")
    for language, code in BLOCK.findall(page.read_text()):
        done = execute(language, code, folder)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_every_recipe_is_named_in_the_docs_and_checks() -> None:
    everything = "".join(page.read_text() for page in PAGES)
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        assert recipe.name in everything, recipe.name
