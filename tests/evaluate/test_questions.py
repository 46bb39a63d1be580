"""Questions with known answers: by likelihood, by what is written, and what is refused with its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from language_checkpoints import chat, chats, model, write, write_lines
from sixfold.core.errors import DataError
from sixfold.evaluate.questions import LanguageQuestion, answers, read_questions, share_right
from sixfold.parts.conversation import example_of, text_of
from sixfold.prepare.text.learned_tokens import stored_examples


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_choices_are_scored_as_the_same_examples_are() -> None:
    own = model()
    choices = ("red", "green and blue", "cat")
    for question in (
        LanguageQuestion((user("Say one?"),), "red", choices),
        LanguageQuestion("The red is", "red", choices),
    ):
        rows = []
        for choice in choices:
            if isinstance(question.asked, str):
                row = {"prompt": question.asked, "completion": choice}
            else:
                row = chat("Say one?", choice)
            rows.append(text_of(example_of(row, "here")))
        losses = own.predict(stored_examples(rows, own.tokenizer))[:, 0]
        (found,) = answers(own, [question])
        assert found.text == choices[int(losses.argmin())]
        assert found.is_right is (found.text == "red")


def test_the_likeliest_answer_is_written_up_to_its_end() -> None:
    own = model()
    written = answers(
        own, [LanguageQuestion("The red is", "blue"), LanguageQuestion((user("Say?"),), "x")]
    )
    tokenizer, network = own.tokenizer, own.network().network
    ids = [tokenizer.start, *tokenizer.encode(["The red is"])[0]]
    found = list[int]()
    for _ in range(40):
        with torch.no_grad():
            following = int(network(input_ids=torch.tensor([ids + found])).logits[0, -1].argmax())
        if following in own.ends:
            break
        found.append(following)
    assert tokenizer.decode(found).startswith(written[0].text)
    assert share_right(written, choices=False) == 0.0
    assert share_right(written, choices=True) is None


def test_files_are_read_strictly(tmp_path: Path) -> None:
    good = [
        {"prompt": "2 + 2 =", "answer": "4"},
        {"messages": [user("Red?")], "answer": "yes", "choices": ["yes", "no"]},
    ]
    first, second = read_questions(write_lines(tmp_path / "a.jsonl", good))
    assert first == LanguageQuestion("2 + 2 =", "4")
    assert second == LanguageQuestion((user("Red?"),), "yes", ("yes", "no"))
    assert second.text == "Red?"
    for row, text in (
        (
            {"prompt": "x", "answer": "y", "chioces": []},
            r"line 1: .* found 'chioces'\. Did you mean",
        ),
        ({"prompt": "x"}, "expected prompt or messages, and answer as text; found 'prompt'"),
        ({"prompt": "x", "messages": [], "answer": "y"}, "expected prompt or messages"),
        ({"prompt": "x", "answer": " "}, "answer: expected text; found an empty one"),
        (
            {"prompt": "x", "answer": "y", "choices": ["a", "b"]},
            "of which the answer is one; found",
        ),
        ({"prompt": "x", "answer": "y", "choices": ["y"]}, "choices: expected two texts or more"),
        (
            {"messages": chat("a", "b")["messages"], "answer": "y"},
            "a message of the user at the end",
        ),
        ({"messages": [], "answer": "y"}, "messages: expected a list of messages"),
    ):
        with pytest.raises(DataError, match=text):
            read_questions(write_lines(tmp_path / "b.jsonl", [row]))
    with pytest.raises(DataError, match="found no file of this name"):
        read_questions(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="expected questions; found none"):
        read_questions(write_lines(tmp_path / "c.jsonl", []))


def test_a_model_that_learned_them_is_right(tmp_path: Path) -> None:
    from sixfold.build.language import Settings
    from sixfold.parts.fit import Fit, Setting
    from sixfold.recipe.schema import Train
    from sixfold.runs.context import Context

    rows = chats(6)
    x = stored_examples([text_of(example_of(row, "x")) for row in rows], model().tokenizer)
    family = Settings(checkpoint=str(write(tmp_path)))
    train = Train(epochs=60, batch_size=4, optimizer={"name": "adamw", "learning_rate": 0.01})
    setting = Setting("language", family, train=train)
    fit = Fit(x, torch.zeros(len(x), 3).numpy(), "generation", 3, seed=3, setting=setting)
    (tuned,) = family.fit([fit], Context())
    asked = [
        LanguageQuestion((row["messages"][0],), row["messages"][1]["content"], choices)
        for row in rows
        for choices in ((), (row["messages"][1]["content"], "No sea."))
    ]
    found = answers(tuned, asked)  # type: ignore[arg-type]
    assert share_right(found, choices=True) == 1.0
    right = share_right(found, choices=False)
    assert right is not None
    assert right > 0.8
    assert not math.isnan(right)
