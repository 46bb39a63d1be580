"""A run's bundle explains its answers, and its report says what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sixfold
from sixfold.bundle.explain import stored as stored_file
from sixfold.bundle.explain.report_limits import MOST_S
from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.explain.told import explanations
from sixfold.bundle.manifest import EXPLAIN
from sixfold.bundle.verify import verify

ROWS = 240


@pytest.fixture(autouse=True)
def _all_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as users have."""
    monkeypatch.setattr("sixfold.package.explanation.MOST_S", MOST_S)


def frame() -> pd.DataFrame:
    """The answer is `size` but for the rows of kind c, where it is a coin's."""
    generator = np.random.default_rng(0)
    kind = generator.choice(["a", "b", "c"], ROWS)
    size = generator.normal(size=ROWS)
    label = np.where(kind == "c", generator.random(ROWS) < 0.5, size > 0)
    empty = np.where(generator.random(ROWS) < 0.1, np.nan, generator.normal(size=ROWS))
    return pd.DataFrame(
        {"size": size, "kind": kind, "noise": empty, "y": np.where(label, "yes", "no")}
    )


def run(folder: Path, **options: Any) -> Path:
    settings = {"data": {"holdout": 0}, "evaluate": {"folds": 2}, **options}
    return sixfold.fit(frame(), target="y", out=folder / "run", **settings).bundle


@pytest.mark.parametrize(
    ("build", "method", "scale"),
    [
        ({"family": "linear"}, "linear", "log-odds"),
        ({"family": "tree"}, "trees", "probability"),
        ({"family": "boosting", "rounds": 20}, "trees", "log-odds"),
    ],
)
def test_a_bundle_explains_its_own_answers(
    build: dict[str, Any], method: str, scale: str, tmp_path: Path
) -> None:
    place = run(tmp_path, build=build)
    bundle, rows = sixfold.load(place), frame().drop(columns="y").head(30)
    found = bundle.explain(rows)
    assert (found.method, found.scale) == (method, scale)
    total = found.base + found.contributions.sum(axis=1)
    probability = bundle.predict(rows).probabilities
    answers = 1 / (1 + np.exp(-total)) if scale == "log-odds" else total
    np.testing.assert_allclose(answers, probability, atol=1e-6)
    size = np.abs(found.contributions[:, :, 1]).mean(axis=0)
    assert found.columns[int(size.argmax())] == "size"
    assert verify(place)[-1].endswith("attributions add up to the answers")

    told = json.loads((place / "report.json").read_text())
    assert told["explained"]["columns"][0]["column"] == "size"
    assert told["explained"]["faithfulness"].startswith("Faithfulness over")
    assert told["explained"]["dependences"][0]["column"] == "size"
    pairs = {frozenset((each["one"], each["other"])): each for each in told["explained"]["pairs"]}
    assert set(map(len, pairs)) == {2}
    tree = told["explained"]["surrogate"]
    assert tree["measure"] == "accuracy"
    assert tree["fidelity"] > tree["plain"]
    assert tree["nodes"][1]["text"].startswith("size ≤ ")
    assert tree["nodes"][0]["rows"] == tree["rows"]
    assert sum(each["rows"] for each in tree["nodes"] if each["is_leaf"]) == tree["rows"]
    assert told["cohorts"]["tried"] > 3
    assert any("kind = c" in one["text"] for one in told["cohorts"]["worst"])


def test_features_of_several_columns_and_ensembles_are_sampled(tmp_path: Path) -> None:
    reduced = {"features": {"reduce": {"name": "pca", "components": 2}}}
    bundle = sixfold.load(run(tmp_path, build={"family": "linear"}, prepare=reduced))
    assert bundle.explainer.not_exact == "features that are made of several columns"
    found = bundle.explain(frame().head(1))
    assert found.method == "sampled"
    assert found.columns == ("size", "kind", "noise")


def test_a_bundle_is_written_where_attributions_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Stored.packed

    def wrong(self: Stored) -> bytes:
        if "bias" in self.arrays:
            self.arrays["bias"] = self.arrays["bias"] + 5.0
        return whole(self)

    monkeypatch.setattr(Stored, "packed", wrong)
    place = run(tmp_path, build={"family": "linear"})
    kept = stored_file.read((place / EXPLAIN).read_bytes(), "here")
    assert kept.kind == ""
    assert 0 < kept.real <= ROWS
    assert sixfold.load(place).explain(frame().head(1)).method == "sampled"


@pytest.mark.slow
def test_a_report_of_texts_shows_what_answers_depend_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["sun", "rain", "wind", "snow", "fog", "hail", "mist", "frost"])
    texts = [" ".join(rng.choice(words, 6)) for _ in range(120)]
    labels = ["wet" if "rain" in text else "dry" for text in texts]
    place = sixfold.fit(
        pd.DataFrame({"text": texts, "y": labels}),
        target="y",
        out=tmp_path / "run",
        data={"holdout": 0, "types": {"text": "text"}},
        evaluate={"folds": 2},
        build={"family": "linear"},
    ).bundle
    told = json.loads((place / "report.json").read_text())["explained"]
    assert told["how"].startswith("occlusion")
    assert "taking words away" in told["faithfulness"]
    biggest = []
    for row in told["examples"]:
        (pieces,) = row["pieces"]
        changes = np.abs(pieces["changes"])
        if row["output"] == "wet":
            biggest.append(pieces["texts"][int(changes.argmax())].strip())
    assert set(biggest) <= {"rain"}
    assert "What answers depend on" in (place / "report.html").read_text()
    bundle = sixfold.load(place)
    text = explanations(bundle.explainer, [{"text": "sun rain fog"}], output="wet").records[0]
    changes = {each["text"].strip(): each["change"] for each in text["pieces"]["text"]["words"]}
    assert max(changes, key=lambda word: changes[word]) == "rain"
