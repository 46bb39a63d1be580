"""Bundles on disk: written whole, loaded only when every byte is right, hostile files refused."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_bundle
from onnx import numpy_helper

from sixfold.bundle import manifest
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.load import load
from sixfold.bundle.parity import Parity, check_parity, unpack
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.bundle.verify import verify
from sixfold.bundle.write import write_bundle
from sixfold.core.errors import BundleError, SystemFault
from sixfold.parts.packed import packed
from sixfold.recipe.signature import Input, Output, Signature


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bundle.make(tmp_path / "bundle")


def test_a_bundle_holds_its_files_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*manifest.LARGEST, "manifest.json"]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_verify_says_what_it_checked(folder: Path) -> None:
    checked = verify(folder)
    assert [text.split(":")[0] for text in checked] == [
        "manifest",
        "model.onnx",
        "signature.json",
        "recipe.yaml",
        "receipt.json",
        "report.json",
        "report.html",
        "parity",
    ]
    assert "4 stored rows answered again" in checked[-1]


def test_equal_parts_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    again = tiny_bundle.make(tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_bundle_is_replaced_but_nothing_else_is(folder: Path, tmp_path: Path) -> None:
    tiny_bundle.make(folder, report_html="<p>Second</p>")
    assert (folder / "report.html").read_text() == "<p>Second</p>"
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("mine")
    with pytest.raises(SystemFault) as caught:
        tiny_bundle.make(other)
    assert str(caught.value) == (
        f"{other}: expected a new folder, an empty one, or a bundle; found a folder with other files. "
        "Choose another name, or remove the folder yourself."
    )
    assert (other / "chapter.txt").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SystemFault, match="found something else"):
        tiny_bundle.make(file)


def test_without_parity_nothing_is_written(tmp_path: Path) -> None:
    answers = tiny_bundle.expected()
    answers["probability"] = answers["probability"] + np.array([[0.0, 0.0]] * 3 + [[2e-5, -2e-5]])
    with pytest.raises(BundleError) as caught:
        tiny_bundle.make(tmp_path / "bundle", parity=Parity(tiny_bundle.ROWS, answers))
    assert caught.value.where.endswith("model.onnx, stored row 4")
    assert caught.value.expected.endswith(" within 1e-05")
    wrong = tiny_bundle.expected() | {
        "label": np.array(["keep", "keep", "keep", "keep"], dtype=object)
    }
    with pytest.raises(
        BundleError, match=r"stored row 3: expected label 'keep'; found '<toss>' \(1 rows differ\)"
    ):
        tiny_bundle.make(tmp_path / "bundle", parity=Parity(tiny_bundle.ROWS, wrong))
    with pytest.raises(BundleError, match="at least one stored row"):
        tiny_bundle.make(tmp_path / "bundle", parity=Parity([], {}))
    nan = tiny_bundle.expected("regression")
    nan["value"][1] = np.nan
    with pytest.raises(BundleError, match="stored row 2"):
        tiny_bundle.make(tmp_path / "bundle", "regression", parity=Parity(tiny_bundle.ROWS, nan))
    assert list(tmp_path.iterdir()) == []


def test_values_are_compared_relative_to_their_size(tmp_path: Path) -> None:
    answers = tiny_bundle.expected("regression")
    close = {"value": answers["value"] * (1 + 0.9e-5)}
    tiny_bundle.make(tmp_path / "close", "regression", parity=Parity(tiny_bundle.ROWS, close))


def test_stored_rows_survive_the_round_trip(folder: Path) -> None:
    found = unpack(
        (folder / "parity.jsonl.gz").read_bytes(), "parity.jsonl.gz", tiny_bundle.signature()
    )
    assert found.rows == tiny_bundle.ROWS
    assert found.expected["label"].tolist() == tiny_bundle.expected()["label"].tolist()
    np.testing.assert_allclose(
        found.expected["probability"], tiny_bundle.expected()["probability"], rtol=0, atol=5.1e-10
    )
    assert found.packed() == (folder / "parity.jsonl.gz").read_bytes()


BOTH: list[Any] = [{"column": "a", "values": ["1", "2"]}, {"column": "b", "values": ["1", "2"]}]


def asking(*names: str) -> Signature:
    inputs = tuple(Input(name=name, type="number") for name in names)
    outputs = (Output(name="value", columns=("x", "y")),)
    return Signature(
        task="reconstruction", target=("x", "y"), inputs=inputs, outputs=outputs, missing=("",)
    )


def test_values_are_stored_to_nine_digits_however_large_they_are() -> None:
    values = np.array([[1.23456789012e9, -1.23456789012e-9], [np.nan, 1e300], [0.0, 1 / 3]])
    content = Parity([{"a": ""}] * 3, {"value": values}).packed()
    found = unpack(content, "parity.jsonl.gz", asking("a")).expected["value"]
    np.testing.assert_allclose(found, values, rtol=5.1e-9)


def test_rows_stored_one_by_one_are_read_as_ever() -> None:
    answers = {name: array.tolist() for name, array in tiny_bundle.expected().items()}
    lines = [
        {"row": row, "expected": {name: values[number] for name, values in answers.items()}}
        for number, row in enumerate(tiny_bundle.ROWS)
    ]
    content = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    found = unpack(content, "parity.jsonl.gz", tiny_bundle.signature())
    assert found.rows == tiny_bundle.ROWS
    np.testing.assert_array_equal(
        found.expected["probability"], tiny_bundle.expected()["probability"]
    )
    assert check_parity(onnx_predictor(tiny_bundle.graph(), tiny_bundle.signature()), found) < 1e-12


@pytest.mark.parametrize(
    "lines",
    [
        [
            {"column": "a", "values": ["1", "2"]},
            {"column": "b", "values": ["1"]},
            {"output": "label", "values": ["x", "y"]},
        ],
        [*BOTH, {"output": "label", "values": ["x"]}],
        [*BOTH, {"output": "value", "columns": [[1.0]]}],
        [{"column": "a"}, {"output": "value", "columns": [[1.0]]}],
        [BOTH[0], {"output": "label", "values": ["x", "y"]}],
        [*BOTH, {"column": "c", "values": ["1", "2"]}],
        [*BOTH, BOTH[0]],
        [*BOTH, {"output": "label", "values": ["x", 1]}],
        [*BOTH, {"output": "value", "columns": [["1", "2"]]}],
        [*BOTH, {"output": "value", "columns": [[1.0, [2.0]]]}],
        [*BOTH, [1]],
        [],
    ],
)
def test_stored_rows_that_do_not_fit_together_are_refused(lines: list[Any]) -> None:
    content = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    with pytest.raises(BundleError, match="stored rows with answers"):
        unpack(content, "parity.jsonl.gz", asking("a", "b"))


def test_a_signature_of_another_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        tiny_bundle.make(tmp_path / "bundle", signature=tiny_bundle.signature("regression"))
    assert (caught.value.expected, caught.value.found) == (
        "outputs as in the signature: 'value' tensor(double) [rows, 1]",
        "absent",
    )


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFault, match="expected free disk space"):
        tiny_bundle.make(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*manifest.LARGEST, "manifest.json"])
def test_every_damage_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    whole = (folder / name).read_bytes()
    damaged = [whole[: rng.randrange(len(whole))] for _ in range(8)] + [whole + b"\n"]
    for _ in range(20):
        position = rng.randrange(len(whole))
        damaged.append(
            whole[:position]
            + bytes([whole[position] ^ 1 << rng.randrange(8)])
            + whole[position + 1 :]
        )
    for content in damaged:
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError) as caught:
            load(folder)
        assert caught.value.where.startswith(str(folder))
    (folder / name).unlink()
    with pytest.raises(BundleError, match="expected a plain file; found no such file or directory"):
        load(folder)
    (folder / name).write_bytes(whole)
    load(folder)


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda f: (f / "extra.py").write_text("x"),
        "expected only the files of the manifest; found also 'extra.py'",
    ),
    (lambda f: (f / "sub").mkdir(), "found also 'sub'"),
    (lambda f: swap(f / "model.onnx", lambda p, t: p.symlink_to(t)), "found a symbolic link"),
    (
        lambda f: swap(f / "model.onnx", hard_link),
        "expected a file with one name; found 2 hard links to it",
    ),
    (lambda f: swap(f / "manifest.json", lambda p, t: p.symlink_to(t)), "found a symbolic link"),
    (
        lambda f: swap(f / "report.html", lambda p, t: os.mkfifo(p)),
        "expected a plain file; found something else",
    ),
    (lambda f: swap(f / "report.json", lambda p, t: p.mkdir()), "expected a plain file; found"),
]


def swap(path: Path, make: Callable[[Path, Path], object]) -> None:
    aside = path.parent.parent / "aside"
    shutil.move(path, aside)
    make(path, aside)


@pytest.mark.parametrize(("attack", "text"), HOSTILE)
def test_links_and_foreign_files_are_refused(
    folder: Path, attack: Callable[[Path], object], text: str
) -> None:
    attack(folder)
    with pytest.raises(BundleError) as caught:
        load(folder)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "Model.onnx", "model.onnx/../x", "new.py"]
)
def test_a_manifest_names_a_bundles_files_only(folder: Path, name: str) -> None:
    facts = json.loads((folder / "manifest.json").read_text())
    facts["files"][name] = facts["files"]["model.onnx"]
    forged = manifest.Manifest.model_validate({k: v for k, v in facts.items() if k != "seal"})
    (folder / "manifest.json").write_bytes(forged.rendered())
    with pytest.raises(BundleError, match="expected the files of a bundle"):
        load(folder)


def test_a_manifest_that_lies_about_sizes_reads_no_more_than_it_says(folder: Path) -> None:
    (folder / "report.html").write_bytes(b"x" * 10_000)
    with pytest.raises(BundleError, match=r"report\.html: expected \d+ bytes; found 10000 bytes"):
        load(folder)


def external_models() -> list[onnx.ModelProto]:
    models = []
    for place in ("initializer", "constant", "nested"):
        model = onnx.load_from_string(tiny_bundle.graph())
        tensor = numpy_helper.from_array(np.zeros(4), "outside")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")
        if place == "initializer":
            model.graph.initializer.append(tensor)
        else:
            node = onnx.helper.make_node("Constant", [], ["outside_value"], value=tensor)
            if place == "nested":
                inner = onnx.helper.make_graph([node], "inner", [], [])
                node = onnx.helper.make_node(
                    "If", ["x"], ["y"], then_branch=inner, else_branch=inner
                )
            model.graph.node.append(node)
        models.append(model)
    return models


@pytest.mark.parametrize("number", range(3))
def test_external_data_is_refused_wherever_it_hides(folder: Path, number: int) -> None:
    model = packed(external_models()[number])
    with pytest.raises(BundleError, match="expected an ONNX model as Sixfold writes it; found"):
        CheckedModel.of(model, "model.onnx")
    files = manifest.read(folder).files | {"model.onnx": model}
    (folder / "model.onnx").write_bytes(model)
    (folder / "manifest.json").write_bytes(manifest.make("0.1.0", files).rendered())
    with pytest.raises(BundleError, match=r"found (external data|field 6)"):
        load(folder)


def test_what_is_no_model_is_refused_with_a_reason() -> None:
    rng = random.Random(0)
    model = tiny_bundle.graph()
    CheckedModel.of(model, "model.onnx")
    for content in (
        b"\x80\x04\x95pickle",
        b"\xff" * 40,
        model[:-3],
        b"\x3a" * 200,
        rng.randbytes(500),
    ):
        with pytest.raises(BundleError, match="expected an ONNX model"):
            CheckedModel.of(content, "model.onnx")


@pytest.mark.slow
def test_a_kill_while_writing_never_leaves_half_a_bundle(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; sys.path.insert(0, sys.argv[1]); import tiny_bundle\n"
        "left = int(sys.argv[3]); real = os.fsync\n"
        "def dying(handle):\n"
        "    global left; left -= 1\n"
        "    if left < 0: os._exit(9)\n"
        "    real(handle)\n"
        "os.fsync = dying\n"
        "tiny_bundle.make(pathlib.Path(sys.argv[2]), report_html='second')\n"
    )
    folder = tiny_bundle.make(tmp_path / "bundle", report_html="first")
    for step in (0, 4, 8, 9, 99):
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(folder), str(step)],
            timeout=60,
        )
        assert done.returncode == (0 if step == 99 else 9)
        assert load(folder).path == folder
        assert (folder / "report.html").read_text() in ("first", "second")
    assert (folder / "report.html").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_writing_and_answering_import_nothing_of_training(folder: Path) -> None:
    code = (
        "import sys, sixfold.serve.run, sixfold.bundle.write, sixfold.bundle.stream\n"
        "from sixfold.bundle.verify import verify\n"
        "verify(sys.argv[1]); __import__('sixfold').load(sys.argv[1]).predict([])\n"
        "print([n for n in ('torch','sklearn','pandas','pyarrow','onnx','scipy','lightgbm') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_parts_are_written_as_they_are(tmp_path: Path) -> None:
    parts = tiny_bundle.parts()
    write_bundle(tmp_path / "bundle", parts)
    bundle = load(str(tmp_path / "bundle"))
    assert (bundle.signature, bundle.receipt) == (parts.signature, parts.receipt)
    assert (bundle.name, bundle.recipe.serve.max_rows) == ("tiny", 100)
    assert "tiny" in bundle._repr_html_()


def test_more_rows_than_a_reader_takes_are_not_stored() -> None:
    few = Parity([{"a": "x" * 1_000_000}] * 40, {"value": np.zeros((40, 1))}).fitting()
    assert 5 < len(few.rows) < 20
    unpack(few.packed(), "parity.jsonl.gz", one_value(["a"]), len(few.rows))
    names = [f"c{number}" for number in range(9000)]
    wide = Parity([dict.fromkeys(names, "1")] * 74, {"value": np.zeros((74, 1))}).fitting()
    assert len(wide.rows) == 44
    assert len(wide.expected["value"]) == 44
    unpack(wide.packed(), "parity.jsonl.gz", one_value(names), 44)
    files = Parity([{"a": "x" * 1000}] * 900, {"value": np.zeros((900, 1))}).fitting()
    assert 60 < len(files.rows) < 70
    large = Parity([{"a": "x" * 50_000}] * 900, {"value": np.zeros((900, 1))}).fitting()
    assert len(large.rows) == 32
    short = Parity([{"a": "x" * 200}] * 900, {"value": np.zeros((900, 1))}).fitting()
    assert len(short.rows) == 900
    small = Parity(tiny_bundle.ROWS, tiny_bundle.expected())
    assert small.fitting().packed() == small.packed()


def one_value(names: list[str]) -> Signature:
    inputs = tuple(Input(name=name, type="category") for name in names)
    outputs = (Output(name="value", columns=("y",)),)
    return Signature(
        task="regression", target=("y",), inputs=inputs, outputs=outputs, missing=("",)
    )


@pytest.mark.parametrize("name", list(manifest.LARGEST))
def test_a_file_that_nobody_could_load_is_not_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(manifest.LARGEST, name, 10)  # type: ignore[misc]
    with pytest.raises(BundleError, match=rf"{name}: expected at most 10 bytes"):
        tiny_bundle.make(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
