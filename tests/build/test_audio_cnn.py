"""audio_cnn learns tones, answers in the graph as here, goes on where it was, and gets smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import tiny_sounds
from sixfold.build import ctc
from sixfold.build._fitted_audio import AudioNetwork
from sixfold.build.audio_cnn import Settings
from sixfold.build.candidate import Candidate, fits_of
from sixfold.compress.pruners.channels import cut, operations
from sixfold.compress.quantized_images import quantized_audio
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureGroup, Fit, Fitted
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.table import Column, FloatArray, Table
from sixfold.prepare.features.samples import Settings as Samples
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.sound_augment import SoundAugment

ROWS = 48


@pytest.fixture(scope="module")
def work(tmp_path_factory: Any) -> Fit:
    paths = tiny_sounds.draw(tmp_path_factory.mktemp("sounds"), ROWS)
    column = Column("audio", np.arange(ROWS, dtype=np.int32), tuple(map(str, paths)))
    table = Table({"sound": column}, ROWS)
    block = Samples(seconds=0.25).block("sound", table)
    y = np.arange(ROWS, dtype=np.int64) % 2
    return Fit(block.stored(table), y, "classification", 2, layout=(block.group(0),))  # type: ignore[arg-type]


def trained(work: Fit, epochs: int = 10, **options: Any) -> Fitted:
    family = Settings(size="nano", bands=16, **options)
    train = Train.model_validate(
        {"epochs": epochs, "batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    )
    one = Candidate("audio_cnn", "audio_cnn", family, Prepare(), Initialize(), train)
    (fitted,) = one.family.fit(fits_of([one], [work]), Context())
    return fitted


@pytest.fixture(scope="module")
def network(work: Fit) -> AudioNetwork:
    found = trained(work)
    assert isinstance(found, AudioNetwork)
    return found


def by_graph(fitted: Any, x: FloatArray) -> FloatArray:
    graph = Graph()
    value = fitted.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", 2])
    session = ort.InferenceSession(
        graph.model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x.astype(np.float32)})[0])


@pytest.mark.parametrize("family", [Settings, ctc.Settings])
def test_recordings_are_changed_within_the_same_bounds(family: Any) -> None:
    """How much is a family's own affair; what can be asked for is said once."""
    for name, field in SoundAugment.model_fields.items():
        own = family.model_fields[name]
        assert (own.metadata, own.description) == (field.metadata, field.description), name
    assert family(size="nano", room=0.25).changes().startswith("Training recordings are augmented")
    assert "room 0.25 s" in family(size="nano", room=0.25).changes()


def test_it_learns_and_the_graph_answers_alike(network: AudioNetwork, work: Fit) -> None:
    x: Any = work.x[:]
    found = network.predict(x)
    assert (found.argmax(1) == work.y).mean() > 0.9
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(by_graph(network, x), found, atol=2e-5)
    np.testing.assert_array_equal(network.predict(work.x), found)  # read from the disk
    np.testing.assert_allclose(network.predict(x[:1]), found[:1], atol=1e-6)


def test_the_same_seed_gives_the_same_bits(work: Fit) -> None:
    first, second = (trained(work, epochs=1) for _ in range(2))
    assert isinstance(first, AudioNetwork) and isinstance(second, AudioNetwork)
    for name, weight in first.network.weights.items():
        assert np.array_equal(weight, second.network.weights[name]), name


def test_the_scaling_is_that_of_the_training_rows(work: Fit, network: AudioNetwork) -> None:
    from sixfold.build._fitted_audio import MelRows

    values = MelRows(work.x, network.mel)[np.arange(ROWS)]
    assert network.network.scaling.mean == pytest.approx(values.mean(), abs=1e-4)
    assert network.network.scaling.deviation == pytest.approx(values.std(), rel=1e-4)


def test_channels_go_and_the_network_goes_on(network: AudioNetwork, work: Fit) -> None:
    smaller = cut(network, 0.5)
    assert operations(smaller) <= 0.5 * operations(network)
    again = trained(Fit(**{**vars(work), "start": smaller}), epochs=2)
    assert operations(again) == operations(smaller)
    assert (again.predict(work.x).argmax(1) == work.y).mean() > 0.8  # type: ignore[arg-type]


def test_int8_answers_nearly_alike(network: AudioNetwork, work: Fit) -> None:
    x: Any = work.x[:]
    small = quantized_audio(network, x)
    assert np.abs(small.predict(x) - network.predict(x)).max() < 0.2
    np.testing.assert_allclose(by_graph(small, x), small.predict(x), atol=0.05)


def test_other_features_are_refused() -> None:
    layout = (FeatureGroup("numbers", ("a",), 0, 3),)
    fit = Fit(np.zeros((4, 3)), np.array([0, 1, 0, 1]), "classification", 2, layout=layout)
    with pytest.raises(FitError, match="audio_cnn: expected one column of recordings and no other"):
        Settings().mel(fit)


def test_what_was_chosen_is_said(work: Fit) -> None:
    assert (
        Settings()
        .derived(work)
        .startswith(
            "audio_cnn: size nano, for 48 recordings; log-mel spectrograms of 40 bands and 22 frames, 32 ms each, every 10 ms."
        )
    )
    assert Settings().sized(100_000)[0] == "small"
    assert Settings(size="large").sized(9) == ("large", "")
