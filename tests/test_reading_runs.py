"""From a table that has to be told how it is read to answers: marks, no header, a second file as
the holdout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from sixfold import api
from sixfold.bundle.load import load
from sixfold.bundle.verify import verify
from sixfold.cli import group
from sixfold.core.errors import RecipeError
from sixfold.pipeline import Run

CASES = Path(__file__).parents[2] / "shared" / "cases"
RNG = np.random.default_rng(11)
PRICE = RNG.uniform(100, 50_000, 240).round(2)
Z = RNG.integers(0, 9, 240)
Y = (0.02 * PRICE + 10 * Z + RNG.normal(size=240)).round(3)


def run(folder: Path, text: str, name: str = "t.csv", **data: Any) -> Run:
    (folder / name).write_text(text)
    section = {"source": str(folder / name), "target": "y", **data}
    recipe = {"data": section, "build": {"family": "linear"}, "evaluate": {"folds": 3}}
    return api.run(recipe, folder / f"run-{len(list(folder.iterdir()))}")


def score(done: Run) -> float | None:
    return next(quality.holdout_after for quality in done.receipt.quality if quality.metric == "r2")


def test_marks_from_training_to_serving(tmp_path: Path) -> None:
    plain = run(
        tmp_path,
        "price,z,y\n" + "".join(f"{p},{z},{y}\n" for p, z, y in zip(PRICE, Z, Y, strict=True)),
    )
    text = "price;z;y\n" + "".join(
        f"$ {p:_.2f};{z};{y}\n".replace(".", ",").replace("_", ".")
        for p, z, y in zip(PRICE, Z, Y, strict=True)
    )
    read = {"decimal": ",", "thousands": ".", "strip": ["$"]}
    marked = run(tmp_path, text, separator=";", read=read)
    assert score(marked) == score(plain)
    assert score(plain) > 0.99  # type: ignore[operator]
    verify(marked.bundle)
    bundle = load(marked.bundle)
    rows = [
        {"price": "$ 1.234,50", "z": "3"},
        {"price": 1234.5, "z": 3},
        {"price": "1234,5", "z": np.int64(3)},
    ]
    answers = bundle.predict(rows).values
    assert answers is not None
    assert len(set(answers[:, 0].tolist())) == 1
    assert load(plain.bundle).predict([{"price": 1234.5, "z": 3}]).values == pytest.approx(
        answers[:1]
    )


@pytest.mark.slow
def test_a_file_of_test_rows_changes_the_scores_and_nothing_else(tmp_path: Path) -> None:
    lines = [f"{p},{'abc'[z % 3]},{y}\n" for p, z, y in zip(PRICE, Z, Y, strict=True)]
    (tmp_path / "h.csv").write_text("price,z,y\n" + "".join(lines[200:]))
    train = "price,z,y\n" + "".join(lines[:200])
    first = run(tmp_path, train, test=str(tmp_path / "h.csv"))
    assert (first.receipt.rows_trained, first.receipt.rows_holdout) == (200, 40)
    assert any(
        f"all rows of {tmp_path / 'h.csv'} (data.test)" in text for text in first.receipt.how
    )
    (tmp_path / "h.csv").write_text("price,z,y\n1,never,2\n3,aa,4\n")
    again = api.run(
        {
            "data": {
                "source": str(tmp_path / "t.csv"),
                "target": "y",
                "test": str(tmp_path / "h.csv"),
            },
            "build": {"family": "linear"},
            "evaluate": {"folds": 3},
        },
        first.folder,
    )
    assert (again.receipt.rows_trained, again.receipt.rows_holdout) == (200, 2)
    assert score(again) != score(first)
    other = run(tmp_path, train, holdout=0)
    assert [(b / "model.onnx").read_bytes() for b in (again.bundle, other.bundle)] == [
        (other.bundle / "model.onnx").read_bytes()
    ] * 2
    with pytest.raises(RecipeError, match=r"data.test: expected a training table that is a file"):
        import pandas as pd

        api.fit(pd.read_csv(tmp_path / "t.csv"), "y", data={"test": str(tmp_path / "h.csv")})


def test_init_of_a_file_without_a_header_and_with_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(
        "".join(
            f"{p},{'?' if i % 4 == 0 else z},${y}\n"
            for i, (p, z, y) in enumerate(zip(PRICE, Z, abs(Y), strict=True))
        )
    )
    Path("h.csv").write_text("a,b,c\n" + Path("t.csv").read_text())
    for arguments in (
        ["t.csv", "--target", "column_1"],
        ["t.csv", "--target", f"{PRICE[0]}", "--force"],
    ):
        done = CliRunner().invoke(group, ["init", *arguments])
        assert done.exit_code == 0, done.output
        data = yaml.safe_load(Path("t.yaml").read_text())["data"]
        assert (data["header"], data["target"]) == (False, "column_1")
    text = Path("t.yaml").read_text()
    assert '# read: {"columns": {"column_3": {"strip": ["$"]}}}' in text
    assert '# missing: ["?", "", "NA"' in text
    assert CliRunner().invoke(group, ["check", "t.yaml"]).exit_code == 0
    done = CliRunner().invoke(
        group, ["check", "t.yaml", "--json", "--set", "data.test=h.csv", "--set", "data.holdout=0"]
    )
    assert json.loads(done.output)["problems"] != []


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are absent")
@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("04_clean", {}, 0.995),
        ("04_qmark30", {"missing": ["?", ""]}, 0.56),
        (
            "04_currency",
            {"read": {"columns": {"price": {"thousands": ",", "strip": ["$"]}}}},
            0.995,
        ),
        ("04_currency", {"read": {"thousands": ",", "strip": ["$"]}}, 0.995),
    ],
)
def test_the_shared_cases(tmp_path: Path, name: str, data: dict[str, Any], expected: float) -> None:
    text = (CASES / f"{name}.csv").read_text()
    done = run(tmp_path, text, **data)
    assert done.warnings == ()
    assert score(done) == pytest.approx(expected, abs=0.03)
