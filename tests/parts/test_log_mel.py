"""Log-mel spectrograms agree with SciPy's, and those of the graph with those of training."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from scipy.signal import get_window, stft

from sixfold.bundle.graph import CheckedModel
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.log_mel import CENTERED_FLOOR, FLOOR, LogMel, hertz_to_mel, mel_filters
from sixfold.parts.packed import packed
from sixfold.parts.table import FloatArray
from tiny_sounds import tone

OFF = 2e-4  # of logarithms: single precision against double, where energies are near the floor
MELS = [
    pytest.param(LogMel.of(rate, round(0.4 * rate), bands, center), id=f"{rate} {bands} {center}")
    for rate, bands in ((8_000, 40), (16_000, 64), (11_025, 20))
    for center in (False, True)
]


def sounds(mel: LogMel) -> FloatArray:
    """Whole numbers of 16 bits: a tone, one that falls silent, noise, and nothing at all."""
    seconds = mel.samples / mel.rate
    found = np.stack([tone(300 + 700 * at, seconds, mel.rate, at) for at in range(4)])
    found[1, mel.samples // 2 :] = 0
    found[2] = np.random.default_rng(0).normal(0, 0.2, mel.samples)
    found[3] = 0
    return np.asarray(np.rint(found * 32768))


def reference(mel: LogMel, samples: FloatArray) -> FloatArray:
    """By SciPy in double: [rows, bands, frames]."""
    window = get_window("hann", mel.window)
    between = {"nperseg": mel.window, "noverlap": mel.window - mel.hop}
    parts = stft(samples / 32768, window=window, boundary=None, padded=False, **between)[2]
    power = np.abs(parts * window.sum()) ** 2
    energy = np.einsum("mk,rkt->rmt", mel_filters(mel.rate, mel.window, mel.bands), power)
    if not mel.center:
        return np.asarray(np.log(energy + FLOOR))
    means = energy.mean((1, 2), keepdims=True) + 1e-9
    logarithms = np.log(energy / means + CENTERED_FLOOR)
    return np.asarray(logarithms - logarithms.mean(2, keepdims=True))


def by_graph(mel: LogMel, samples: FloatArray) -> FloatArray:
    graph = Graph()
    value = mel.export(graph, graph.input("x", TensorProto.FLOAT, mel.samples))
    graph.output("y", value, TensorProto.FLOAT, ["rows", mel.bands, mel.frames])
    content = packed(graph.model())
    assert len(content) < 6 * mel.window * mel.bands  # the waves are not stored
    assert CheckedModel.of(content, "model").row_cells > 0
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": samples.astype(np.float32)})[0])


@pytest.mark.parametrize("mel", MELS)
def test_training_and_graph_agree_with_scipy(mel: LogMel) -> None:
    samples = sounds(mel)
    trained = mel.spectrograms(torch.from_numpy(samples.astype(np.float32))).numpy()
    assert trained.shape == (4, mel.bands, mel.frames)
    np.testing.assert_allclose(trained, reference(mel, samples), atol=OFF)
    np.testing.assert_allclose(by_graph(mel, samples), trained, atol=OFF)


def test_a_centered_spectrogram_knows_no_loudness() -> None:
    mel = LogMel.of(8_000, 3_200, 40, center=True)
    samples = torch.from_numpy(sounds(mel).astype(np.float32))[:3]
    quiet = mel.spectrograms(samples / 8)
    assert torch.allclose(mel.spectrograms(samples), quiet, atol=1e-3)
    assert torch.allclose(quiet.mean(2), torch.zeros(3, 40), atol=1e-4)


def test_mel_filters_are_triangles_that_add_up_to_one() -> None:
    filters = mel_filters(16_000, 512, 40)
    assert filters.shape == (40, 257) and filters.min() == 0
    hertz = np.arange(257) * (16_000 / 512)
    corners = 700 * (10 ** (np.linspace(0, hertz_to_mel(8_000), 42) / 2595) - 1)
    inside = (hertz >= corners[1]) & (hertz <= corners[-2])
    np.testing.assert_allclose(filters.sum(axis=0)[inside], 1, atol=1e-12)
    peaks = hertz[filters.argmax(axis=1)]
    assert (np.abs(peaks - corners[1:-1]) <= 16_000 / 512).all()


def test_no_band_is_empty_however_narrow() -> None:
    assert (mel_filters(8_000, 64, 128).sum(axis=1) > 0).all()


@pytest.mark.parametrize(("hertz", "mel"), [(0.0, 0.0), (1000.0, 999.9855), (4000.0, 2146.0645)])
def test_the_mel_scale(hertz: float, mel: float) -> None:
    assert hertz_to_mel(hertz) == pytest.approx(mel, abs=1e-3)


def test_what_is_shorter_than_a_window_has_one_frame() -> None:
    mel = LogMel.of(8_000, 100, 8)
    assert (mel.window, mel.frames) == (64, 1)
    assert mel.spectrograms(torch.zeros(2, 100)).shape == (2, 8, 1)
