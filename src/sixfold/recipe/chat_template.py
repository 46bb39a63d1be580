"""Chat templates: from messages to the text that a language model reads, the same in training and in serving.

A template is Jinja2 in a sandbox, rendered as `transformers` 5 renders it (its `chat_template_utils`), without torch or
transformers. A template is data of a checkpoint, so it is untrusted: it sees plain JSON values only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, Template, nodes, pass_eval_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from sixfold.core.errors import SixfoldError

Message = Mapping[str, Any]  # role, content, and what else the template reads

# The tokens of ChatML, with which the answers of a model that Sixfold trained begin and end.
START: Final = "<|im_start|>"
END: Final = "<|im_end|>"

# ChatML with the tools of Hermes and Qwen: `<tools>` in the system message, `<tool_call>` around a call's JSON.
CHATML: Final = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages and messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- '# Tools\\n\\nThe functions that may be called, inside <tools></tools>:\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' + (tool | tojson) }}
    {%- endfor %}
    {{- '\\n</tools>\\n\\nTo call one, answer with its name and arguments as JSON inside <tool_call></tool_call>:\\n' }}
    {{- '<tool_call>\\n{"name": <name>, "arguments": <arguments>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and tools and loop.first %}
        {%- continue %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {{- message.content or '' }}
    {%- for call in message.tool_calls or [] %}
        {%- if not loop.first or message.content %}
            {{- '\\n' }}
        {%- endif %}
        {{- '<tool_call>\\n{"name": ' + (call.function.name | tojson) + ', "arguments": ' }}
        {%- if call.function.arguments is string %}
            {{- call.function.arguments }}
        {%- else %}
            {{- call.function.arguments | tojson }}
        {%- endif %}
        {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# What a template can raise while it renders: its own words, and Python's for values that do not fit.
_TEMPLATE_FAULTS: Final = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    RecursionError,
)

# Names that a message's reasoning comes under; the first is what templates read.
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")


class ChatTemplateError(SixfoldError):
    """The template cannot be read, or refuses these messages."""

    exit_code = 3


@dataclass(frozen=True)
class RenderedChat:
    """A chat as text.

    `assistant_spans` are the places (start, end; in characters) inside the template's
    `{% generation %}` tags: what the assistant wrote. Empty where the template has no such tags.
    """

    text: str
    assistant_spans: tuple[tuple[int, int], ...]


def render(
    template: str,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    *,
    tokens: Mapping[str, str],
) -> str:
    """The text of a chat, equal to what `tokenizer.apply_chat_template(..., tokenize=False)` gives.

    `tokens` are the special tokens by name (`bos_token`, `eos_token`, …), which templates read.

    >>> render(CHATML, [{"role": "user", "content": "Hi"}], tokens={})
    '<|im_start|>user\\nHi<|im_end|>\\n'

    Raises:
        ChatTemplateError: where the template is not valid, or raises for these messages.
    """
    values = _template_values(messages, tools, add_generation_prompt, tokens)
    with _template_errors():
        return _compile(template).render(values)


def render_with_spans(
    template: str,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    *,
    tokens: Mapping[str, str],
) -> RenderedChat:
    """As `render`, with the places that the assistant wrote."""
    values = _template_values(messages, tools, add_generation_prompt, tokens)
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    token = _tracked.set((pieces, spans))
    try:
        with _template_errors():
            for piece in _compile(template).generate(values):
                pieces.append(piece)
    finally:
        _tracked.reset(token)
    return RenderedChat("".join(pieces), tuple(spans))


def special_tokens(tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens of a `tokenizer_config.json`, as `render` takes them.

    A token stands there as its text or as `{"content": text, …}`.
    """
    found: dict[str, str] = {}
    for name, value in tokenizer_config.items():
        text = value.get("content") if isinstance(value, Mapping) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def takes_tools(template: str) -> bool:
    """Whether the template reads tools. Raises ChatTemplateError."""
    with _template_errors():
        return "tools" in find_undeclared_variables(_environment().parse(template))


@contextmanager
def _template_errors() -> Iterator[None]:
    try:
        yield
    except TemplateSyntaxError as error:
        raise _refused(f"the chat template, line {error.lineno}", error) from None
    except _TEMPLATE_FAULTS as error:
        raise _refused("the chat template", error) from None


def _refused(where: str, error: Exception) -> ChatTemplateError:
    return ChatTemplateError(
        where,
        "messages that the template takes",
        f"{type(error).__name__}: {error}"[:300],
        "Check the roles, their order and the contents of the messages.",
    )


def _template_values(
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool,
    tokens: Mapping[str, str],
) -> dict[str, Any]:
    return {
        **tokens,
        "messages": [_normalized(message) for message in messages],
        "tools": None if tools is None else [_plain(tool) for tool in tools],
        "documents": None,
        "add_generation_prompt": add_generation_prompt,
    }


def _normalized(message: Message) -> dict[str, Any]:
    """Without keys whose value is null, which many templates would write as "None"; the reasoning
    under the name that templates read.
    """
    plain = {key: _plain(value) for key, value in message.items() if value is not None}
    reasoning = next((plain[key] for key in _REASONING if key in plain), None)
    if reasoning is None:
        return plain
    return {"thinking": reasoning, **plain, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """JSON's own types only: other objects have methods that the sandbox does not know."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise ChatTemplateError(
        "the messages",
        "text, numbers, true, false, lists and objects",
        f"a {type(value).__name__}",
        "Pass the messages as JSON values.",
    )


# The pieces rendered so far and the spans found, of the rendering that goes on in this context.
_tracked: ContextVar[tuple[list[str], list[tuple[int, int]]] | None] = ContextVar(
    "assistant_spans", default=None
)


class GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call, so that its text and place are known when it is rendered."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_record"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _record(self, _context: nodes.EvalContext, caller: Callable[[], str]) -> str:
        text = caller()
        tracked = _tracked.get()
        if tracked is not None:
            pieces, spans = tracked
            start = sum(map(len, pieces))
            spans.append((start, start + len(text)))
        return text


class TemplateDict:
    """`dict` for templates: no class attributes to climb along."""

    def __call__(self, *args: Any, **named: Any) -> dict[Any, Any]:
        """As `dict(...)`."""
        return dict(*args, **named)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """As `dict.fromkeys`."""
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """`namespace` for templates, without names that begin with an underscore."""

    def __init__(*args: Any, **named: Any) -> None:  # so that `namespace(self=…)` works
        own, values = args[0], dict(*args[1:], **named)
        for name in values:
            _allow(name)
        Namespace.__init__(own, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _allow(name)
        super().__setitem__(name, value)


def _allow(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}: it begins with an underscore")


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape HTML."""
    between = None if separators is None else (separators[0], separators[1])
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=between, sort_keys=sort_keys
    )


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _environment() -> Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_raise_exception,
        strftime_now=_now,
        dict=TemplateDict(),
        namespace=TemplateNamespace,
    )
    return environment


@lru_cache(maxsize=16)
def _compile(template: str) -> Template:
    return _environment().from_string(template)
