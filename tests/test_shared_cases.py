"""The reported cases themselves, run to the end: the files, and the right answers, that the tests
of their kinds stand for.

Each kind has a test of its own on made data (test_one_identity, test_nearly, test_row_numbers,
test_lift, …); these skip where the files are not on the machine.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sixfold
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.stream import predict_file
from sixfold.bundle.verify import verify
from sixfold.pipeline import Run
from sixfold.recipe import load as recipe_load

CASES = Path(__file__).parents[2] / "shared" / "cases"
TABLES = CASES.parent / "data" / "tables"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not on this machine"),
]
LINEAR = {"family": "linear", "C": 1.0}
BOOSTING = {"family": "boosting", "rounds": 60}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run(file: str, target: str, build: str, data: str = "{}", compress: str = "null") -> Run:
        recipe = {
            "version": 1,
            "name": "case",
            "build": json.loads(build),
            "compress": json.loads(compress),
            "data": {"source": str(CASES / file), "target": target, **json.loads(data)},
        }
        out = tmp_path_factory.mktemp("case") / "run"
        return sixfold.pipeline.run(
            recipe_load.from_object({k: v for k, v in recipe.items() if v is not None}), out
        )

    def of(
        file: str, target: str, build: Any = LINEAR, data: Any = None, compress: Any = None
    ) -> Run:
        return run(file, target, json.dumps(build), json.dumps(data or {}), json.dumps(compress))

    return of


def folds(run: Run, metric: str) -> float:
    return float(
        np.mean(next(one.folds_after for one in run.receipt.quality if one.metric == metric))
    )


def second(bundle: Bundle, rows: Any) -> list[float]:
    found = bundle.predict(rows).probabilities
    assert found is not None
    return found[:, 1].tolist()


def of_file(run: Run, name: str, tmp_path: Path) -> list[float]:
    """The probability of the second class, of every row of a file, by `predict`."""
    bundle = load(run.bundle)
    predict_file(bundle, CASES / name, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        return [
            float(row[f"probability_{bundle.signature.classes[1]}"]) for row in csv.DictReader(file)
        ]


def test_a_category_of_numbers_whichever_it_was_trained_on(ran: Any, tmp_path: Path) -> None:
    answers = []
    for trained in ("12_train.csv", "12_trainf.csv"):
        run = ran(trained, "y", LINEAR, {"types": {"zone": "category"}})
        answers.append(of_file(run, "12_new.csv", tmp_path))
        bundle, frame = load(run.bundle), pd.read_csv(CASES / "12_new.csv")
        for rows in (
            frame,
            frame.astype({"zone": "Int64"}),
            frame.to_dict("records"),
            frame.astype(str),
        ):
            np.testing.assert_allclose(second(bundle, rows), answers[-1], atol=1e-12)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-12)
    assert answers[0][0] > 0.85  # 0.905; 0.562 where the zone is not known
    assert answers[0][1] < 0.25  # 0.144; 0.551


def test_ids_of_18_digits(ran: Any, tmp_path: Path) -> None:
    run = ran("08_campaign.csv", "y", LINEAR, {"types": {"campaign": "category"}})
    answers = [of_file(run, f"08_rows.{form}", tmp_path) for form in ("csv", "jsonl", "parquet")]
    frame = pd.read_csv(CASES / "08_rows.csv")
    answers += [second(load(run.bundle), rows) for rows in (frame, frame.to_dict("records"))]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-12)
    first, other, unknown = answers[0]
    assert abs(first - unknown) > 0.25  # 0.961, 0.064 and 0.572: three campaigns, not one
    assert abs(other - unknown) > 0.25
    assert min(first, other) < 0.2


@pytest.mark.parametrize(("file", "name"), [("06_bigclass.csv", "y"), ("06_version.csv", "y")])
def test_classes_that_differ_as_text_stay_apart(ran: Any, file: str, name: str) -> None:
    texts = sorted(set(pd.read_csv(CASES / file, dtype=str)[name]))
    run = ran(file, name, LINEAR, {"types": {name: "category"}})
    assert sorted(load(run.bundle).signature.classes) == texts


def test_codes_with_leading_zeros(ran: Any) -> None:
    bundle = load(ran("06_zip.csv", "y", LINEAR, {"types": {"v": "category"}}).bundle)
    column = next(one for one in bundle.signature.inputs if one.name == "v")
    texts = set(pd.read_csv(CASES / "06_zip.csv", dtype=str)["v"])
    assert (set(column.levels) <= texts, column.level_type) == (True, "text")
    assert any(level.startswith("0") for level in column.levels)


def test_letters_are_codes_and_no_truths(ran: Any) -> None:
    letters, words = (
        folds(ran(f"05_bool_{form}.csv", "y"), "accuracy") for form in ("letters", "words")
    )
    assert letters == pytest.approx(words, abs=0.02)
    assert letters > 0.8  # 0.873; 0.535 as booleans


def test_seconds_since_1970(ran: Any) -> None:
    assert (
        folds(ran("33_epoch.csv", "state", BOOSTING), "accuracy") > 0.975
    )  # 0.984; 0.768 in float32


def test_numbers_with_marks_and_one_token_for_missing(ran: Any) -> None:
    read = {"read": {"columns": {"price": {"thousands": ",", "strip": ["$"]}}}}
    marked = ran("04_currency.csv", "y", LINEAR, {"read": {"thousands": ",", "strip": ["$"]}})
    assert folds(marked, "r2") == pytest.approx(folds(ran("04_clean.csv", "y"), "r2"), abs=1e-6)
    assert folds(ran("04_currency.csv", "y", LINEAR, read), "r2") > 0.98
    without = ran("04_currency.csv", "y")
    assert any("data.read" in text or "read:" in text for text in without.warnings), (
        without.warnings
    )
    assert (
        folds(ran("04_qmark30.csv", "y", LINEAR, {"missing": ["", "?"]}), "r2") > 0.5
    )  # 0.56 by default; -0.59 as levels
    assert any("missing" in text and "'?'" in text for text in ran("04_qmark30.csv", "y").warnings)


def test_compression_leaves_the_rare_class(ran: Any) -> None:
    run = ran(
        "20_imbalance.csv",
        "fraud",
        BOOSTING,
        None,
        {"keep": {"accuracy": -0.01}, "prune": {"target": "features"}},
    )
    quality = {one.metric: one for one in run.receipt.quality}
    roc = quality["roc_auc"]
    assert np.mean(roc.folds_after) - 0.5 >= 0.9 * (np.mean(roc.folds_before) - 0.5)
    assert next(iter(quality)) != "accuracy"


@pytest.mark.parametrize("file", ["22_unnamed.csv", "22_index.parquet"])
def test_a_row_number_is_no_feature(ran: Any, file: str) -> None:
    run = ran(file, "species", {"family": "tree"})
    names = [one.name for one in load(run.bundle).signature.inputs]
    assert not any(name.startswith(("Unnamed", "__index", "index")) for name in names)
    assert folds(run, "accuracy") < 0.7  # noise: 1.0 with the row's number


def test_equal_rows_stay_on_one_side(ran: Any) -> None:
    run = ran("27_dups.csv", "y", {"family": "forest", "trees": 60})
    assert folds(run, "accuracy") < 0.7  # 1.0 where a row's double is among the training rows
    assert any("400 rows equal" in text for text in run.warnings)


def test_whole_groups_are_watched(ran: Any) -> None:
    run = ran("19_groups.csv", "y", {"family": "boosting"}, {"group": "patient"})
    assert folds(run, "r2") > -0.33  # -0.40 where rows of the same patients are watched


def test_columns_called_value_and_input_value(ran: Any, tmp_path: Path) -> None:
    run = ran("11_value.csv", "y")
    answers = [of_file(run, f"11_value.{form}", tmp_path) for form in ("csv", "jsonl", "parquet")]
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])
    frame = pd.read_csv(CASES / "11_value.csv")
    found = load(run.bundle).predict(frame).labels
    assert np.mean(np.asarray(found) == frame["y"]) > 0.8
    assert any("3 inputs" in text for text in verify(run.bundle))


@pytest.mark.parametrize(
    ("file", "build"), [("23_cls.csv", LINEAR), ("23_reg.csv", {"family": "linear", "alpha": 1.0})]
)
def test_answers_beyond_all_numbers_are_json(
    ran: Any, tmp_path: Path, file: str, build: Any
) -> None:
    run = ran(file, "y", build)
    predict_file(load(run.bundle), CASES / "23_ext.csv", tmp_path / "out.jsonl")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len([json.loads(line, parse_constant=refuse) for line in lines]) == len(
        pd.read_csv(CASES / "23_ext.csv")
    )


def test_a_class_of_two_rows_stops_no_run(tmp_path: Path) -> None:
    if not TABLES.is_dir():
        pytest.skip(f"{TABLES} is not on this machine")
    recipe = recipe_load.from_object(
        {
            "version": 1,
            "name": "ecoli",
            "build": LINEAR,
            "data": {
                "source": str(next(TABLES.glob("ecoli*"))),
                "header": False,
                "target": "column_8",
            },
        }
    )
    run = sixfold.pipeline.run(recipe, tmp_path / "run")
    assert folds(run, "accuracy") > 0.8
