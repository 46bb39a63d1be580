"""Nothing that a stranger named acts on a terminal: every command, on a terminal and into a pipe;
JSON and CSV stay exact.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from forked_commands import on_a_terminal, sixfold
from sixfold.bundle import manifest
from sixfold.bundle.verify import verify
from sixfold.core.visible import ACTING

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle"))
import tiny_bundle

EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202eevil\x7f\nok  all is well\r"
CSV_EVIL = EVIL.replace("\n", "").replace("\r", "")


def hostile(folder: Path) -> Path:
    """A bundle in whose texts, where any text may stand, control characters stand; `verify` finds
    nothing wrong with it.
    """
    parts = tiny_bundle.parts()
    receipt = parts.receipt.model_copy(
        update={"candidate": EVIL, "machine": {EVIL: EVIL}, "how": (EVIL,)}
    )
    report = tiny_bundle.report(receipt).model_copy(
        update={"verdict": (EVIL,), "warnings": (EVIL,)}
    )
    layers = (report.layers[0].model_copy(update={"name": EVIL, "shape": EVIL}),)
    content = report.model_copy(update={"layers": layers}).model_dump_json()
    return tiny_bundle.make(folder, receipt=receipt, report_json=content)


# The moving line of `run` on a terminal: what rich hides, draws and takes away.
RICH = re.compile(r"\x1b\[(?:\?25[lh]|1A|2K|0m|2m|32m)|\r")


def quiet(text: str) -> bool:
    """Nothing acts but rich's own moving line, and no name is a line of its own."""
    text = RICH.sub("", text)
    return ACTING.search(text) is None and "\nok  all is well" not in text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control characters")
    hostile(folder / "bundle")
    name = CSV_EVIL.replace("/", "")
    rows = "".join(f"{n},{n % 3},{CSV_EVIL if n % 2 else 'plain'}\n" for n in range(40))
    (folder / f"{name}.csv").write_text(f"a{CSV_EVIL},b,y\n{rows}", encoding="utf-8")
    (folder / "t.csv").write_text(f"a{CSV_EVIL},b,y\n{rows}", encoding="utf-8")
    (folder / f"{name}.yaml").write_text(
        json.dumps({"data": {"source": f"{name}.csv", "target": f"y{EVIL}"}})
    )
    (folder / "keys.yaml").write_text(
        json.dumps({"data": {"source": "t.csv", "target": "y", EVIL: EVIL}, EVIL: 1})
    )
    (folder / "rows.csv").write_text(
        "size,label,new,since,colour\n" + f"{CSV_EVIL},1,true,2026-11-23,red\n"
    )
    (folder / "few.csv").write_text(
        f"size,label,new,since,colour,{CSV_EVIL}\n1,1,true,2026-11-23,red,{CSV_EVIL}\n"
    )
    return folder


def commands(place: Path) -> list[list[str]]:
    name = CSV_EVIL.replace("/", "")
    return [
        ["inspect", "bundle"],
        ["verify", "bundle"],
        ["predict", "bundle", "rows.csv"],
        ["predict", "bundle", f"{name}.csv"],
        ["predict", "bundle", "few.csv", "--keep", CSV_EVIL],
        ["check", "keys.yaml"],
        ["check", f"{name}.yaml"],
        ["verify", name],
        ["inspect", f"no{name}"],
        [name],
        ["run", f"{name}.yaml"],
        ["init", f"{name}.csv", "--target", f"z{EVIL}"],
        ["check", "keys.yaml", "--set", f"{name}=1"],
        ["serve", f"no{name}"],
        ["init", "t.csv", "--target", "y", "--force"],
    ]


@pytest.mark.parametrize("number", [0, 4, 5])
def test_some_commands_write_no_control_characters(place: Path, number: int) -> None:
    look(place, commands(place)[number])


@pytest.mark.slow
def test_no_command_writes_control_characters(place: Path) -> None:
    every = commands(place)
    for number, arguments in enumerate(every):
        look(place, arguments, piped=number % 2 == 0)
    print(f"{len(every)} commands, each on a terminal, every second one into a pipe, too")


def look(place: Path, arguments: list[str], piped: bool = True) -> None:
    shown = on_a_terminal(*arguments, cwd=place)
    assert len(shown) > 20, arguments
    assert quiet(shown), (arguments, ACTING.findall(shown), shown)
    if not piped:
        return
    done = sixfold(*arguments, cwd=place)
    assert quiet(done.stderr.decode()), (arguments, done.stderr)
    if "--keep" not in arguments:  # a CSV for a program is as its rows were
        assert quiet(done.stdout.decode()), (arguments, done.stdout)


def test_json_and_csv_stay_exact(place: Path) -> None:
    found: Any = json.loads(sixfold("inspect", "bundle", "--json", cwd=place).stdout)
    assert (found["verdict"], found["receipt"]["candidate"]) == ([EVIL], EVIL)
    lines = (
        sixfold("predict", "bundle", "few.csv", "--keep", CSV_EVIL, cwd=place)
        .stdout.decode()
        .splitlines()
    )
    assert lines[0].startswith(CSV_EVIL)
    records = json.loads(
        sixfold("predict", "bundle", "few.csv", "--keep", CSV_EVIL, "--json", cwd=place).stdout
    )
    assert records["predictions"][0][CSV_EVIL] == CSV_EVIL


def test_the_report_of_inspect_is_the_one_that_was_hashed(place: Path, tmp_path: Path) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle")
    content = (folder / "report.json").read_bytes().replace(b"It works.", b"It lies!!")
    (folder / "report.json").write_bytes(content)
    done = sixfold("inspect", "bundle", cwd=tmp_path)
    assert (done.returncode, b"It lies!!" in done.stdout) == (6, False)
    assert re.search(rb"report\.json: expected SHA-256", done.stderr)


def test_the_hostile_bundle_is_a_whole_one(place: Path) -> None:
    assert len(verify(place / "bundle")) == 8
    assert manifest.is_bundle(place / "bundle")


def test_damaged_events_are_told(tmp_path: Path) -> None:
    lines = [
        b'{"event": "stage_finished", "stage": "a", "duration_s": 1.5}',
        b"\xff",
        b"[]",
        b'{"event": 5}',
        b"[" * 5000,
    ]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    done = sixfold("inspect", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"events.jsonl, lines 1, 2, 3, 4 and 5: are damaged" in done.stderr.replace(
        b"4, 5", b"4 and 5"
    )
    assert b"Traceback" not in done.stderr
