"""Recordings as samples and as statistics: fitted on training rows alone, equal in the graph and here, equal
to SciPy's numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from scipy.fft import dct

import tiny_sounds
from sixfold.bundle.audio import recorded
from sixfold.bundle.readers.audio import Settings as Reader
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.log_mel import FLOOR, mel_filters
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.sound_store import StoredSamples
from sixfold.parts.table import Column, FloatArray, Table
from sixfold.prepare.features.mel_statistics import Settings as MelStatistics
from sixfold.prepare.features.samples import Settings as Samples
from sixfold.prepare.features.whole_samples import Settings as WholeSamples
from sixfold.prepare.mel_block import cosines


@pytest.fixture(scope="module")
def table(tmp_path_factory: Any) -> Table:
    paths = tiny_sounds.draw(tmp_path_factory.mktemp("sounds"), 12, rates=(8_000, 8_000, 16_000))
    column = Column("audio", np.arange(12, dtype=np.int32), tuple(map(str, paths)))
    return Table({"sound": column}, 12)


def asked(block: Any, table: Table) -> FloatArray:
    """By the graph, from what the reader makes of the files, as its metadata describe it."""
    graph = Graph()
    value = block.export(graph, RawInputs(graph, [], ()))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", len(block.names)])
    model = graph.model()
    (described,) = [each.value.encode() for each in model.metadata_props]
    encoder = Reader().encoder("audio_0", described, "model")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    content = [Path(path).read_bytes() for path in table.columns["sound"].strings()]
    return np.asarray(session.run(None, {"audio_0": encoder.encode(content)})[0])


@pytest.mark.parametrize(
    "method",
    [
        Samples(),
        Samples(rate=16_000, seconds=0.1),
        Samples(trim=30.0, level=-25.0, noise_reduction=12.0),
        WholeSamples(level=-25.0),
        MelStatistics(),
        MelStatistics(bands=24, coefficients=0, segments=1),
        MelStatistics(coefficients=13, segments=5, level=-25.0),
    ],
    ids=str,
)
def test_the_graph_gives_what_training_gives(method: Any, table: Table) -> None:
    block = method.block("sound", table)
    found = block.reader(table)(slice(None))
    assert found.shape == (12, len(block.names)) and len(set(block.names)) == len(block.names)
    assert len(block.sources) == len(block.levels) == len(block.names)
    off = 0 if block.group(0).kind == "samples" else 1e-4  # of sums in another order
    np.testing.assert_allclose(asked(block, table), found, atol=off, rtol=0)
    assert np.array_equal(block.reader(table)(slice(3, 5)), found[3:5])


def test_whole_samples_are_as_long_as_the_longest(tmp_path: Path) -> None:
    """Of twenty recordings one is long: most of them decide what becomes of samples."""
    paths = [tmp_path / f"{number}.wav" for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(tiny_sounds.wav(tiny_sounds.tone(440, 1.1 if number == 7 else 0.2)))
    names = list(map(str, paths))
    assert Samples().form(names).samples < 4_000
    assert WholeSamples().form(names).samples == 10_000  # 1.25 s: a multiple of a quarter
    assert WholeSamples(seconds=0.5).form(names).samples == 4_000


def test_samples_are_of_the_rate_and_length_of_most(table: Table) -> None:
    block = Samples().block("sound", table)
    assert (block.form.rate, block.form.samples) == (8_000, 4_000)
    group = block.group(2)
    assert (group.kind, group.start, group.stop, group.rate) == ("samples", 2, 4_002, 8_000)
    stored = block.stored(table)
    assert isinstance(stored, StoredSamples)
    path = table.columns["sound"].strings()[2]
    expected = recorded(Path(path).read_bytes(), path, block.form.input("sound"))
    assert np.array_equal(stored[2:3][0], expected)


def test_held_out_rows_decide_nothing(tmp_path: Path) -> None:
    paths = tiny_sounds.draw(tmp_path, 10)
    codes = np.arange(10, dtype=np.int32)

    def fitted(method: Any) -> Any:
        column = Column("audio", codes, tuple(map(str, paths)))
        return method.block("sound", Table({"sound": column}, 10).take(np.arange(6)))

    def told() -> list[Any]:
        mel = fitted(MelStatistics())
        return [fitted(Samples()), mel.form, mel.center.tolist(), mel.scale.tolist()]

    before = told()
    for path in paths[6:]:  # longer ones, of another rate
        path.write_bytes(tiny_sounds.wav(tiny_sounds.tone(500, 2.0, 16_000), 16_000))
    assert told() == before
    paths[0].write_bytes(tiny_sounds.wav(tiny_sounds.tone(500, 2.0, 16_000), 16_000))
    assert told() != before  # the test would see a leak


def test_statistics_are_those_of_mel_cepstra(table: Table) -> None:
    block = MelStatistics(seconds=0.2, bands=30, coefficients=12, segments=2).block("sound", table)
    mel, values = block.mel, block.reader(table)(slice(None))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-9)
    found = values[0]
    path = table.columns["sound"].strings()[0]
    samples = recorded(Path(path).read_bytes(), path, block.form.input("sound")) / 32768
    frames = np.lib.stride_tricks.sliding_window_view(samples, mel.window)[:: mel.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.window) / mel.window)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    logarithms = np.log(power @ mel_filters(mel.rate, mel.window, 30).T + FLOOR)
    cepstra = dct(logarithms, type=2, norm="ortho", axis=1)[:, :12]
    half = mel.frames // 2
    expected = []
    for part in (cepstra[:half], cepstra[half:]):
        expected += [part.mean(axis=0), np.sqrt(part.var(axis=0) + 1e-6)]
    raw = found * block.scale + block.center
    np.testing.assert_allclose(raw, np.concatenate(expected), atol=2e-4)
    assert block.names[0] == "sound mfcc 1 mean 1" and block.names[-1] == "sound mfcc 12 spread 2"


def test_cosines_are_the_orthonormal_transform() -> None:
    found = cosines(20, 8)
    np.testing.assert_allclose(found @ found.T, np.eye(8), atol=1e-12)


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="at most as many as bands, 20; found 21"):
        MelStatistics(bands=20, coefficients=21)
