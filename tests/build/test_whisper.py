"""Fine-tuned Whisper checkpoints: they write what transformers' own do, in torch and in the graph; what is
learned, the same bits after a kill, no word of validation rows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import tiny_sounds
import tiny_whisper
from evaluating import candidate as candidate_of
from evaluating import saved
from sixfold.build._fitted_whisper import FittedWhisper
from sixfold.build.networks.whisper import Whisper
from sixfold.build.whisper import Settings
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import DataError, FitError
from sixfold.data.sources.sounds import sung
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.transcription import CharacterErrorRate
from sixfold.parts import state
from sixfold.parts.fit import Fit, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.parts.transcripts import code_points
from sixfold.prepare.features.whole_samples import Settings as WholeSamples
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train import recompute
from sixfold.train.stepper import Stepper

TEXTS = [("ae", "ea", "a", "e", "aa")[number % 5] for number in range(20)]
NUMBERS = tiny_whisper.NUMBERS
PROMPT = tuple(
    NUMBERS[f"<|{name}|>"] for name in ("startoftranscript", "en", "transcribe", "notimestamps")
)
STILL = dict.fromkeys(("shift", "speed", "time_mask", "band_mask"), 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint")
    tiny_whisper.write(made)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sung")
    names = [folder / f"{number}.wav" for number in range(len(TEXTS))]
    for number, (path, text) in enumerate(zip(names, TEXTS, strict=True)):
        path.write_bytes(tiny_sounds.wav(0.8 * sung(text, number)))
    column = Column("audio", np.arange(len(TEXTS), dtype=np.int32), tuple(map(str, names)))
    target = Target("transcription", code_points(TEXTS), ("said",))
    return Dataset(Table({"sound": column}, len(TEXTS)), target)


@pytest.fixture(scope="module")
def work(data: Dataset) -> Fit:
    block = WholeSamples(rate=tiny_whisper.RATE).block("sound", data.table)
    y: Any = data.target.values
    return Fit(block.stored(data.table), y, "transcription", 2, seed=3, layout=(block.group(0),))


def fit_of(work: Fit, folder: Path, train: dict[str, Any] | None = None, **options: Any) -> Fit:
    asked = {"checkpoint": str(folder), "language": "en", **options}
    family = Settings.model_validate(asked)
    section = Train.model_validate(
        {**family.train_defaults.options, "batch_size": 8, "epochs": 1, **(train or {})}
    )
    return replace(work, setting=Setting("whisper", family, train=section))


def trained(fit: Fit, context: Context | None = None) -> FittedWhisper:
    family: Any = fit.setting.family
    (found,) = family.fit([fit], context or Context())
    assert isinstance(found, FittedWhisper)
    return found


def answers(fitted: FittedWhisper, x: Any) -> Any:
    """Of the exported graph, as a bundle runs it."""
    graph = Graph()
    value = fitted.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", fitted.decoder.cells])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    return session.run(None, {"x": x.astype(np.float32)})[0]


def generated(model: Any, features: Any, most: int, silent: set[int]) -> Any:
    """By transformers: most probable tokens, of which `silent` are never written."""
    asked = model.generation_config
    asked.suppress_tokens = sorted({*asked.suppress_tokens} | silent)
    found = model.generate(
        features, language="en", task="transcribe", max_new_tokens=most, do_sample=False
    )
    return found.numpy()


@pytest.mark.parametrize("sizes", [{}, {"num_mel_bins": 128, "decoder_layers": 1}])
def test_before_training_it_writes_what_transformers_writes(
    sizes: dict[str, int], work: Fit, tmp_path: Path
) -> None:
    """Vectors of the encoder and scores to 1e-4, and the most probable tokens, one after the other, of
    several recordings at once and of each alone.
    """
    model, fit = tiny_whisper.write(tmp_path, 3, **sizes), fit_of(work, tmp_path, **STILL)
    family: Any = fit.setting.family
    network = family.module(fit).eval()
    fitted = family.fitted(network, fit)
    x: Any = np.asarray(work.x[:4])
    extractor = tiny_whisper.extractor(model.config.num_mel_bins)
    features = extractor(
        list(x / np.float32(32768)), sampling_rate=tiny_whisper.RATE, return_tensors="pt"
    )["input_features"]
    read, wanted = family.examples(fit).read(np.arange(4), None)
    given = read[:, -wanted.shape[1] :].long()
    with torch.no_grad():
        mel = read[:, : -wanted.shape[1]].reshape(features.shape)
        np.testing.assert_allclose(mel.numpy(), features.numpy(), rtol=0, atol=2e-4)
        vectors = model.model.encoder(features).last_hidden_state
        found = network.encoder(mel)
        np.testing.assert_allclose(found.numpy(), vectors.numpy(), rtol=0, atol=1e-4)
        scores = model(input_features=features, decoder_input_ids=given).logits
        np.testing.assert_allclose(network(read).numpy(), scores.numpy(), rtol=0, atol=1e-4)
    silent = {number for name, number in NUMBERS.items() if name in tiny_whisper.SPECIAL}
    tokens = generated(model, features, fitted.most, silent - {tiny_whisper.END})
    own = fitted.tokens(x)
    assert fitted.margins(x).min() > 1e-3
    np.testing.assert_array_equal(own[:, : tokens.shape[1]], tokens)
    assert (own[:, tokens.shape[1] :] == tiny_whisper.END).all()
    np.testing.assert_array_equal(answers(fitted, x), own)
    for row in range(4):
        np.testing.assert_array_equal(answers(fitted, x[row : row + 1]), own[row : row + 1])


def test_what_is_given_and_what_is_to_follow(folder: Path, work: Fit) -> None:
    """The prompt, then a text behind a space and its end; nothing is asked of the prompt itself."""
    fit = fit_of(work.take(np.array([0, 3])), folder)
    family: Any = fit.setting.family
    read, wanted = family.examples(fit).read(np.arange(2), None)
    end, long, short = tiny_whisper.END, [NUMBERS["Ġa"], NUMBERS["e"]], [NUMBERS["Ġe"]]
    given = read[:, -wanted.shape[1] :].long().tolist()
    assert given == [[*PROMPT, *long], [*PROMPT, *short, end]]
    assert wanted.tolist() == [[-1, -1, -1, *long, end], [-1, -1, -1, *short, end, -1]]
    scores = torch.randn(2, 6, len(NUMBERS))
    logs = scores.log_softmax(2)
    first = -(logs[0, 3, long[0]] + logs[0, 4, long[1]] + logs[0, 5, end]) / 3
    second = -(logs[1, 3, short[0]] + logs[1, 4, end]) / 2
    torch.testing.assert_close(family.losses(scores, wanted), torch.stack([first, second]))


@pytest.mark.parametrize("adapt", ["head", pytest.param("whole", marks=pytest.mark.slow), "lora"])
def test_what_was_asked_for_is_learned(adapt: str, folder: Path, work: Fit, tmp_path: Path) -> None:
    """The encoder's places never are; with `head` nothing of the encoder is."""
    fit = fit_of(work, folder, adapt=adapt, **({"rank": 2} if adapt == "lora" else {}))
    plain: Any = Settings(checkpoint=str(folder), language="en").module(fit)
    before = {name: value.numpy() for name, value in plain.state_dict().items()}
    found = trained(fit)
    changed = {name for name, value in found.weights.items() if (value != before[name]).any()}
    products = {
        f"{name}.weight"
        for name, part in plain.named_modules()
        if isinstance(part, torch.nn.Linear)
    }
    all_but_places = before.keys() - {"encoder.embed_positions.weight"}
    assert changed == {
        "head": {name for name in before if name.startswith("decoder.")},
        "lora": products,
        "whole": all_but_places,
    }[adapt] - {"decoder.embed_positions.weight"} | (
        set() if adapt == "lora" else {"decoder.embed_positions.weight"}
    )
    state.save(found, tmp_path)
    again: Any = state.load(tmp_path, FittedWhisper)
    x: Any = np.asarray(work.x[:3])
    np.testing.assert_array_equal(again.predict(x), found.predict(x))
    np.testing.assert_array_equal(answers(again, x), found.tokens(x))
    family: Any = fit.setting.family
    further = family.resume(again)
    assert isinstance(further, Whisper)
    assert further.encoder.embed_positions.weight.requires_grad is False


