"""sixfold plan: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sixfold.cli import group

RECIPE = """
version: 1
name: small
data: {source: "sklearn:breast_cancer", target: target}
build: [linear, {family: mlp, hidden: [8]}]
train: {epochs: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def plan(recipe: Path, *options: str) -> Result:
    return CliRunner().invoke(group, ["plan", str(recipe), *options])


def test_memory_time_disk_and_price_are_printed(recipe: Path) -> None:
    done = plan(recipe, "--no-probe", "--machine", "8xH100", "--price", "2.5")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("machine: 8x H100: 96 cores")
    assert lines[1].startswith("memory: ")
    assert lines[2].startswith("device memory: ")
    assert lines[3].startswith("time: ")
    assert [line.partition(":")[0] for line in lines[4:6]] == ["disk", "price"]
    assert lines[-1] == "fits"


def test_the_same_as_json(recipe: Path) -> None:
    done = plan(recipe, "--no-probe", "--json")
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert set(found["plan"]["memory"]) == {"bytes", "error", "limit", "of", "shares"}
    assert found["plan"]["time"]["how"] == "counted"
    assert found["plan"]["price"] is None


def test_candidates_are_tried(recipe: Path) -> None:
    found = json.loads(plan(recipe, "--json").stdout)
    assert found["plan"]["time"]["how"] == "tried"


def test_what_does_not_fit_ends_with_the_code_of_a_budget(recipe: Path) -> None:
    done = plan(recipe, "--no-probe", "--machine", "1x cpu, 100MiB")
    assert done.exit_code == 5
    assert "memory: expected at most 104.9 MB; found a forecast of" in done.stderr
    assert "budget.memory:" in done.stderr
    assert done.stdout.splitlines()[-1] == "does not fit, or cannot be run as it stands"


def test_a_recipe_that_cannot_be_run_has_no_plan(recipe: Path) -> None:
    done = plan(recipe, "--no-probe", "--json", "--set", "evaluate.metrics=[rmse]")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["plan"] is None


def test_a_machine_that_is_not_known(recipe: Path) -> None:
    done = plan(recipe, "--machine", "8xH101")
    assert "H100" in str(done.exception)
