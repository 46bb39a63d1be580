"""What a language model is fine-tuned on, a row each: conversations, prompts with their completions, and
preferences between two answers. Rows as OpenAI's fine-tuning takes them, and as TRL names them:

    {"messages": [{"role", "content", "weight"?, "tool_calls"?, …}, …], "tools"?}
    {"prompt": text, "completion": text}
    {"input": {"messages", "tools"?}, "preferred_output": [message], "non_preferred_output": [message]}
    {"prompt": text or messages, "chosen": the same, "rejected": the same}

`example_of` reads a row strictly; what it made is written as `text_of`, JSON that it reads again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sixfold.core.errors import DataError, did_you_mean
from sixfold.parts.messages import FAULTY, read_messages, read_tools

Row = Mapping[str, Any]
Message = dict[str, Any]
ALIKE: Final = "Write preferences and other examples to files of their own."
COLUMN: Final = "conversation"  # what the column of such rows is called


@dataclass(frozen=True)
class Conversation:
    """`messages`: as a chat template takes them; `learned`: the places of those that the model is to
    write, all of an assistant; `tools`: that it may call.
    """

    messages: tuple[Message, ...]
    learned: frozenset[int]
    tools: tuple[Message, ...] = ()

    @property
    def prompt(self) -> tuple[object, ...]:
        """What stands before the answer at the end."""
        return (self.messages[: max(self.learned)], self.tools)

    @property
    def answer(self) -> object:
        """The last that is learned."""
        return self.messages[max(self.learned)]


@dataclass(frozen=True)
class Completion:
    """Text that goes on: without a chat template."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which the first one is better."""

    chosen: Conversation | Completion
    rejected: Conversation | Completion


Example: TypeAlias = Conversation | Completion | Preference


def example_of(row: Row, where: str) -> Example:
    """A row as it is in a file; `where` names it in messages ("a.jsonl, line 7"). Keys that are null
    count as left out, as in Parquet. Raises DataError.
    """
    found = {key: value for key, value in row.items() if value is not None}
    for form in FORMS:
        if form.needs <= found.keys():
            allowed = form.needs | form.takes
            for key in found:
                if key not in allowed:
                    remedy = f"Remove it, or list it in data.drop. {did_you_mean(key, allowed)}"
                    raise DataError(where, f"a key of a {form.name}", f"'{key}'", remedy)
            return form.read(found, where)
    keys = ", ".join(f"'{key}'" for key in list(found)[:6]) or "an empty object"
    raise DataError(
        where,
        "messages; prompt and completion; input, preferred_output and non_preferred_output; or "
        "prompt, chosen and rejected",
        keys,
        "Name the keys so.",
    )


def is_example(row: Row) -> bool:
    """Whether a row has the keys of one, whatever they hold."""
    return any(form.needs <= row.keys() for form in FORMS)


def text_of(example: Example) -> str:
    """JSON on one line, from which `read_text` makes the same example."""
    return json.dumps(_row_of(example), ensure_ascii=False, separators=(",", ":"))


