"""A language model from texts to a bundle that transformers loads; what a fold holds out moves no bit of its
model; a training that was killed goes on to the same bytes.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sixfold import pipeline
from sixfold.build.candidate import Candidate
from sixfold.build.language import Settings
from sixfold.bundle import manifest
from sixfold.bundle.language.parity import TOLERANCE
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError, DataError, RecipeError, SixfoldError
from sixfold.data import test_rows
from sixfold.data.load import load as load_data
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import Column, Dataset, Table
from sixfold.parts.text_sampling import continued
from sixfold.recipe.load import load, problems
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report
from sixfold.recipe.schema import Data, Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from tiny_language import sentences

TINY = "layers: 2, width: 32, heads: 4, kv_heads: 2, context: 32, vocabulary: 300"
RECIPE = f"""version: 1
name: tiny
task: generation
data: {{source: texts.jsonl}}
build: {{family: language, {TINY}}}
train: {{epochs: 4, batch_size: 8}}
evaluate: {{folds: 2}}
"""


def write(folder: Path, recipe: str = RECIPE, texts: list[str] | None = None) -> Path:
    rows = [{"text": text, "n": n} for n, text in enumerate(texts or sentences(160, words=20))]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.yaml").write_text(recipe)
    return folder / "r.yaml"


def dataset(texts: list[str], folder: Path) -> Dataset:
    write(folder, texts=texts)
    return load_data(Data(source="texts.jsonl"), "generation", folder)


def candidate(**train: Any) -> Candidate:
    family = Settings.model_validate(
        {"layers": 1, "width": 32, "heads": 2, "context": 32, "vocabulary": 280}
    )
    section = Train.model_validate({**family.train_defaults.options, "epochs": 1, **train})
    return Candidate("language", "language", family, Prepare(), Initialize(), section)


def fitted(model: Any) -> LanguageModel:
    assert isinstance(model.fitted, LanguageModel)
    return model.fitted


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    folder = tmp_path_factory.mktemp("language")
    return pipeline.run(load(write(folder)), folder / "run")


@pytest.mark.slow
def test_the_bundle_is_a_checkpoint_that_transformers_loads(done: pipeline.Run) -> None:
    sealed = manifest.read(done.bundle)
    assert sealed.runtime == "language"
    assert set(sealed.large) == {"hf/model.safetensors", "model.gguf"}
    own = fitted(state.load(done.folder / "refit", Model))
    model: Any = AutoModelForCausalLM.from_pretrained(done.bundle / "hf")
    tokenizer: Any = AutoTokenizer.from_pretrained(done.bundle / "hf")
    ids = [tokenizer.bos_token_id, *tokenizer("the old cat").input_ids]
    assert ids[1:] == own.tokenizer.encode(["the old cat"])[0]
    made = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0].tolist()
    found = continued(own.network(), ids, 12)
    assert made[len(ids) :][: len(found)] == found
    for name, content in own.files().items():
        assert (done.bundle / "hf" / name).read_bytes() == content


def test_receipt_and_report_tell_what_was_learned(done: pipeline.Run) -> None:
    receipt = Receipt.model_validate_json((done.bundle / "receipt.json").read_text())
    first = receipt.quality[0]
    assert first.metric == "bits_per_byte"
    assert first.baseline is not None
    assert max(first.folds_after) < first.baseline  # better than shares of bytes
    assert receipt.after.file_bytes == (done.bundle / "model.gguf").stat().st_size
    assert receipt.parity_rows > 0
    assert 0 < receipt.parity_worst <= TOLERANCE
    assert any("scored again" in line for line in verify(done.bundle))
    assert receipt.after.p50_1_ms is None
    report = Report.model_validate_json((done.bundle / "report.json").read_text())
    assert report.language is not None
    assert {line.name for line in report.language.losses} == {
        "fold 1",
        "fold 2",
        "all training rows",
    }
    assert all(line.y[0] > line.y[-1] for line in report.language.losses)
    assert {text.epoch for text in report.language.written} == {0, 1, 2, 3, 4}
    assert {text.fold for text in report.language.written} == {None}
    page = (done.bundle / "report.html").read_text()
    assert f">{receipt.parity_worst:.1e}</td>" in page
    assert "Text as it learned" in page
    assert "Loss by step" in page


def test_a_changed_file_of_the_bundle_is_seen(done: pipeline.Run, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "hf").mkdir(parents=True)
    for file in done.bundle.rglob("*"):
        if file.is_file():
            (folder / file.relative_to(done.bundle)).write_bytes(file.read_bytes())
    assert manifest.read(folder).large
    weights = folder / "hf" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.safetensors: expected SHA-256"):
        manifest.read(folder)
    weights.write_bytes(bytes(content[:-4]))
    with pytest.raises(BundleError, match=r"model\.safetensors: expected .* bytes"):
        manifest.read(folder)
    weights.write_bytes((done.bundle / "hf" / "model.safetensors").read_bytes())
    (folder / "hf" / "pickle.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"also 'hf/pickle\.bin'"):
        manifest.read(folder)


def test_the_same_command_finds_everything_done(done: pipeline.Run) -> None:
    before = (done.bundle / "manifest.json").read_bytes()
    again = pipeline.run(load(done.folder.parent / "r.yaml"), done.folder)
    assert (again.bundle / "manifest.json").read_bytes() == before


def test_held_out_documents_move_no_bit_of_a_folds_model(tmp_path: Path) -> None:
    texts = sentences(60, words=20)
    whole = dataset(texts, tmp_path)
    rows = np.arange(60)
    folds = [Fold(rows[20:], rows[:20])]
    column = whole.table.columns["text"]
    strange = tuple("zebra " * 9 + str(n) for n in range(20))
    codes = np.array(column.values)
    codes[:20] = len(column.levels) + np.arange(20)
    changed = replace(
        whole, table=Table({"text": Column("text", codes, (*column.levels, *strange))}, 60)
    )
    found = [
        cross_validate(candidate(), one, folds, ["bits_per_byte"], Context(seed=2))
        for one in (whole, changed)
    ]
    first, second = (fitted(one.models[0]) for one in found)
    assert first.files() == second.files()
    assert found[0].scores["bits_per_byte"][0] < found[1].scores["bits_per_byte"][0]
    other = cross_validate(
        candidate(), changed, [Fold(rows[:40], rows[40:])], ["bits_per_byte"], Context(seed=2)
    )
    assert fitted(other.models[0]).tokenizer != first.tokenizer


class KilledError(Exception):
    """In the place of a signal."""


@pytest.mark.parametrize("steps", [2, 7])
def test_a_training_that_was_killed_goes_on_to_the_same_bytes(steps: int, tmp_path: Path) -> None:
    data = dataset(sentences(60, words=20), tmp_path)
    one = candidate(epochs=2, batch_size=4)
    expected = fitted(fit_model(one, data, Context(seed=3))).files()
    count = itertools.count()

    def kill() -> None:
        if next(count) == steps + 2:
            raise KilledError

    def context(**more: Any) -> Context:
        saves = Checkpoints(tmp_path / "saves", "key", lambda kind, facts: None, every_s=0.0)
        return Context(seed=3, saves=saves, **more)

    with pytest.raises(KilledError):
        fit_model(one, data, context(check_memory=kill))
    assert list((tmp_path / "saves").rglob("step-*"))
    assert fitted(fit_model(one, data, context())).files() == expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("build: {family: language", "families for generation; found 'linear'"),
        ("evaluate: {folds: 2}", "metrics for generation; found 'accuracy'"),
        ("data: {source: texts.jsonl}", "no target for generation; found 'n'"),
        ("version: 1", "expected none for a language model; found factor 64"),
        ("evaluate: {folds", "no ensemble for task: generation"),
    ],
)
def test_what_does_not_fit_a_language_model_is_refused(
    change: str, text: str, tmp_path: Path
) -> None:
    other = {
        "build: {family: language": "build: {family: linear}\n# {",
        "evaluate: {folds: 2}": "evaluate: {folds: 2, metrics: [accuracy]}",
        "data: {source: texts.jsonl}": "data: {source: texts.jsonl, target: n}",
        "version: 1": "version: 1\ncompress: {fixed_point: {factor: 64}}",
        "evaluate: {folds": "evaluate: {ensemble: true, folds",
    }
    path = write(tmp_path, RECIPE.replace(change, other[change]))
    assert any(text in str(problem) for problem in problems(path, ()))


def test_features_are_refused_where_texts_are_learned(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE + "prepare: {denoise: {contradictions: drop}}\n")
    with pytest.raises(
        RecipeError, match=r"denoise\.duplicates and denoise\.texts alone, for a language model"
    ):
        pipeline.run(load(path), tmp_path / "run")


def test_auto_is_a_language_model(tmp_path: Path) -> None:
    text = RECIPE.replace(f"build: {{family: language, {TINY}}}\n", "build: auto\n")
    loaded = load(write(tmp_path, text.replace("folds: 2", "scheme: holdout")))
    data = load_data(loaded.recipe.data, "generation", tmp_path)
    (found,) = pipeline.Planning(loaded.recipe, data).candidates
    assert found.family_name == "language"


def test_columns_that_hold_no_texts_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": "x", "b": "y"}\n{"a": "u", "b": "v"}\n')
    with pytest.raises(DataError, match="a column 'text', or one column in all"):
        load_data(Data(source="t.jsonl"), "generation", tmp_path)
    chosen = load_data(Data(source="t.jsonl", types={"b": "text"}), "generation", tmp_path)
    assert list(chosen.table.columns) == ["b"]
    (tmp_path / "e.jsonl").write_text('{"text": ""}\n{"text": null}\n')
    with pytest.raises(SixfoldError):
        load_data(Data(source="e.jsonl"), "generation", tmp_path)


def test_documents_of_a_file_of_their_own_are_held_out(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE.replace("texts.jsonl}", "texts.jsonl, test: more.txt}"))
    (tmp_path / "more.txt").write_text("\n\n".join(sentences(40, seed=9)))
    loaded = load(path)
    training, held_out = test_rows.load(loaded.recipe.data, "generation", tmp_path)
    assert training.table.rows == 160
    assert list(held_out.table.columns) == ["text"]
    assert "".join(held_out.table.columns["text"].strings()).count(".") == 40


@pytest.mark.parametrize("metric", ["loss", "perplexity"])
def test_a_training_stops_by_documents_that_are_cut_off(metric: str, tmp_path: Path) -> None:
    data = dataset(sentences(80, words=20), tmp_path)
    events = list[dict[str, Any]]()
    context = Context(seed=3, emit_to=lambda kind, facts: events.append({"event": kind, **facts}))
    one = candidate(epochs=40, batch_size=4, stop={"patience": 1, "metric": metric})
    model = fit_model(one, data, context)
    watched = [e["validation"] for e in events if e["event"] == "epoch"]
    assert all(value is not None for value in watched)
    assert min(watched) < watched[0]
    stopped = [e for e in events if e["event"] == "training_stopped"]
    assert len(stopped) == (len(watched) < 40)
    assert fitted(model).tokenizer.vocabulary == 280
