"""ctc learns texts of tones, answers in the graph as here, has the alphabet of its training texts, and gets
smaller.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import tiny_sounds
from evaluating import candidate, saved
from sixfold.build._ctc_family import PRIOR, alphabet_of, blank_start, numbered
from sixfold.build._fitted_ctc import CtcNetwork
from sixfold.build._subwords import divided, learned
from sixfold.build.candidate import Candidate, fits_of
from sixfold.build.ctc import Settings
from sixfold.bundle.noise import noise_reduced
from sixfold.bundle.transcription import paths
from sixfold.compress.quantized_images import quantized_speech
from sixfold.core.errors import FitError
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.transcription import CharacterErrorRate, WordErrorRate
from sixfold.parts.fit import FeatureGroup, Fit
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.table import Dataset, FloatArray, Table, Target
from sixfold.parts.transcripts import code_points, texts_of
from sixfold.prepare.features.whole_samples import Settings as WholeSamples
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

NOISE = 0.3  # standard deviation, of samples in [-1, 1]
TEXTS = [("ae", "ea", "a", "e", "aa")[number % 5] for number in range(40)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> Dataset:
    return tiny_sounds.sung_texts(tmp_path_factory.mktemp("sung"), TEXTS)


@pytest.fixture(scope="module")
def work(data: Dataset) -> Fit:
    block = WholeSamples().block("sound", data.table)
    y = data.target.values
    return Fit(block.stored(data.table), y, "transcription", 2, layout=(block.group(0),))  # type: ignore[arg-type]


def trained(work: Fit, epochs: int = 1, stop: dict[str, Any] | None = None, **options: Any) -> Any:
    family = Settings(size="nano", bands=16, **options)
    train = Train.model_validate(
        {
            "epochs": epochs,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.004},
            "stop": stop or {},
        }
    )
    one = Candidate("ctc", "ctc", family, Prepare(), Initialize(), train)
    (fitted,) = one.family.fit(fits_of([one], [work]), Context())
    assert isinstance(fitted, CtcNetwork)
    return fitted


@pytest.fixture(scope="module")
def network(work: Fit) -> CtcNetwork:
    found: CtcNetwork = trained(work, epochs=20)
    return found


def scores_by_graph(fitted: CtcNetwork, x: FloatArray) -> FloatArray:
    graph = Graph()
    value = fitted.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", fitted.decoder.cells])
    session = ort.InferenceSession(
        graph.model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x.astype(np.float32)})[0])


def rate(fitted: CtcNetwork, work: Fit) -> float:
    """Of characters."""
    said = Target("transcription", work.y, ("said",))
    return CharacterErrorRate().score(said, fitted.predict(work.x))  # type: ignore[arg-type]


@pytest.mark.slow
def test_it_learns_where_letters_are(network: CtcNetwork, work: Fit) -> None:
    assert rate(network, work) < 0.1
    assert network.decoder.alphabet == ("a", "e")
    small = quantized_speech(network, work.x[:])  # type: ignore[arg-type, index]
    assert rate(small, work) < 0.15
    x: Any = work.x[:4]
    off = scores_by_graph(small, x) - small.network.predict(
        np.concatenate(list(_spectrograms(small, x)))
    )
    assert np.abs(off).max() < 0.05


def _spectrograms(fitted: CtcNetwork, x: Any) -> Any:
    from sixfold.build._fitted_ctc import spectrograms_of

    return spectrograms_of(x, fitted.mel)


@pytest.mark.slow
def test_less_noise_is_less_mistakes(network: CtcNetwork, work: Fit) -> None:
    """Of a network that learned from recordings without noise."""
    clean = np.asarray(work.x[:]) / 32768  # type: ignore[index]
    noisy = (clean + np.random.default_rng(0).normal(0, NOISE, clean.shape)).astype(np.float32)
    cleaned = np.stack([noise_reduced(row, tiny_sounds.RATE, 20.0) for row in noisy])
    before, after = (rate(network, replace(work, x=32768 * each)) for each in (noisy, cleaned))
    assert after < before / 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 40), st.integers(1, 50))
def test_the_blank_starts_towards_the_share_of_silent_frames(
    lengths: list[int], symbols: int, frames: int
) -> None:
    """By softmax over all symbols; at least half of the frames, where texts are longer."""
    targets = np.array([[1] * length + [0] * (9 - length) for length in lengths])
    start = blank_start(targets, frames, symbols) / PRIOR
    scores = np.array([start, *[0.0] * symbols])
    blank = np.exp(scores[0]) / np.exp(scores).sum()
    share = sum(lengths) / (len(lengths) * frames)
    assert blank == pytest.approx(max(0.5, 1 - share)) or (share == 0 and start == 0)


@pytest.mark.parametrize("scheme", ["he_normal", "xavier_uniform", "orthogonal"])
@pytest.mark.parametrize("size", ["nano", "small"])
def test_at_the_start_nothing_is_said(work: Fit, size: Any, scheme: str) -> None:
    """Whatever the seed: where silence starts as a letter, it stays one (a repeated letter is one), and the letter is
    lost wherever it is said.
    """
    for seed in range(5):
        family = Settings(size=size, bands=16)
        section = Initialize.model_validate({"scheme": scheme})
        one = Candidate("ctc", "ctc", family, Prepare(), section, Train())
        (fit,) = fits_of([one], [replace(work, seed=seed)])
        fitted = family.fitted(family._start(fit, seed).eval(), fit)
        assert isinstance(fitted, CtcNetwork)
        x: Any = work.x[:8]
        scores = np.concatenate([fitted.network.predict(each) for each in _spectrograms(fitted, x)])
        best = scores.reshape(8, fitted.decoder.frames, -1).argmax(axis=2)
        assert (best == paths.BLANK).mean() > 0.5


@pytest.mark.slow
def test_it_learns_from_wherever_it_starts(work: Fit) -> None:
    for seed in range(4):
        assert rate(trained(replace(work, seed=seed), epochs=20), work) < 0.1


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("size", ["nano", "small"])
def test_the_graph_scores_as_the_network(work: Fit, size: Any, step: Any) -> None:
    """Without training: numbers are those of the start."""
    family = Settings(size=size, bands=16, step=step)
    module = family.module(work)
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    fitted = family.fitted(module.eval(), work)
    assert isinstance(fitted, CtcNetwork)
    x: Any = work.x[:5]
    expected = fitted.network.predict(np.concatenate(list(_spectrograms(fitted, x))))
    assert expected.shape == (5, fitted.decoder.cells)
    np.testing.assert_allclose(scores_by_graph(fitted, x), expected, rtol=1e-3, atol=1e-3)
    assert fitted.predict(x).shape == (5, fitted.decoder.frames)
    assert (fitted.margins(x) > 0).all()
    again = family.resume(fitted).state_dict()
    assert all(torch.equal(again[name], value) for name, value in module.state_dict().items())


def test_the_same_seed_gives_the_same_bits(work: Fit) -> None:
    some = work.take(np.arange(12))
    first, second = (trained(some, room=0.2, noise=0.1) for _ in range(2))
    for name, weight in first.network.weights.items():
        assert np.array_equal(weight, second.network.weights[name]), name


@pytest.mark.parametrize("units", ["characters", pytest.param("subwords", marks=pytest.mark.slow)])
def test_validation_rows_move_no_bit(data: Dataset, tmp_path: Path, units: str) -> None:
    """Other texts, with a letter of their own, and other recordings: alphabet, counts of characters, scaling
    and weights of the fold are the same; where these rows train, they are not.
    """
    rows = np.arange(24)
    validation, train = rows[::3], np.setdiff1d(rows, rows[::3])
    folds = [Fold(train, validation), Fold(np.arange(12), np.arange(12, 24))]
    columns, said = data.table.columns["sound"].values.copy(), data.target.values.copy()
    columns[validation], said[validation] = columns[30:38], ord("z")
    table = Table({"sound": replace(data.table.columns["sound"], values=columns)}, len(TEXTS))
    other = replace(data, table=table, target=replace(data.target, values=said))
    family = {"family": "ctc", "size": "nano", "bands": 16, "decode": "beam", "beam": 4}
    family |= {"units": units}
    one = candidate(family, train={"epochs": 1, "batch_size": 8})
    found = [
        cross_validate(one, each, folds, ["word_error_rate"], Context(seed=4)).models
        for each in (data, other)
    ]
    for at, same in ((0, True), (1, False)):
        first, second = (
            saved(models[at], tmp_path / f"{at}-{n}") for n, models in enumerate(found)
        )
        assert (first == second) is same


def test_the_alphabet_is_that_of_all_training_rows(work: Fit) -> None:
    """Those that an early stop watches are training rows; other rows have no say."""
    some = work.take(np.array([2, 3, 7, 12, 17, 22, 27, 32]))  # one "e" among "a"
    watched = trained(some, stop={"patience": 1, "metric": "loss", "validation": 0.5})
    assert watched.decoder.alphabet == ("a", "e")
    only = trained(work.take(np.array([2, 7, 12, 17])))
    assert only.decoder.alphabet == ("a",)
    assert set("".join(texts_of(only.predict(work.x[:3])))) <= {"a"}


def test_subwords_are_those_of_all_training_rows(work: Fit) -> None:
    """Rows that an early stop watches are training rows; a network that is trained further keeps its own."""
    pieces = {"units": "subwords", "vocabulary": 5}
    some = work.take(np.array([2, 3, 7, 12, 17, 22, 27, 32]))  # one "e" among "a"
    watched = trained(some, stop={"patience": 1, "metric": "loss", "validation": 0.5}, **pieces)
    assert watched.decoder.alphabet == (" ", "a", "e", " a")
    others = replace(work.take(np.array([0, 1, 4])), start=watched)
    assert Settings(**pieces).alphabet(others) == watched.decoder.alphabet
    assert Settings(**pieces).targets(others).tolist() == [[4, 3, 0], [1, 3, 2], [4, 2, 0]]


def test_a_beam_of_subwords_has_the_counts_of_characters(work: Fit) -> None:
    """Of texts as pieces spell them."""
    family = Settings(decode="beam", order=2, bands=16, size="nano", units="subwords", vocabulary=5)
    found = family.decoder(work, family.shape(work))
    assert found.alphabet[:3] == (" ", "a", "e") and len(found.alphabet) == 5
    assert found.ngrams["\n"] == {" ": 40}
    assert found.ngrams["a"] == {"e": 8, "a": 8, "\n": 24}
    assert "5 subwords" in family.derived(work)


@pytest.mark.slow
def test_subwords_are_learned(work: Fit) -> None:
    """Words of a made set: by a search with n-grams, and by the same network's numbers alone."""
    fitted = trained(work, epochs=30, units="subwords", vocabulary=6, decode="beam", beam=4)
    said = Target("transcription", work.y, ("said",))
    searched = fitted.predict(work.x)
    assert WordErrorRate().score(said, searched) < 0.1
    decoder = fitted.decoder.model_copy(update={"method": "greedy"})
    greedy = replace(fitted, decoder=decoder).predict(work.x)
    assert WordErrorRate().score(said, greedy) < 0.5
    assert searched.shape == (len(TEXTS), fitted.decoder.longest)


