"""Every file of a run folder, damaged in every way: the next run ends with the same bundle, or with
an error that names it.

One small run is trained once and copied. Never a traceback, never a silent load, never something of
somebody else's removed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sixfold import pipeline
from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.recipe.load import Loaded, load
from sixfold.runs import events
from sixfold.runs.folder import RunFolder

RECIPE = """version: 1
name: small
data: {source: "sklearn:iris", target: target, holdout: 0.2}
build: [{family: tree}, {family: linear}]
evaluate: {folds: 2, metrics: [accuracy]}
"""
SAME = (
    "model.onnx",
    "signature.json",
    "recipe.yaml",
    "parity.jsonl.gz",
)  # receipt and report hold measured times
STRANGER = b"somebody else's"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(RECIPE)
    return load(path)


@pytest.fixture(scope="module")
def trained(recipe: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    pipeline.run(recipe, folder)
    return folder


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(data)) if data else 0
    data[bit // 8 : bit // 8 + 1] = bytes([data[bit // 8] ^ (1 << bit % 8)]) if data else b"\x01"
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) or 1)])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def append(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(9))


def zeros(path: Path, rng: random.Random) -> None:
    """As a file whose blocks were never written."""
    path.write_bytes(bytes(path.stat().st_size))


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def by_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "letter.txt").write_bytes(STRANGER)


def by_link(path: Path, rng: random.Random) -> None:
    """To somebody else's file of other content."""
    other = path.parents[1] / "elsewhere.txt" if path.parents[1].is_dir() else path
    other.write_bytes(STRANGER)
    path.unlink()
    path.symlink_to(other)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    flip,
    truncate,
    empty,
    append,
    zeros,
    remove,
    by_folder,
    by_link,
)
QUICK = (
    ("bundle/manifest.json", flip),
    ("bundle/manifest.json", remove),
    ("bundle/model.onnx", truncate),
    ("bundle/signature.json", by_link),
    ("events.jsonl", flip),
    ("events.jsonl", zeros),
    ("events.jsonl", by_folder),
    ("outcome/receipt.json", flip),
    ("refit/state.json", empty),
    ("evaluate-0/manifest.json", by_folder),
    (".lock", by_link),
)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def again(recipe: Loaded, folder: Path, trained: Path) -> str:
    """'same' for the same bundle, or the error's text, which says where and what to do."""
    try:
        done = pipeline.run(recipe, folder)
    except SixfoldError as error:
        assert str(folder) in error.where
        assert error.expected and error.found and error.remedy
        return str(error)
    for name in SAME:
        assert (done.bundle / name).read_bytes() == (trained / "bundle" / name).read_bytes(), name
    before, now = (
        json.loads((one / "bundle" / "receipt.json").read_text()) for one in (trained, folder)
    )
    assert before["quality"] == now["quality"]
    return "same"


def damaged_copy(
    trained: Path, folder: Path, name: str, damage: Callable[[Path, random.Random], None]
) -> Path:
    shutil.copytree(trained, folder / "run")
    damage(folder / "run" / name, random.Random(f"{name} {damage.__name__}"))
    return folder / "run"


@pytest.mark.parametrize(
    ("name", "damage"), QUICK, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_damaged_file_is_made_again_or_named(
    recipe: Loaded,
    trained: Path,
    tmp_path: Path,
    name: str,
    damage: Callable[[Path, random.Random], None],
) -> None:
    folder = damaged_copy(trained, tmp_path, name, damage)
    found = again(recipe, folder, trained)
    if damage in (by_folder,) or name == ".lock":
        assert found == "same" or "Remove it" in found or "Move it away" in found
    else:
        assert found == "same"


@pytest.mark.slow
def test_every_file_in_every_way(recipe: Loaded, trained: Path, tmp_path: Path) -> None:
    """One of the ways for each file in turn; SIXFOLD_DAMAGES=8: every file in every way."""
    ways = int(os.environ.get("SIXFOLD_DAMAGES", "1"))
    tried, same, refused, apart = 0, 0, 0, len(DAMAGES) // ways
    for number, path in enumerate(files_of(trained)):
        for damage in DAMAGES[number % apart :: apart]:
            name = str(path.relative_to(trained))
            folder = damaged_copy(trained, tmp_path / str(tried), name, damage)
            found = again(recipe, folder, trained)
            tried, same, refused = tried + 1, same + (found == "same"), refused + (found != "same")
            if found != "same":
                assert damage in (by_folder, by_link), (name, damage.__name__, found)
            for letter in (tmp_path / str(tried - 1)).rglob("elsewhere.txt"):
                assert letter.read_bytes() == STRANGER
            shutil.rmtree(tmp_path / str(tried - 1))
    print(
        f"{tried} damages: {same} times the same bundle, {refused} times an error that names the file"
    )
    assert tried == ways * len(files_of(trained)) >= 2 * len(DAMAGES)


@pytest.mark.parametrize("place", ["bundle", "bundle.old", "refit", "evaluate-0"])
def test_what_is_somebody_elses_stays(recipe: Loaded, tmp_path: Path, place: str) -> None:
    """Found before anything is trained, where that can be."""
    folder = tmp_path / "run" / place
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_bytes(STRANGER)
    (folder / "manifest.json").write_text('{"name": "a page"}')
    with pytest.raises(SystemFault, match="Move it away"):
        pipeline.run(recipe, tmp_path / "run")
    assert (folder / "letter.txt").read_bytes() == STRANGER


@pytest.mark.parametrize(
    "what", ["flipped", "half", "zeros", "not text", "a list", "a number", "deep", "long"]
)
def test_a_damaged_line_is_a_warning_with_its_number(tmp_path: Path, what: str) -> None:
    whole = events.line({"event": "note", "time": 1.0, "text": "one"})
    lines = {
        "flipped": whole.replace(b"one", b"ooe"),
        "half": whole[:20] + b"\n",
        "zeros": bytes(50) + b"\n",
        "not text": b"\xff\xfe\x80\n",
        "a list": b"[1, 2]\n",
        "a number": b"5\n",
        "deep": b"[" * 100_000 + b"\n",
        "long": b"x" * (17 << 20) + b"\n",
    }
    path = tmp_path / events.NAME
    path.write_bytes(whole + lines[what] + whole)
    for _ in range(2):  # told once
        with RunFolder(tmp_path) as folder:
            kinds = [event["event"] for event in folder.history()]
            assert kinds == ["note", "note", "warning"]
    text = list(folder.history())[-1]["text"]
    assert (
        text
        == f"{path}, line 2: is damaged and passed over; what was told there is not known any more"
    )


def test_no_bit_of_an_event_can_flip_unseen() -> None:
    line = events.line({"event": "epoch", "time": 1.5, "losses": [0.1, 0.25], "text": "é"})[:-1]
    assert events.parsed(line) == {
        "event": "epoch",
        "time": 1.5,
        "losses": [0.1, 0.25],
        "text": "é",
    }
    for bit in range(8 * len(line)):
        data = bytearray(line)
        data[bit // 8] ^= 1 << bit % 8
        assert events.parsed(bytes(data)) is None
