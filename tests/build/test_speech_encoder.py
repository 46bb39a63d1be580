"""Fine-tuned speech checkpoints: where they start, what is learned, the same bits after a kill, no word of
validation rows, and the graph without torch.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

import tiny_sounds
import tiny_speech
from evaluating import candidate as candidate_of
from evaluating import saved
from killed_training import KilledError, killed_at, saving
from sixfold.build._fitted_ctc import CtcNetwork, spectrograms_of
from sixfold.build._fitted_speech_encoder import FittedSpeechEncoder
from sixfold.build.speech_encoder import Settings
from sixfold.bundle.graph import CheckedModel
from sixfold.compress.quantized_images import quantized_speech
from sixfold.core.errors import DataError, FitError
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.transcription import CharacterErrorRate
from sixfold.parts import state
from sixfold.parts.fit import FeatureGroup, Fit, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.table import Dataset, Table, Target
from sixfold.parts.transcripts import code_points, texts_of
from sixfold.plan.candidates import Draft, candidate
from sixfold.prepare import preparer
from sixfold.prepare.features.whole_samples import Settings as WholeSamples
from sixfold.recipe.schema import Prepare, Recipe, Train
from sixfold.runs.context import Context

TEXTS = [("ae", "ea", "a", "e", "aa")[number % 5] for number in range(30)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {kind: tmp_path_factory.mktemp("checkpoints") / kind for kind in tiny_speech.MODELS}
    for kind, folder in made.items():
        tiny_speech.write(folder, kind)
    made["base"] = tmp_path_factory.mktemp("checkpoints") / "base"
    tiny_speech.write(made["base"], "wav2vec2_stable", head=False)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_sounds.sung_texts(tmp_path_factory.mktemp("sung"), TEXTS)


@pytest.fixture(scope="module")
def work(data: Dataset) -> Fit:
    block = WholeSamples().block("sound", data.table)
    y: Any = data.target.values
    return Fit(block.stored(data.table), y, "transcription", 2, seed=3, layout=(block.group(0),))


def fit_of(work: Fit, folder: Path, train: dict[str, Any] | None = None, **options: Any) -> Fit:
    family = Settings.model_validate({"checkpoint": str(folder), **options})
    section = Train.model_validate(
        {**family.train_defaults.options, "batch_size": 8, "epochs": 1, **(train or {})}
    )
    return replace(work, setting=Setting("speech_encoder", family, train=section))


def trained(fit: Fit, context: Context | None = None) -> Any:
    family: Any = fit.setting.family
    (found,) = family.fit([fit], context or Context())
    assert isinstance(found, CtcNetwork)
    return found


def answers(fitted: Any, x: Any) -> Any:
    """Of the exported graph, as a bundle runs it."""
    graph = Graph()
    value = fitted.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", fitted.decoder.cells])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    return session.run(None, {"x": x.astype(np.float32)})[0]


def scores(fitted: Any, x: Any) -> Any:
    return np.concatenate([fitted.network.predict(some) for some in spectrograms_of(x, fitted.mel)])


def rate(fitted: CtcNetwork, work: Fit) -> float:
    """Of characters."""
    said = Target("transcription", work.y, ("said",))
    return CharacterErrorRate().score(said, fitted.predict(work.x))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", tiny_speech.MODELS)
def test_before_training_it_hears_what_the_checkpoint_hears(
    kind: str, work: Fit, tmp_path: Path
) -> None:
    """Scores of the published model and its extractor, of recordings that lie in silence; texts by its
    tokenizer.
    """
    model, fit = tiny_speech.write(tmp_path, kind), fit_of(work, tmp_path)
    family: Any = fit.setting.family
    fitted = family.fitted(family.module(fit).eval(), fit)
    x: Any = work.x[:3]
    here = np.arange(x.shape[1]) < 2_000
    x = np.where(here & (x == 0), 1, np.where(here, x, 0)).astype(np.int16)  # silence behind it
    given = tiny_speech.extractor()(
        list(x[:, :2_000] / np.float32(32768)),
        sampling_rate=tiny_speech.RATE,
        padding="max_length",
        max_length=x.shape[1],
        return_attention_mask=True,
        return_tensors="pt",
    )["input_values"]
    with torch.no_grad():
        wanted = model(given).logits[:, :, [0, 4, 6, 5]].numpy()
    assert fitted.decoder.alphabet == (" ", "a", "e")
    shape = (3, fitted.decoder.frames, fitted.decoder.outputs)
    np.testing.assert_allclose(scores(fitted, x).reshape(shape), wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(answers(fitted, x).reshape(shape), wanted, rtol=0, atol=1e-4)
    characters = np.array(["", " ", "a", "e"])
    for row, best in zip(texts_of(fitted.predict(x)), wanted.argmax(2), strict=True):
        told = [at for at, _ in itertools.groupby(best.tolist())]
        assert row == "".join(characters[told]).strip()
    assert fitted.decoder.frame_s == pytest.approx(0.01)
    assert fitted.decoder.first_s == pytest.approx(105 / 2 / 8_000)


@pytest.mark.parametrize(
    ("kind", "adapt"),
    [
        ("wav2vec2", "whole"),
        pytest.param("wav2vec2_stable", "whole", marks=pytest.mark.slow),
        ("hubert", "lora"),
        pytest.param("wav2vec2", "lora", marks=pytest.mark.slow),
        ("wav2vec2", "head"),
        ("base", "head"),
    ],
)
def test_the_checkpoint_is_where_it_starts_and_what_was_asked_for_is_learned(
    kind: str, adapt: str, folders: dict[str, Path], work: Fit, tmp_path: Path
) -> None:
    """Convolutions over samples never are; a head of its own is where it was, too."""
    fit = fit_of(work, folders[kind], adapt=adapt)
    family: Any = fit.setting.family
    plain = Settings(checkpoint=str(folders[kind])).module(fit)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    started = {
        name.replace(".linear.", "."): value
        for name, value in family._start(fit, 1).state_dict().items()
    }
    own = {name for name in before if kind != "base" or not name.startswith("head.")}
    assert all(torch.equal(started[name], before[name]) for name in own)
    found = trained(fit)
    changed = {
        name
        for name, value in found.network.weights.items()
        if not np.array_equal(value, before[name].numpy())
    }
    products = {
        f"{name}.weight"
        for name, part in plain.named_modules()
        if isinstance(part, torch.nn.Linear) and name != "head"
    }
    front = {name for name in before if ".feature_extractor." in name}
    head = {"head.weight", "head.bias"}
    assert front and products
    assert changed == {"whole": set(before) - front, "head": head, "lora": products | head}[adapt]
    state.save(found, tmp_path)
    again = state.load(tmp_path, type(found))
    x: Any = work.x[:5]
    np.testing.assert_array_equal(again.predict(x), found.predict(x))
    np.testing.assert_allclose(answers(again, x), scores(found, x), rtol=0, atol=1e-4)
    further = trained(replace(fit, start=again))
    assert further.network.weights.keys() == found.network.weights.keys()
    assert further.decoder.alphabet == found.decoder.alphabet


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "adapt", "learning_rate", "most"),
    [("base", "whole", 0.005, 0.2), ("wav2vec2_stable", "lora", 0.01, 0.5)],
)
def test_it_learns_and_int8_hears_nearly_as_well(
    kind: str, adapt: str, learning_rate: float, most: float, folders: dict[str, Path], work: Fit
) -> None:
    loop = {"epochs": 60, "optimizer": {"name": "adamw", "learning_rate": learning_rate}}
    still = dict.fromkeys(("shift", "speed", "time_mask"), 0)
    found = trained(fit_of(work, folders[kind], loop, adapt=adapt, **still))
    assert rate(found, work) < most
    x: Any = work.x[:]
    small = quantized_speech(found, x)
    assert rate(small, work) < most + 0.15
    off = np.abs(answers(small, x[:4]) - scores(small, x[:4]))
    assert np.median(off) < 0.05
    stored = onnx.load_from_string(small.network.model.tobytes()).graph.initializer
    whole = sum(math.prod(one.dims) for one in stored if one.data_type == TensorProto.INT8)
    assert whole > 0.85 * sum(value.size for value in found.network.weights.values())
    with pytest.raises(TypeError, match="no fine-tuned checkpoint of speech"):
        Settings(checkpoint=str(folders[kind])).resume(small)


@pytest.mark.parametrize("adapt", ["whole", pytest.param("lora", marks=pytest.mark.slow)])
def test_killed_it_ends_with_the_same_bits(
    adapt: str,
    folders: dict[str, Path],
    work: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what draws at random on its way: dropout, and augmentation."""
    some = work.take(np.arange(16))
    fit = fit_of(some, folders["wav2vec2"], {"epochs": 3}, adapt=adapt, noise=0.1)
    whole = trained(fit)
    with killed_at(4, monkeypatch), pytest.raises(KilledError):
        trained(fit, saving(tmp_path))
    again = trained(fit, saving(tmp_path))
    for name, value in whole.network.weights.items():
        np.testing.assert_array_equal(again.network.weights[name], value)