WORDS = st.lists(st.text("abcz", min_size=1, max_size=8), max_size=4)


@settings(max_examples=25)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=6), st.integers(2, 40))
def test_subwords_spell_their_texts(texts: list[str], vocabulary: int) -> None:
    alphabet = learned(texts, vocabulary)
    assert alphabet == learned(texts[::-1], vocabulary)
    characters = {letter for text in texts for letter in (" " + text if text else "")}
    assert len(alphabet) <= max(vocabulary, len(characters))
    assert set(alphabet[: len(characters)]) == characters
    spelled = ["".join(alphabet[at - 1] for at in row if at) for row in divided(texts, alphabet)]
    assert spelled == [" " + text if text else "" for text in texts]
    unknown = divided([text.replace("a", "y") for text in texts], alphabet)
    left = ["".join(alphabet[at - 1] for at in row if at) for row in unknown]
    assert left == [
        "".join(" " + word for word in text.replace("a", "").split(" ")) if text else ""
        for text in texts
    ]


def test_subwords_are_those_of_the_tokenizers_library() -> None:
    """Its own merges, in their order."""
    texts = ["the cat sat on the mat", "a cat and the other cat", "that mat there"] * 2
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=30, min_frequency=2, show_progress=False)
    spelled = sorted(" " + text for text in texts)
    tokenizer.train_from_iterator(spelled, trainer)
    alphabet = learned(texts, 30)
    assert set(alphabet) == set(tokenizer.get_vocab())
    for text in (*texts, "catch the rat", "hat"):
        found = [alphabet[at - 1] for at in divided([text], alphabet)[0] if at]
        assert found == tokenizer.encode(" " + text).tokens


