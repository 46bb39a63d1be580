"""Graphs of strangers: nothing outside is read, nothing takes without end, and what is run was
understood to its last byte.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import hostile_graphs
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_bundle
from hypothesis import given
from hypothesis import strategies as st

from sixfold.bundle import onnx_messages
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.core.errors import BundleError

TRY = """
import json, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import hostile_graphs
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import BundleError
from sixfold.core.memory import peak_bytes
import numpy as np
every = int(sys.argv[3])
cases = list(enumerate(getattr(hostile_graphs, sys.argv[2])()))
before = peak_bytes()
found, slowest = {"tried": 0, "refused": 0, "answered": []}, 0.0
for number, (what, model) in cases:
    if number % every:
        continue
    found["tried"] += 1
    started = time.perf_counter()
    try:
        session = CheckedModel.of(model, "model.onnx").session("model.onnx")
        found["answered"].append([what, repr(session.run(None, {"numbers": np.zeros((4, 4))})[0].tobytes())])
    except BundleError:
        found["refused"] += 1
    slowest = max(slowest, time.perf_counter() - started)
found["slowest_s"] = slowest
found["grown_bytes"] = peak_bytes() - before
print(json.dumps(found))
"""


def tried(kind: str, folder: Path, every: int = 1) -> dict[str, object]:
    """What became of the models `kind`, each `every`-th of them, in a process of its own that works
    among secrets.
    """
    inner = folder / "work"
    (inner / "sub").mkdir(parents=True)
    for place in (folder, inner, inner / "sub"):
        (place / "secret.bin").write_bytes(hostile_graphs.SECRET)
    (inner / "link.bin").symlink_to(folder / "secret.bin")
    code = [sys.executable, "-c", TRY, str(Path(__file__).parent), kind, str(every)]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # noqa: E731
    done = subprocess.run(
        code, cwd=inner, capture_output=True, text=True, timeout=300, preexec_fn=limit
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_no_way_of_writing_reads_a_file_outside(tmp_path: Path) -> None:
    found = tried("outside_readers", tmp_path)
    assert found["tried"] == found["refused"] and int(str(found["tried"])) > 400
    assert found["answered"] == []


def test_the_attack_works_where_nothing_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the models above try is real: onnxruntime itself takes at least the plain one for the
    name of a file.
    """
    (tmp_path / "secret.bin").write_bytes(hostile_graphs.SECRET)
    model = dict(hostile_graphs.outside_readers())[
        "secret.bin, external_data plain, data_location plain"
    ]
    (tmp_path / "model.onnx").write_bytes(model)
    monkeypatch.chdir(tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    answer = session.run(None, {"numbers": np.zeros((4, 4))})[0]
    assert answer.tobytes() == hostile_graphs.SECRET[:32]


@pytest.mark.slow
def test_nothing_takes_without_end(tmp_path: Path) -> None:
    found = tried("greedy", tmp_path, 1)
    assert found["tried"] == found["refused"] == len(list(hostile_graphs.greedy()))
    assert int(str(found["grown_bytes"])) < 200_000_000
    assert float(str(found["slowest_s"])) < 10 * 6  # a machine that is busy with other tests


def damages(count: int) -> tuple[int, int]:
    """Damaged copies of a good model that are refused, and those that are run."""
    good, refused = tiny_bundle.graph(), 0
    for seed in range(count):
        content = hostile_graphs.damaged(good, seed)
        try:
            checked = CheckedModel.of(content, "model.onnx")
            assert onnx_messages.read(checked.content) == onnx_messages.read(content)
            checked.session("model.onnx")
        except BundleError:
            refused += 1
    return refused, count - refused


def test_damage_is_refused_or_understood() -> None:
    refused, run = damages(400)
    assert refused > 200 and run > 0  # a bit of a weight is another model, and a good one


@pytest.mark.slow
def test_much_damage_is_refused_or_understood() -> None:
    refused, _ = damages(8_000)
    assert refused > 4_000


def test_a_good_model_is_written_as_it_was() -> None:
    for task in ("classification", "regression"):
        own = tiny_bundle.graph(task)
        checked = CheckedModel.of(own, "model.onnx")
        assert onnx.load_from_string(checked.content) == onnx.load_from_string(own)
        assert CheckedModel.of(checked.content, "model.onnx").content == checked.content


@given(st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_a_number_has_one_way_to_be_written(value: int, longer: int) -> None:
    content = memoryview(hostile_graphs.number(value, longer))
    if longer == 0:
        assert onnx_messages.varint(content, 0) == (value, len(content))
        return
    with pytest.raises(onnx_messages.WireError):
        onnx_messages.varint(content, 0)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), st.integers(0, 39))
def test_a_packed_list_is_read_as_it_was_written(values: list[int], longer_at: int) -> None:
    content = b"".join(onnx_messages.encoded(value & (1 << 64) - 1) for value in values)
    onnx_messages.check_packed(memoryview(content), "ints")
    assert onnx_messages.unpacked(content).tolist() == values
    if longer_at < len(values):
        longer = b"".join(
            hostile_graphs.number(value & (1 << 64) - 1, int(at == longer_at))
            for at, value in enumerate(values)
        )
        with pytest.raises(onnx_messages.WireError):
            onnx_messages.check_packed(memoryview(longer), "ints")


def test_classes_in_another_order_are_refused() -> None:
    right = tiny_bundle.signature()
    swapped = right.classes[::-1]
    outputs = tuple(
        output.model_copy(update={"columns": swapped}) if output.name == "probability" else output
        for output in right.outputs
    )
    wrong = right.model_copy(update={"classes": swapped, "outputs": outputs})
    onnx_predictor(tiny_bundle.graph(), right)
    with pytest.raises(
        BundleError, match=r"expected the classes \['<toss>', 'keep'\]; found \['keep', '<toss>'\]"
    ):
        onnx_predictor(tiny_bundle.graph(), wrong)


def test_what_the_graph_fails_on_is_told_as_the_bundles_fault() -> None:
    """A label that no class has: the graph takes it for an index, and there is none."""
    model = onnx.load_from_string(tiny_bundle.graph())
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "default_int64":
                attribute.i = 99
    predictor = onnx_predictor(tiny_bundle.packed(model), tiny_bundle.signature(), "model.onnx")
    with pytest.raises(
        BundleError, match=r"model\.onnx: expected a graph that answers what its signature allows"
    ):
        predictor.predict([tiny_bundle.raw(colour="never seen")])


def test_stored_rows_are_asked_for_a_time_that_ends() -> None:
    predictor = onnx_predictor(tiny_bundle.graph(), tiny_bundle.signature(), "model.onnx")
    rows = [dict(tiny_bundle.raw())] * 3
    with predictor.within(60.0):
        assert len(predictor.predict(rows)) == 3
    with (
        predictor.within(-1.0),
        pytest.raises(BundleError, match="answers to the stored rows within seconds"),
    ):
        predictor.predict(rows)
    assert len(predictor.predict(rows)) == 3
