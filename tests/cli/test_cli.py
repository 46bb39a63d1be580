"""The command line: what a person types, what comes back, and with which exit code."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from forked_commands import sixfold_as_text as sixfold
from sixfold.cli import group
from sixfold.recipe.load import problems

VERBS = [
    "init",
    "check",
    "run",
    "predict",
    "explain",
    "serve",
    "chat",
    "export",
    "verify",
    "inspect",
    "schema",
    "doctor",
    "up",
    "worker",
    "login",
    "submit",
    "jobs",
    "logs",
    "models",
    "keys",
    "users",
    "backup",
    "restore",
]
SMALL = """version: 1
name: small
data: {source: "sklearn:breast_cancer", target: target, holdout: 0.2}
build: {family: linear}
evaluate: {folds: 2, metrics: [accuracy]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    (place / "small.yaml").write_text(SMALL)
    done = sixfold("run", "small.yaml", "--out", "out", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "stdout.txt").write_text(done.stdout)
    (place / "stderr.txt").write_text(done.stderr)
    return place


def test_a_run_prints_leaderboard_receipt_and_what_to_do_next(folder: Path) -> None:
    text = (folder / "stdout.txt").read_text()
    for part in (
        "candidate",
        "Receipt of small: linear, trained on 455 rows",
        "accuracy, 2 folds",
        "114 rows held out",
        "bytes of the model",
        "Serve:  sixfold serve out/bundle",
    ):
        assert part in text, part
    log = (folder / "stderr.txt").read_text()
    assert "569 rows; 30 numbers" in log
    assert "linear fold 1 of 2: accuracy" in log


def test_the_same_command_repeats_nothing(folder: Path) -> None:
    done = sixfold("run", "small.yaml", "--out", "out", "--json", cwd=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["receipt"]["candidate"] == "linear"
    assert "evaluate-0: done before" in done.stderr
    assert "outcome: done before" in done.stderr


def test_the_clock_starts_with_the_command_and_not_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process may be hours old, as a notebook's is."""
    from sixfold import pipeline
    from sixfold.recipe import load

    whole, read, starts = load.load, [0.0], []

    def loading(*arguments: Any) -> Any:
        read.append(time.monotonic())
        return whole(*arguments)

    def run(*_: Any, started: float, **__: Any) -> None:
        starts.append(started)
        raise RuntimeError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "load", loading)
    monkeypatch.setattr(pipeline, "run", run)
    (tmp_path / "small.yaml").write_text(SMALL)
    before = time.monotonic()
    CliRunner().invoke(group, ["run", "small.yaml"])
    assert before <= starts[0] <= read[-1]


def test_verify_inspect_predict(folder: Path) -> None:
    assert "parity: 1,024 stored rows" in sixfold("verify", "out/bundle", cwd=folder).stdout
    assert "mean radius" in sixfold("inspect", "out/bundle", cwd=folder).stdout
    assert (
        json.loads(sixfold("inspect", "out/bundle", "--json", cwd=folder).stdout)["name"] == "small"
    )
    assert "Run folder out: finished" in sixfold("inspect", "out", cwd=folder).stdout
    (folder / "rows.csv").write_text(
        sixfold("inspect", "out/bundle", "--example", cwd=folder).stdout
    )
    done = sixfold("predict", "out/bundle", "rows.csv", "--out", "answers.csv", cwd=folder)
    assert done.stderr == "1 row → answers.csv\n"
    rows = list(csv.DictReader((folder / "answers.csv").read_text().splitlines()))
    assert set(rows[0]) == {"label", "probability_malignant", "probability_benign"}
    assert sixfold("predict", "out/bundle", "rows.csv", cwd=folder).stdout.splitlines()[
        0
    ] == ",".join(rows[0])


def test_predictions_as_one_json_document(folder: Path) -> None:
    (folder / "rows.csv").write_text(
        sixfold("inspect", "out/bundle", "--example", cwd=folder).stdout
    )
    header, row = (folder / "rows.csv").read_text().splitlines()
    (folder / "three.csv").write_text("\n".join([header, row, row, row]) + "\n")
    done = json.loads(sixfold("predict", "out/bundle", "three.csv", "--json", cwd=folder).stdout)
    to_file = sixfold(
        "predict", "out/bundle", "three.csv", "--out", "three.jsonl", "--json", cwd=folder
    )
    assert json.loads(to_file.stdout) == {"rows": 3, "out": "three.jsonl"}
    assert to_file.stderr == ""
    lines = (folder / "three.jsonl").read_text().splitlines()
    assert done == {"rows": 3, "predictions": [json.loads(line) for line in lines]}
    (folder / "bad.csv").write_text("\n".join([header, row, "x" + row]) + "\n")
    bad = sixfold("predict", "out/bundle", "bad.csv", "--json", cwd=folder)
    assert bad.returncode == 7
    assert json.loads(bad.stdout)["error"]["where"].startswith("bad.csv, row 2, column ")


def test_a_damaged_bundle_is_refused(folder: Path) -> None:
    subprocess.run(["cp", "-r", "out/bundle", "bad"], cwd=folder, check=True)
    model = folder / "bad" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    done = sixfold("verify", "bad", cwd=folder)
    assert done.returncode == 6
    assert "model.onnx" in done.stderr


def test_init_writes_a_recipe_that_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["age,city,joined,bought"] + [
        f"{20 + i},{'ab'[i % 2]},2024-01-{1 + i % 28:02d},{'yes' if i % 3 else 'no'}"
        for i in range(60)
    ]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    done = CliRunner().invoke(group, ["init", "people.csv", "--target", "bought"])
    assert done.exit_code == 0, done.stderr
    assert (
        done.stdout
        == "wrote people.yaml; next: sixfold check people.yaml, then sixfold run people.yaml\n"
    )
    assert "60 rows" in done.stderr
    text = (tmp_path / "people.yaml").read_text()
    assert "#   date: joined" in text
    checked = CliRunner().invoke(group, ["check", "people.yaml"])
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    assert "ok: ready to run" in checked.stdout
    as_json = CliRunner().invoke(
        group, ["init", "people.csv", "--target", "bought", "--out", "second.yaml", "--json"]
    )
    told = json.loads(as_json.stdout)
    assert (told["recipe"], told["task"], as_json.stderr) == ("second.yaml", "classification", "")
    assert told["note"] == done.stderr.splitlines()
    assert (tmp_path / "second.yaml").read_text() == text
    again = CliRunner().invoke(group, ["init", "people.csv", "--target", "bought"])
    assert "expected a new file; found one that is there already" in str(again.exception)


def test_init_for_texts_to_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"Paragraph {i} of a book, with a few words in it.\n\n" for i in range(900)]
    (tmp_path / "book.txt").write_text("".join(lines))
    done = CliRunner().invoke(group, ["init", "book.txt", "--task", "generation"])
    assert done.exit_code == 0, done.stderr
    assert "A language model is learned from 'text'" in done.stderr
    text = (tmp_path / "book.yaml").read_text()
    assert "task: generation" in text
    assert "metrics: [bits_per_byte, perplexity]" in text
    assert "\n  target:" not in text
    assert not list(problems(tmp_path / "book.yaml"))


