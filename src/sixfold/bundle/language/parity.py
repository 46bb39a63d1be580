"""The proof that the served model is the trained one: stored texts, tokenized again, and the log-probability of each of
their tokens, computed again.

`parity.jsonl.gz`: one JSON object a text: what was given (`text`, or `messages` of a chat), its token ids, the tokens
that follow (`answer`) by the most probable ones, and `logprobs` of all tokens but the first. The numbers are those of
the file's weights, computed by the code that trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, TypeAdapter

from sixfold.bundle.language.requests import GenerationRequest, Sampling
from sixfold.bundle.stored_lines import StoredLines
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.section import Section

if TYPE_CHECKING:
    from sixfold.bundle.language.model import LanguageRuntime

# Of a log-probability: single precision, summed in another order; measured below 0.00002.
TOLERANCE: Final = 0.002
CLEAR: Final = (
    0.05  # by how much a token must be the most probable one, to be the same in both; guessed
)
MOST_TEXTS: Final = 64
MOST_TOKENS: Final = 512  # of a text and its answer
MOST_BYTES: Final = 4 << 20  # unpacked
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."
LIMITS: Final = JsonLimits(MOST_BYTES, values=200_000)


class StoredText(Section):
    """One text. `clear`: tokens of the answer up to the first that was nearly another one."""

    text: str | None = None
    messages: tuple[dict[str, str], ...] | None = None
    ids: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=MOST_TOKENS)
    answer: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=MOST_TOKENS)
    logprobs: tuple[float, ...]
    clear: int = Field(ge=0)

    def whole(self) -> tuple[int, ...]:
        """The text's tokens and those of the answer."""
        return (*self.ids, *self.answer)


_FILE: Final = StoredLines(TypeAdapter(list[StoredText]), "texts", MOST_TEXTS, LIMITS, AGAIN)


def packed(texts: Sequence[StoredText]) -> bytes:
    """The content of the file; the same texts give the same bytes."""
    return _FILE.packed(texts)


def unpacked(content: bytes, where: str) -> list[StoredText]:
    """Raises BundleError."""
    return _FILE.unpacked(content, where)


def check_texts(model: LanguageRuntime, texts: Sequence[StoredText], where: str) -> float:
    """The largest difference of a log-probability. Raises BundleError for one beyond the tolerance,
    for other tokens of a text, and for another answer.
    """
    worst = 0.0
    for number, text in enumerate(texts, start=1):
        place = f"{where}, text {number}"
        _check_tokens(model, text, place)
        worst = max(worst, _check_logprobs(model, text, place))
        _check_answer(model, text, place)
    return worst


def _check_tokens(model: LanguageRuntime, text: StoredText, where: str) -> None:
    tokens, chat = model.tokens, text.messages
    found = tokens.prompt(text.text or "") if chat is None else tokens.chat(chat)
    if tuple(found) != text.ids:
        raise _disagrees(where, f"the tokens {list(text.ids[:12])}…", f"{found[:12]}…")
    fits = len(text.whole()) < model.tokens.context and max(text.whole()) < model.tokens.size
    if not fits or len(text.logprobs) != len(text.whole()) - 1:
        raise _disagrees(where, "tokens of the model, and their log-probabilities", "others")


def _check_logprobs(model: LanguageRuntime, text: StoredText, where: str) -> float:
    """Of the whole text as a prompt, and one token more, which is not looked at."""
    request = GenerationRequest(text.whole(), 1, Sampling(temperature=0), logprobs=True, echo=True)
    found = model.complete(request).logprobs[1 : len(text.whole())]
    pairs = zip(found, text.logprobs, strict=True)
    worst = max((abs(new - old) for new, old in pairs), default=0.0)
    if not worst <= TOLERANCE:
        raise _disagrees(where, f"log-probabilities within {TOLERANCE}", f"{worst:.3g} apart")
    return worst


def _check_answer(model: LanguageRuntime, text: StoredText, where: str) -> None:
    """By the way that answers requests, as far as the stored one is clear."""
    wanted = text.answer[: text.clear]
    if not wanted:
        return
    request = GenerationRequest(text.ids, len(wanted), Sampling(temperature=0))
    found = model.complete(request).ids
    if found != wanted:
        raise _disagrees(where, f"the answer {list(wanted[:12])}", f"{list(found[:12])}")


def _disagrees(where: str, expected: str, found: Any) -> BundleError:
    return BundleError(where, expected, str(found), AGAIN)