def read_text(text: str, where: str = "a conversation") -> Example:
    """What `text_of` wrote. Raises DataError for any other text."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            where, "JSON of an example", str(error)[:80], "Look at data.types."
        ) from None
    if not isinstance(row, dict):
        raise DataError(where, "a JSON object", type(row).__name__, "Look at data.types.")
    return example_of(row, where)


def learned_text(text: str, rejected: bool = False) -> str:
    """What the model is to write of an example that is kept as `text`: its answers, one after the other;
    of a preference the chosen one, or the rejected one.
    """
    example = read_text(text)
    if isinstance(example, Preference):
        example = example.rejected if rejected else example.chosen
    return _answers(example)


def _answers(side: Conversation | Completion) -> str:
    if isinstance(side, Completion):
        return side.answer
    said = (side.messages[place] for place in sorted(side.learned))
    return "".join(
        message["content"]
        + "".join(json.dumps(call["function"]) for call in message.get("tool_calls", ()))
        for message in said
    )


def holds_preferences(texts: Sequence[str]) -> bool:
    """Whether examples that are kept as these texts are preferences: all are of one kind."""
    return len(texts) > 0 and isinstance(read_text(texts[0]), Preference)


def all_text(text: str) -> str:
    """All that is said in an example that is kept as `text`, a line each."""
    example = read_text(text)
    sides = [example.chosen, example.rejected] if isinstance(example, Preference) else [example]
    said = list[str]()
    for side in sides:
        if isinstance(side, Completion):
            said += [side.prompt, side.answer]
        else:
            said += [message["content"] for message in side.messages]
    return "\n".join(said)


def _conversation(row: Row, where: str) -> Conversation:
    read = read_messages(row["messages"], f"{where}, messages")
    learned = frozenset(
        place
        for place, message in enumerate(read)
        if message["role"] == "assistant" and message.get("weight", 1) == 1
    )
    if not learned:
        raise DataError(
            f"{where}, messages",
            "a message of the assistant to learn from",
            "none whose weight is not 0" if len(read) else "none",
            FAULTY,
        )
    if read[-1]["role"] != "assistant":
        raise DataError(
            f"{where}, messages[{len(read) - 1}]",
            "the assistant's message at the end",
            f"one of the {read[-1]['role']}",
            "Add the answer, or remove the message.",
        )
    return Conversation(_weightless(read), learned, read_tools(row, where))


def _completion(row: Row, where: str) -> Completion:
    prompt, answer = (_text(row[key], f"{where}, {key}") for key in ("prompt", "completion"))
    return Completion(prompt, _not_empty(answer, f"{where}, completion"))


def _preferred(row: Row, where: str) -> Preference:
    """As OpenAI writes it."""
    asked = row["input"]
    if not isinstance(asked, Mapping) or "messages" not in asked:
        raise DataError(f"{where}, input", "an object with messages", repr(asked)[:60], FAULTY)
    return _answered(
        asked["messages"],
        {"chosen": row["preferred_output"], "rejected": row["non_preferred_output"]},
        asked,
        where,
    )


def _chosen(row: Row, where: str) -> Preference:
    """As TRL writes it: texts, or messages."""
    if isinstance(row["prompt"], str):
        prompt = row["prompt"]
        sides = [
            Completion(prompt, _not_empty(_text(row[key], f"{where}, {key}"), f"{where}, {key}"))
            for key in ("chosen", "rejected")
        ]
        return _preference(sides[0], sides[1], where)
    return _answered(row["prompt"], row, row, where)


def _answered(prompt: Any, answers: Row, tools: Row, where: str) -> Preference:
    """Of messages: each answer is one of the assistant, or several."""
    sides = []
    for key in ("chosen", "rejected"):
        before, after = _listed(prompt, where), _listed(answers[key], f"{where}, {key}")
        whole = read_messages([*before, *after], f"{where}, the prompt with its {key} answer")
        learned = {n for n in range(len(before), len(whole)) if whole[n]["role"] == "assistant"}
        if not learned or whole[-1]["role"] != "assistant":
            raise DataError(f"{where}, {key}", "an answer of the assistant", "none", FAULTY)
        sides.append(Conversation(_weightless(whole), frozenset(learned), read_tools(tools, where)))
    return _preference(sides[0], sides[1], where)


def _preference(
    chosen: Conversation | Completion, rejected: Conversation | Completion, where: str
) -> Preference:
    if chosen == rejected:
        raise DataError(where, "two answers that differ", "one and the same", "Remove the row.")
    return Preference(chosen, rejected)


def _listed(messages: Any, where: str) -> list[Any]:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not len(messages):
        raise DataError(where, "a list of messages", repr(messages)[:60], FAULTY)
    return list(messages)


def _weightless(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(
        {key: value for key, value in message.items() if key != "weight"} for message in messages
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(where, "text", repr(value)[:60], "Write it as a string.")
    return value


def _not_empty(text: str, where: str) -> str:
    if not text.strip():
        raise DataError(where, "an answer", "an empty one", "Write it, or remove the row.")
    return text


@dataclass(frozen=True)
class _Form:
    """`needs`: keys by which it is known; `takes`: others that it may have."""

    name: str
    needs: frozenset[str]
    takes: frozenset[str]
    read: Callable[[Row, str], Example]


_TOOLS: Final = frozenset({"tools", "parallel_tool_calls"})
FORMS: Final = (
    _Form("preference", frozenset({"prompt", "chosen", "rejected"}), _TOOLS, _chosen),
    _Form(
        "preference",
        frozenset({"input", "preferred_output", "non_preferred_output"}),
        frozenset(),
        _preferred,
    ),
    _Form("conversation", frozenset({"messages"}), _TOOLS, _conversation),
    _Form("completion", frozenset({"prompt", "completion"}), frozenset(), _completion),
)


def _row_of(example: Example) -> dict[str, Any]:
    """As a row that `example_of` reads."""
    if isinstance(example, Completion):
        return {"prompt": example.prompt, "completion": example.answer}
    if isinstance(example, Conversation):
        messages = [
            message
            if message["role"] != "assistant" or n in example.learned
            else {**message, "weight": 0}
            for n, message in enumerate(example.messages)
        ]
        tools = {"tools": list(example.tools)} if example.tools else {}
        return {"messages": messages, **tools}
    return _row_of_preference(example.chosen, example.rejected)


def _row_of_preference(
    chosen: Conversation | Completion, rejected: Conversation | Completion
) -> dict[str, Any]:
    if isinstance(chosen, Conversation) and isinstance(rejected, Conversation):
        cut = min(chosen.learned)
        tools = {"tools": list(chosen.tools)} if chosen.tools else {}
        return {
            "prompt": list(chosen.messages[:cut]),
            "chosen": list(chosen.messages[cut:]),
            "rejected": list(rejected.messages[cut:]),
            **tools,
        }
    return {"prompt": chosen.prompt, "chosen": chosen.answer, "rejected": rejected.answer}
