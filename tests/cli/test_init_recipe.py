"""What `init` writes: file names, column names and class labels are data, and none of them can
become YAML.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from sixfold.cli import group
from sixfold.cli.init import NamedData, recipe_text
from sixfold.data.source import find
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe import load, yaml_text
from sixfold.recipe.schema import Data
from sixfold.recipe.yaml_nodes import parse

ODD = [
    "true",
    "no",
    "~",
    "null",
    "2024",
    "1e3",
    "1_000",
    "0x1f",
    "1:30",
    ".5",
    ".inf",
    "2024-01-01",
    "-",
    "- a",
    "? a",
    "a: b",
    "a #b",
    "#",
    "'",
    '"',
    "''",
    "\\",
    "\\n",
    "{",
    "[a, b]",
    "{{x}}",
    "%TAG",
    "&a",
    "*a",
    "!!str",
    "|",
    ">",
    "@",
    "`",
    "=",
    "<<",
    "a\nserve: {host: 0.0.0.0}",
    "a\r\nb",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
    "a\tb",
    "a\xa0b",
    "\ufeffa",
    "\x7f",
    "\x80",
    "\ufffe",
    "😀",
    "👩\u200d🔬",
    "é",
    "e\u0301",
    "\ud800",
    "a\x00b",
    " a ",
    "a" * 300,
    "---",
    "...",
    "# a\n- b",
    "ab:c",
    "csv:a",
]
SECTIONS = {
    "version",
    "name",
    "task",
    "data",
    "build",
    "initialize",
    "train",
    "evaluate",
    "compress",
}
texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(), min_size=1, max_size=40))


def dataset(columns: list[str], target: Target) -> Dataset:
    """Two rows: only the names are of interest."""
    made = {name: Column("number", np.zeros(2)) for name in columns}
    return Dataset(Table(made, 2), target)


@given(
    texts,
    texts,
    st.lists(texts, max_size=9),
    st.lists(texts, min_size=2, max_size=7, unique=True),
    texts,
)
@settings(max_examples=40, deadline=None)
@example(
    "a\nserve: {host: 0.0.0.0}",
    "true",
    ["a\nserve: {}"],
    ["x\nserve: {host: 0.0.0.0}", "\x85serve: {}"],
    "\t",
)
def test_names_mean_themselves_and_nothing_else(
    file: str, target: str, columns: list[str], classes: list[str], separator: str
) -> None:
    made = dataset(columns, Target("classification", np.array([0, 1]), (target,), tuple(classes)))
    for source in (NamedData("", file, True), NamedData("sklearn:", file, False)):
        text = recipe_text(source, Path("r.yaml"), made, separator)
        document = parse(text, "r.yaml")
        assert document.faults == []
        assert set(document.value) == SECTIONS
        data = {
            "source": source.beside(Path("r.yaml")),
            "target": target,
            "separator": separator,
            "holdout": 0.2,
        }
        assert document.value["data"] == data
        assert document.value["task"] == "classification"
        assert document.value["name"] == source.recipe_name
        assert set(document.value["compress"]) == {"keep", "keep_lift", "prune"}
        problems = load._problems(document)
        assert all("separator" in problem.where for problem in problems), problems


@given(texts, st.sampled_from(["", "csv:"]))
@settings(max_examples=15, deadline=None)
def test_the_recipe_finds_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, prefix: str
) -> None:
    folder = tmp_path_factory.mktemp("named") / "of data"
    folder.mkdir()
    name = name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    file = f"{name.replace('/', '_').replace(chr(0), '_')[:50]}.csv"
    (folder / file).write_text("a,b\n1,2\n")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for given_name in (f"{prefix}{file}", f"{prefix}./{file}", f"{prefix}{folder / file}"):
            source = NamedData.of(given_name)
            assert source.is_file
            for recipe in (folder / "r.yaml", folder.parent / "r.yaml"):
                made = dataset(["a"], Target("regression", np.array([1.0, 2.0]), ("b",)))
                written = parse(recipe_text(source, recipe, made), "r.yaml").value["data"]["source"]
                found = find(Data(source=written, target="b"), recipe.parent)
                assert found.path.samefile(folder / file)  # type: ignore[union-attr]
    finally:
        os.chdir(before)


plain = (
    texts
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    st.recursive(
        plain,
        lambda i: st.lists(i, max_size=3) | st.dictionaries(texts, i, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=100, deadline=None)
@example(["1e3", "1e+20", "-2E5", "a\x85b", "1_0e3"])
def test_what_is_dumped_is_read_again(value: object) -> None:
    """The text of a recipe that came from Python, or was changed by --set, goes into the bundle."""
    assert parse(yaml_text.dump({"k": value}), "r.yaml").value == {"k": value}
    assert parse(yaml_text.flow({"k": value}), "r.yaml").value == {"k": value}


@given(texts)
@settings(max_examples=100, deadline=None)
def test_a_scalar_is_one_line_and_a_comment_too(text: str) -> None:
    for written in (yaml_text.quoted(text), yaml_text.scalar(text)):
        assert written.isprintable()
        assert parse(f"k: {written}", "r.yaml").value == {"k": text}
    assert parse(f"k: 1  # {yaml_text.comment(text)}", "r.yaml").value == {"k": 1}


@pytest.mark.parametrize(
    "name",
    ["2024", "true", "1e3", "null", "no", "Großer Name", "-", "_", "a" * 100, "a: b #c", "ab:c"],
)
def test_every_file_name_gives_a_recipe_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 7},{i % 5 + i % 7}.5\n" for i in range(40))
    Path(f"{name}.csv").write_text("a\u2028 #: x,1e3\n" + rows)
    done = CliRunner().invoke(
        group, ["init", f"./{name}.csv", "--target", "1e3", "--out", "r.yaml"]
    )
    assert done.exit_code == 0, done.output
    loaded = load.load(Path("r.yaml"))
    assert Path(loaded.recipe.data.source).samefile(f"{name}.csv")
    assert loaded.recipe.data.target == "1e3"
    assert find(loaded.recipe.data, tmp_path).read().rows == 40


def test_targets_beyond_all_bounds_have_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},{i}e307\n" for i in range(-15, 15)))
    done = CliRunner().invoke(group, ["init", "t.csv", "--target", "y"])
    assert done.exit_code == 0, done.output
    assert load.problems(Path("t.yaml")) == []


def test_a_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").mkdir()
    done = CliRunner().invoke(group, ["init", "d.csv", "--target", "y"])
    assert str(done.exception) == (
        f"{tmp_path}/d.csv: expected a file, or a folder of files that end in "
        ".bmp, .flac, .gif, .jpeg, .jpg, .mp3, .oga, .ogg, .png, .tif, .tiff, .txt, .wav, .webp; found an empty one. "
        "Give the file inside it."
    )


def folder_of(path: Path, ending: str, files: int = 24) -> Path:
    """Two classes of files: texts, or images of one shade."""
    for number in range(files):
        file = path / ("warm" if number % 2 else "cold") / f"{number}{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".txt":
            file.write_text(f"it was a day of {number} degrees, and everybody said so")
        else:
            Image.new("RGB", (8, 8), (number * 10, 0, 255 - number * 10)).save(file)
    return path


FAMILIES = {"text": ["svm", "linear"], "image": ["cnn", "linear"]}


@pytest.mark.parametrize(("ending", "column"), [(".txt", "text"), (".png", "image")])
def test_a_folder_has_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, column: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of(Path("my days"), ending)
    (Path("my days") / "cold" / "notes.doc").write_text("x")
    done = CliRunner().invoke(group, ["init", "my days/"])
    assert done.exit_code == 0, done.output
    assert (
        f"my days: read as a folder of {column}s, as 24 of its 25 files end in {ending}; a subfolder is a class"
        in done.output
    )
    assert "'label' is predicted: classification, 2 classes: cold (12), warm (12)." in done.output
    recipe = load.load(Path("my_days.yaml")).recipe
    assert (recipe.data.source, recipe.data.target, recipe.name) == ("my days", "label", "my_days")
    assert [each["family"] for each in recipe.build] == FAMILIES[column]
    assert find(recipe.data, tmp_path).read().rows == 24
    assert CliRunner().invoke(group, ["check", "my_days.yaml"]).exit_code == 0


def test_columns_of_a_table_that_are_texts_or_images_are_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted(folder_of(Path("shots"), ".png").rglob("*.png"))
    lines = [
        f"{file},it was the day of number {file.stem} and nobody knew,{file.parent.name}"
        for file in files
    ]
    Path("days.csv").write_text("\n".join(["shot,note,kind", *lines]) + "\n")
    done = CliRunner().invoke(group, ["init", "days.csv", "--target", "kind"])
    assert done.exit_code == 0, done.output
    assert (
        "shot: read as image (names of image files; data.types can say otherwise)." in done.output
    )
    assert (
        "note: read as text (10 words on average, 24 different ones in 24 rows; data.types can say otherwise)."
        in done.output
    )
    written = Path("days.yaml").read_text()
    assert "#   image: shot\n#   text: note\n" in written
    assert "image: pixels" in written and "text: {name: ngrams" in written
    head, _, rest = written.partition("# prepare:")
    rest = f"# prepare:{rest}"
    uncommented = head + rest.replace("# prepare:", "prepare:").replace("#   ", "  ").replace(
        "# compress:", "compress:"
    )
    Path("all.yaml").write_text(uncommented.replace("# report:", "report:"))
    assert load.problems(Path("all.yaml")) == []
    assert CliRunner().invoke(group, ["check", "days.yaml"]).exit_code == 0


def test_a_table_needs_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a,b\n1,2\n")
    done = CliRunner().invoke(group, ["init", "a.csv"])
    assert done.exit_code == 2
    assert "Missing option '--target': the column to predict." in done.output


def test_a_folder_may_be_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_of(tmp_path / "Days", ".txt"))
    done = CliRunner().invoke(group, ["init", ".", "--out", str(tmp_path / "r.yaml")])
    assert done.exit_code == 0, done.output
    recipe = load.load(tmp_path / "r.yaml").recipe
    assert recipe.name == "days"
    assert Path(recipe.data.source).samefile(tmp_path / "Days")
