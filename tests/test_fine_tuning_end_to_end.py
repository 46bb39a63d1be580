"""Fine-tuning through a run: conversations with adapters, questions before and after, preferences; what is
refused has its line; what a fold holds out moves nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from language_checkpoints import WORDS, chat, chats, write, write_lines
from sixfold import pipeline
from sixfold.bundle.load import load as load_bundle
from sixfold.core.errors import DataError, RecipeError
from sixfold.recipe.load import load
from sixfold.recipe.report import Report


def recipe(folder: Path, build: str = "adapt: lora, rank: 4", more: str = "") -> Path:
    checkpoint = write(folder / "base")
    path = folder / "r.yaml"
    path.write_text(
        "version: 1\nname: tuned\ntask: generation\ndata: {source: rows.jsonl, holdout: 0.1}\n"
        f"build: {{family: language, checkpoint: {checkpoint}, {build}}}\n"
        "train: {epochs: 6, batch_size: 4, optimizer: {name: adamw, learning_rate: 0.01}}\n"
        f"evaluate: {{scheme: kfold, folds: 2}}\n{more}"
    )
    return path


def run(path: Path) -> tuple[pipeline.Run, Report, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    done = pipeline.run(load(path), path.parent / "run", [events.append])
    content = (done.bundle / "report.json").read_text(encoding="utf-8")
    return done, Report.model_validate_json(content), events


@pytest.mark.slow
def test_conversations_with_adapters_and_questions(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", chats(40))
    asked = [
        {"messages": row["messages"][:1], "answer": row["messages"][1]["content"], **choices}
        for row in chats(8)
        for choices in ({}, {"choices": [row["messages"][1]["content"], "No sea."]})
    ]
    questions = write_lines(tmp_path / "questions.jsonl", asked)
    done, report, events = run(recipe(tmp_path, more=f"report: {{questions: {questions}}}\n"))
    notes = " ".join(event["text"] for event in events if event["event"] == "note")
    assert "A language model is learned from 'conversation': 40 examples, answers of" in notes
    assert "weights are learned (lora). " in notes
    assert "examples in " in notes
    quality = done.receipt.quality[0]
    assert quality.metric == "bits_per_byte"
    assert quality.holdout_after is not None
    assert quality.holdout_after < quality.baseline
    assert report.language is not None
    found = report.language.questions
    assert found is not None
    assert found.count == len(found.asked) == 16
    assert found.exact_before == 0.0
    assert found.exact is not None
    assert found.exact > 0.5
    assert found.choice == 1.0
    before = [one for one in report.language.written if one.epoch == 0]
    after = [one for one in report.language.written if one.epoch == 6]
    assert [one.prompt for one in before] == [one.prompt for one in after]
    assert all("I say" in one.text for one in after)
    page = (done.bundle / "report.html").read_text(encoding="utf-8")
    assert "Your questions" in page
    model: Any = AutoModelForCausalLM.from_pretrained(done.bundle / "hf")
    tokenizer: Any = AutoTokenizer.from_pretrained(done.bundle / "hf")
    ids = tokenizer.apply_chat_template(
        chats(1)[0]["messages"][:1], add_generation_prompt=True, return_tensors="pt"
    )
    made = model.generate(ids["input_ids"], max_new_tokens=12, do_sample=False)
    assert "I say red." in tokenizer.decode(made[0])


@pytest.mark.slow
def test_models_of_the_last_epochs_are_bundles(tmp_path: Path) -> None:
    """The last one is the run's own; each was scored and answers under its files; a second run makes none anew."""
    write_lines(tmp_path / "rows.jsonl", chats(20))
    path = recipe(tmp_path, "adapt: lora, rank: 4, keep_epochs: 2")
    done, _, events = run(path)
    kept = sorted((done.folder / "checkpoints").glob("epoch-*"))
    assert [one.name for one in kept] == ["epoch-5", "epoch-6"]
    bundles = [load_bundle(one) for one in kept]
    weights = [(one / "hf" / "model.safetensors").read_bytes() for one in (*kept, done.bundle)]
    assert weights[0] != weights[1] == weights[2]
    before, last = (one.receipt.quality[0].holdout_after for one in bundles)
    assert before is not None and before != last == done.receipt.quality[0].holdout_after
    (tokens,) = [event for event in events if event["event"] == "tokens"]
    assert "fold" not in tokens and tokens["tokens"] > 0
    _, _, again = run(path)
    assert {"event": "stage_skipped", "stage": "checkpoints"} in [
        {name: event.get(name) for name in ("event", "stage")} for event in again
    ]


