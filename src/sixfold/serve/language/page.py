"""The pages of a language model: one to talk to it, one that says how programs do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sixfold.bundle.load import Bundle
from sixfold.serve.language.parameters import HARMLESS_CHAT, OF_CHAT, OF_COMPLETION
from sixfold.serve.pages import page_of

if TYPE_CHECKING:
    from sixfold.bundle.language.tokens import LanguageTokens

MOST_TOKENS: Final = 200  # of a text that goes on, where the page asks
PATHS: Final = (
    ("GET", "/v1/models", "the model that is served"),
    ("POST", "/v1/chat/completions", "an answer to a chat"),
    ("POST", "/v1/completions", "how a text goes on"),
    ("POST", "/v1/embeddings", "texts as vectors: the mean of the last hidden states"),
    ("GET", "/livez", "whether the process runs"),
    ("GET", "/readyz", "whether the next request gets a place; 503 when the queue is full"),
    ("GET", "/metrics", "figures for Prometheus: tokens, answers, seconds"),
)
PARAMETERS: Final = (
    ("max_tokens", "tokens of the answer; max_completion_tokens is the same"),
    ("temperature, top_p, top_k, seed", "how tokens are drawn; temperature 0: the most probable"),
    ("presence_penalty, frequency_penalty", "against repetitions"),
    ("stop", "up to 4 texts that end the answer, also across tokens"),
    ("n", "answers to each prompt"),
    ("stream, stream_options", "an event a text; usage at the end with include_usage"),
    ("logprobs", "natural logarithms, before temperature; of the chosen tokens alone"),
    ("response_format", "text, json_object, or json_schema with a schema"),
    ("tools, tool_choice", "where the chat template takes tools; auto or none"),
    (
        "explain",
        "true, or rollout: which tokens of the prompt the answer depends on, as `explanation` beside it",
    ),
    ("echo", "of /v1/completions: the prompt before the answer, with its log-probabilities"),
)


def chat_page(bundle: Bundle, tokens: LanguageTokens) -> str:
    """A chat; of a model without a chat template, a text that goes on."""
    return page_of(
        "chat.html.jinja",
        bundle=bundle,
        chats=tokens.template is not None,
        most="" if tokens.template is not None else min(MOST_TOKENS, tokens.context // 2),
        command=_command(bundle.name, tokens),
    )


def docs_page(bundle: Bundle, tokens: LanguageTokens) -> str:
    """Paths, parameters, and what is refused."""
    refused = sorted({*OF_CHAT, *OF_COMPLETION} - {*HARMLESS_CHAT})
    return page_of(
        "language_docs.html.jinja",
        bundle=bundle,
        paths=PATHS,
        parameters=PARAMETERS,
        refused=refused,
        context=tokens.context,
        command=_command(bundle.name, tokens),
    )


def _command(name: str, tokens: LanguageTokens) -> str:
    """For a shell."""
    body: dict[str, Any] = {"model": name, "max_tokens": 64}
    if tokens.template is None:
        path, body["prompt"] = "completions", "The"
    else:
        path, body["messages"] = "chat/completions", [{"role": "user", "content": "Hello!"}]
    return f"curl -s ADDRESS/v1/{path} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
