"""Figure 7: what executes where a pickle is loaded, as every file of a bundle and of a fitted state: refused, and never run."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hostile_files
import numpy as np
import pytest
import tiny_bundle

from sixfold.build.mlp import FittedPerceptron
from sixfold.bundle import manifest
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError, SixfoldError
from sixfold.parts import state
from sixfold.parts.state import State

FILES = [*manifest.LARGEST, "manifest.json"]


@dataclass(frozen=True)
class Payload:
    """Makes a folder as soon as it is unpickled."""

    mark: str

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


def payloads(mark: Path) -> Iterator[tuple[str, bytes]]:
    """All forms in which models and arrays travel that execute what is in them."""
    one = Payload(str(mark))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle {protocol}", pickle.dumps(one, protocol)
    plain = pickle.dumps(one, 4)
    yield "pickle in gzip", gzip.compress(plain)
    yield "pickle in zlib, as joblib", zlib.compress(plain)
    yield "pickle in bz2", bz2.compress(plain)
    for name in ("archive/data.pkl", "model/data.pkl"):  # torch.save, torch.jit.save
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(name, plain)
            archive.writestr(f"{name.partition('/')[0]}/version", "3\n")
        yield name, packed.getvalue()
    array = io.BytesIO()
    np.save(array, np.array([one], dtype=object), allow_pickle=True)
    yield "npy", array.getvalue()
    arrays = io.BytesIO()
    np.savez(arrays, a=np.array([one], dtype=object))
    yield "npz", arrays.getvalue()
    yield "yaml", f"!!python/object/apply:os.mkdir [{str(mark)!r}]\n".encode()
    reduced = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(mark)]}]}
    yield "jsonpickle", json.dumps(reduced).encode()


def headers() -> Iterator[tuple[str, bytes]]:
    """Of safetensors: sizes that lie, and headers that are larger than what they tell of."""

    def of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
        text = json.dumps(header).encode()
        return (len(text) if length is None else length).to_bytes(8, "little") + text + data

    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for length in (1 << 63, (1 << 64) - 1, 1 << 40, 100_000_001, 0):
        yield f"a header of {length:,} bytes", of({"a0": one}, bytes(4), length)
    yield "more numbers than bytes", of({"a0": {**one, "shape": [1 << 40]}}, bytes(4))
    yield "a shape that overflows", of({"a0": {**one, "shape": [1 << 33, 1 << 33]}}, bytes(4))
    yield "an end before its beginning", of({"a0": {**one, "data_offsets": [4, 0]}}, bytes(4))
    yield "an end behind the file", of({"a0": {**one, "data_offsets": [0, 1 << 50]}}, bytes(4))
    yield "two of the same bytes", of({"a0": one, "a1": one}, bytes(4))
    yield "a hole", of({"a0": {**one, "data_offsets": [4, 8]}}, bytes(8))
    yield "an unknown type", of({"a0": {**one, "dtype": "OBJECT"}}, bytes(4))
    yield "a deep one", b"[" * 100_000
    yield "nothing", b""


def test_no_file_of_a_bundle_executes(tmp_path: Path) -> None:
    whole = manifest.read(tiny_bundle.make(tmp_path / "honest")).files
    mark, count = tmp_path / "executed", 0
    for file in FILES:
        for what, content in payloads(mark):
            folder = hostile_files.seal(tmp_path / f"b{count}", whole, file, content)
            with pytest.raises(BundleError) as refusal:
                verify(folder)
            assert refusal.value.found and refusal.value.remedy, (file, what)
            assert not mark.exists(), (file, what)
            count += 1
    print(f"{count} bundles with what executes, 0 executed")
    assert count >= 100


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
def test_no_file_of_a_state_executes(tmp_path: Path, file: str) -> None:
    mark, count = tmp_path / "executed", 0
    ones = np.ones((3, 2), dtype=np.float32)
    network = FittedPerceptron(
        (ones,), (np.zeros(3, np.float32),), "relu", "softmax", np.zeros(3), np.ones(3)
    )
    (tmp_path / "s").mkdir()
    state.save(network, tmp_path / "s")
    state.load(tmp_path / "s", State)
    for what, content in [*payloads(mark), *headers()]:
        (tmp_path / "s" / file).write_bytes(content)
        with pytest.raises(SixfoldError) as refusal:
            state.load(tmp_path / "s", State)
        assert refusal.value.found and refusal.value.remedy, what
        assert not mark.exists(), what
        count += 1
    assert count >= 25


def test_the_payloads_execute_where_pickles_are_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    first = dict(payloads(mark))["pickle 4"]
    pickle.loads(first)
    assert mark.is_dir()