@pytest.mark.slow
def test_it_learns(folder: Path, work: Fit) -> None:
    loop = {"epochs": 60, "optimizer": {"name": "adamw", "learning_rate": 0.005}}
    found = trained(fit_of(work, folder, loop, **STILL))
    said = Target("transcription", work.y, ("said",))
    assert CharacterErrorRate().score(said, found.predict(work.x)) < 0.3  # type: ignore[arg-type]
    np.testing.assert_array_equal(answers(found, work.x[:8]), found.tokens(work.x[:8]))  # type: ignore[arg-type]


def test_blocks_that_are_computed_twice_have_the_same_gradient(folder: Path, work: Fit) -> None:
    fit = fit_of(work, folder)
    family: Any = fit.setting.family
    x, wanted = family.examples(fit).read(np.arange(4), None)
    found = []
    for again in (False, True):
        network = family.module(fit)
        if again:
            recompute.start(network, bool)
        family.losses(network(x), wanted).mean().backward()
        found.append({name: one.grad for name, one in network.named_parameters()})
    plain, twice = found
    assert plain.pop("encoder.embed_positions.weight") is None
    assert all(float(gradient.abs().max()) > 0 for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(twice[name], gradient, rtol=1e-5, atol=1e-7)


def test_killed_it_ends_with_the_same_bits(
    folder: Path, work: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what draws at random on its way: adapters, and augmentation."""
    fit = fit_of(work.take(np.arange(8)), folder, {"epochs": 4}, adapt="lora", rank=2, noise=0.1)
    whole, done, plain = trained(fit), itertools.count(), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        if next(done) >= 2:
            raise KeyboardInterrupt
        plain(self, closure)

    def context() -> Context:
        return Context(saves=Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0))

    with monkeypatch.context() as inside:
        inside.setattr(Stepper, "take", take)
        with pytest.raises(KeyboardInterrupt):
            trained(fit, context())
    again = trained(fit, context())
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)


def test_validation_rows_move_no_bit(folder: Path, data: Dataset, tmp_path: Path) -> None:
    """Other texts, longer and with tokens that are left out elsewhere, and other recordings: weights, tokens
    and how long a text may become are the same.
    """
    rows = np.arange(12)
    validation, train = rows[::4], np.setdiff1d(rows, rows[::4])
    said = np.pad(data.target.values, ((0, 0), (0, 3)))
    said[validation] = [ord(letter) for letter in "(aea)"]
    columns = data.table.columns["sound"].values.copy()
    columns[validation] = columns[14:17]
    table = Table({"sound": replace(data.table.columns["sound"], values=columns)}, len(TEXTS))
    other = replace(data, table=table, target=replace(data.target, values=said))
    family = {"family": "whisper", "checkpoint": str(folder), "language": "en"}
    one = candidate_of(family, train={"epochs": 1, "batch_size": 8})
    folds = [Fold(train, validation)]
    first, second = (
        saved(
            cross_validate(one, each, folds, ["word_error_rate"], Context(seed=4)).models[0],
            tmp_path / str(number),
        )
        for number, each in enumerate((data, other))
    )
    assert first == second


def test_tokens_of_training_texts_may_be_written(folder: Path, work: Fit) -> None:
    """Whatever the checkpoint leaves out; what stands for no text never is."""
    fit = fit_of(replace(work, y=code_points(["(a)", *TEXTS[1:]])), folder)
    family: Any = fit.setting.family
    allowed = family.fitted(family.module(fit), fit).asked
    silent = {NUMBERS[name] for name in tiny_whisper.SPECIAL} - {tiny_whisper.END}
    assert set(allowed.suppressed) == silent
    assert set(allowed.suppressed_first) == {tiny_whisper.END}  # " (" begins with a space alone
    plain = fit_of(work, folder)
    allowed = family.fitted(family.module(plain), plain).asked
    assert set(allowed.suppressed) == silent | {NUMBERS["("], NUMBERS[")"]}
    assert set(allowed.suppressed_first) == {NUMBERS["Ġ"], tiny_whisper.END}


def test_texts_that_do_not_fit_are_told(folder: Path, work: Fit) -> None:
    for text, problem in (
        ("b" * 19, r"texts of at most 19 tokens, .* \(max_target_positions\); found 20: 'bbb"),
        ("<|de|> a", "texts that the checkpoint's tokens spell; found '<|de|> a', which would be"),
    ):
        other = replace(work, y=code_points([text, *TEXTS[1:]]))
        with pytest.raises(DataError, match=problem.replace("<|", r"<\|").replace("|>", r"\|>")):
            trained(fit_of(other, folder))
    longest = fit_of(replace(work, y=code_points(["b" * 18, *TEXTS[1:]])), folder)
    family: Any = longest.setting.family
    assert family.fitted(family.module(longest), longest).most == 20  # all that there are


def test_recordings_are_those_that_the_checkpoint_hears(folder: Path, work: Fit) -> None:
    (group,) = work.layout
    for changed, problem in (
        ({"rate": 8_000}, "recordings at 16,000 Hz, which the checkpoint was trained on"),
        (
            {"stop": 16_001},
            r"recordings of at most 1 s, which the checkpoint hears; found 1\.00006",
        ),
        ({"kind": "numbers", "rate": 0}, "one column of recordings and no other"),
    ):
        layout = (replace(group, **changed),)
        with pytest.raises(FitError, match=problem):
            trained(fit_of(replace(work, layout=layout), folder))


def test_a_checkpoint_that_no_graph_could_hold_is_refused(
    folder: Path, work: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sixfold.build.whisper.MOST_WEIGHTS", 10_000)
    with pytest.raises(DataError, match=r"at most 10,000 weights, .*found 1\d,\d\d\d\. Choose"):
        trained(fit_of(work, folder))


def test_what_was_taken_of_the_checkpoint_is_said(folder: Path, work: Fit) -> None:
    fit = fit_of(work, folder, adapt="head")
    family: Any = fit.setting.family
    told, digest = family.derived(fit), family.content_digest()
    assert told.startswith(
        f"whisper: checkpoint {folder.name} (SHA-256 {digest[:12]}…): hears 1 s, of which recordings are "
    )
    assert (
        "<|startoftranscript|><|en|><|transcribe|><|notimestamps|> and have at most 12 tok" in told
    )
    assert "weights are learned, of a checkpoint that has" in told and "(head)" in told


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Settings.model_validate({})
    with pytest.raises(ValidationError, match="rank and alpha are for adapters"):
        Settings(checkpoint="x", rank=4)
    with pytest.raises(ValidationError, match="String should match pattern"):
        Settings(checkpoint="x", language="English")
    with pytest.raises(DataError, match="found no such folder"):
        _ = Settings(checkpoint=str(tmp_path / "nowhere")).needs
    with pytest.raises(TypeError, match="no fine-tuned Whisper"):
        Settings(checkpoint="x").resume(FittedWhisper)  # type: ignore[arg-type]
