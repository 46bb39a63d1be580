"""The terminal says what the report says: the verdict, every step of compression and why; and init
which metric decides.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sixfold.cli import group
from sixfold.recipe.load import load
from sixfold.recipe.receipt import Receipt

RECIPE = """version: 1
name: words
task: classification
data: {source: rows.csv, target: y, holdout: 0.2}
build: {family: linear}
evaluate: {folds: 3}
compress: {prune: [{target: features}, {target: features}], fixed_point: {factor: 2}}
"""


def _table(folder: Path, noise: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3)).round(3)
    y = np.where(x[:, 0] + noise * rng.normal(size=240) > 0, "yes", "no")
    lines = [f"{a},{b},{c},{label}" for (a, b, c), label in zip(x, y, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,y", *lines]))
    (folder / "words.yaml").write_text(RECIPE)


def _page(path: Path) -> str:
    """The report's text, a cell or a paragraph a line."""
    return html.unescape(re.sub(r"<[^>]+>", "\n", path.read_text(encoding="utf-8")))


@pytest.fixture(
    scope="module", params=[0.1, 100.0], ids=["a model with a lift", "a model without one"]
)
def notes(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    folder = tmp_path_factory.mktemp("words")
    _table(folder, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sixfold.compress.measure.RUNS", 10
        )  # how long an answer takes is not what is looked at
        found = CliRunner().invoke(
            group, ["run", str(folder / "words.yaml"), "--out", str(folder / "run")]
        )
    assert found.exit_code == 0, found.output
    return found.stdout, found.stderr, folder / "run" / "bundle"


def test_terminal_log_receipt_and_report_say_the_same(notes: tuple[str, str, Path]) -> None:
    terminal, log, bundle = notes
    page = _page(bundle / "report.html")
    report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    steps = Receipt.model_validate(report["receipt"]).steps
    assert len(steps) == 3
    for step in steps:
        assert step.sentence() in terminal
        assert step.sentence() in log
        assert "\n".join((step.name, "", step.outcome, "", step.why)) in page
    for sentence in report["verdict"]:
        assert sentence in terminal.splitlines()
        assert sentence in page.splitlines()
    shown = CliRunner().invoke(group, ["inspect", str(bundle)]).stdout
    assert all(
        sentence in shown for sentence in [*report["verdict"], *(step.sentence() for step in steps)]
    )


def test_a_useless_model_is_called_that_on_the_terminal_too(notes: tuple[str, str, Path]) -> None:
    terminal, _, bundle = notes
    useless = "It is no better than ignoring the columns: do not use it."
    assert (useless in terminal) is (useless in _page(bundle / "report.html"))
    assert (useless in terminal) is ("nothing can be spared" in terminal)


@pytest.mark.parametrize(
    ("positive", "first", "share"),
    [(100, "accuracy", "50%"), (20, "roc_auc", "10%"), (4, "balanced_accuracy", "1.9%")],
)
def test_init_writes_what_decides_and_why(
    positive: int, first: str, share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the training rows, as the run: 3 of 160 are of the rarest class, some fold of 5 has none,
    and ROC AUC cannot decide.
    """
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [
        f"{x:.3f},{'yes' if at < positive else 'no'}" for at, x in enumerate(rng.normal(size=200))
    ]
    (tmp_path / "rare.csv").write_text("\n".join(["x,y", *lines]))
    done = CliRunner().invoke(group, ["init", "rare.csv", "--target", "y"])
    assert done.exit_code == 0, done.output
    recipe = load(tmp_path / "rare.yaml").recipe
    assert recipe.evaluate.metrics[0] == first
    assert recipe.compress is not None
    assert (recipe.compress.keep, recipe.compress.keep_lift) == ({first: -0.01}, 0.9)
    why = f"{first} decides, not accuracy: only {share} of the rows are of the class 'yes'"
    assert (
        (why in done.stderr)
        is (why in (tmp_path / "rare.yaml").read_text())
        is (first != "accuracy")
    )
