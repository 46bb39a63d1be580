"""A number, a category, a text and an image a row, from a table to answers: by fusion, and by
families of tables.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sixfold
from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.data.load import load as load_data
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.parts.state import save
from sixfold.plan.candidates import resolve
from sixfold.recipe import load
from sixfold.recipe.schema import Data, Recipe
from sixfold.runs.context import Context

WORDS = [
    "the",
    "box",
    "came",
    "on",
    "monday",
    "with",
    "a",
    "letter",
    "from",
    "shop",
    "and",
    "was",
    "open",
    "late",
]


@dataclass
class MadeRow:
    """What a row of the table is."""

    weight: str
    town: str
    note: str
    bright: bool
    label: str


def rows(count: int, seed: int = 0) -> list[MadeRow]:
    """Whether a note says `broken` or its image is bright, not both, is the label; some weights and
    notes are missing.
    """
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        words, broken, bright = (
            random.choice(WORDS, 7).tolist(),
            bool(number % 2),
            bool(random.integers(2)),
        )
        note = " ".join([*words[:3], "broken" if broken else "whole", *words[3:]])
        empty = number % 13 == 5
        weight = "" if number % 11 == 3 else f"{random.normal(5, 2):.3f}"
        label = "yes" if (broken and not empty) != bright else "no"
        made.append(
            MadeRow(
                weight, str(random.choice(["Bern", "Riga"])), "" if empty else note, bright, label
            )
        )
    return made


def write(folder: Path, made: list[MadeRow]) -> Path:
    """A table of them, and their images beside it."""
    random = np.random.default_rng(1)
    (folder / "scans").mkdir(exist_ok=True)
    file = folder / "table.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["weight", "town", "note", "scan", "label"])
        for number, row in enumerate(made):
            pixels = random.integers(0, 90, (8, 8)) + 150 * row.bright
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "scans" / f"{number}.png")
            writer.writerow([row.weight, row.town, row.note, f"scans/{number}.png", row.label])
    return file


def run(folder: Path, build: str, count: int = 60) -> sixfold.Bundle:
    write(folder, rows(count))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"data: {{source: table.csv, target: label, types: {{note: text}}}}\n{build}\n"
        "evaluate: {folds: 2, metrics: [accuracy]}\nbudget: {memory: 4GiB}\n"
    )
    return sixfold.load(pipeline.run(load.load(recipe), folder / "run").bundle)


@pytest.mark.parametrize(
    "build",
    [
        "build: fusion\ntrain: {epochs: 2}",
        pytest.param(
            "build: fusion\ntrain: {epochs: 25}\ncompress: {keep: {accuracy: -1}, keep_lift: 0, quantize: int8}",
            marks=pytest.mark.slow,
        ),
        pytest.param("build: {family: boosting, rounds: 20}", marks=pytest.mark.slow),
        pytest.param("build: linear", marks=pytest.mark.slow),
        pytest.param("build: mlp\ntrain: {epochs: 2}", marks=pytest.mark.slow),
    ],
)
def test_all_kinds_of_columns_become_one_model(build: str, tmp_path: Path) -> None:
    bundle = run(
        tmp_path, build, 120 if "compress" in build else 60
    )  # where nothing was learned, nothing is spared
    inputs = {column.name: column.type for column in bundle.signature.inputs}
    assert inputs == {"weight": "number", "town": "category", "note": "text", "scan": "image"}
    assert any("parity" in sentence for sentence in verify(bundle.path))
    assert all(step.accepted for step in bundle.receipt.steps)
    scan = (tmp_path / "scans" / "0.png").read_bytes()
    full = {
        "weight": 4.2,
        "town": "Riga",
        "note": "the box was broken on monday and open",
        "scan": scan,
    }
    asked = [
        full,
        {**full, "weight": None},
        {**full, "note": ""},
        {**full, "town": "Oslo"},
        {**full, "town": None},
    ]
    (name,) = {*bundle.predict(asked).outputs} - {"label"}
    together = bundle.predict(asked).outputs[name]
    assert np.isfinite(together).all()
    for number, row in enumerate(asked):
        np.testing.assert_allclose(
            bundle.predict([row]).outputs[name][0], together[number], atol=1e-6
        )
    backwards = bundle.predict(asked[::-1]).outputs[name][::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-6)


@pytest.mark.slow
def test_fusion_sees_what_only_two_columns_tell(tmp_path: Path) -> None:
    bundle = run(tmp_path, "build: {family: fusion, shift: 0}", 300)
    unseen = rows(100, seed=7)
    other = tmp_path / "other"
    other.mkdir()
    write(other, unseen)
    asked = [
        {
            "weight": float(row.weight) if row.weight else None,
            "town": row.town,
            "note": row.note,
            "scan": (other / "scans" / f"{number}.png").read_bytes(),
        }
        for number, row in enumerate(unseen)
    ]
    labels = bundle.predict(asked).labels
    assert np.mean([label == row.label for label, row in zip(labels, unseen, strict=True)]) > 0.95


def test_held_out_rows_change_no_bit_of_the_model(tmp_path: Path) -> None:
    made, held_out = rows(40), np.arange(0, 40, 4)
    fold = Fold(np.setdiff1d(np.arange(40), held_out), held_out)
    before = fitted(tmp_path / "before", made, fold)
    for number in held_out:
        row = made[number]
        made[number] = MadeRow(
            "99.5",
            "Oslo",
            "quite other words that stand nowhere else here",
            not row.bright,
            row.label,
        )
    after = fitted(tmp_path / "after", made, fold)
    assert before
    assert before == after


def fitted(folder: Path, made: list[MadeRow], fold: Fold) -> dict[str, bytes]:
    """The files of the state of the fold's model."""
    folder.mkdir()
    data = Data(source=str(write(folder, made)), target="label", types={"note": "text"})
    recipe = Recipe.model_validate(
        {"version": 1, "name": "r", "data": data, "build": "fusion", "train": {"epochs": 1}}
    )
    dataset = load_data(data, None, folder)
    (chosen,) = resolve(recipe, dataset, None)
    found = cross_validate(chosen, dataset, [fold], ["accuracy"], Context())
    save(found.models[0], folder)
    return {file.name: file.read_bytes() for file in folder.glob("state.*")}
