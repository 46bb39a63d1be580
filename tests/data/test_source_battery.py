"""Every check for every source: the folder is listed, and how many checks each got is asserted."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold.core.errors import DataError, RecipeError, SixfoldError
from sixfold.data.load import load
from sixfold.data.source import FileSource, NamedSource, find
from sixfold.recipe.kinds import SOURCE
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

ROWS = [
    {"size": float(i) + 0.5, "colour": ("red", "green")[i % 2], "fate": ("keep", "toss")[i // 15]}
    for i in range(30)
]


def write_csv(path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(path, index=False)


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_xlsx(path: Path) -> None:
    pd.DataFrame(ROWS).to_excel(path, index=False)


def write_parquet(path: Path) -> None:
    pd.DataFrame(ROWS).to_parquet(path)


# of a file: how to write one, and what is no such file; of a named source: a name, its options, and
# what is no name
FILES: dict[str, tuple[Callable[[Path], None], bytes]] = {
    "csv": (write_csv, b"a,b\n1,2\n3\n"),
    "jsonl": (write_jsonl, b'{"a": 1}\n{"a": \n'),
    "parquet": (write_parquet, b"PAR1 nothing"),
    "xlsx": (write_xlsx, b"PK\x03\x04 nothing"),
}
NAMED: dict[str, tuple[str, dict[str, Any], str]] = {
    "python": ("docstrings", {"table": "docstrings"}, "docstring"),
    "planted": ("7x5x3", {"users": 7, "items": 5, "each": 3}, "7by5"),
    "random": ("7x3", {"rows": 7, "columns": 3}, "7by3"),
    "sklearn": ("iris", {"table": "iris"}, "irs"),
    "sounds": ("vowels", {"sounds": "vowels"}, "vowel"),
}


# Tested by themselves: tests/data/test_text_folder.py, tests/test_images_end_to_end.py, tests/test_audio_end_to_end.py,
# tests/data/test_documents.py, tests/data/test_conversations.py.
FOLDERS = {"text_folder", "image_folder", "audio_folder"}
OF_LANGUAGE = {"documents", "conversations"}


def data(name: str, tmp_path: Path, seed: int = 0) -> Data:
    if name in FILES:
        FILES[name][0](tmp_path / f"table.{name}")
        return Data(source=f"table.{name}", target="fate")
    return Data(source=f"{name}:{NAMED[name][0]}", seed=seed)


def check_section_with_described_options(name: str, tmp_path: Path) -> None:
    settings = SOURCE.load(name)
    assert issubclass(settings, Section)
    assert settings.__doc__
    assert all(field.description for field in settings.model_fields.values())


def check_one_protocol(name: str, tmp_path: Path) -> None:
    made = find(data(name, tmp_path), tmp_path)
    assert isinstance(made, FileSource) is (name in FILES)
    assert isinstance(made, NamedSource) is (name in NAMED)


def check_columns_of_equal_length_and_places(name: str, tmp_path: Path) -> None:
    raw = find(data(name, tmp_path), tmp_path).read()
    assert raw.rows > 0
    assert raw.columns
    assert {len(cells) for cells in raw.columns.values()} == {raw.rows}
    assert raw.place(0) in ("line 1", "line 2", "row 1", "row 2")
    assert raw.where


def check_twice_the_same(name: str, tmp_path: Path) -> None:
    section = data(name, tmp_path)
    first, second = (find(section, tmp_path).read() for _ in range(2))
    assert {k: v.to_pylist() for k, v in first.columns.items()} == {
        k: v.to_pylist() for k, v in second.columns.items()
    }


def check_unknown_option(name: str, tmp_path: Path) -> None:
    options = {"path": "a"} if name in FILES else NAMED[name][1]
    with pytest.raises(
        RecipeError, match=f"source {name}: expected one of its options; found 'colour'"
    ):
        SOURCE.make({"name": name, **options, "colour": 1})


def check_bad_input_names_the_source(name: str, tmp_path: Path) -> None:
    if name in FILES:
        (tmp_path / f"bad.{name}").write_bytes(FILES[name][1])
        with pytest.raises(DataError, match=f"bad.{name}"):
            find(Data(source=f"bad.{name}"), tmp_path).read()
    else:
        with pytest.raises(SixfoldError, match=NAMED[name][2]):
            find(Data(source=f"{name}:{NAMED[name][2]}"), tmp_path)


def check_packed_and_prefixed(name: str, tmp_path: Path) -> None:
    section = data(name, tmp_path)
    plain = tmp_path / f"table.{name}"
    with gzip.open(tmp_path / f"packed.{name}.gz", "wb") as file:
        file.write(plain.read_bytes())
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, f"inside/table.{name}")
    (tmp_path / "other.ending").write_bytes(plain.read_bytes())
    expected = load(section, None, tmp_path)
    for source in (f"packed.{name}.gz", "packed.zip", f"{name}:other.ending", str(plain)):
        got = load(section.model_copy(update={"source": source}), None, tmp_path)
        assert got.notes == expected.notes
        for column, cells in expected.table.columns.items():
            np.testing.assert_array_equal(got.table.columns[column].values, cells.values)


CHECKS = (
    check_section_with_described_options,
    check_one_protocol,
    check_columns_of_equal_length_and_places,
    check_twice_the_same,
    check_unknown_option,
    check_bad_input_names_the_source,
)
FILE_CHECKS = (check_packed_and_prefixed,)
PAIRS = [
    (name, check)
    for name in SOURCE.names()
    if name not in FOLDERS | OF_LANGUAGE
    for check in (*CHECKS, *(FILE_CHECKS if name in FILES else ()))
]


@pytest.mark.parametrize(
    ("name", "check"), [pytest.param(n, c, id=f"{n}-{c.__name__}") for n, c in PAIRS]
)
def test_source(name: str, check: Callable[[str, Path], None], tmp_path: Path) -> None:
    check(name, tmp_path)


def test_every_source_gets_its_checks() -> None:
    assert Counter(name for name, _ in PAIRS) == {
        **dict.fromkeys(FILES, 7),
        **dict.fromkeys(NAMED, 6),
    }
    assert sorted({*FILES, *NAMED, *FOLDERS, *OF_LANGUAGE}) == SOURCE.names()
    assert {name for name in SOURCE.names() if hasattr(SOURCE.load(name), "of_folder")} == FOLDERS
    written = {name for name in globals() if name.startswith("check_")}
    assert written == {check.__name__ for check in (*CHECKS, *FILE_CHECKS)}


def test_all_file_sources_give_the_same_dataset(tmp_path: Path) -> None:
    datasets = [load(data(name, tmp_path), None, tmp_path) for name in sorted(FILES)]
    for dataset in datasets[1:]:
        assert dataset.notes == datasets[0].notes
        assert dataset.target.classes == ("keep", "toss")
        for name, column in dataset.table.columns.items():
            assert column.kind == datasets[0].table.columns[name].kind
            assert column.levels == datasets[0].table.columns[name].levels
            np.testing.assert_array_equal(column.values, datasets[0].table.columns[name].values)


def test_random_columns_depend_on_the_seed_and_stand_alone() -> None:
    def columns(source: str, seed: int) -> dict[str, list[float]]:
        raw = find(Data(source=source, seed=seed), Path()).read()
        return {name: cells.to_pylist() for name, cells in raw.columns.items()}

    wide, narrow, other = (
        columns("random:500x4", 1),
        columns("random:500x2", 1),
        columns("random:500x2", 2),
    )
    assert list(wide) == ["x0", "x1", "x2", "x3"]
    assert {name: wide[name] for name in narrow} == narrow
    assert narrow != other
    assert all(0 <= value < 1 for cells in wide.values() for value in cells)
    assert abs(np.mean([*wide.values()]) - 0.5) < 0.05


@pytest.mark.parametrize(
    ("name", "rows", "columns", "task"),
    [
        ("breast_cancer", 569, 30, "classification"),
        ("diabetes", 442, 10, "regression"),
        ("digits", 1797, 64, "classification"),
        ("iris", 150, 4, "classification"),
        ("wine", 178, 13, "classification"),
    ],
)
def test_bundled_tables(name: str, rows: int, columns: int, task: str) -> None:
    dataset = load(Data(source=f"sklearn:{name}", target="target"), None, Path())
    assert (dataset.table.rows, len(dataset.table.columns), dataset.target.task) == (
        rows,
        columns,
        task,
    )
    assert all(column.kind == "number" for column in dataset.table.columns.values())


def test_bundled_classes_are_text() -> None:
    def classes(name: str) -> tuple[str, ...]:
        return load(Data(source=f"sklearn:{name}", target="target"), None, Path()).target.classes

    assert classes("breast_cancer") == ("benign", "malignant")
    assert classes("iris") == ("setosa", "versicolor", "virginica")
    assert classes("digits") == tuple("0123456789")
    assert (
        load(Data(source="sklearn:linnerud", target="Pulse"), None, Path()).target.task
        == "regression"
    )


def test_unknown_names() -> None:
    with pytest.raises(DataError) as error:
        find(Data(source="sklearn:breast"), Path())
    assert str(error.value) == (
        "data.source: expected a table of scikit-learn; found 'breast'. Did you mean 'breast_cancer'? All: "
        "breast_cancer, diabetes, digit_images, digit_questions, digits, iris, linnerud, wine."
    )
    with pytest.raises(
        RecipeError,
        match=r"source: expected the name of a source; found 'sklaern'. Did you mean 'sklearn'",
    ):
        find(Data(source="sklaern:iris"), Path())
    with pytest.raises(DataError) as error:
        find(Data(source="random:0x3"), Path())
    assert str(error.value) == (
        "data.source: expected random:ROWSxCOLUMNS, at least 1x1; found 'random:0x3'. For example random:1100x10."
    )


def test_a_separator_is_for_text_only() -> None:
    with pytest.raises(RecipeError) as error:
        find(Data(source="sklearn:iris", separator=";"), Path())
    assert str(error.value) == (
        "data.separator: expected a source of separated text (csv, tsv); found 'sklearn:iris'. Leave out data.separator."
    )