def test_validation_rows_move_no_bit(
    folders: dict[str, Path], data: Dataset, tmp_path: Path
) -> None:
    """Other texts, with a letter of their own, and other recordings: characters, their counts and the
    weights of the fold are the same; where these rows train, they are not.
    """
    rows = np.arange(20)
    validation, train = rows[::4], np.setdiff1d(rows, rows[::4])
    folds = [Fold(train, validation), Fold(np.arange(10), np.arange(10, 20))]
    columns, said = data.table.columns["sound"].values.copy(), data.target.values.copy()
    columns[validation], said[validation] = columns[24:29], ord("z")
    table = Table({"sound": replace(data.table.columns["sound"], values=columns)}, len(TEXTS))
    other = replace(data, table=table, target=replace(data.target, values=said))
    family = {"family": "speech_encoder", "checkpoint": str(folders["base"]), "decode": "beam"}
    one = candidate_of(family, train={"epochs": 1, "batch_size": 8})
    found = [
        cross_validate(one, each, folds, ["word_error_rate"], Context(seed=4)).models
        for each in (data, other)
    ]
    for at, same in ((0, True), (1, False)):
        first, second = (
            saved(models[at], tmp_path / f"{at}-{n}") for n, models in enumerate(found)
        )
        assert (first == second) is same


