"""Questions with known answers, asked of a language model: is its likeliest answer the right one, and which
of several does it find the most probable?

A file of JSON lines: {"prompt": text, "answer": text} or {"messages": […], "answer": text}; with
"choices": [text, …], of which the answer is one, the model chooses by likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import torch

from sixfold.core.errors import DataError, did_you_mean
from sixfold.data.sources import jsonl
from sixfold.parts.conversation import Completion, Conversation
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.messages import FAULTY, read_messages
from sixfold.parts.text_sampling import continued
from sixfold.prepare.text.learned_tokens import ExampleTokens

KEYS: Final = ("prompt", "messages", "answer", "choices")
MOST_TOKENS: Final = 16  # more than the right answer has, after which one is wrong; guessed


@dataclass(frozen=True)
class LanguageQuestion:
    """`asked`: a text to go on with, or messages, the last of the user. `choices`: () where the model is
    to write the answer.
    """

    asked: str | tuple[Mapping[str, Any], ...]
    answer: str
    choices: tuple[str, ...] = ()

    def answered(self, text: str) -> Conversation | Completion:
        """The example in which `text` is the answer."""
        if isinstance(self.asked, str):
            return Completion(self.asked, text)
        said = {"role": "assistant", "content": text}
        return Conversation((*map(dict, self.asked), said), frozenset({len(self.asked)}))

    @property
    def text(self) -> str:
        """What is asked, for people."""
        return self.asked if isinstance(self.asked, str) else str(self.asked[-1]["content"])


@dataclass(frozen=True)
class Answered:
    """What a model said to a question."""

    question: LanguageQuestion
    text: str

    @property
    def is_right(self) -> bool:
        """Space around an answer does not count."""
        return self.text.strip() == self.question.answer.strip()


def read_questions(path: Path) -> list[LanguageQuestion]:
    """Raises DataError with the line of what is wrong."""
    if not path.is_file():
        raise DataError(str(path), "a file of questions", "no file of this name", "Check the path.")
    found = [
        _question(row, f"{path}, line {line:,}")
        for line, row in jsonl.Settings(path=path).objects()
    ]
    if not found:
        raise DataError(str(path), "questions", "none", "Write one a line.")
    return found


def answers(model: LanguageModel, questions: Sequence[LanguageQuestion]) -> list[Answered]:
    """Of each question the choice that the model finds the most probable, or the likeliest answer, token
    by token. Raises DataError where its chat template refuses the messages.
    """
    network, tokens = model.network(), ExampleTokens.by(model.tokenizer)
    ends = frozenset(model.ends)
    found = []
    for question in questions:
        if question.choices:
            scores = [_score(network, tokens, question, choice) for choice in question.choices]
            text = question.choices[max(range(len(scores)), key=scores.__getitem__)]
        else:
            text = _written(network, tokens, question, ends)
        found.append(Answered(question, text))
    return found


def share_right(answered: Sequence[Answered], choices: bool) -> float | None:
    """Of the questions with choices, or of those without; None where there are none."""
    some = [one.is_right for one in answered if bool(one.question.choices) is choices]
    return sum(some) / len(some) if some else None


def _score(
    network: PackedNetwork, tokens: ExampleTokens, question: LanguageQuestion, choice: str
) -> float:
    """ln of the probability of an answer, all of its tokens."""
    found = tokens.of(question.answered(choice))
    ids = torch.from_numpy(found.ids.astype("int64"))[-network.longest :]
    learned = torch.from_numpy(found.learned)[-network.longest :]
    with torch.no_grad():
        logs = network.network(input_ids=ids[None, :-1]).logits[0].log_softmax(-1)
    own = logs.gather(1, ids[1:, None])[:, 0]
    return float(own[learned[1:]].sum())


def _written(
    network: PackedNetwork, tokens: ExampleTokens, question: LanguageQuestion, ends: frozenset[int]
) -> str:
    example = tokens.of(question.answered(question.answer))
    first = int(example.learned.argmax())
    most = int(example.learned.sum()) + MOST_TOKENS
    ids = continued(network, example.ids[:first].tolist(), most)
    own = list(takewhile(lambda one: one not in ends, ids))
    return str(tokens.library.decode(own, skip_special_tokens=True))


def _question(row: Mapping[str, Any], where: str) -> LanguageQuestion:
    for key in row:
        if key not in KEYS:
            raise DataError(where, "a key of a question", f"'{key}'", did_you_mean(key, KEYS))
    if ("prompt" in row) == ("messages" in row) or not isinstance(row.get("answer"), str):
        found = ", ".join(f"'{key}'" for key in row) or "an empty object"
        raise DataError(where, "prompt or messages, and answer as text", found, FAULTY)
    answer, choices = str(row["answer"]), row.get("choices", ())
    if not answer.strip():
        raise DataError(f"{where}, answer", "text", "an empty one", FAULTY)
    if "choices" in row and not _are_choices(choices, answer):
        expected = "two texts or more, of which the answer is one"
        raise DataError(f"{where}, choices", expected, repr(choices)[:60], FAULTY)
    return LanguageQuestion(_asked(row, where), answer, tuple(choices))


def _are_choices(choices: Any, answer: str) -> bool:
    texts = isinstance(choices, list) and all(isinstance(one, str) and one for one in choices)
    return texts and len(set(choices)) == len(choices) > 1 and answer in choices


def _asked(row: Mapping[str, Any], where: str) -> str | tuple[Mapping[str, Any], ...]:
    if "prompt" in row:
        if not isinstance(row["prompt"], str):
            raise DataError(f"{where}, prompt", "text", repr(row["prompt"])[:60], FAULTY)
        return row["prompt"]
    messages = read_messages(row["messages"], f"{where}, messages")
    if messages[-1]["role"] not in ("user", "tool"):
        expected = "a message of the user at the end, to which answer is the answer"
        raise DataError(
            f"{where}, messages", expected, f"one of the {messages[-1]['role']}", FAULTY
        )
    return tuple(messages)
