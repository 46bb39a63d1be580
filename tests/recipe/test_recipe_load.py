"""Every mistake in a recipe: file, line, column, what was expected, what was found, what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError, SixfoldError
from sixfold.recipe.load import from_object, load, problems, problems_in
from sixfold.recipe.schema import Recipe

GOOD = """version: 1
name: income
data:
  source: adult.csv
  target: income
build:
  - {family: mlp, hidden: [128, 64]}
  - {family: svm, kernel: rbf, C: [0.1, 1, 10]}
train:
  optimizer: {name: adam, learning_rate: 1e-3}
  batch_size: 64
evaluate: {folds: 5, metrics: [accuracy]}
"""


def found(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    told = [str(problem) for problem in problems(path)]
    assert [str(problem) for problem in problems_in(text, "r.yaml")] == told  # in a file or not
    return told


def test_a_good_recipe_has_no_problems(tmp_path: Path) -> None:
    assert found(tmp_path, GOOD) == []
    recipe = load(tmp_path / "r.yaml").recipe
    assert recipe.train["optimizer"]["learning_rate"] == 0.001
    assert recipe.build[1]["C"] == [0.1, 1, 10]  # type: ignore[index]


def test_int8_may_be_a_bare_word(tmp_path: Path) -> None:
    assert found(tmp_path, GOOD + "compress: {quantize: int8}\n") == []
    bare = load(tmp_path / "r.yaml").recipe.compress
    assert found(tmp_path, GOOD + "compress: {quantize: {weights: int8}}\n") == []
    assert load(tmp_path / "r.yaml").recipe.compress == bare
    (told,) = found(tmp_path, GOOD + "compress: {quantize: int3}\n")
    assert (
        "compress.quantize: expected one of int8, int4, gptq, or a mapping; found the text 'int3'"
        in told
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: income",
            "nam: income",
            "r.yaml, line 2, column 1: nam: expected a known key; found 'nam'. Did you mean 'name'? All: budget, build, "
            "compress, data, evaluate, initialize, name, prepare, report, serve, task, train, version.",
        ),
        (
            "family: mlp,",
            "family: mpl,",
            "r.yaml, line 7, column 6: build[0].family: expected the name of a family; found 'mpl'. Did you mean 'mlp'? All: "
            "als, audio_cnn, boosting, bpr, cnn, ctc, extra_trees, forest, fusion, image_encoder, item_knn, kernel_ridge, "
            "language, linear, mlp, popularity, residual_mlp, sasrec, speech_encoder, svm, tabm, text_cnn, "
            "text_encoder, tree, two_tower, whisper.",
        ),
        (
            "hidden: [128, 64]",
            "hiden: [128]",
            "r.yaml, line 7, column 19: build[0].hiden: expected a known key; found 'hiden'. Did you mean 'hidden'?",
        ),
        (
            "hidden: [128, 64]",
            "hidden: [128, x]",
            "r.yaml, line 7, column 33: build[0].hidden[1]: expected a whole number",
        ),
        (
            "C: [0.1, 1, 10]",
            "C: [0.1, -1]",
            "r.yaml, line 8, column 41: build[1].C[1]: expected a number, above 0",
        ),
        (
            "name: adam",
            "name: adm",
            "r.yaml, line 10, column 15: train.optimizer.name: expected the name of an optimizer; "
            "found 'adm'. Did you mean 'adam'?",
        ),
        (
            "batch_size: 64",
            "batch_size: most",
            "r.yaml, line 11, column 3: train.batch_size: "
            "expected a whole number, at least 1, or 'full'; "
            "found the text 'most'.",
        ),
        (
            "folds: 5",
            "folds: 1",
            "r.yaml, line 12, column 12: evaluate.folds: expected a whole number, at least 2; found 1.",
        ),
        (
            "folds: 5",
            "folds: five",
            "found the text 'five'. Write the number without quotes or unit.",
        ),
        (
            "metrics: [accuracy]",
            "metrics: [acuracy]",
            "r.yaml, line 12, column 32: evaluate.metrics[0]: expected the name of a metric; found 'acuracy'. "
            "Did you mean 'accuracy'?",
        ),
        (
            "  target: income\n",
            "",
            "r.yaml, line 3, column 1: data: expected the key 'target'; found none. "
            "Name the column to predict, or say task: reconstruction, generation or recommendation.",
        ),
        (
            "  source: adult.csv\n",
            "",
            "r.yaml, line 3, column 1: data: expected the key 'source'; found none.",
        ),
        ("version: 1", "version: 2", "r.yaml, line 1, column 1: version: expected 1; found 2."),
        (
            "name: income",
            "name: income\nname: other",
            "r.yaml, line 3, column 1: name: expected each key once; found 'name' again. Remove one of the two.",
        ),
        ("name: income", "name: [unclosed", "r.yaml, line 3, column 5: expected YAML; found"),
        (
            "folds: 5",
            "scheme: group",
            "evaluate.scheme: expected data.group for the scheme group; found none.",
        ),
        (
            "folds: 5",
            "scheme: kfolds",
            "expected the name of a splitter; found 'kfolds'. Did you mean 'kfold'?",
        ),
        (
            "name: adam, learning_rate: 1e-3",
            "name: lbfgs",
            "train.optimizer: expected batch_size: full with lbfgs; found 64. Write `batch_size: full`.",
        ),
        (
            "evaluate:",
            "compress: {prune: {target: rounds}}\nevaluate:",
            "compress.prune[0]: expected a candidate of the family boosting; found mlp, svm.",
        ),
        (
            "evaluate:",
            "compress: {keep: {f1: -0.1}}\nevaluate:",
            "compress.keep.f1: expected a metric of evaluate.metrics (accuracy); found 'f1'. Add it to evaluate.metrics.",
        ),
        ("evaluate:", "budget: {time: 10 parsecs}\nevaluate:", "found the text '10 parsecs'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    texts = found(tmp_path, GOOD.replace(old, new, 1))
    assert any(message in text for text in texts), texts


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    texts = found(
        tmp_path,
        GOOD.replace("name: income", "nam: x")
        .replace("folds: 5", "folds: 1")
        .replace("mlp", "mpl"),
    )
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            "r.yaml: expected a mapping with the key data; found nothing. Start from `sixfold init`.",
        ),
        (b"- 1\n", "r.yaml: expected a mapping with the key data; found [1]."),
        (b"\xff\xfe\x00", "expected UTF-8 text; found byte 0 that is not. Save it as UTF-8."),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert message in str(problems(path)[0])
    with pytest.raises(RecipeError):
        load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="expected a recipe file; found No such file or directory"
    ):
        load(tmp_path / "none.yaml")


def test_python_objects_in_yaml_are_not_made(tmp_path: Path) -> None:
    texts = found(tmp_path, GOOD + "serve: !!python/object/apply:os.system ['echo hacked']\n")
    assert texts
    assert all("r.yaml" in text for text in texts)


def test_many_anchors_do_not_explode(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(8)
    )
    assert "expected at most 20,000 values; found more" in found(tmp_path, bomb)[0]


def test_changes_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD)
    loaded = load(path, ["data.source=other.csv", "train.epochs=3", "budget.time=5m"])
    assert loaded.recipe.data.source == "other.csv"
    assert loaded.recipe.train["epochs"] == 3
    assert load_text(tmp_path, loaded.text) == loaded.recipe
    with pytest.raises(RecipeError, match="--set: expected KEY=VALUE"):
        load(path, ["nonsense"])


def load_text(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "again.yaml"
    path.write_text(text)
    return load(path).recipe


def test_an_object_is_the_same_as_a_file(tmp_path: Path) -> None:
    value: dict[str, Any] = {
        "version": 1,
        "name": "x",
        "data": {"source": "a.csv", "target": "y"},
        "build": {"family": "linear"},
    }
    loaded = from_object(value)
    assert load_text(tmp_path, loaded.text) == loaded.recipe == from_object(loaded.recipe).recipe
    with pytest.raises(RecipeError, match="Did you mean 'linear'"):
        from_object({**value, "build": {"family": "liner"}})


KEYS = st.sampled_from(
    [
        "data",
        "build",
        "train",
        "evaluate",
        "name",
        "family",
        "hidden",
        "optimizer",
        "folds",
        "keep",
        "prune",
        "x",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["mlp", "adam", "full", "a.csv"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(key=st.sampled_from(sorted(Recipe.model_fields)), value=VALUES)
def test_nothing_but_our_own_errors_comes_out(key: str, value: Any) -> None:
    good = {"version": 1, "data": {"source": "a.csv", "target": "y"}, "build": [{"family": "mlp"}]}
    try:
        from_object({**good, key: value})
    except SixfoldError as error:
        assert error.where
        assert error.remedy


def test_loading_a_recipe_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(GOOD)
    code = (
        "import sys, pathlib; from sixfold.recipe.load import load; load(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'pyarrow', 'onnx', 'scipy', 'lightgbm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.yaml")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
