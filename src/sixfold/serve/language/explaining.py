"""Which tokens of a prompt an answer depends on, beside the answer: `"explain": true` in a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sixfold.recipe.chat_template import Message
from sixfold.serve.errors import ParameterRefusal
from sixfold.serve.language.fields import UNSUPPORTED, RequestFields, invalid
from sixfold.serve.limits import EXPLAIN_S

if TYPE_CHECKING:
    from sixfold.bundle.language.model import LanguageRuntime
    from sixfold.bundle.language.tokens import LanguageTokens

PARAM: Final = "explain"
METHODS: Final = ("auto", "occlusion", "rollout")
Around = Callable[[], Sequence[int]]


@dataclass(frozen=True)
class WantedExplanation:
    """`around`: the tokens of the prompt without the user's text; `by_attention`: a rollout of it, in the place of
    leaving tokens out.
    """

    around: tuple[int, ...]
    by_attention: bool

    def of(
        self, model: LanguageRuntime, prompt: tuple[int, ...], answer: Sequence[int]
    ) -> dict[str, Any]:
        """As `sixfold explain --prompt --json` tells it, of an answer's tokens. Raises RowError where it would take
        longer than EXPLAIN_S.
        """
        return model.explained(prompt, self.around, answer, self.by_attention, EXPLAIN_S)


def explanation_of(fields: RequestFields, around: Around) -> WantedExplanation | None:
    """What is to be explained, if anything. `around`: gives the tokens of the prompt without the user's text. Raises
    ParameterRefusal, and what `around` raises.
    """
    value = fields.take(PARAM)
    if value is None or value is False:
        return None
    if value is not True and value not in METHODS:
        raise invalid(PARAM, f"true or false, or one of {', '.join(METHODS)}", value)
    return WantedExplanation(tuple(around()), value == "rollout")


def around_messages(messages: list[Message], tokens: LanguageTokens) -> Sequence[int]:
    """Of a chat whose last message is the user's. Raises ParameterRefusal for another, ChatTemplateError."""
    if messages[-1]["role"] != "user":
        _refuse("a last message of the user's, whose tokens are told of", messages[-1]["role"])
    return tokens.chat([*messages[:-1], {**messages[-1], "content": ""}])


def check_single(stream: bool, answers: int, calls: bool) -> None:
    """Raises ParameterRefusal for a request whose answer is not one text that comes as a whole."""
    if stream:
        _refuse("stream: false beside it", "true")
    if answers != 1:
        _refuse("one prompt, and one answer", f"{answers:,} answers")
    if calls:
        _refuse("no tools beside it", "tools")


def _refuse(expected: str, found: str) -> NoReturn:
    remedy = "Ask so, or leave explain out."
    raise ParameterRefusal(PARAM, expected, found, remedy, UNSUPPORTED)
