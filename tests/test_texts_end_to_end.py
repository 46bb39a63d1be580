"""A column of text, from the recipe to the answer: alone and beside other columns, in families that
take rows sparse or not.
"""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sixfold
import tiny_bert
import tiny_checkpoints
from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.cli import check
from sixfold.core.errors import FitError
from sixfold.parts import checkpoint
from sixfold.recipe import load
from sixfold.recipe.report import ExampleList, Report

GOOD = ["great", "lovely", "fine", "superb", "café", "😀"]
BAD = ["awful", "broken", "poor", "sad", "naïve", "💔"]
FILLER = ["the", "shop", "was", "and", "it", "came", "on", "monday", "with", "a", "box"]
ODD = [
    "",
    " ",
    "\ud800",
    "GREAT LOVELY CAFE\u0301",
    "x" * 200_000,
    "great\u200b lovely",
    "مرحبا",
    "\x00\x07",
]


def write(path: Path, rows: int = 120) -> None:
    rng = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars", "town", "kind"])
        for row in range(rows):
            words = rng.choices(FILLER, k=9) + rng.choices(GOOD if row % 2 else BAD, k=3)
            rng.shuffle(words)
            text = " ".join(words) if row % 17 else ""
            writer.writerow(
                [text, rng.random(), rng.choice(["Bern", "Riga"]), "good" if row % 2 else "bad"]
            )


def run(tmp_path: Path, family: str, drop: str = "[]") -> Path:
    write(tmp_path / "reviews.csv")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{source: reviews.csv, target: kind, drop: {drop}}}\nbuild: {family}\n"
        "evaluate: {folds: 3, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    return pipeline.run(load.load(recipe), tmp_path / "run").bundle


@pytest.mark.parametrize(
    ("family", "drop"),
    [
        pytest.param("{family: svm, kernel: linear}", "[stars, town]", marks=pytest.mark.slow),
        ("{family: linear, C: 10}", "[]"),
        pytest.param("tree", "[]", marks=pytest.mark.slow),
        pytest.param("{family: text_cnn, size: nano}", "[stars, town]", marks=pytest.mark.slow),
        pytest.param("{family: text_encoder, size: nano}", "[stars, town]", marks=pytest.mark.slow),
    ],
)
def test_texts_are_learned_served_and_verified(tmp_path: Path, family: str, drop: str) -> None:
    bundle = sixfold.load(run(tmp_path, family, drop))
    assert np.mean(bundle.receipt.quality[0].folds_before) > 0.7
    assert any("parity" in sentence for sentence in verify(bundle.path))
    own = {"review": "", "stars": 0.5, "town": "Bern"}
    asked = [{**own, "review": text} for text in ODD]
    together = bundle.predict(asked).outputs
    alone = [bundle.predict([row]).outputs for row in asked]
    for name, array in together.items():
        if name != "label":
            np.testing.assert_allclose(
                np.concatenate([one[name] for one in alone]), array, rtol=0, atol=1e-6
            )
    labels = bundle.predict(
        [{**own, "review": text} for text in ("GREAT lovely cafe\u0301", "awful sad\u200b broken")]
    ).labels
    assert list(labels) == ["good", "bad"]
    composed, decomposed = (
        {**own, "review": text} for text in ("caf\u00e9 great", "cafe\u0301 great")
    )
    np.testing.assert_array_equal(
        *(bundle.predict([row]).outputs["label"] for row in (composed, decomposed))
    )


def test_the_report_shows_texts(tmp_path: Path) -> None:
    bundle = run(tmp_path, "{family: linear, C: 10}")
    report = Report.model_validate_json((bundle / "report.json").read_text())
    unsure = next(each for each in report.examples if each.kind == "unsure")
    assert [value.column for value in unsure.examples[0].values] == [
        "review",
        *unsure_others(unsure),
    ]
    page = (bundle / "report.html").read_text()
    assert all(example.values[0].text in page for example in unsure.examples)


def unsure_others(found: ExampleList) -> list[str]:
    """The columns beside the text; stars and towns are noise, in either order."""
    others = [value.column for value in found.examples[0].values[1:]]
    assert sorted(others) == ["stars", "town"]
    return others


@pytest.mark.slow
def test_embeddings_stand_beside_other_columns_and_the_encoder_in_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_bert.write(tmp_path / "bert")
    write(tmp_path / "reviews.csv")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: {source: reviews.csv, target: kind, types: {review: text}}\n"
        "prepare: {features: {text: {name: embedding, checkpoint: bert, length: 32}}}\n"
        "build: [{family: linear, C: 10}, {family: linear, C: 100}]\n"
        "evaluate: {folds: 2, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    bundle = sixfold.load(pipeline.run(load.load(recipe), tmp_path / "run").bundle)
    weights = (folder / "model.safetensors").stat().st_size
    assert weights < (bundle.path / "model.onnx").stat().st_size < weights + 60_000
    states = [
        file for file in (tmp_path / "run").rglob("state.safetensors") if "bundle" not in file.parts
    ]
    assert states and max(file.stat().st_size for file in states) < weights / 2
    shutil.rmtree(folder)
    asked = [{"review": text, "stars": 0.5, "town": "Bern"} for text in ODD]
    assert len(sixfold.load(bundle.path).predict(asked).labels) == len(ODD)
    assert any("parity" in sentence for sentence in verify(bundle.path))


def tuned_run(tmp_path: Path, prepare: str = "") -> tuple[load.Loaded, Path]:
    """A recipe that fine-tunes a tiny checkpoint by adapters, and the folder of its run."""
    write(tmp_path / "reviews.csv", 60)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{source: reviews.csv, target: kind, drop: [stars, town]}}\n{prepare}"
        "build: {family: text_encoder, checkpoint: bert, adapt: lora, rank: 4}\n"
        "train: {epochs: 2}\nevaluate: {folds: 2, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    return load.load(recipe), tmp_path / "run"


@pytest.mark.slow
def test_a_fine_tuned_checkpoint_answers_raw_texts_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_checkpoints.write(tmp_path / "bert")
    bundle = pipeline.run(*tuned_run(tmp_path)).bundle
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert f"SHA-256 {checkpoint.digest(folder)[:12]}" in events and "pooler.dense.weight" in events
    shutil.rmtree(folder)
    found = sixfold.load(bundle)
    asked = [{"review": text} for text in ODD]
    together = found.predict(asked).outputs
    alone = np.concatenate([found.predict([row]).outputs["probability"] for row in asked])
    np.testing.assert_allclose(alone, together["probability"], rtol=0, atol=1e-6)
    assert any("parity" in sentence for sentence in verify(found.path))


def test_tokens_of_another_tokenizer_are_refused_before_a_run_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_checkpoints.write(tmp_path / "bert")
    loaded, out = tuned_run(tmp_path, "prepare: {features: {text: {name: tokens, size: 300}}}\n")
    problem = "expected the tokens of bert; found tokens that were learned"
    checked = CliRunner().invoke(check.command, ["recipe.yaml"])
    assert checked.exit_code == FitError.exit_code and problem in checked.output
    with pytest.raises(FitError, match=problem):
        pipeline.run(loaded, out)
    assert '"epoch"' not in (out / "events.jsonl").read_text()
