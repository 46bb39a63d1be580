"""A conversation as text, by the chat template of its model, with the places that the model is to write.

Where they are, a template says itself by {% generation %} tags, as transformers reads them. Of any other
template it is what a message adds: the text with it, less the text before it with the words that ask for
an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sixfold.core.errors import DataError
from sixfold.parts.conversation import Conversation
from sixfold.recipe.chat_template import render, render_with_spans

MARK: Final = "\ue000"  # a character that nobody writes
LEARNED: Final = "Set weight: 0 for it, or give the template {% generation %} tags."


class LearnedPlace(NamedTuple):
    """Characters from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class LearnedText:
    """`places`: what of `text` the model is to write, in order."""

    text: str
    places: tuple[LearnedPlace, ...]


@dataclass(frozen=True)
class ChatTemplate:
    """`source`: Jinja; `tokens`: the special tokens by name that it reads; `marks`: all special tokens
    of the tokenizer as text.
    """

    source: str
    tokens: Mapping[str, str]
    marks: Collection[str] = ()

    def prompt(self, messages: Any, tools: Any = ()) -> str:
        """The text after which the assistant speaks."""
        return render(self.source, messages, tools or None, True, tokens=self.tokens)

    def text(self, messages: Any, tools: Any = ()) -> str:
        """The text of all messages."""
        return render(self.source, messages, tools or None, False, tokens=self.tokens)

    def rendered(self, conversation: Conversation) -> LearnedText:
        """Raises DataError where the template refuses the messages, or hides what the assistant says."""
        messages, tools = conversation.messages, conversation.tools
        found = render_with_spans(self.source, messages, tools or None, tokens=self.tokens)
        if found.assistant_spans:
            places = _tagged(conversation, [LearnedPlace(*span) for span in found.assistant_spans])
        else:
            learned = sorted(conversation.learned)
            places = [self._added(conversation, found.text, number) for number in learned]
        return LearnedText(found.text, tuple(places))

    def _added(self, conversation: Conversation, whole: str, number: int) -> LearnedPlace:
        """What the message at `number` adds to the text; its end is that of its last special token."""
        messages, tools = conversation.messages, conversation.tools
        before = self.prompt(messages[:number], tools)
        after = self.text(messages[: number + 1], tools)
        if whole.startswith(after) and after.startswith(before) and len(before) < len(after):
            return LearnedPlace(len(before), len(before) + self._turn(after[len(before) :]))
        return self._marked(conversation, whole, number)

    def _marked(self, conversation: Conversation, whole: str, number: int) -> LearnedPlace:
        """Where the content of a message stands in a text that tells earlier messages otherwise than the
        last one: found by a character before and behind it.
        """
        content = conversation.messages[number].get("content", "")
        start = self._place_of(conversation, number, MARK + content, whole)
        end = self._place_of(conversation, number, content + MARK, whole)
        if start is None or end is None or conversation.messages[number].get("tool_calls"):
            raise DataError(
                f"messages[{number}]",
                "a chat template that tells a message the same whatever follows it",
                "one that does not",
                LEARNED,
            )
        return LearnedPlace(start, end + self._mark_at(whole, end))

    def _place_of(
        self, conversation: Conversation, number: int, content: str, whole: str
    ) -> int | None:
        messages = list(conversation.messages)
        messages[number] = {**messages[number], "content": content}
        text = self.text(messages, conversation.tools)
        alone = MARK not in whole and text.replace(MARK, "", 1) == whole
        return text.index(MARK) if alone else None

    def _turn(self, added: str) -> int:
        """Characters of what a message adds, without the space behind the mark that ends it."""
        bare = added.rstrip()
        return len(bare) if bare.endswith(tuple(self.marks)) else len(added)

    def _mark_at(self, text: str, place: int) -> int:
        """Characters of a special token that stands there, or 0."""
        return max((len(mark) for mark in self.marks if text.startswith(mark, place)), default=0)


def _tagged(conversation: Conversation, spans: list[LearnedPlace]) -> list[LearnedPlace]:
    """Those of the messages that are learned."""
    spoken = [n for n, one in enumerate(conversation.messages) if one["role"] == "assistant"]
    if len(spans) == len(spoken):
        return [span for n, span in zip(spoken, spans, strict=True) if n in conversation.learned]
    if set(spoken) == conversation.learned:
        return spans
    raise DataError(
        "messages",
        f"{len(spoken)} messages of the assistant in {{% generation %}} tags, as some have weight: 0",
        f"{len(spans)}",
        "Leave the weights out, or write the template with a tag for each message.",
    )
