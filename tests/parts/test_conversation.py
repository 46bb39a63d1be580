"""Rows of fine-tuning: OpenAI's own examples as they are, what a row may not be, and JSON there and
back.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from sixfold.core.errors import DataError
from sixfold.parts.conversation import (
    Completion,
    Conversation,
    Preference,
    example_of,
    is_example,
    read_text,
    text_of,
)

SYSTEM = {"role": "system", "content": "Marv is a factual chatbot that is also sarcastic."}
USER = {"role": "user", "content": "What's the capital of France?"}
ANSWER = {"role": "assistant", "content": "Paris, as if everyone doesn't know that already."}
MORE = {"role": "user", "content": "Can you be more sarcastic?"}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {
            "id": "call_id",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"place": "Oslo", "unit": null}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call_id", "content": "-3"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def read(row: dict[str, Any]) -> Any:
    return example_of(row, "a.jsonl, line 7")


def test_a_conversation_is_learned_where_the_assistant_speaks_with_a_weight() -> None:
    made = read(
        {"messages": [SYSTEM, USER, {**ANSWER, "weight": 0}, MORE, {**ANSWER, "weight": 1}]}
    )
    assert isinstance(made, Conversation)
    assert made.learned == {4}
    assert made.messages == (SYSTEM, USER, ANSWER, MORE, ANSWER)
    assert read({"messages": [USER, ANSWER]}).learned == {1}


def test_calls_of_tools_have_objects_as_arguments_and_their_answers_follow() -> None:
    row = {"messages": [USER, CALL, RESULT, ANSWER], "tools": [TOOL], "parallel_tool_calls": False}
    made = read(row)
    assert made.learned == {1, 3}
    assert made.tools == (TOOL,)
    assert made.messages[1]["content"] == ""
    function = made.messages[1]["tool_calls"][0]["function"]
    assert function == {"name": "weather", "arguments": {"place": "Oslo", "unit": None}}
    assert read({**row, "tools": json.dumps([TOOL])}) == made  # as files of Parquet hold it


def test_parts_of_text_are_text_and_null_is_left_out() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    made = read({"messages": [{"role": "user", "content": parts, "name": None}, ANSWER]})
    assert made.messages[0] == {"role": "user", "content": "ab"}


def test_prompts_with_completions() -> None:
    assert read({"prompt": "2 + 2 =", "completion": " 4"}) == Completion("2 + 2 =", " 4")
    assert read({"prompt": "", "completion": "x"}).prompt == ""


def test_preferences_as_openai_and_as_trl_write_them_are_the_same() -> None:
    other = {"role": "assistant", "content": "No."}
    openai = read(
        {
            "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [ANSWER],
            "non_preferred_output": [other],
        }
    )
    trl = read({"prompt": [USER], "chosen": [ANSWER], "rejected": [other]})
    assert (
        openai
        == trl
        == Preference(
            Conversation((USER, ANSWER), frozenset({1})),
            Conversation((USER, other), frozenset({1})),
        )
    )
    plain = read({"prompt": "Q", "chosen": "yes", "rejected": "no"})
    assert plain == Preference(Completion("Q", "yes"), Completion("Q", "no"))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [SYSTEM, USER, {**ANSWER, "weight": 0}, MORE, ANSWER]},
        {"messages": [USER, CALL, RESULT, ANSWER], "tools": [TOOL]},
        {"prompt": "ü\u2028", "completion": "\n"[:0] + "x"},
        {"prompt": "Q", "chosen": "yes", "rejected": "no"},
        {"prompt": [SYSTEM, USER], "chosen": [ANSWER], "rejected": [CALL, RESULT, ANSWER]},
    ],
)
def test_json_there_and_back(row: dict[str, Any]) -> None:
    made = read(row)
    assert "\n" not in text_of(made)
    assert read_text(text_of(made)) == made
    assert text_of(read_text(text_of(made))) == text_of(made)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"text": "x"}, "line 7: expected messages; prompt and completion; .* found 'text'"),
    ({}, "found an empty object"),
    ({"messages": [USER, ANSWER], "wieght": 1}, "a key of a conversation; found 'wieght'. Remove"),
    ({"messages": []}, r"line 7, messages: expected a list of messages; found \[\]"),
    ({"messages": [USER]}, "expected a message of the assistant to learn from; found none"),
    (
        {"messages": [USER, {**ANSWER, "weight": 0}]},
        "a message of the assistant to learn from; found none whose weight is not 0",
    ),
    ({"messages": [USER, ANSWER, MORE]}, r"messages\[2\]: expected the assistant's message at the"),
    ({"messages": [ANSWER, USER, ANSWER]}, r"messages\[0\].role: expected a message of the user"),
    ({"messages": [USER, SYSTEM, ANSWER]}, r"messages\[1\].role: expected the message of the sys"),
    ({"messages": [USER, ANSWER, ANSWER]}, r"messages\[2\].role: .* found a second one of the"),
    ({"messages": [USER, RESULT, ANSWER]}, r"messages\[1\].role: expected a message of a tool beh"),
    ({"messages": [USER, CALL, MORE, ANSWER]}, r"messages\[2\].role: expected answers of the tool"),
    (
        {"messages": [USER, CALL, {**RESULT, "tool_call_id": "x"}, ANSWER]},
        r"messages\[2\].tool_call_id: expected the id of a call that waits; found 'x'",
    ),
    ({"messages": [USER, {"role": "bot", "content": "x"}]}, r"\[1\].role: expected one of system"),
    ({"messages": [USER, {"role": "assistant", "content": " "}]}, "found an empty message"),
    ({"messages": [{**USER, "weight": 1}, ANSWER]}, "keys of a message of the user; found 'weight"),
    ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, r"\.weight: expected 0 or 1; found 0\.5"),
    ({"messages": [USER, {**ANSWER, "content": 3}]}, r"\[1\]\.content: expected text; found 3"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]},
        r"content\[0\]: expected a part of type text; found 'image_url'",
    ),
    (
        {
            "messages": [
                USER,
                {**CALL, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
            ]
        },
        r"tool_calls\[0\].function.arguments: expected JSON",
    ),
    ({"messages": [USER, ANSWER], "tools": [{"name": "f"}]}, r"tools\[0\]: expected a tool"),
    ({"prompt": "Q", "completion": "  "}, "line 7, completion: expected an answer; found an empty"),
    ({"prompt": 3, "completion": "x"}, "line 7, prompt: expected text; found 3"),
    ({"prompt": "Q", "chosen": "a", "rejected": "a"}, "expected two answers that differ"),
    ({"prompt": "Q", "chosen": "a", "rejected": ""}, "rejected: expected an answer"),
    ({"prompt": [USER], "chosen": [MORE], "rejected": [ANSWER]}, "chosen: expected an answer of"),
]


@pytest.mark.parametrize(("row", "text"), REFUSED)
def test_what_is_refused(row: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        read(row)


def test_a_row_is_known_by_its_keys() -> None:
    assert is_example({"messages": 3})
    assert not is_example({"prompt": "x", "answer": "y"})
    with pytest.raises(DataError, match="expected JSON of an example"):
        read_text("plain text")
    with pytest.raises(DataError, match="expected a JSON object; found list"):
        read_text("[]")
