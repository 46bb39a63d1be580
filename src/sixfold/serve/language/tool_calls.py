"""Calls of tools in an answer: JSON between `<tool_call>` and `</tool_call>`, as Hermes, Qwen and our own template have
them.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Final

from sixfold.bundle.language.requests import overlap

OPEN: Final = "<tool_call>"
CALLS: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)\s*", re.DOTALL)


class CallText:
    """The text of an answer that may end in calls, while it comes: nothing from the first call on is
    given.
    """

    def __init__(self) -> None:
        self._text, self._given = "", 0

    def add(self, new: str) -> str:
        """What of it may be given."""
        self._text += new
        found = self._text.find(OPEN)
        end = len(self._text) - overlap(self._text, OPEN) if found < 0 else found
        given, self._given = self._text[self._given : end], max(self._given, end)
        return given

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the text, and the calls. What is no call stays text."""
        rest = self._text[self._given :]
        calls = [_call(each) for each in CALLS.findall(rest)]
        whole = [each for each in calls if each is not None]
        if len(whole) < len(calls) or not calls:
            return rest, []
        return CALLS.sub("", rest).strip(), whole


def _call(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        return None
    arguments = content.get("arguments", {})
    told = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": content["name"], "arguments": told}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
