"""A folder of images, from the recipe to answers about raw files; images beside a family of tables;
what is refused.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sixfold
from sixfold import pipeline
from sixfold.bundle.stream import predict_file
from sixfold.bundle.verify import verify
from sixfold.core.errors import DataError, RecipeError, RowError
from sixfold.recipe import load
from sixfold.recipe.report import Report


def draw(folder: Path, count: int) -> None:
    """PNG files of bars that lie or stand, some 12 and some 16 pixels a side."""
    random = np.random.default_rng(0)
    for number in range(count):
        side = int(random.choice([12, 16]))
        image, at = (
            np.zeros((side, side), dtype=np.uint8),
            int(random.integers(side // 4, side // 2)),
        )
        image[at : at + side // 4] = random.integers(150, 256)
        image += random.integers(0, 40, image.shape, dtype=np.uint8) // 8
        lying = number % 2 == 0
        path = folder / ("lying" if lying else "standing") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image if lying else np.ascontiguousarray(image.T)).save(path)


def run(tmp_path: Path, family: str, source: str = "bars", more: str = "") -> Path:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{source: {source}, target: label{more}}}\nbuild: {family}\n"
        "evaluate: {folds: 2, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    return pipeline.run(load.load(recipe), tmp_path / "run").bundle


@pytest.mark.parametrize(
    "family",
    ["cnn\ntrain: {epochs: 12, batch_size: 16}", pytest.param("linear", marks=pytest.mark.slow)],
    ids=["cnn", "linear"],
)
def test_images_are_learned_served_and_verified(tmp_path: Path, family: str) -> None:
    draw(tmp_path / "bars", 80)
    place = run(tmp_path, family)
    signature = json.loads((place / "signature.json").read_text())
    assert signature["inputs"][0]["type"] == "image"
    bundle = sixfold.load(place)
    assert [(column.name, column.type) for column in bundle.signature.inputs] == [
        ("image", "image")
    ]
    assert np.mean(bundle.receipt.quality[0].folds_before) > 0.8
    assert any("parity" in sentence for sentence in verify(bundle.path))
    file = next(iter(sorted((tmp_path / "bars" / "lying").iterdir())))
    content = file.read_bytes()
    asked = [
        {"image": each} for each in (str(file), file, content, base64.b64encode(content).decode())
    ]
    answers = bundle.predict(asked)
    assert list(answers.labels) == ["lying"] * 4
    assert (answers.outputs["probability"] == answers.outputs["probability"][0]).all()
    for bad in (b"", b"no image", "not base64!", None, 3, str(tmp_path / "absent.png")):
        with pytest.raises(RowError, match="row 2, column 'image'"):
            bundle.predict([asked[0], {"image": bad}])
    with pytest.raises(RowError):  # what the server asks: no path is ever read
        bundle.predictor.predict([{"image": str(file)}])


@pytest.mark.slow
def test_a_table_of_paths_is_read_from_its_own_folder(tmp_path: Path) -> None:
    draw(tmp_path / "bars", 40)
    files = sorted((tmp_path / "bars").rglob("*.png"))
    lines = [
        f"{file.relative_to(tmp_path)},{number % 7},{file.parent.name}"
        for number, file in enumerate(files)
    ]
    (tmp_path / "table.csv").write_text("\n".join(["scan,weight,label", *lines]) + "\n")
    bundle = sixfold.load(run(tmp_path, "linear", "table.csv"))
    assert [(column.name, column.type) for column in bundle.signature.inputs] == [
        ("scan", "image"),
        ("weight", "number"),
    ]
    assert any("parity" in sentence for sentence in verify(bundle.path))


def test_what_a_cnn_cannot_take_is_said(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,label\n" + "".join(f"{n},{n % 2}\n" for n in range(60)))
    with pytest.raises(
        RecipeError, match=r"build, cnn: expected pixels.*found numbers \(made of 'a'\)"
    ):
        run(tmp_path, "cnn", "table.csv")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "bars", 40)
    (tmp_path / "bars" / "lying" / "notes.png").write_text("a text")
    with pytest.raises(DataError, match=r"notes\.png"):
        run(tmp_path, "cnn\ntrain: {epochs: 1}")


@pytest.mark.slow
def test_the_report_shows_images_unless_nobody_may_see_them(tmp_path: Path) -> None:
    draw(tmp_path / "bars", 60)
    for number in range(1, 20, 2):
        standing = (tmp_path / "bars" / "standing" / f"{number}.png").read_bytes()
        (tmp_path / "bars" / "lying" / f"wrong{number}.png").write_bytes(standing)
    bundle = run(tmp_path, "{family: linear}", more=", duplicates: ignore")
    report = Report.model_validate_json((bundle / "report.json").read_text())
    told = pd.read_parquet(tmp_path / "run" / "outcome" / "out_of_fold.parquet")
    assert {each.kind for each in report.examples} == {"wrong", "unsure", "cell"}
    for example in (example for each in report.examples for example in each.examples):
        row = told.iloc[example.row]
        assert (example.truth, example.predicted) == (row["target"], row["linear: label"])
        assert example.score == pytest.approx(
            row[f"linear: probability {example.predicted}"], rel=1e-3
        )
    page = (bundle / "report.html").read_text()
    assert "lying/wrong" in page and str(tmp_path) not in page
    assert report.explained is not None
    maps = sum(len(row.pieces) for row in report.explained.examples)
    shown = sum(len(each.examples) for each in report.examples)
    assert maps > 0
    assert page.count('<img src="data:image/') == shown + maps
    events = (tmp_path / "run" / "events.jsonl").read_text()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "report: {examples: 0}\n")
    pipeline.run(load.load(recipe), tmp_path / "run")
    assert "<img" not in (bundle / "report.html").read_text()
    assert not Report.model_validate_json((bundle / "report.json").read_text()).examples
    again = (tmp_path / "run" / "events.jsonl").read_text()
    assert (
        again.count('"fold_scored"') == events.count('"fold_scored"') > 0
    )  # nothing was trained again


def table_of_bytes(path: Path, files: list[Path], as_structure: bool = False) -> None:
    """The same images in one Parquet file."""
    cells: list[Any] = [file.read_bytes() for file in files]
    if as_structure:
        cells = [
            {"bytes": cell, "path": file.name} for cell, file in zip(cells, files, strict=True)
        ]
    pq.write_table(pa.table({"image": cells, "label": [file.parent.name for file in files]}), path)


@pytest.fixture(scope="module")
def of_folder(tmp_path_factory: pytest.TempPathFactory) -> sixfold.Bundle:
    """Of 60 images in a folder."""
    place = tmp_path_factory.mktemp("folder")
    draw(place / "bars", 60)
    return sixfold.load(run(place, "linear"))


@pytest.mark.slow
@pytest.mark.parametrize("as_structure", [False, True], ids=["bytes", "structure"])
def test_bytes_in_parquet_give_the_model_of_the_folder(
    tmp_path: Path, of_folder: sixfold.Bundle, as_structure: bool
) -> None:
    draw(tmp_path / "bars", 60)
    files = sorted((tmp_path / "bars").rglob("*.png"))
    table_of_bytes(tmp_path / "bars.parquet", files, as_structure)
    of_bytes = sixfold.load(run(tmp_path, "linear", "bars.parquet"))
    notes = (tmp_path / "run" / "events.jsonl").read_text()
    assert "image: read as image (bytes of images; data.types can say otherwise)." in notes
    assert [(column.name, column.type) for column in of_bytes.signature.inputs] == [
        ("image", "image")
    ]
    assert of_bytes.receipt.quality == of_folder.receipt.quality
    asked = [{"image": base64.b64encode(file.read_bytes()).decode()} for file in files]
    expected = of_folder.predict(asked).outputs["probability"]
    assert np.array_equal(of_bytes.predict(asked).outputs["probability"], expected)
    predict_file(of_bytes, tmp_path / "bars.parquet", tmp_path / "answers.csv", keep=["label"])
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert np.allclose(answers[["probability_lying", "probability_standing"]], expected, atol=1e-6)
    assert not (tmp_path / "run" / "scratch").exists()


@pytest.mark.slow
def test_a_damaged_cell_is_named_by_its_row(tmp_path: Path) -> None:
    draw(tmp_path / "bars", 40)
    files = sorted((tmp_path / "bars").rglob("*.png"))
    files[7].write_bytes(files[7].read_bytes()[:60])
    table_of_bytes(tmp_path / "bars.parquet", files)
    with pytest.raises(
        DataError, match=r"bars\.parquet, column 'image', row 8: expected .*; found a damaged one"
    ):
        run(tmp_path, "linear", "bars.parquet")
    bundle = sixfold.load(run(tmp_path, "linear", "bars.parquet", ", read: {unreadable: skip}"))
    assert "1 of 40 images cannot be used" in (tmp_path / "run" / "events.jsonl").read_text()
    with pytest.raises(RowError, match=r"bars\.parquet, row 8, column 'image'"):
        predict_file(bundle, tmp_path / "bars.parquet", tmp_path / "answers.csv")


def test_bytes_of_another_kind_are_no_images_unless_the_recipe_says_so(tmp_path: Path) -> None:
    cells = [bytes([0, number]) * 9 for number in range(40)]
    table = pa.table({"raw": cells, "a": list(range(40)), "label": ["x", "y"] * 20})
    pq.write_table(table, tmp_path / "raw.parquet")
    with pytest.raises(
        DataError, match=r"column 'raw': expected .* images; found bytes of another kind"
    ):
        run(tmp_path, "linear", "raw.parquet")
    with pytest.raises(
        DataError, match=r"raw\.parquet, column 'raw', row 1: expected images; found none"
    ):
        run(tmp_path, "linear", "raw.parquet", ", types: {raw: image}")
    with pytest.raises(
        DataError, match=r"column 'raw': expected a column of kind category; found bytes"
    ):
        run(tmp_path, "linear", "raw.parquet", ", types: {raw: category}")
    assert run(tmp_path, "linear", "raw.parquet", ", drop: [raw]").is_dir()
