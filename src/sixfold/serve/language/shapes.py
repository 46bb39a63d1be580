"""Answers as OpenAI's clients read them: whole, and as the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sixfold.serve.language.generating import Choice, Generating
from sixfold.serve.language.tool_calls import CallText

if TYPE_CHECKING:
    from sixfold.bundle.language.tokens import LanguageTokens

Json = dict[str, Any]


class Shapes(Protocol):
    """What an endpoint answers with, for one request."""

    def whole(self, generating: Generating) -> Json:
        """The answer, once all is generated."""

    def first(self, generating: Generating) -> Iterator[Json]:
        """Chunks before anything is generated."""

    def chunk(self, choice: Choice, new: str) -> Iterator[Json]:
        """Chunks of a new text."""

    def last(self, generating: Generating) -> Iterator[Json]:
        """Chunks after everything."""


class _Envelope:
    """What all answers to one request share."""

    def __init__(self, tokens: LanguageTokens, model: str, kinds: Sequence[str]) -> None:
        prefix, self._whole, self._piece = kinds
        self.tokens = tokens
        self._shared = {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def answer(self, choices: list[Json], usage: Json) -> Json:
        return {"object": self._whole, **self._shared, "choices": choices, "usage": usage}

    def piece(self, choices: list[Json], usage: Json | None = None) -> Json:
        return {"object": self._piece, **self._shared, "choices": choices, "usage": usage}


def usage_of(generating: Generating) -> Json:
    """Tokens of the prompts, each once, and of all answers."""
    prompt, generated = generating.prompt_tokens, generating.generated_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
    }


class ChatShapes:
    """Of /v1/chat/completions."""

    def __init__(self, tokens: LanguageTokens, model: str, tools: bool) -> None:
        kinds = ("chatcmpl", "chat.completion", "chat.completion.chunk")
        self._envelope = _Envelope(tokens, model, kinds)
        self._tools = tools
        self._calls: dict[int, CallText] = {}
        self._told: dict[int, int] = {}

    def whole(self, generating: Generating) -> Json:
        """One message an answer."""
        return self._envelope.answer(
            [self._choice(each) for each in generating.choices], usage_of(generating)
        )

    def _choice(self, choice: Choice) -> Json:
        content = choice.content
        calls: list[Json] = []
        if self._tools:
            text = CallText()
            before = text.add(content)
            rest, calls = text.end()
            content = (before + rest).strip() if calls else content
        message: Json = {"role": "assistant", "content": content or None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        else:
            message["content"] = content
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self._logprobs(choice, 0),
            "finish_reason": "tool_calls" if calls else choice.text.finish,
        }

    def first(self, generating: Generating) -> Iterator[Json]:
        """The role of each."""
        for choice in generating.choices:
            yield self._delta(choice, {"role": "assistant", "content": "", "refusal": None})

    def chunk(self, choice: Choice, new: str) -> Iterator[Json]:
        """The text; at the end of an answer its calls, and why it ended."""
        calls: list[Json] = []
        if self._tools:
            text = self._calls.setdefault(choice.index, CallText())
            new = text.add(new)
            if choice.done:
                rest, calls = text.end()
                new += rest
        if new:
            yield self._delta(choice, {"content": new})
        for number, call in enumerate(calls):
            yield self._delta(choice, {"tool_calls": [{"index": number, **call}]})
        if choice.done:
            yield self._delta(choice, {}, "tool_calls" if calls else choice.text.finish)

    def last(self, generating: Generating) -> Iterator[Json]:
        """Usage, where it is asked for."""
        if generating.wanted.usage:
            yield self._envelope.piece([], usage_of(generating))

    def _delta(self, choice: Choice, delta: Json, finish: str | None = None) -> Json:
        told = self._told.get(choice.index, 0)
        logprobs = self._logprobs(choice, told) if delta.get("content") else None
        if logprobs:
            self._told[choice.index] = told + len(logprobs["content"])
        content = {"index": choice.index, "delta": delta, "logprobs": logprobs}
        return self._envelope.piece([{**content, "finish_reason": finish}])

    def _logprobs(self, choice: Choice, start: int) -> Json | None:
        if not choice.request.logprobs:
            return None
        pairs = zip(choice.text.ids[start:], choice.text.logprobs[start:], strict=True)
        entries = []
        for place, logprob in pairs:
            content = self._envelope.tokens.token_bytes(place)
            entries.append(
                {
                    "token": content.decode(errors="replace"),
                    "logprob": logprob,
                    "bytes": list(content),
                    "top_logprobs": [],
                }
            )
        return {"content": entries, "refusal": None}


class CompletionShapes:
    """Of /v1/completions."""

    def __init__(self, tokens: LanguageTokens, model: str) -> None:
        kinds = ("cmpl", "text_completion", "text_completion")
        self._envelope = _Envelope(tokens, model, kinds)
        self._told: dict[int, int] = {}
        self._length: dict[int, int] = {}

    def whole(self, generating: Generating) -> Json:
        """One text an answer."""
        wanted = generating.wanted
        choices = [
            self._piece(
                each,
                self._prompt(each, generating) + ("" if wanted.silent else each.content),
                self._logprobs(each, generating.wanted.silent),
            )
            for each in generating.choices
        ]
        return self._envelope.answer(choices, usage_of(generating))

    def first(self, generating: Generating) -> Iterator[Json]:
        """Nothing: a prompt that is echoed comes with the first text."""
        self._generating = generating
        return iter(())

    def chunk(self, choice: Choice, new: str) -> Iterator[Json]:
        """The text, with why it ended at the end."""
        wanted, begins = self._generating.wanted, choice.index not in self._told
        text = "" if wanted.silent else new
        if begins:
            self._told[choice.index] = 0
            text = self._prompt(choice, self._generating) + text
        piece = self._piece(choice, text, self._logprobs(choice, wanted.silent))
        yield self._envelope.piece([piece])

    def last(self, generating: Generating) -> Iterator[Json]:
        """Usage, where it is asked for."""
        if generating.wanted.usage:
            yield self._envelope.piece([], usage_of(generating))

    def _prompt(self, choice: Choice, generating: Generating) -> str:
        if not generating.wanted.echo:
            return ""
        return self._envelope.tokens.decode(choice.request.prompt)

    def _piece(self, choice: Choice, text: str, logprobs: Json | None) -> Json:
        return {
            "index": choice.index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": choice.text.finish,
        }

    def _logprobs(self, choice: Choice, silent: bool) -> Json | None:
        """Of the tokens that were not told yet; a text's first token has none, where nothing begins it."""
        if not choice.request.logprobs:
            return None
        ids, values = list(choice.text.ids), [*choice.text.logprobs]
        known: list[float | None] = list(values)
        if silent:
            ids, known = [], []
        if choice.request.echo:
            before = len(self._envelope.tokens.started(choice.request.prompt))
            ids = [*choice.request.prompt[before:], *ids]
            known = [*[None, *choice.prompt_logprobs[1:]][before:], *known]
        start = self._told.get(choice.index, 0)
        self._told[choice.index] = len(ids)
        texts = [
            self._envelope.tokens.token_bytes(place).decode(errors="replace")
            for place in ids[start:]
        ]
        offsets, place = [], self._length.get(choice.index, 0)
        for text in texts:
            offsets.append(place)
            place += len(text)
        self._length[choice.index] = place
        return {
            "tokens": texts,
            "token_logprobs": known[start:],
            "top_logprobs": None,
            "text_offset": offsets,
        }
