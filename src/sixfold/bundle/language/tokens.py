"""The tokenizer of a language model, as its checkpoint has it: `tokenizer.json` read by `tokenizers`, the special tokens
and the chat template of `tokenizer_config.json`, the ends of `generation_config.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tokenizers import Tokenizer

from sixfold.core import json_limits
from sixfold.core.errors import BundleError, RowError
from sixfold.recipe.chat_template import (
    END,
    ChatTemplateError,
    Message,
    render,
    special_tokens,
    takes_tools,
)
from sixfold.recipe.model_context import context_of

AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."
MIB: Final = 1 << 20
# Largest sizes of a checkpoint's files; a vocabulary of 256,000 tokens has a tokenizer.json of 34 MB.
LARGEST: Final = {
    "config.json": MIB,
    "tokenizer.json": 64 * MIB,
    "tokenizer_config.json": 4 * MIB,
    "generation_config.json": MIB,
}
VALUES: Final = 2_000_000  # of a file, as objects of Python: 256,000 tokens and as many merges


@dataclass(frozen=True)
class LanguageTokens:
    """Texts and chats to token ids, and back. Calls may come from several threads at once.

    `plain`: by which special tokens in a text are text; `start`: the token that a text begins with, ()
    where there is none; `end`: tokens that end an answer; `context`: the most tokens of a prompt and its answer;
    `template`: None where the model has none.
    """

    tokenizer: Tokenizer
    plain: Tokenizer
    named: Mapping[str, str]
    template: str | None
    start: tuple[int, ...]
    end: frozenset[int]
    context: int

    @classmethod
    def of(cls, files: Mapping[str, bytes], where: str) -> LanguageTokens:
        """From a checkpoint's files, which may be a stranger's. Raises BundleError."""
        read = {name: _json_of(files[name], name, where) for name in LARGEST}
        try:
            tokenizer, plain = (Tokenizer.from_buffer(files["tokenizer.json"]) for _ in range(2))
            context = context_of(read["config.json"])
        except Exception as error:  # tokenizers raises Exception itself
            raise _damaged(where, f"{type(error).__name__}: {error}") from None
        for each in (tokenizer, plain):
            each.no_padding()
            each.no_truncation()
        plain.encode_special_tokens = True
        named = special_tokens(read["tokenizer_config.json"])
        template = read["tokenizer_config.json"].get("chat_template")
        if template is not None and not isinstance(template, str):
            raise _damaged(where, "a chat_template that is no text")
        if template is not None:
            _check_template(template, where)
        start, end = _start(tokenizer, named, read), _ends(tokenizer, named, read)
        return cls(tokenizer, plain, named, template, start, end, context)

    def encode(self, text: str) -> list[int]:
        """The tokens of a plain text, with those that the model's tokenizer puts around it."""
        return list(self.tokenizer.encode(text).ids)

    def prompt(self, text: str) -> list[int]:
        """The tokens of a text that is to be gone on with, as it was learned: the token that a text
        begins with stands before them, and special tokens in it are text.
        """
        return [*self.start, *self.plain.encode(text, add_special_tokens=False).ids]

    def started(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The token that a text begins with, where it stands at the beginning of `ids`."""
        return self.start if self.start and tuple(ids[:1]) == self.start else ()

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> list[int]:
        """The tokens of a chat up to where the assistant begins. Raises ChatTemplateError, and
        RowError where the model has no template.
        """
        if self.template is None:
            remedy = "Ask /v1/completions, or train the model on chats."
            raise RowError("the model", "a chat template", "none", remedy)
        text = render(self.template, messages, tools, True, tokens=self.named)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], before: Sequence[int] = ()) -> str:
        """The text, without special tokens. `before`: those of a text that it goes on with."""
        known = self.tokenizer.decode(list(before), skip_special_tokens=True)
        found = self.tokenizer.decode([*before, *ids], skip_special_tokens=True)
        return str(found).removeprefix(str(known))

    def token_bytes(self, place: int) -> bytes:
        """What one token stands for; a part of a character, too."""
        token = self.tokenizer.id_to_token(place)
        if token is None:
            return b""
        if place in self._added:
            return str(token).encode()
        if self._is_byte_level:
            return bytes(_BYTES[letter] for letter in token if letter in _BYTES)
        if token.startswith("<0x") and token.endswith(">") and len(token) == 6:
            return bytes([int(token[3:5], 16)])
        return str(token).replace("▁", " ").encode()

    def vocabulary(self, rows: int) -> list[bytes]:
        """The bytes of each of the model's `rows` tokens; b"" for one that stands for no text."""
        size = self.size
        text = [b"" if place in self._marks else self.token_bytes(place) for place in range(size)]
        return text + [b""] * (rows - size)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the chat template looks at tools."""
        return self.template is not None and takes_tools(self.template)

    @property
    def size(self) -> int:
        """Tokens that there are."""
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def _is_byte_level(self) -> bool:
        return "ByteLevel" in str(self.tokenizer.decoder)

    @cached_property
    def _marks(self) -> frozenset[int]:
        """Special tokens."""
        added = self.tokenizer.get_added_tokens_decoder().items()
        return frozenset(place for place, token in added if token.special)

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.tokenizer.get_added_tokens_decoder())


def _check_template(template: str, where: str) -> None:
    """It can be read; what it makes of messages is seen when there are some. Raises BundleError."""
    try:
        takes_tools(template)
    except ChatTemplateError as error:
        raise _damaged(where, f"a chat_template that cannot be read: {error.found}") from None


def _start(
    tokenizer: Tokenizer, named: Mapping[str, str], read: Mapping[str, Any]
) -> tuple[int, ...]:
    """That of the tokenizer, or the one of the generation's configuration: what texts began with as they
    were learned.
    """
    place = tokenizer.token_to_id(named.get("bos_token", ""))
    if place is None:
        place = read["generation_config.json"].get("bos_token_id")
    known = type(place) is int and 0 <= place < tokenizer.get_vocab_size()
    return (place,) if known else ()


def _ends(
    tokenizer: Tokenizer, named: Mapping[str, str], read: Mapping[str, Any]
) -> frozenset[int]:
    """Of the generation's configuration, the tokenizer's end of a text, and ChatML's of a message."""
    told = read["generation_config.json"].get("eos_token_id")
    listed = told if isinstance(told, list) else [told]
    found = {each for each in listed if type(each) is int and each >= 0}
    for text in (named.get("eos_token", ""), END):
        place = tokenizer.token_to_id(text)
        if place is not None:
            found.add(int(place))
    return frozenset(found)


def _json_of(content: bytes, name: str, where: str) -> dict[str, Any]:
    limits = json_limits.JsonLimits(LARGEST[name], values=VALUES)
    if found := json_limits.violation(content, limits):
        raise BundleError(f"{where}/{name}", *found, AGAIN)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}/{name}", "JSON", str(error)[:200], AGAIN) from None
    if not isinstance(value, dict):
        raise BundleError(f"{where}/{name}", "an object", type(value).__name__, AGAIN)
    return value


def _damaged(where: str, found: str) -> BundleError:
    return BundleError(where, "a tokenizer and a configuration", found[:200], AGAIN)


def _byte_letters() -> dict[str, int]:
    """Byte-level BPE writes every byte as a letter: printable ones as they are, the others from
    U+0100 on (GPT-2's table).
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTES: Final = _byte_letters()
