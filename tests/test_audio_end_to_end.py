"""A folder of recordings, from the recipe to answers about raw files; folds by speaker; recordings beside
other columns; what is refused.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sixfold
import tiny_sounds
from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.core.errors import DataError, RecipeError, RowError
from sixfold.data.load import load as load_data
from sixfold.recipe import load
from sixfold.recipe.schema import Data


def run(
    tmp_path: Path, family: str, data: str = "source: tones, target: label", more: str = ""
) -> Path:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{{data}}}\nbuild: {family}\n{more}"
        "evaluate: {folds: 2, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    return pipeline.run(load.load(recipe), tmp_path / "run").bundle


@pytest.mark.parametrize(
    "family",
    [
        "{family: audio_cnn, bands: 16}\ntrain: {epochs: 8, batch_size: 16}",
        pytest.param("linear", marks=pytest.mark.slow),
    ],
    ids=["audio_cnn", "linear"],
)
def test_recordings_are_learned_served_and_verified(tmp_path: Path, family: str) -> None:
    tiny_sounds.draw(tmp_path / "tones", 80, rates=(8_000, 16_000))
    bundle = sixfold.load(run(tmp_path, family))
    assert [(column.name, column.type) for column in bundle.signature.inputs] == [
        ("audio", "audio")
    ]
    assert np.mean(bundle.receipt.quality[0].folds_before) > 0.8
    assert any("parity" in sentence for sentence in verify(bundle.path))
    file = sorted((tmp_path / "tones" / "rising").iterdir())[0]
    content = file.read_bytes()
    asked = [
        {"audio": each} for each in (str(file), file, content, base64.b64encode(content).decode())
    ]
    answers = bundle.predict(asked)
    assert list(answers.labels) == ["rising"] * 4
    assert (answers.outputs["probability"] == answers.outputs["probability"][0]).all()
    for bad in (
        b"",
        b"no sound",
        content[:500],
        "not base64!",
        None,
        3,
        str(tmp_path / "absent.wav"),
    ):
        with pytest.raises(RowError, match="row 2, column 'audio'"):
            bundle.predict([asked[0], {"audio": bad}])
    with pytest.raises(RowError):  # what the server asks: no path is ever read
        bundle.predictor.predict([{"audio": str(file)}])
    html = (bundle.path / "report.html").read_text()
    assert 'src="data:audio/mpeg;base64,' in html and "media-src data:" in html


@pytest.mark.slow
def test_a_small_network_is_in_the_bundle(tmp_path: Path) -> None:
    tiny_sounds.draw(tmp_path / "tones", 80)
    more = "compress: {keep: {accuracy: -0.2}, prune: {target: channels, epochs: 4}, quantize: {activations: static}}\n"
    family = "{family: audio_cnn, bands: 16}\ntrain: {epochs: 8, batch_size: 16}"
    bundle = sixfold.load(run(tmp_path, family, more=more))
    steps = {step.name: step for step in bundle.receipt.steps}
    assert steps["prune channels"].accepted, steps
    assert "multiply-adds of a recording" in steps["prune channels"].why
    assert any("parity" in sentence for sentence in verify(bundle.path))


GROUPED = "source: tones, target: label, group: audio, group_pattern: '^(?P<group>[a-z]+)_'"


def test_speakers_in_names_of_files_stay_on_one_side(tmp_path: Path) -> None:
    tiny_sounds.draw(tmp_path / "tones", 40)
    data = {"source": "tones", "target": "label", "group": "audio"}
    found = load_data(Data(**data, group_pattern="^(?P<group>[a-z]+)_"), "classification", tmp_path)
    assert found.groups is not None
    speakers = [Path(path).name.split("_")[0] for path in found.table.columns["audio"].strings()]
    pairs = set(zip(speakers, found.groups.tolist(), strict=True))
    assert len(pairs) == len(tiny_sounds.SPEAKERS) == len(set(found.groups.tolist()))
    with pytest.raises(DataError, match=r"a text in which data\.group_pattern finds a group"):
        load_data(Data(**data, group_pattern="^(?P<group>ann)_"), "classification", tmp_path)


@pytest.mark.slow
def test_a_bundle_of_grouped_folds_takes_the_recordings(tmp_path: Path) -> None:
    tiny_sounds.draw(tmp_path / "tones", 40)
    bundle = sixfold.load(run(tmp_path, "linear", GROUPED))
    assert [column.name for column in bundle.signature.inputs] == ["audio"]
    assert any("parity" in sentence for sentence in verify(bundle.path))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "a regular expression; found"), ("^[a-z]+_", "a part that is called group")],
)
def test_a_pattern_that_finds_no_group_is_refused(
    tmp_path: Path, pattern: str, message: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(
        f"data: {{source: tones, target: label, group: audio, group_pattern: '{pattern}'}}\nbuild: linear\n"
    )
    with pytest.raises(RecipeError, match=message):
        load.load(tmp_path / "recipe.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_recordings_beside_other_columns(tmp_path: Path, form: str) -> None:
    files = sorted(tiny_sounds.draw(tmp_path / "tones", 40))
    labels, weights = [file.parent.name for file in files], [n % 7 for n in range(40)]
    columns: dict[str, Any] = {"weight": weights, "label": labels}
    if form == "parquet":
        columns["sound"] = [file.read_bytes() for file in files]
        pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    else:
        columns["sound"] = [str(file.relative_to(tmp_path)) for file in files]
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    bundle = sixfold.load(run(tmp_path, "linear", f"source: table.{form}, target: label"))
    types = {column.name: column.type for column in bundle.signature.inputs}
    assert types == {"sound": "audio", "weight": "number"}
    assert any("parity" in sentence for sentence in verify(bundle.path))


def test_what_is_no_recording_is_named_or_counted(tmp_path: Path) -> None:
    tiny_sounds.draw(tmp_path / "tones", 40)
    (tmp_path / "tones" / "rising" / "zed_1.wav").write_text("a text")
    with pytest.raises(DataError, match=r"zed_1\.wav: expected a recording.*found text"):
        run(tmp_path, "linear")
    data = Data(source="tones", target="label", read={"unreadable": "skip"})  # type: ignore[arg-type]
    found = load_data(data, "classification", tmp_path)
    assert found.table.rows == 40
    assert any("1 of 41 recordings cannot be used and is skipped" in w for w in found.warnings)


def test_copies_stay_on_one_side(tmp_path: Path) -> None:
    files = tiny_sounds.draw(tmp_path / "tones", 40)
    (tmp_path / "tones" / "rising" / "copy.wav").write_bytes(files[0].read_bytes())
    found = load_data(Data(source="tones", target="label"), "classification", tmp_path)
    assert found.units is not None and len(np.unique(found.units)) == 40
    assert "1 recording is a copy of another: both stay on one side of every split." in found.notes


def test_what_audio_cnn_cannot_take_is_said(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,label\n" + "".join(f"{n},{n % 2}\n" for n in range(60)))
    with pytest.raises(
        RecipeError, match=r"build, audio_cnn: expected samples.*found numbers \(made of 'a'\)"
    ):
        run(tmp_path, "audio_cnn", "source: table.csv, target: label")


def test_init_writes_a_recipe_for_recordings(tmp_path: Path, monkeypatch: Any) -> None:
    from click.testing import CliRunner

    from sixfold.cli import group

    tiny_sounds.draw(tmp_path / "tones", 20)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, ["init", "tones"])
    assert done.exit_code == 0, done.output
    recipe = load.load(tmp_path / "tones.yaml").recipe
    assert [options["family"] for options in json.loads(recipe.model_dump_json())["build"]] == [
        "audio_cnn",
        "linear",
    ]
