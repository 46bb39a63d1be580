"""What a request asks for: its parameters, each of which acts or is refused by its name."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sixfold.bundle.language.requests import MOST_SEED, MOST_STOPS, GenerationRequest, Sampling
from sixfold.serve.errors import ParameterRefusal
from sixfold.serve.language.explaining import (
    WantedExplanation,
    around_messages,
    check_single,
    explanation_of,
)
from sixfold.serve.language.fields import RequestFields, invalid
from sixfold.serve.language.messages import messages_of, tools_of
from sixfold.serve.language.schema_output import schema_of

if TYPE_CHECKING:
    from sixfold.bundle.language.tokens import LanguageTokens

MOST_CHOICES: Final = 128
LONGEST_STOP: Final = 1_000  # characters
COMPLETION_TOKENS: Final = 16  # of /v1/completions, where max_tokens is left out
# Parameters of OpenAI's that this server does not act on, and what to do instead.
COMMON: Final = {
    "logit_bias": "Leave it out.",
    "user": "Leave it out: nothing is kept of who asks.",
    "best_of": "Ask for n answers, and choose.",
}
HARMLESS: Final = {"logit_bias": ({},), "best_of": (1,)}
OF_CHAT: Final = {
    **COMMON,
    "audio": "Ask for text.",
    "function_call": "Use tools.",
    "functions": "Use tools.",
    "metadata": "Leave it out: nothing is stored.",
    "modalities": "Ask for text.",
    "parallel_tool_calls": "Leave it out.",
    "prediction": "Leave it out.",
    "prompt_cache_key": "Leave it out: prefixes are cached by their content.",
    "reasoning_effort": "Leave it out.",
    "safety_identifier": "Leave it out.",
    "service_tier": "Leave it out.",
    "store": "Leave it out: nothing is stored.",
    "verbosity": "Leave it out.",
    "web_search_options": "Leave it out.",
}
HARMLESS_CHAT: Final = {
    **HARMLESS,
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
OF_COMPLETION: Final = {**COMMON, "suffix": "This model continues a text, and fills no gaps."}


@dataclass(frozen=True)
class WantedAnswers:
    """Of one HTTP request. `prompts`: each as token ids, of which each gets `choices` answers.

    `base`: what every generation shares; its prompt is put in. `tools`: whether calls are looked
    for in the answer; `echo`: the prompt stands before the answer; `silent`: nothing comes after it;
    `continues`: the answer goes on with the text of the prompt. `explanation`: which of the prompt's tokens the answer
    depends on is told beside it.
    """

    prompts: tuple[tuple[int, ...], ...]
    choices: int
    base: GenerationRequest
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    tools: bool = False
    echo: bool = False
    silent: bool = False
    continues: bool = False
    explanation: WantedExplanation | None = None

    def generations(self) -> list[GenerationRequest]:
        """One for each answer, in the order of their index; each has a seed of its own."""
        sampling = self.base.sampling
        return [
            replace(
                self.base,
                prompt=prompt,
                sampling=replace(sampling, seed=(sampling.seed + number) % MOST_SEED),
            )
            for prompt in self.prompts
            for number in range(self.choices)
        ]


def chat_of(body: Any, tokens: LanguageTokens) -> WantedAnswers:
    """A request to /v1/chat/completions. Raises ParameterRefusal, ChatTemplateError."""
    fields = RequestFields(body)
    fields.take("model")
    tools = tools_of(fields, tokens)
    messages = messages_of(fields.take("messages"))
    prompt = tuple(tokens.chat(messages, tools))
    explanation = explanation_of(fields, lambda: around_messages(messages, tokens))
    most, newer = (fields.whole(key, 1, 1 << 31) for key in ("max_tokens", "max_completion_tokens"))
    if most is not None and newer is not None and most != newer:
        raise invalid("max_tokens", f"max_completion_tokens ({newer}), or none of them", most)
    logprobs = fields.flag("logprobs")
    _check_top(fields.whole("top_logprobs", 0, 20), "top_logprobs")
    base = GenerationRequest(
        prompt=(),
        max_tokens=most_tokens(prompt, newer or most, tokens.context, "messages"),
        json_schema=schema_of(fields),
        logprobs=logprobs,
        end=tokens.end,
    )
    wanted = _rest(fields, (prompt,), base)
    fields.refuse(OF_CHAT, HARMLESS_CHAT)
    fields.end()
    if explanation is not None:
        check_single(wanted.stream, wanted.choices, tools is not None)
    return replace(wanted, tools=tools is not None, explanation=explanation)


def completion_of(body: Any, tokens: LanguageTokens) -> WantedAnswers:
    """A request to /v1/completions. Raises ParameterRefusal."""
    fields = RequestFields(body)
    fields.take("model")
    prompts = prompts_of(fields.take("prompt"), tokens, "prompt")
    explanation = explanation_of(fields, lambda: tokens.prompt(""))
    echo, logprobs = fields.flag("echo"), fields.whole("logprobs", 0, 5)
    _check_top(logprobs, "logprobs")
    most = fields.whole("max_tokens", 0 if echo else 1, 1 << 31)
    asked = COMPLETION_TOKENS if most is None else most
    base = GenerationRequest(
        prompt=(),
        max_tokens=max(1, *(most_tokens(one, asked, tokens.context, "prompt") for one in prompts)),
        json_schema=schema_of(fields),
        logprobs=logprobs is not None,
        echo=echo and logprobs is not None,
        end=tokens.end,
    )
    wanted = _rest(fields, prompts, base)
    fields.refuse(OF_COMPLETION, HARMLESS)
    fields.end()
    if explanation is not None:
        check_single(wanted.stream, wanted.choices * len(prompts), False)
    return replace(wanted, echo=echo, silent=asked == 0, continues=True, explanation=explanation)


def _rest(
    fields: RequestFields, prompts: tuple[tuple[int, ...], ...], base: GenerationRequest
) -> WantedAnswers:
    """What both kinds of request have."""
    stops, choices = _stops(fields.take("stop")), fields.whole("n", 1, MOST_CHOICES) or 1
    stream = fields.flag("stream")
    options = RequestFields(fields.take("stream_options") or {}, "stream_options")
    usage = options.flag("include_usage")
    options.flag("include_obfuscation")
    options.end()
    if usage and not stream:
        raise invalid("stream_options", "stream: true beside it", {"include_usage": True})
    if fields.flag("ignore_eos"):
        base = replace(base, end=frozenset())
    return WantedAnswers(
        prompts, choices, replace(base, sampling=_sampling(fields)), stops, stream, usage
    )


def _sampling(fields: RequestFields) -> Sampling:
    seed = fields.whole("seed", -MOST_SEED - 1, MOST_SEED)
    top_p = fields.number("top_p", 0, 1, 1.0)
    if top_p == 0:
        raise invalid("top_p", "a number above 0, up to 1", top_p)
    return Sampling(
        temperature=fields.number("temperature", 0, 2, 1.0),
        top_p=top_p,
        top_k=fields.whole("top_k", 0, 1 << 31) or 0,
        seed=secrets.randbelow(MOST_SEED) if seed is None else seed % MOST_SEED,
        presence_penalty=fields.number("presence_penalty", -2, 2, 0.0),
        frequency_penalty=fields.number("frequency_penalty", -2, 2, 0.0),
    )


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if (
        not isinstance(stops, list)
        or len(stops) > MOST_STOPS
        or not all(isinstance(each, str) and 0 < len(each) <= LONGEST_STOP for each in stops)
    ):
        raise invalid("stop", f"a text, or up to {MOST_STOPS} texts that are not empty", value)
    return tuple(stops)


def _check_top(value: int | None, param: str) -> None:
    if value:
        remedy = f"Ask for the log-probabilities of the chosen tokens alone: {param}: 0."
        raise invalid(param, "0: the runtime has those of the chosen tokens alone", value, remedy)


def most_tokens(prompt: Sequence[int], asked: int | None, context: int, param: str) -> int:
    """Tokens of the answer: as many as are asked for, or as fit. Raises ParameterRefusal."""
    room = context - len(prompt)
    if not prompt or room < (1 if asked is None else asked):
        beside = "" if asked is None else f" and {asked:,} of the answer"
        raise ParameterRefusal(
            param,
            f"at most {context:,} tokens together: that is this model's context",
            f"{len(prompt):,} tokens of the prompt{beside}",
            "Send a shorter prompt, or ask for fewer tokens.",
            "context_length_exceeded",
        )
    return room if asked is None else asked


def prompts_of(value: Any, tokens: LanguageTokens, param: str) -> tuple[tuple[int, ...], ...]:
    """A text, token ids, or a list of either. Raises ParameterRefusal."""
    expected = "a text, a list of texts, token ids, or a list of these"
    if value is None or isinstance(value, str):
        return (_tokens_of(value or "", tokens),)
    if not isinstance(value, list) or not value:
        raise invalid(param, expected, value)
    if all(type(each) is int for each in value):
        return (_checked_ids(value, param, tokens),)
    if len(value) > MOST_CHOICES:
        raise invalid(param, f"at most {MOST_CHOICES} prompts", f"{len(value):,}")
    if all(isinstance(each, str) for each in value):
        return tuple(_tokens_of(each, tokens) for each in value)
    if all(isinstance(each, list) for each in value):
        return tuple(_checked_ids(each, f"{param}[{at}]", tokens) for at, each in enumerate(value))
    raise invalid(param, expected, value)


def _tokens_of(text: str, tokens: LanguageTokens) -> tuple[int, ...]:
    """Of no text the token that a text begins with, where the model has one."""
    return tuple(tokens.prompt(text))


def _checked_ids(value: list[Any], where: str, tokens: LanguageTokens) -> tuple[int, ...]:
    wrong = next(
        (each for each in value if type(each) is not int or not 0 <= each < tokens.size), None
    )
    if wrong is not None or not value:
        found = value if wrong is None else wrong
        raise invalid(where, f"token ids from 0 to {tokens.size - 1:,}", found)
    return tuple(value)