def test_init_with_another_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wine.csv").write_text(
        "acid;taste\n" + "".join(f"{i / 7:.2f};{'ab'[i % 2]}\n" for i in range(60))
    )
    refused = CliRunner().invoke(group, ["init", "wine.csv", "--target", "taste"])
    assert "`sixfold init --separator`" in str(refused.exception)
    done = CliRunner().invoke(group, ["init", "wine.csv", "--target", "taste", "--separator", ";"])
    assert done.exit_code == 0, done.stderr
    assert '  separator: ";"\n' in (tmp_path / "wine.yaml").read_text()
    assert CliRunner().invoke(group, ["check", "wine.yaml"]).exit_code == 0


def test_a_table_as_excel_writes_it_goes_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte order mark, CRLF, semicolons, quotes around line breaks, dates and booleans."""
    monkeypatch.chdir(tmp_path)
    lines = ["Größe;neu;Notiz;seit;Preis"] + [
        f'{i % 7}.5;{"yes" if i % 3 else "no"};"Keller{chr(13)}{chr(10)}und ""Hof""; {i % 2}";'
        f"{1 + i % 28}.{1 + i % 12}.2020;{100 + 10 * (i % 7) + i % 3}.25"
        for i in range(80)
    ]
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    recipe = {
        "data": {"source": "t.csv", "target": "Preis", "separator": ";", "holdout": 0},
        "build": "linear",
        "evaluate": {"folds": 2},
    }
    (tmp_path / "r.yaml").write_text(json.dumps({"version": 1, "name": "t", **recipe}))
    assert CliRunner().invoke(group, ["run", "r.yaml", "--out", "out", "--quiet"]).exit_code == 0
    shown = CliRunner().invoke(group, ["inspect", "out/bundle"]).stdout
    assert "  seit                     date       2020-01-01 to 2020-12-24, median 2020-" in shown
    assert "  neu                      boolean\n" in shown
    (tmp_path / "row.csv").write_text(
        CliRunner().invoke(group, ["inspect", "out/bundle", "--example"]).stdout, newline=""
    )
    header, _, cells = (tmp_path / "row.csv").read_text().partition("\n")
    assert header == "Größe;neu;Notiz;seit"
    assert cells.startswith('3.5;false;"Keller')
    one = json.loads(
        CliRunner().invoke(group, ["predict", "out/bundle", "row.csv", "--json"]).stdout
    )
    assert 100 < one["predictions"][0]["value"] < 180
    assert (
        CliRunner().invoke(group, ["predict", "out/bundle", "t.csv", "--out", "all.csv"]).exit_code
        == 0
    )
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 81
    report = json.loads((tmp_path / "out" / "bundle" / "report.json").read_text())
    details = {column["name"]: column["detail"] for column in report["columns"]}
    assert details["seit"].startswith("2020-01-01 to 2020-12-24, median 2020-")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("family: liner", 2, "found 'liner'. Did you mean 'linear'?"),
        ("target: targe", 3, "targe"),
        ("sklearn:iris_", 3, "iris_"),
        ("folds: 600", 3, "at least 600 rows"),
        ("metrics: [rmse]", 2, "expected metrics for classification; found 'rmse', which is for"),
    ],
)
def test_check_finds_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, code: int, message: str
) -> None:
    old = {
        "family": "family: linear",
        "target": "target: target",
        "sklearn": "sklearn:breast_cancer",
        "folds": "folds: 2",
        "metrics": "metrics: [accuracy]",
    }[change.split(":")[0]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(SMALL.replace(old, change))
    done = CliRunner().invoke(group, ["check", "r.yaml"])
    assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
    as_json = CliRunner().invoke(group, ["check", "r.yaml", "--json"])
    assert any(
        message in json.dumps(p) or message.split("'")[1] in json.dumps(p)
        for p in json.loads(as_json.stdout)["problems"]
    )


def test_errors_are_four_parts_without_a_traceback(tmp_path: Path) -> None:
    done = sixfold("run", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == "sixfold: none.yaml: expected a recipe file; found No such file or directory. Look at the path.\n"
    )
    done = sixfold("run", "none.yaml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["error"]["expected"] == "a recipe file"


def test_a_misspelled_verb(tmp_path: Path) -> None:
    done = sixfold("runn")
    assert done.returncode == 2
    assert "Did you mean 'run'?" in done.stderr


def test_schema_and_doctor() -> None:
    assert json.loads(sixfold("schema").stdout)["title"] == "Sixfold recipe"
    facts = json.loads(sixfold("doctor", "--json").stdout)
    assert facts["extra train"]["torch"] != "not installed"


def test_help_imports_nothing_that_trains() -> None:
    """One process for all verbs: what one of them loads, those after it have, too."""
    code = (
        "import sys\nfrom sixfold.cli import group\n"
        f"for verb in {[[], *([verb] for verb in VERBS)]!r}:\n"
        "    try: group.main([*verb, '--help'], prog_name='sixfold')\n"
        "    except SystemExit: pass\n"
        "    print('loaded:', *verb, [m for m in ('torch','sklearn','pandas','pyarrow','onnx','scipy','lightgbm','numpy',"
        "'onnxruntime','starlette') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = [line for line in done.stdout.splitlines() if line.startswith("loaded: ")]
    assert told == ["loaded: []", *(f"loaded: {verb} []" for verb in VERBS)], done.stderr
    assert done.stdout.count("Usage: sixfold") == len(told)


def test_exit_codes_are_documented() -> None:
    text = sixfold("--help").stdout
    for part in (
        "2 recipe",
        "3 data",
        "4 fit",
        "5 budget",
        "6 bundle",
        "7 rows",
        "8",
        "130 interrupted",
    ):
        assert part in text
