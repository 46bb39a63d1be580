"""The messages and tools of a chat, as a chat template reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sixfold.recipe.chat_template import Message
from sixfold.serve.errors import ParameterRefusal
from sixfold.serve.language.fields import UNSUPPORTED, RequestFields, invalid

if TYPE_CHECKING:
    from sixfold.bundle.language.tokens import LanguageTokens

MOST_MESSAGES: Final = 2_000
ROLES: Final = ("system", "user", "assistant", "tool", "developer")
# As templates know it; OpenAI's newer name for the same.
SAME_ROLE: Final = {"developer": "system"}


def messages_of(value: Any) -> list[Message]:
    """Raises ParameterRefusal with the place: `messages[2].content`."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MESSAGES:
        raise invalid("messages", f"a list of 1 to {MOST_MESSAGES:,} messages", value)
    return [_message(each, f"messages[{at}]") for at, each in enumerate(value)]


def _message(value: Any, where: str) -> Message:
    fields = RequestFields(value, where)
    role = fields.text("role")
    if role not in ROLES:
        raise invalid(f"{where}.role", f"one of {', '.join(ROLES)}", role)
    found: dict[str, Any] = {"role": SAME_ROLE.get(role, role)}
    calls = fields.take("tool_calls")
    content = _content(fields.take("content"), f"{where}.content", optional=bool(calls))
    if content is not None:
        found["content"] = content
    for key in ("name", "tool_call_id", "reasoning_content"):
        text = fields.text(key, "")
        if text:
            found[key] = text
    if calls:
        found["tool_calls"] = _calls(calls, f"{where}.tool_calls", role)
    fields.refuse(
        {"refusal": "Leave it out.", "audio": "Send text.", "annotations": "Leave it out."},
        {"refusal": ("",), "annotations": ([],)},
    )
    fields.end()
    return found


def _content(value: Any, where: str, optional: bool) -> str | None:
    """A text, or the texts of its parts. Parts of other kinds are refused."""
    if value is None and optional:
        return None
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise invalid(where, "a text, or a list of parts", value)
    texts = []
    for at, part in enumerate(value):
        fields = RequestFields(part, f"{where}[{at}]")
        kind = fields.text("type")
        if kind != "text":
            raise invalid(f"{where}[{at}].type", "text: this model reads nothing else", kind)
        texts.append(fields.text("text"))
        fields.end()
    return "".join(texts)


def _calls(value: Any, where: str, role: str) -> list[dict[str, Any]]:
    if role != "assistant" or not isinstance(value, list):
        raise invalid(where, "a list, of an assistant's message", value)
    found = []
    for at, each in enumerate(value):
        fields = RequestFields(each, f"{where}[{at}]")
        name = fields.text("id", "")
        if fields.text("type", "function") != "function":
            raise invalid(f"{where}[{at}].type", "function", each.get("type"))
        function = RequestFields(fields.take("function"), f"{where}[{at}].function")
        arguments = _arguments(function.text("arguments"), f"{where}[{at}].function.arguments")
        called = {"name": function.text("name"), "arguments": arguments}
        function.end()
        fields.take("index")
        fields.end()
        found.append({"id": name, "type": "function", "function": called})
    return found


def _arguments(text: str, where: str) -> dict[str, Any]:
    """As an object, which chat templates take, in training and here."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid(where, "the text of a JSON object", text)
    return found


def tools_of(fields: RequestFields, tokens: LanguageTokens) -> list[dict[str, Any]] | None:
    """The tools that the template is given; None where there are none, or none may be called.

    Raises ParameterRefusal, also where the model's template takes no tools.
    """
    value, choice = fields.take("tools"), fields.take("tool_choice")
    if choice not in (None, "auto", "none"):
        raise invalid("tool_choice", "auto or none: a call cannot be forced here", choice)
    if not value:
        return None
    if not tokens.takes_tools:
        remedy = "Describe what you need in a message instead."
        expected = "none: this model's chat template takes no tools"
        raise ParameterRefusal("tools", expected, f"{len(value)} tools", remedy, UNSUPPORTED)
    if not isinstance(value, list) or len(value) > MOST_MESSAGES:
        raise invalid("tools", f"a list of at most {MOST_MESSAGES:,} tools", value)
    for at, each in enumerate(value):
        _check_tool(each, f"tools[{at}]")
    return None if choice == "none" else value


def _check_tool(value: Any, where: str) -> None:
    fields = RequestFields(value, where)
    if fields.text("type") != "function":
        raise invalid(f"{where}.type", "function", value["type"])
    function = RequestFields(fields.take("function"), f"{where}.function")
    fields.end()
    function.text("name")
    function.text("description", "")
    function.take("parameters")
    function.flag("strict")
    function.end()
