"""Nothing is learned from a held-out row: whatever it holds, the fitted state keeps every bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import NAN, Array, category, mixed_columns, number, saved
from sklearn.linear_model import LogisticRegression

import tiny_bert
from sixfold.parts.fit import Needs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare.centering import Centering
from sixfold.prepare.preparer import fit
from sixfold.recipe.kinds import DENOISER, FEATURE, IMPUTER
from sixfold.recipe.schema import Prepare

ROWS = 150
TRAINING = np.sort(np.random.default_rng(2).permutation(ROWS)[:100])
HELD_OUT = np.setdiff1d(np.arange(ROWS), TRAINING)
TREES = Needs(number=(), category=("ordinal",), impute_number=None, precision="float32")


def columns() -> dict[str, Column]:
    """With equal rows among them, so that duplicates and contradictions are found; and a column
    that is centered.
    """
    found = mixed_columns(ROWS, seed=3)
    del found["id"]
    found["seconds"] = number(found["weight"].values * 100 + 1.7e9)
    found["note"] = replace(
        category([f"note {n % 40} of {'this' if n % 3 else 'that'} town" for n in range(ROWS)]),
        kind="text",
    )
    fold_models = np.arange(ROWS)
    fold_models[TRAINING[5:9]] = TRAINING[0:4]
    return {name: column.take(fold_models) for name, column in found.items()}


def perturbed(column: Column, rng: np.random.Generator) -> Column:
    """Other values in held-out rows, new levels, levels in another order; training rows mean what
    they meant.
    """
    if column.kind in ("category", "text"):
        strings = column.strings()
        for row in HELD_OUT:
            strings[row] = ["", "!first of all", "~last of all", strings[TRAINING[0]]][
                rng.integers(4)
            ]
        known = sorted(
            {text for text in strings if text} | {"nowhere"},
            key=lambda text: (len(text), text[::-1]),
        )
        return replace(category(strings, tuple(known)), kind=column.kind)
    values = column.values.copy()
    new = rng.normal(size=len(HELD_OUT)) * 1e9
    new = np.where(
        rng.random(len(HELD_OUT)) < 0.3,
        NAN,
        rng.integers(0, 2, len(HELD_OUT)) if column.kind == "boolean" else new,
    )
    values[HELD_OUT] = new
    return Column(column.kind, values)


def tables() -> tuple[Table, Table]:
    rng = np.random.default_rng(8)
    original = columns()
    return Table(original, ROWS), Table(
        {name: perturbed(c, rng) for name, c in original.items()}, ROWS
    )


def targets(task: str) -> tuple[Target, Target]:
    rng = np.random.default_rng(9)
    if task == "classification":
        y = rng.integers(0, 3, ROWS)
        other = y.copy()
        other[HELD_OUT] = 2 - other[HELD_OUT]
        return tuple(Target("classification", v, ("y",), ("a", "b", "c")) for v in (y, other))  # type: ignore[return-value]
    values = rng.normal(size=ROWS)
    other_values = values.copy()
    other_values[HELD_OUT] = -1e6
    return Target("regression", values, ("y",)), Target("regression", other_values, ("y",))


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "duplicates": {"denoise": {"duplicates": "drop"}},
    "contradictions": {"denoise": {"contradictions": "drop"}},
    "constants kept": {"denoise": {"constants": "keep"}},
    "indicator": {"impute": {"indicator": True}},
    **{
        f"{n} {a}": {"denoise": {"outliers": {"name": n, "action": a}}}
        for n in DENOISER.names()
        for a in ("drop", "clip")
    },
    **{
        f"number {name}": {"impute": {"number": name}} for name in IMPUTER.names() if name != "none"
    },
    **{
        f"category {name}": {"impute": {"category": name}}
        for name in ("constant", "most_frequent", "none")
    },
    **{
        f"boolean {name}": {"impute": {"boolean": name}}
        for name in ("mean", "median", "constant", "most_frequent")
    },
    "one column": {
        "impute": {"columns": {"income": "k_nearest"}},
        "features": {"columns": {"weight": "binning"}},
    },
    "rare levels": {"features": {"category": {"name": "one_hot", "min_rows": 10}}},
    "few levels": {"features": {"category": {"name": "one_hot", "max_levels": 3}}},
    "uniform bins": {"features": {"number": {"name": "binning", "strategy": "uniform"}}},
    "chain": {"features": {"number": ["power", {"name": "polynomial", "degree": 3}, "standard"]}},
    "dates": {"features": {"date": ["date_parts", "quantile"]}},
}
for feature_name in FEATURE.names():
    takes, role = FEATURE.load(feature_name).takes, FEATURE.load(feature_name).role
    if {"image", "audio"} & takes:  # tests/prepare/test_pixels.py, test_sound_features.py
        continue
    if role == "change":
        kind = (
            "category"
            if "category" in takes
            else "date"
            if "date" in takes
            else "text"
            if "text" in takes
            else "number"
        )
        OPTIONS[f"feature {feature_name}"] = {"features": {kind: feature_name}}
    else:
        OPTIONS[f"{role} {feature_name}"] = {"features": {role: feature_name}}


@pytest.mark.parametrize("name", OPTIONS)
def test_held_out_rows_change_no_bit(name: str, tmp_path: Path) -> None:
    asked = OPTIONS[name]
    if name == "feature embedding":
        asked = {
            "features": {
                "text": {"name": "embedding", "checkpoint": str(tiny_bert.write(tmp_path / "bert"))}
            }
        }
    prepare = Prepare.model_validate(asked)
    for number_of, (task, needs) in enumerate((("classification", Needs()), ("regression", TREES))):
        found = []
        for table, target in zip(tables(), targets(task), strict=True):
            preparer, x, kept = fit(
                table.take(TRAINING), target.take(TRAINING), prepare, needs, seed=5
            )
            found.append(
                (
                    saved(preparer, tmp_path / f"{number_of}-{len(found)}"),
                    x.tobytes(),
                    kept.tobytes(),
                )
            )
        assert found[0] == found[1]


def test_a_column_is_centered() -> None:
    """So the test above holds for the offset, too."""
    table, target = tables()[0].take(TRAINING), targets("regression")[0].take(TRAINING)
    steps = [
        step for block in fit(table, target, Prepare(), TREES, 5)[0].blocks for step in block.steps
    ]
    assert [np.flatnonzero(step.shift).size for step in steps if isinstance(step, Centering)] == [1]


def test_the_options_are_all_there() -> None:
    """A new plug-in is tested for leaks by itself."""
    text = str(OPTIONS)
    for kind in (DENOISER, IMPUTER, FEATURE):
        of_files = {
            "image_embedding",
            "mel_statistics",
            "pixels",
            "samples",
            "whole_samples",
        }  # tests/prepare/test_pixels.py, test_image_embedding.py, test_sound_features.py
        assert [
            name for name in kind.names() if f"'{name}'" not in text and name not in of_files
        ] == []


def test_the_perturbation_is_one() -> None:
    """A preparer fitted on the held-out rows does change: the leak test would see a leak."""
    states = [
        fit(table, target, Prepare(), Needs(), 5)[1].tobytes()
        for table, target in zip(tables(), targets("classification"), strict=True)
    ]
    assert states[0] != states[1]


def labels_and_ids(seed: int, rows: int = 1200, levels: int = 300) -> tuple[Table, Target]:
    """A category with about four rows a level, ten columns of noise, labels that depend on
    nothing.
    """
    rng = np.random.default_rng(seed)
    noise = {f"x{i}": number(rng.normal(size=rows)) for i in range(10)}
    many = category([f"v{i}" for i in rng.integers(0, levels, rows)])
    return Table({"many": many, **noise}, rows), Target(
        "classification", rng.integers(0, 2, rows), ("y",), ("n", "p")
    )


@pytest.mark.parametrize("seed", range(3))
def test_target_encoding_does_not_whisper_the_answer(seed: int) -> None:
    """Encoded training values do not follow random labels; encoded without cross-fitting they
    do.
    """
    table, y = labels_and_ids(seed)
    prepare = Prepare.model_validate(
        {"features": {"category": {"name": "target", "smoothing": 1.0}}}
    )
    preparer, x, _ = fit(table, y, prepare, Needs(number=()), seed)
    column = preparer.feature_names.index("many target 0")
    crossed = float(np.corrcoef(x[:, column], y.values)[0, 1])
    naive = float(np.corrcoef(preparer.transform(table)[:, column], y.values)[0, 1])
    assert abs(crossed) < 0.1  # one standard deviation of chance is 0.03
    assert naive > 0.4


@pytest.mark.parametrize("select", ["mutual_information", "model_importance"])
def test_random_labels_are_not_predicted(select: str) -> None:
    """Cross-validated accuracy is chance, with target encoding and feature selection on."""
    table, y = labels_and_ids(7)
    features = {
        "category": {"name": "target", "smoothing": 0.0},
        "select": {"name": select, "keep": 3},
    }
    prepare = Prepare.model_validate({"features": features})
    parts = np.array_split(np.random.default_rng(0).permutation(table.rows), 4)
    right: list[Array] = []
    for part in parts:
        training = np.setdiff1d(np.arange(table.rows), part)
        preparer, x, kept = fit(table.take(training), y.take(training), prepare, Needs(), 1)
        model = LogisticRegression().fit(x, y.values[training][kept])
        right.append(model.predict(preparer.transform(table.take(part))) == y.values[part])
    assert (
        abs(float(np.concatenate(right).mean()) - 0.5) < 0.045
    )  # three standard deviations of 1,200 coin tosses
