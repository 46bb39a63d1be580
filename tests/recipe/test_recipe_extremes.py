"""Values that the schema takes and no machine can do: `check` says so in four parts, or the run
would start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sixfold.cli.check import _beyond
from sixfold.core.errors import SixfoldError
from sixfold.recipe.load import load, problems

LARGE, DEEP = "9" * 100, "1e308"
NUMBERS = (
    LARGE,
    "1" + "0" * 18,
    "9223372036854775808",
    DEEP,
    "5e-324",
    "1e-300",
    "4294967296",
    "0x7fffffff",
)
BASE: dict[str, Any] = {
    "name": "extreme",
    "data": {"source": "t.csv", "target": "y"},
    "build": {"family": "mlp", "hidden": [4]},
    "train": {"epochs": 1},
    "evaluate": {"folds": 2},
}
KEYS = (
    "data.holdout",
    "data.seed",
    "data.rare_rows",
    "initialize.seed",
    "evaluate.seed",
    "evaluate.folds",
    "evaluate.repeats",
    "evaluate.nested",
    "evaluate.share",
    "train.epochs",
    "train.batch_size",
    "train.clip",
    "train.report_every",
    "train.warm_up",
    "train.stop.patience",
    "train.stop.target",
    "train.stop.minimum_change",
    "train.stop.gradient_norm",
    "train.stop.validation",
    "train.average.ema",
    "train.average.swa",
    "train.optimizer.learning_rate",
    "compress.keep.accuracy",
    "compress.keep_lift",
    "compress.fixed_point.factor",
    "serve.port",
    "serve.concurrency",
    "serve.max_rows",
    "evaluate.search.trials",
    "evaluate.search.first_trials",
    "build.hidden",
    "build.size",
    "budget.time",
    "budget.memory",
    "budget.disk",
    "serve.max_body",
)
NEEDED = {
    "train.optimizer": {"name": "adam"},
    "evaluate.search": {"trials": 2},
    "compress.fixed_point": {"factor": 4},
}


def recipe(key: str, number: str) -> str:
    """JSON, which is YAML, with the number as it is written."""
    whole = json.loads(json.dumps(BASE))
    target, path = whole, key.split(".")
    for at, part in enumerate(path[:-1]):
        target = target.setdefault(part, dict(NEEDED.get(".".join(path[: at + 1]), {})))
    target[path[-1]] = "NUMBER"
    text = f'"{number}GiB"' if key in ("budget.memory", "budget.disk", "serve.max_body") else number
    text = (
        f'"{number}h"' if key == "budget.time" else f"[{number}]" if key == "build.hidden" else text
    )
    return json.dumps(whole).replace('"NUMBER"', text)


def ends_in_words(folder: Path, key: str, number: str) -> bool:
    """Whether it is refused; raises what is no SixfoldError."""
    (folder / "r.yaml").write_text(recipe(key, number))
    if problems(folder / "r.yaml"):
        return True
    try:
        found, notes = _beyond(load(folder / "r.yaml"))
    except SixfoldError as error:
        found, notes = [error], []
    assert found or notes
    return bool(found)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = "".join(f"{n},{n % 3},{'yes' if n % 2 else 'no'}\n" for n in range(60))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("key", ["evaluate.folds", "data.holdout"])
def test_some_extreme_numbers(folder: Path, key: str) -> None:
    assert ends_in_words(folder, key, LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_every_extreme_number(folder: Path, key: str) -> None:
    refused = sum(ends_in_words(folder, key, number) for number in NUMBERS)
    assert 0 <= refused <= len(NUMBERS)