@pytest.mark.slow
def test_preferences(tmp_path: Path) -> None:
    rows = [
        {"prompt": row["messages"][:1], "chosen": row["messages"][1:], "rejected": [other]}
        for row in chats(30)
        for other in [{"role": "assistant", "content": f"No {WORDS[-1]}!"}]
    ]
    write_lines(tmp_path / "rows.jsonl", rows)
    done, _, events = run(recipe(tmp_path, "adapt: dora, rank: 2"))
    names = [one.metric for one in done.receipt.quality]
    assert names == ["preference_accuracy", "bits_per_byte", "perplexity"]
    assert done.receipt.quality[0].holdout_after == 1.0
    losses = [event["losses"][0] for event in events if event["event"] == "epoch"]
    assert max(losses) < np.log(2)


def test_what_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    rows = [*chats(20), chat("Say?", "no", weight=0)]
    write_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(
        DataError, match=r"rows\.jsonl, line 21, messages: expected a message of the"
    ):
        run(recipe(tmp_path))
    write_lines(tmp_path / "rows.jsonl", chats(20))
    bad = write_lines(tmp_path / "bad.jsonl", [{"prompt": "x", "answer": "y", "choices": ["z"]}])
    with pytest.raises(DataError, match=r"bad\.jsonl, line 1, choices: expected two texts or more"):
        run(recipe(tmp_path, more=f"report: {{questions: {bad}}}\n"))
    write_lines(tmp_path / "rows.jsonl", [{**row, "id": n} for n, row in enumerate(chats(20))])
    with pytest.raises(DataError, match=r"found 'id'. Remove it, or list it in data\.drop"):
        run(recipe(tmp_path))


@pytest.mark.slow
def test_texts_that_are_left_out_are_counted(tmp_path: Path) -> None:
    rows = [*chats(20), *chats(4), *(chat(4 * sign, 20 * sign) for sign in "#$@%")]
    write_lines(tmp_path / "rows.jsonl", rows)
    filters = "prepare: {denoise: {duplicates: drop, texts: {symbols: 0.4}}}\n"
    path = recipe(tmp_path, more=filters)
    path.write_text(path.read_text().replace("epochs: 6", "epochs: 1"))
    _, _, events = run(path)
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert any("left out" in note and "more than 40% symbols" in note for note in notes)
    assert any("left out" in note and "the same as an earlier one" in note for note in notes)
    with pytest.raises(
        RecipeError, match=r"prepare\.denoise: expected denoise\.duplicates and den"
    ):
        run(recipe(tmp_path, more="prepare: {denoise: {constants: keep}}\n"))


def test_what_a_fold_holds_out_moves_no_bit(tmp_path: Path) -> None:
    from sixfold.build.candidate import Candidate
    from sixfold.build.language import Settings
    from sixfold.data.load import load as load_data
    from sixfold.evaluate.model import fit_model
    from sixfold.parts.language_model import LanguageModel
    from sixfold.recipe.schema import Data, Initialize, Prepare, Train
    from sixfold.runs.context import Context

    family = Settings(checkpoint=str(write(tmp_path / "base")), adapt="lora")
    section = Train.model_validate({**family.train_defaults.options, "epochs": 1})
    candidate = Candidate("language", "language", family, Prepare(), Initialize(), section)
    found = []
    for last in ("I say red.", "Something else altogether!"):
        rows = [*chats(20), chat("Say it?", last)]
        write_lines(tmp_path / "rows.jsonl", rows)
        whole = load_data(Data(source="rows.jsonl"), "generation", tmp_path)
        model = fit_model(candidate, whole.take(np.arange(20)), Context())
        assert isinstance(model.fitted, LanguageModel)
        found.append(json.dumps({k: v.tobytes().hex() for k, v in model.fitted.arrays.items()}))
    assert found[0] == found[1]