@given(st.lists(st.text("abcz", max_size=6), min_size=1, max_size=4))
def test_texts_are_numbers_of_the_alphabet(texts: list[str]) -> None:
    codes, alphabet = code_points(texts), ("a", "b", "c")
    found = numbered(codes, alphabet)
    back = ["".join(alphabet[at - 1] for at in row if at) for row in found.tolist()]
    assert back == [text.replace("z", "") for text in texts]
    assert alphabet_of(codes) == tuple(sorted(set("".join(texts))))


def test_the_loss_is_that_of_all_paths(work: Fit) -> None:
    """Over 3⁴ paths of two frames' symbols; of a text that does not fit it is 0."""
    outputs = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    logs = outputs.double().log_softmax(2).numpy()
    targets = torch.tensor([[1, 2, 0], [1, 1, 1]])
    found = Settings().losses(outputs, targets)
    total = -np.inf
    for code in range(3**4):
        path = [code // 3**at % 3 for at in range(4)]
        if paths.collapsed(path) == (1, 2):
            total = np.logaddexp(total, sum(logs[0, at, symbol] for at, symbol in enumerate(path)))
    assert found[0].item() == pytest.approx(-total / 2, rel=1e-5)
    assert found[1].item() == 0.0  # five frames are needed


def test_what_was_chosen_is_said(work: Fit) -> None:
    told = Settings().derived(work)
    assert told.startswith("ctc: size nano, for 40 recordings; ") and "2 characters" in told
    assert "nothing" not in told
    long = replace(work, y=code_points(["a" * 300, *TEXTS[1:]]))
    assert "1 text has more characters than frames, and teaches nothing: lower step." in (
        Settings().derived(long)
    )
    assert [Settings().sized(rows) for rows in (10, 2_000, 20_000)] == ["nano", "small", "medium"]


def test_a_beam_has_the_counts_of_the_training_texts(work: Fit) -> None:
    family = Settings(decode="beam", beam=4, order=2, bands=16, size="nano")
    found = family.decoder(work, family.shape(work))
    assert found.method == "beam" and found.width == 4
    assert found.ngrams["a"] == {"e": 8, "a": 8, "\n": 24}
    assert not Settings(decode="beam", language_weight=0).decoder(work, family.shape(work)).ngrams


def test_other_features_are_refused() -> None:
    layout = (FeatureGroup("numbers", ("a",), 0, 3),)
    fit = Fit(np.zeros((4, 3)), np.zeros((4, 1)), "transcription", 1, layout=layout)
    with pytest.raises(FitError, match="ctc: expected one column of recordings and no other"):
        Settings().mel(fit)
