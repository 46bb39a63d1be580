"""A first look into a file for fine-tuning, when a job is created: whether its lines are examples, and of which kind.

The worker that validates the job reads every line strictly; this look answers at once for what is plainly wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from sixfold.service.domain.errors import InvalidRequest

LONGEST_LINE: Final = 8 << 20  # bytes
MOST_LINES: Final = 10_000  # the rest is the worker's: guessed, about a second
LONGEST_KEY: Final = 40  # characters of a key that a message shows
TOLD: Final = 3  # lines with a mistake that one answer names
PREFERENCES: Final = "preferences"
EXAMPLES: Final = "examples"
MESSAGES: Final = frozenset({"messages"})
KEYS: Final = {
    MESSAGES: EXAMPLES,
    frozenset({"prompt", "completion"}): EXAMPLES,
    frozenset({"input", "preferred_output", "non_preferred_output"}): PREFERENCES,
    frozenset({"prompt", "chosen", "rejected"}): PREFERENCES,
}
EXPECTED: Final = (
    "lines of {messages}, {prompt, completion} or {input, preferred_output, non_preferred_output}"
)


def check_lines(source: BinaryIO, param: str, method: str) -> None:
    """Raises InvalidRequest with the first lines that are no examples, or are none for the method (`supervised`, `dpo`)."""
    wrong, count = list[str](), 0
    wanted = PREFERENCES if method == "dpo" else EXAMPLES
    for count, line in _lines(source):
        problem = _problem(line, wanted)
        if problem:
            wrong.append(f"line {count}: {problem}")
        if len(wrong) == TOLD or count == MOST_LINES:
            break
    if wrong:
        raise InvalidRequest(param, EXPECTED, "; ".join(wrong), "Correct these lines.")
    if not count:
        raise InvalidRequest(param, EXPECTED, "an empty file", "Upload a file with examples.")


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := source.readline(LONGEST_LINE + 1):
        number += 1
        if line.strip():
            yield number, line


def _problem(line: bytes, wanted: str) -> str:
    if len(line) > LONGEST_LINE:
        return f"more than {LONGEST_LINE:,} bytes"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(row, dict):
        return f"a {type(row).__name__} where an object is due"
    kind = next((kind for keys, kind in KEYS.items() if keys <= row.keys()), None)
    if kind is None:
        keys = ", ".join(repr(name)[:LONGEST_KEY] for name in list(row)[:4])
        return f"the keys {keys or 'of an empty object'}"
    if kind != wanted:
        method = "dpo" if kind == PREFERENCES else "supervised"
        return f"{kind}, which are for the method {method}"
    return _of_messages(row)


def _of_messages(row: Mapping[str, Any]) -> str:
    messages = row.get("messages")
    if messages is None:
        return ""
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return "messages that are no list of objects"
    if not any(one.get("role") == "assistant" for one in messages):
        return "no message of the assistant to learn from"
    return ""
