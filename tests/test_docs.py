"""Docs are executed: every bash and python block of every page and of the README, in a folder as a
new user has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from forked_commands import commands
from short_figures.sitecustomize import HELD_BYTES

ROOT = Path(__file__).parents[1]
# Recipe → what is shorter in the folder of the tests: the commands are the pages', whole trainings are minutes.
SHORTER = {
    "breast_cancer.yaml": {
        "epochs: 60": "epochs: 10",
        "rounds: 200": "rounds: 30",
        "folds: 5": "folds: 3",
    },
    "digits.yaml": {"epochs: 30": "epochs: 4", "folds: 5": "folds: 3"},
    "finetune.yaml": {"epochs: 80": "epochs: 1"},
    "recommend.yaml": {"planted:2000x500x30": "planted:400x200x20"},
    "search.yaml": {"trials: 30": "trials: 5", "folds: 5": "folds: 3"},
    "story.yaml": {
        "epochs: 12": "epochs: 1",
        "python:topics": "topics.txt",
    },
    "images.yaml": {"budget:": "train: {epochs: 1}\nbudget:", "folds: 3": "folds: 2"},
    "spoken.yaml": {"budget:": "train: {epochs: 1}\nbudget:", "folds: 3": "folds: 2"},
    "texts.yaml": {"folds: 5": "folds: 2"},
    "transcribe.yaml": {"epochs: 20": "epochs: 1", "folds: 3": "folds: 2"},
}
WHOLE = "README.md"  # whose commands are started, and measure their bundle, as users' are: not by tests/forked_commands.py
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


def execute(
    language: str, code: str, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'programs'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = (
        ["bash", "-euo", "pipefail", "-c", code]
        if language == "bash"
        else [sys.executable, "-c", code]
    )
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


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
    variables = {"SIXFOLD_TESTS_FIGURES": "whole"} if page.name == WHOLE else {}
    if page.name == WHOLE:
        (folder / "programs" / "sixfold").unlink(missing_ok=True)
    else:
        commands().program(folder / "programs")
    for language, code in BLOCK.findall(page.read_text()):
        done = execute(language, code, folder, **variables)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    if page.name == WHOLE:
        receipt = json.loads((folder / "runs/breast_cancer/bundle/receipt.json").read_text())
        assert receipt["http"]["p50_ms"] > 0
        assert receipt["after"]["peak_memory_bytes"] != HELD_BYTES


def test_every_recipe_is_named_in_the_docs_and_checks() -> None:
    everything = "".join(page.read_text() for page in PAGES)
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        assert recipe.name in everything, recipe.name
