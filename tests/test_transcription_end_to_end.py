"""A table of recordings and texts, from the recipe to answers about raw files: folds, holdout, receipt, report,
bundle, int8; what is refused.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import sixfold
import tiny_sounds
from sixfold import pipeline
from sixfold.bundle.manifest import PARITY
from sixfold.bundle.parity import unpack
from sixfold.bundle.verify import verify
from sixfold.cli import group
from sixfold.core.errors import DataError, RecipeError
from sixfold.data.load import load as load_data
from sixfold.data.sources.sounds import sung
from sixfold.parts.transcripts import texts_of
from sixfold.recipe import load
from sixfold.recipe.report import Report
from sixfold.recipe.schema import Data

TEXTS = [("ae", "ea", "a e", "e", "aa")[number % 5] for number in range(30)]
SMALL = "{family: ctc, bands: 16, size: nano, decode: beam, beam: 4}"


def table(folder: Path, texts: list[str] = TEXTS, more: str = "") -> None:
    lines = ["clip,said"]
    for number, text in enumerate(texts):
        path = folder / f"{number}.wav"
        tones = "".join(letter if letter in "ae " else "a" for letter in text)
        path.write_bytes(tiny_sounds.wav(0.8 * sung(tones, number)))
        lines.append(f"{path.name},{text}")
    (folder / "said.csv").write_text("\n".join(lines) + "\n" + more)


def run(folder: Path, build: str = SMALL, more: str = "") -> Any:
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "task: transcription\ndata: {source: said.csv, target: said, holdout: 5}\n"
        f"build: {build}\ntrain: {{epochs: 2, batch_size: 8}}\n"
        f"evaluate: {{folds: 2}}\nbudget: {{memory: 4GiB}}\n{more}"
    )
    return pipeline.run(load.load(recipe), folder / "run")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("said")
    table(folder)
    run(folder, more="compress: {keep: {word_error_rate: 1.0}, quantize: {activations: static}}\n")
    return folder


@pytest.mark.slow
def test_recordings_are_learned_served_and_verified(done: Path) -> None:
    bundle = sixfold.load(done / "run" / "bundle")
    assert bundle.signature.task == "transcription"
    assert [(one.name, one.type) for one in bundle.signature.inputs] == [("clip", "audio")]
    qualities = {one.metric: one for one in bundle.receipt.quality}
    assert list(qualities) == ["word_error_rate", "character_error_rate"]
    assert all(one.baseline == 1.0 for one in qualities.values())  # who says nothing
    assert all(len(one.folds_before) == 2 for one in qualities.values())
    assert bundle.receipt.rows_holdout == 5
    assert [step.name for step in bundle.receipt.steps] == ["quantize int8 static"]
    assert any("parity" in sentence for sentence in verify(bundle.path))
    content = (done / "0.wav").read_bytes()
    texts = bundle.predict([{"clip": str(done / "0.wav")}, {"clip": content}]).columns()["text"]
    assert texts[0] == texts[1]
    assert set("".join(texts)) <= set("ae ")
    asked = ["predict", str(bundle.path), str(done / "said.csv"), "--out", str(done / "heard.csv")]
    told = CliRunner().invoke(group, asked)
    assert told.exit_code == 0, told.output
    heard = (done / "heard.csv").read_text().splitlines()
    assert len(heard) == 31 and heard[0].split(",")[-1] == "text"


@pytest.mark.slow
def test_the_run_tells_of_its_texts(done: Path) -> None:
    (stored,) = (done / "run").rglob("out_of_fold.parquet")
    found = pq.read_table(stored).to_pydict()
    (name,) = [key for key in found if key.endswith(": text")]
    assert len(found["target"]) == 25 and set(found["target"]) <= set(TEXTS)
    assert all(isinstance(text, str) for text in found[name])
    page = (done / "run" / "bundle" / "report.html").read_text()
    assert "saying nothing" in page and 'src="data:audio/mpeg;base64,' in page


@pytest.mark.slow
def test_the_report_shows_where_it_is_said(done: Path) -> None:
    """By the served model, of stored rows in which it hears something."""
    bundle = done / "run" / "bundle"
    found = Report.model_validate_json((bundle / "report.json").read_text()).explained
    heard = [
        text for text in sixfold.load(bundle).predict(_stored(bundle)).columns()["text"] if text
    ]
    assert bool(heard) == (found is not None)
    assert found is not None
    assert found.scale == "log-probability"
    assert [one.output for one in found.examples] == heard[: len(found.examples)]
    assert all(piece.kind == "audio" for one in found.examples for piece in one.pieces)
    assert found.faithfulness.startswith("Faithfulness over ")
    assert found.faithfulness in html.unescape((bundle / "report.html").read_text())


def _stored(bundle: Path) -> list[dict[str, str]]:
    signature = sixfold.load(bundle).signature
    return list(unpack((bundle / PARITY).read_bytes(), PARITY, signature).rows)[:12]


def test_texts_are_read_as_they_stand(tmp_path: Path) -> None:
    """Texts of digits stay texts: 07 is not 7, and 1.0 is not 1."""
    table(tmp_path, ["07", "7", "1.0", "1", "  a   b "], "absent.wav,\n")
    (tmp_path / "absent.wav").write_bytes(tiny_sounds.wav(np.zeros(800)))
    data = load_data(Data(source="said.csv", target="said"), "transcription", tmp_path)
    assert texts_of(data.target.values) == ["07", "7", "1.0", "1", "a b"]
    assert data.target.outputs == 3
    assert any("1 row has no target and is left out" in note for note in data.notes)
    told = [note for note in data.notes if "is predicted: transcription" in note]
    assert told == [
        "'said' is predicted: transcription, 5 different texts of 7 characters, 3 long at most."
    ]


@pytest.mark.parametrize(
    ("texts", "message"), [(["", ""], "no value at all"), (["a" * 5_000, "b"], "4,000 characters")]
)
def test_texts_that_cannot_be_learned_are_refused(
    tmp_path: Path, texts: list[str], message: str
) -> None:
    lines = [f"{number}.wav,{text}" for number, text in enumerate(texts)]
    (tmp_path / "said.csv").write_text("\n".join(["clip,said", *lines]) + "\n")
    with pytest.raises(DataError, match=message):
        load_data(Data(source="said.csv", target="said"), "transcription", tmp_path)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("linear", "families for transcription; found 'linear'"),
        ("audio_cnn", "families for transcription; found 'audio_cnn'"),
    ],
)
def test_other_families_are_refused(tmp_path: Path, build: str, message: str) -> None:
    table(tmp_path, ["a", "e", "ae", "ea"])
    with pytest.raises(RecipeError, match=message):
        run(tmp_path, build)


def test_columns_beside_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(
        "length,said\n" + "".join(f"{n}.5,text {n}\n" for n in range(30))
    )
    with pytest.raises(RecipeError, match=r"build, ctc: expected samples.*found numbers"):
        run(tmp_path)


def test_the_recipe_of_the_tutorial_hears(tmp_path: Path, monkeypatch: Any) -> None:
    """Its source: words of tones, the same ones every time."""
    monkeypatch.setenv("HOME", str(tmp_path))
    data = load_data(Data(source="sounds:tones", target="text"), "transcription", tmp_path)
    assert data.table.rows == 240 and list(data.table.columns) == ["audio"]
    assert set("".join(texts_of(data.target.values))) == set(" abcde")


def test_init_writes_a_recipe_that_can_be_read(tmp_path: Path, monkeypatch: Any) -> None:
    table(tmp_path, TEXTS[:12])
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(
        group, ["init", "said.csv", "--task", "transcription", "--target", "said"]
    )
    assert told.exit_code == 0, told.output
    recipe = load.load(tmp_path / "said.yaml").recipe
    assert (recipe.task_name, recipe.data.target) == ("transcription", "said")
    assert [options["family"] for options in recipe.model_dump()["build"]] == ["ctc"]
    assert recipe.evaluate.metrics == ("word_error_rate", "character_error_rate")
