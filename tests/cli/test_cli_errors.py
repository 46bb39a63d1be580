"""Every mistake on the command line: four parts on stderr, the exit code, JSON where it is asked
for, no traceback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import sixfold
from sixfold import cli
from sixfold.cli import doctor
from sixfold.core import errors

RECIPE = """version: 1
name: small
data: {source: "sklearn:iris", target: target, holdout: 0.2}
build: [linear, {family: mlp, hidden: [[4], [8]]}]
train: {epochs: 3, optimizer: {name: adam, learning_rate: [0.1, 0.01]}}
evaluate:
  folds: 3
  metrics: [accuracy]
"""
ALL = errors.SixfoldError.__subclasses__()
KINDS = [
    kind for kind in ALL if kind.__module__ == errors.__name__
]  # a server has one more, of no command
COLUMNS = "petal length (cm), petal width (cm), sepal length (cm), sepal width (cm)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.group, list(arguments))


@pytest.mark.usefixtures("folder")
def test_check_says_what_will_be_done() -> None:
    done = invoke("check", "r.yaml")
    assert done.exit_code == 0
    notes = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in notes if line.startswith("forecast")][
        -1
    ] == "forecast"
    assert [line for line in notes if not line.startswith("forecast")] == [
        "150 rows; 4 numbers",
        "'target' is predicted: classification, 3 classes: setosa (50), versicolor (50), virginica (50).",
        "1 row equals an earlier row in every column and the target. Equal rows stay on one side of every split; if they are "
        "cases of their own that happen to be alike, data.duplicates: ignore divides them like any rows.",
        "folds: stratified, 3 (every fold has the classes' shares)",
        "candidate linear",
        "candidate mlp hidden=4 learning_rate=0.1",
        "candidate mlp hidden=4 learning_rate=0.01",
        "candidate mlp hidden=8 learning_rate=0.1",
        "candidate mlp hidden=8 learning_rate=0.01",
        "5 candidates × 3 folds = 15 fits, by accuracy",
        "ok: ready to run",
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("changes", "code", "problems"),
    [
        (
            ["nam=x", "evaluate.folds=1"],
            2,
            [
                "--set evaluate.folds: expected a whole number, at least 2; found 1. Change the value.",
                "--set nam: expected a known key; found 'nam'. Did you mean 'name'? All: budget, build, compress, "
                "data, evaluate, "
                "initialize, name, prepare, report, serve, task, train, version.",
            ],
        ),
        (
            ["evaluate.metrics=[rmse]"],
            2,
            [
                "--set evaluate.metrics: expected metrics for classification; found 'rmse', which is for reconstruction, "
                "regression. Choose from: accuracy, average_precision, balanced_accuracy, brier, calibration_error, f1, "
                "kappa, log_loss, mcc, precision, recall, roc_auc, specificity, top_3_accuracy, top_5_accuracy.",
            ],
        ),
        (
            ["data.target=targe"],
            3,
            [
                f"sklearn:iris, data.target: expected the name of a column; found 'targe'. Did you mean 'target'? "
                f"All: {COLUMNS}, "
                "target.",
            ],
        ),
        (
            ["initialize.scheme=zeros", "evaluate.folds=121"],
            3,
            [
                "--set evaluate.folds: expected at least 121 rows; found 120. Lower evaluate.folds.",
                "--set initialize.scheme: expected a start that can train; found zeros starts hidden layers at 0: no "
                "gradient passes "
                "them, and they never change. Use he_normal or xavier_uniform.",
            ],
        ),
    ],
)
def test_check_finds_all_that_is_wrong(changes: list[str], code: int, problems: list[str]) -> None:
    done = invoke("check", "r.yaml", *(f"--set={change}" for change in changes))
    assert done.exit_code == code
    assert done.stderr.splitlines() == [f"problem: {problem}" for problem in problems]
    assert (
        done.stdout.splitlines()[-1]
        == f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    )
    as_json = json.loads(
        invoke("check", "r.yaml", "--json", *(f"--set={change}" for change in changes)).stdout
    )
    assert [set(problem) for problem in as_json["problems"]] == [
        {"where", "expected", "found", "remedy"}
    ] * len(problems)


@pytest.mark.usefixtures("folder")
def test_what_is_found_with_the_data_has_its_line() -> None:
    done = invoke("check", "r.yaml", "--set", "task=classification", "--set", "name=x")
    assert done.exit_code == 0
    Path("r.yaml").write_text(RECIPE.replace("[accuracy]", "[accuracy, rmse]"))
    done = invoke("check", "r.yaml")
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "problem: r.yaml, line 8, column 3: evaluate.metrics: expected metrics for classification; found 'rmse'"
    )
    with pytest.raises(
        errors.RecipeError, match=r"^r.yaml, line 8, column 3: evaluate.metrics: expected metrics"
    ):
        sixfold.run("r.yaml")


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_has_its_line() -> None:
    Path("r.yaml").write_text(RECIPE + "budget: {device: cuda}\n")
    done = invoke("check", "r.yaml")
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "problem: r.yaml, line 9, column 10: budget.device: expected a device of this machine"
    )
    with pytest.raises(
        errors.RecipeError,
        match=r"^r.yaml, line 9, column 10: budget.device: .* Write `device: cpu`",
    ):
        sixfold.run("r.yaml")


def test_check_plans_with_the_budget(folder: Path) -> None:
    (folder / "r.yaml").write_text(RECIPE.split("build:")[0] + "build: auto\n")
    many = invoke("check", "r.yaml").stdout.count("candidate ")
    few = invoke("check", "r.yaml", "--set", "budget.time=100ms").stdout.count("candidate ")
    assert many > few >= 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ["run", "none.yaml"],
            2,
            "none.yaml: expected a recipe file; found No such file or directory. Look at the path.",
        ),
        (["run", "."], 2, ".: expected a recipe file; found Is a directory. Look at the path."),
        (
            ["run", "r.yaml", "--set", "initialize.scheme=zeros", "--quiet"],
            4,
            "initialize.scheme: expected a start that can train; found zeros starts hidden layers at 0: no gradient passes them, "
            "and they never change. Use he_normal or xavier_uniform.",
        ),
        (
            ["run", "r.yaml", "--out", "r.yaml"],
            8,
            "r.yaml: expected a file that can be written; found File exists. Look at the path and the disk.",
        ),
        (
            ["init", "none.csv", "--target", "y"],
            3,
            "none.csv: expected a file; found no file of this name.",
        ),
        (
            ["init", "sklearn:iris", "--target", "target", "--out", "r.yaml"],
            8,
            "r.yaml: expected a new file; found one that is there already. Choose another with --out, or --force.",
        ),
        (
            ["verify", "none"],
            6,
            "none: expected the folder of a bundle; found no folder of this name. Check the path.",
        ),
        (
            ["inspect", "none"],
            6,
            "none: expected the folder of a bundle; found no folder of this name. Check the path.",
        ),
        (
            ["predict", "none", "a.csv"],
            6,
            "none: expected the folder of a bundle; found no folder of this name.",
        ),
        (
            ["serve", "none"],
            6,
            "none: expected the folder of a bundle; found no folder of this name. Check the path.",
        ),
    ],
)
def test_a_users_mistake(
    arguments: list[str],
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["sixfold", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    shown = capsys.readouterr()
    assert caught.value.code == code
    assert text in shown.err
    assert shown.err.startswith("sixfold: ")
    assert "Traceback" not in shown.err
    assert shown.out == ""


def fake(error: BaseException, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.group, "main", broken)
    monkeypatch.setattr(sys, "argv", ["sixfold", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_mistake_has_its_code_and_its_json(
    kind: type[errors.SixfoldError],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = kind("a", "b", "c", "D.")
    assert fake(error, "check", "--json", monkeypatch=monkeypatch) == kind.exit_code
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "error": {
            "kind": kind.__name__,
            "where": "a",
            "expected": "b",
            "found": "c",
            "remedy": "D.",
        }
    }
    assert shown.err == "sixfold: a: expected b; found c. D.\n"


def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(KeyboardInterrupt(), monkeypatch=monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted: the same command continues where it was\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        fake(ModuleNotFoundError("no_such_module", name="no_such_module"), monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("module", "verb"),
    [
        ("torch", ["check", "r.yaml"]),
        pytest.param("sklearn", ["run", "r.yaml"], marks=pytest.mark.slow),
        pytest.param(
            "pandas", ["init", "sklearn:iris", "--target", "target"], marks=pytest.mark.slow
        ),
    ],
)
def test_the_base_install_names_the_extra(folder: Path, module: str, verb: list[str]) -> None:
    code = f"""
import sys
class Absent:  # as if it were not installed; None in sys.modules would mislead libraries that look there
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from sixfold.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *verb], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 8, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"sixfold: this installation: expected the extra `train`; found no {module}. "
        "Install it: pip install 'sixfold[train]'."
    )


def test_doctor_tells_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    facts = doctor.look()
    assert "CPUExecutionProvider" in str(facts["onnxruntime"]["providers"])
    assert facts["onnxruntime"]["threads"] == "one a core"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert doctor.look()["onnxruntime"]["threads"] == "OMP_NUM_THREADS=3"
    shown = invoke("doctor")
    assert shown.exit_code == 0
    assert [line for line in shown.stdout.splitlines() if not line.startswith(" ")] == list(facts)
