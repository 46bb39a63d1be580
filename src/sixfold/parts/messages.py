"""The messages of a conversation, read strictly: roles in an order that a conversation can have, texts
where texts belong, calls of tools with their answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sixfold.core.errors import DataError, did_you_mean

Message = dict[str, Any]
ROLES: Final = ("system", "developer", "user", "assistant", "tool")
FIRST: Final = frozenset({"system", "developer"})  # roles that stand before all others
KEYS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        {"role", "content", "name", "weight", "tool_calls", "reasoning_content", "refusal"}
    ),
    "tool": frozenset({"role", "content", "name", "tool_call_id"}),
}
FAULTY: Final = "Correct the row, or remove it."


def read_messages(messages: Any, where: str) -> list[Message]:
    """Each as a chat template takes it: contents as text, arguments of calls as objects; `weight` stays.
    Raises DataError with the place of what is wrong.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not len(messages):
        raise DataError(where, "a list of messages", repr(messages)[:60], FAULTY)
    found = [_message(one, f"{where}[{place}]") for place, one in enumerate(messages)]
    _check_order(found, where)
    return found


def read_tools(row: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    """The tools of a row, a list or JSON of one (as files of Parquet often hold it); () where it has
    none. Raises DataError.
    """
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = _json(tools, f"{where}, tools")
    if tools is None:
        return ()
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        raise DataError(f"{where}, tools", "a list of functions", repr(tools)[:60], FAULTY)
    return tuple(_tool(tool, f"{where}, tools[{place}]") for place, tool in enumerate(tools))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise DataError(where, "an object with role and content", repr(value)[:60], FAULTY)
    given = {key: item for key, item in value.items() if item is not None}
    role = given.get("role")
    if role not in ROLES:
        raise DataError(f"{where}.role", f"one of {', '.join(ROLES)}", repr(role)[:60], FAULTY)
    for key in given:
        if key not in KEYS[role]:
            raise DataError(
                where, f"keys of a message of the {role}", f"'{key}'", did_you_mean(key, KEYS[role])
            )
    found = {**given, "content": _content(given.get("content", ""), f"{where}.content")}
    if "weight" in given and (type(given["weight"]) is not int or given["weight"] not in (0, 1)):
        raise DataError(f"{where}.weight", "0 or 1", repr(given["weight"])[:60], FAULTY)
    if "tool_calls" in given:
        found["tool_calls"] = _calls(given["tool_calls"], f"{where}.tool_calls")
    empty = role in ("user", "assistant") and not found["content"].strip()
    if empty and not found.get("tool_calls"):
        raise DataError(f"{where}.content", "text", "an empty message", FAULTY)
    return found


def _content(value: Any, where: str) -> str:
    """Text, or parts that are all text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        raise DataError(where, "text", repr(value)[:60], "Write it as a string.")
    for place, part in enumerate(value):
        if not isinstance(part, Mapping) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            remedy = "Leave rows with other contents out: language models here read text."
            raise DataError(f"{where}[{place}]", "a part of type text", repr(kind)[:60], remedy)
        if not isinstance(part.get("text"), str):
            raise DataError(f"{where}[{place}].text", "text", repr(part.get("text"))[:60], FAULTY)
    return "".join(part["text"] for part in value)


def _calls(calls: Any, where: str) -> list[Message]:
    if not isinstance(calls, Sequence) or isinstance(calls, str) or not len(calls):
        raise DataError(where, "a list of calls", repr(calls)[:60], FAULTY)
    return [_call(call, f"{where}[{place}]") for place, call in enumerate(calls)]


def _call(call: Any, where: str) -> Message:
    named = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise DataError(
            where, "a call: {id, type, function: {name, arguments}}", repr(call)[:60], FAULTY
        )
    arguments = named.get("arguments", {})
    if isinstance(arguments, str):  # as OpenAI writes them; templates take objects
        arguments = _json(arguments, f"{where}.function.arguments")
    if not isinstance(arguments, Mapping):
        place = f"{where}.function.arguments"
        raise DataError(place, "a JSON object", repr(arguments)[:60], FAULTY)
    plain = {key: item for key, item in call.items() if item is not None}
    return {**plain, "function": {"name": named["name"], "arguments": dict(arguments)}}


def _tool(tool: Any, where: str) -> Message:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(
            where, "a tool: {type: function, function: {name, …}}", repr(tool)[:60], FAULTY
        )
    return dict(tool)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(where, "JSON", str(error)[:80], FAULTY) from None


def _check_order(messages: Sequence[Message], where: str) -> None:
    """Who may speak after whom. Raises DataError."""
    open_calls: set[object] = set()
    before = ""
    for place, message in enumerate(messages):
        role = message["role"]
        if problem := _disorder(role, before, bool(open_calls)):
            raise DataError(f"{where}[{place}].role", *problem, FAULTY)
        if role == "tool":
            _answer(message, open_calls, f"{where}[{place}]")
        if role == "assistant":
            open_calls = {call.get("id", n) for n, call in enumerate(message.get("tool_calls", ()))}
        before = role


def _disorder(role: str, before: str, waiting: bool) -> tuple[str, str] | None:
    """What was expected and what came; None where it is in order. `waiting`: for answers of tools."""
    if role in FIRST and before not in ("", *FIRST):
        return f"the message of the {role} at the beginning", f"one behind the {before}'s"
    if role == "tool" and not waiting:
        return (
            "a message of a tool behind the assistant's call",
            f"one behind the {before or 'beginning'}",
        )
    if role == "user" and waiting:
        return "answers of the tools that were called", "a message of the user"
    if role == "assistant" and before in ("", *FIRST):
        return "a message of the user before the assistant's", "none"
    if role == "assistant" and before == "assistant":
        return "a message of the user or a tool", "a second one of the assistant"
    if role == "assistant" and waiting:
        return "answers of all tools that were called", "a message of the assistant"
    return None


def _answer(message: Message, open_calls: set[object], where: str) -> None:
    """Take the call that it answers out of those that wait. Raises DataError."""
    named = message.get("tool_call_id")
    if named is None:
        open_calls.discard(next(iter(sorted(open_calls, key=str)), None))
        return
    if named not in open_calls:
        raise DataError(
            f"{where}.tool_call_id", "the id of a call that waits", repr(named)[:60], FAULTY
        )
    open_calls.remove(named)
