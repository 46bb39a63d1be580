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
from pydoc_data.topics import topics

import pytest

ROOT = Path(__file__).parents[1]
# Recipe → what is shorter in the folder of the tests: the commands are the pages', whole trainings are minutes.
SHORTER = {
    "breast_cancer.yaml": {"epochs: 60": "epochs: 10", "rounds: 200": "rounds: 30"},
    "digits.yaml": {"epochs: 30": "epochs: 8"},
    "finetune.yaml": {"epochs: 80": "epochs: 2"},
    "search.yaml": {"trials: 30": "trials: 8"},
    "story.yaml": {"epochs: 12": "epochs: 1", "python:topics": "topics.txt"},
    "images.yaml": {"budget:": "train: {epochs: 2}\nbudget:"},
    "spoken.yaml": {"budget:": "train: {epochs: 2}\nbudget:"},
    "transcribe.yaml": {"epochs: 20": "epochs: 2"},
}
ELSEWHERE = {"docs/tutorials/service.md": "tests/test_deploy_files.py"}  # its one command
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES_WITH_BLOCKS = [
    page
    for page in PAGES
    if BLOCK.search(page.read_text()) and page.relative_to(ROOT).as_posix() not in ELSEWHERE
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "recipes", place / "recipes")
    for name, changes in SHORTER.items():
        text = (place / "recipes" / name).read_text()
        for long, short in changes.items():
            assert long in text, (name, long)
            text = text.replace(long, short)
        (place / "recipes" / name).write_text(text)
    some = [text[:2_000] for text in list(topics.values())[:30]]
    (place / "recipes" / "topics.txt").write_text("\n\n".join(some))
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