def test_a_new_head_is_for_the_characters_of_all_training_rows(
    folders: dict[str, Path], work: Fit
) -> None:
    """Those that an early stop watches are training rows."""
    some = work.take(np.array([2, 3, 7, 12, 17, 22]))  # one "e" among "a"
    stop = {"patience": 1, "metric": "loss", "validation": 0.5}
    for folder, options in (("base", {}), ("wav2vec2", {"characters": "texts"})):
        watched = trained(fit_of(some, folders[folder], {"stop": stop}, **options))
        assert watched.decoder.alphabet == ("a", "e")
    only = trained(fit_of(work.take(np.array([2, 7, 12])), folders["base"]))
    assert only.decoder.alphabet == ("a",)


def test_characters_that_the_head_does_not_have_are_told(
    folders: dict[str, Path], work: Fit
) -> None:
    other = replace(work, y=code_points(["A", "É 1", *TEXTS[2:]]))
    with pytest.raises(
        FitError,
        match=r"texts of the 3 characters of wav2vec2/vocab\.json; found '1', 'A', 'É'\. Write the texts .*"
        "capital letters, say.*characters: texts",
    ):
        trained(fit_of(other, folders["wav2vec2"]))
    found = trained(fit_of(other, folders["wav2vec2"], characters="texts"))
    assert found.decoder.alphabet == (" ", "1", "A", "a", "e", "É")


def test_recordings_are_those_of_the_checkpoints_rate(
    folders: dict[str, Path], data: Dataset, work: Fit
) -> None:
    """Prepared at its rate, whatever they had; another one is refused."""
    needs = Settings(checkpoint=str(folders["base"])).needs
    assert (needs.audio, needs.audio_rate) == ("whole_samples", tiny_speech.RATE)
    higher = needs._replace(audio_rate=16_000)
    found, _, _ = preparer.fit(data.table, data.target, Prepare(), higher, 0)
    (group,) = found.layout
    assert (group.kind, group.rate) == ("samples", 16_000)
    with pytest.raises(
        FitError, match="recordings at 8,000 Hz, which the checkpoint was trained on; found 16,000"
    ):
        trained(fit_of(replace(work, layout=(group,)), folders["base"]))
    short = replace(work.layout[0], stop=100)
    with pytest.raises(FitError, match=r"at least 0\.013125 s, which make one frame; found 0\.012"):
        trained(fit_of(replace(work, layout=(short,)), folders["base"]))
    numbers = (FeatureGroup("numbers", ("a",), 0, 3),)
    with pytest.raises(FitError, match="one column of recordings and no other"):
        trained(fit_of(replace(work, layout=numbers), folders["base"]))


def test_what_was_taken_of_the_checkpoint_is_said(folders: dict[str, Path], work: Fit) -> None:
    fit = fit_of(work, folders["wav2vec2"])
    family: Any = fit.setting.family
    told = family.derived(fit)
    digest = family.content_digest()
    frames = family.module(fit).shape.frames
    assert told.startswith(
        f"speech_encoder: checkpoint wav2vec2 (wav2vec2, SHA-256 {digest[:12]}…): {frames} frames of 10 ms, "
        "3 characters of its own head; "
    )
    assert "weights are learned, of a checkpoint that has" in told and "nothing" not in told
    long = replace(work, y=code_points(["a" * 300, *TEXTS[1:]]))
    base = Settings(checkpoint=str(folders["base"]), adapt="head")
    told = base.derived(long)
    assert "2 characters of the training texts, with a new head; 75 weights are learned" in told
    assert "1 text has more characters than frames: they teach nothing." in told


def test_the_folder_decides_about_the_key(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path)
    recipe = Recipe.model_validate({"version": 1, "name": "r", "data": {"source": "x"}})
    target: Any = Target("transcription", code_points(["a"]), ("said",))

    def key() -> str:
        draft = Draft(("speech_encoder", {"checkpoint": str(tmp_path)}, ""), {}, {})
        return candidate(recipe, target, "speech_encoder", draft).key()

    before = key()
    assert key() == before
    tiny_speech.vocabulary(tmp_path, {**tiny_speech.VOCABULARY, "b": 1})
    other = key()
    assert other != before
    tiny_speech.write(tmp_path, seed=1)
    assert key() not in (before, other)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Settings.model_validate({})
    with pytest.raises(ValidationError, match="rank and alpha are for adapters"):
        Settings(checkpoint="x", rank=4)
    with pytest.raises(ValidationError, match="Input should be 'checkpoint' or 'texts'"):
        Settings.model_validate({"checkpoint": "x", "characters": "own"})
    with pytest.raises(DataError, match="found no such folder"):
        _ = Settings(checkpoint=str(tmp_path / "nowhere")).needs
    with pytest.raises(TypeError, match="no fine-tuned checkpoint of speech"):
        Settings(checkpoint="x").resume(FittedSpeechEncoder)  # type: ignore[arg-type]
