"""Calls of tools: found in a text, whole or while it comes, and told as OpenAI's clients read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bundle" / "language"))
from test_answer_text import TOKENS

from sixfold.bundle.language.answer_text import AnswerText
from sixfold.bundle.language.requests import GenerationRequest, Piece
from sixfold.serve.language.generating import Choice
from sixfold.serve.language.shapes import ChatShapes
from sixfold.serve.language.tool_calls import CallText

CALL = '<tool_call>\n{"name": "sum", "arguments": {"a": [2, 3]}}\n</tool_call>'
OTHER = '<tool_call>{"name": "now", "arguments": "{}"}</tool_call>'


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        (f"Let me see.\n{CALL}\n{OTHER}", "Let me see.\n", ["sum", "now"]),
        (CALL, "", ["sum"]),
        (CALL.removesuffix("</tool_call>"), "", ["sum"]),  # the end of the answer ends a call
        ("No <tool, no call", "No <tool, no call", []),
        ("<tool_call>{broken</tool_call>", "<tool_call>{broken</tool_call>", []),
        ('<tool_call>{"a": 1}</tool_call>', '<tool_call>{"a": 1}</tool_call>', []),
    ],
)
def test_calls_in_a_text(text: str, content: str, names: list[str], size: int) -> None:
    found = CallText()
    given = "".join(found.add(text[at : at + size]) for at in range(0, len(text), size))
    assert names == [] or "<tool" not in given
    rest, calls = found.end()
    assert given + rest == content
    assert [call["function"]["name"] for call in calls] == names
    assert all(json.loads(call["function"]["arguments"]) is not None for call in calls)


def choice() -> Choice:
    request = GenerationRequest((5,), 99)
    return Choice(0, request, AnswerText(TOKENS))


def generating(one: Choice) -> Any:
    wanted = SimpleNamespace(usage=False, silent=False)
    return SimpleNamespace(choices=[one], wanted=wanted, prompt_tokens=1, generated_tokens=9)


def test_calls_as_clients_read_them() -> None:
    ids = TOKENS.encode(f"Well. {CALL}")
    whole, streamed = choice(), choice()
    whole.add(Piece(tuple(ids), finish="stop"))
    (answer,) = ChatShapes(TOKENS, "m", tools=True).whole(generating(whole))["choices"]
    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["content"] == "Well."
    (call,) = answer["message"]["tool_calls"]
    assert call["type"] == "function" and call["id"].startswith("call_")
    assert call["function"] == {"name": "sum", "arguments": '{"a": [2, 3]}'}
    shapes, deltas = ChatShapes(TOKENS, "m", tools=True), []
    for at, place in enumerate(ids):
        new = streamed.add(Piece((place,), finish="stop" if at == len(ids) - 1 else None))
        deltas += [chunk["choices"][0] for chunk in shapes.chunk(streamed, new)]
    assert "".join(each["delta"].get("content", "") for each in deltas).strip() == "Well."
    (told,) = [each["delta"]["tool_calls"] for each in deltas if "tool_calls" in each["delta"]]
    assert told[0]["index"] == 0 and told[0]["function"] == call["function"]
    assert deltas[-1] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "tool_calls",
    }


def test_without_tools_the_text_is_what_it_is() -> None:
    one = choice()
    one.add(Piece(tuple(TOKENS.encode(CALL)), finish="stop"))
    (answer,) = ChatShapes(TOKENS, "m", tools=False).whole(generating(one))["choices"]
    assert answer["message"]["content"] == CALL
    assert answer["finish_reason"] == "stop"
