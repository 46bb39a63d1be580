"""Chat templates: the text is, letter by letter, what transformers renders; strangers' templates stay in their box."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from sixfold.recipe.chat_template import (
    CHATML,
    ChatTemplateError,
    render,
    render_with_spans,
    special_tokens,
    takes_tools,
)

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
LLAMA = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role ' + message.role) }}
    {%- endif %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
MISTRAL = """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('After the optional system message, roles must alternate') }}
{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}
{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"""
LOOPS = """{% set ns = namespace(last=-1) %}{% for message in messages %}
{%- if message.role == 'tool' %}{% continue %}{% endif %}{% set ns.last = loop.index0 %}
{{- message.content | default('', true) }}|{{ message.get('reasoning_content', '') }}|{{ message | tojson }}
{% endfor %}{{ ns.last }}{{ tools | tojson(indent=2) if tools else 'no tools' }}{{ strftime_now('%Y') }}"""
TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "mistral": MISTRAL, "loops": LOOPS}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "sum", "description": "<Adds>", "parameters": {"type": "object"}},
    }
]
CHATS: dict[str, list[dict[str, Any]]] = {
    "one": [{"role": "user", "content": " Hi & <b>é</b> 🙂\n"}],
    "more": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "How are you?"},
    ],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "tools": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 3?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"type": "function", "function": {"name": "sum", "arguments": {"a": [2, 3]}}},
                {"type": "function", "function": {"name": "sum", "arguments": '{"a": []}'}},
            ],
        },
        {"role": "tool", "content": "5"},
        {"role": "assistant", "content": "Five.", "reasoning": "It adds."},
    ],
}


def theirs(template: str, chat: list[dict[str, Any]], **options: Any) -> Any:
    """What transformers does in `apply_chat_template`."""
    given = [{key: value for key, value in one.items() if value is not None} for one in chat]
    return render_jinja_template([given], chat_template=template, **TOKENS, **options)


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_it_is_what_transformers_renders(
    name: str, chat: str, tools: list[dict[str, Any]] | None, prompt: bool
) -> None:
    template, messages = TEMPLATES[name], CHATS[chat]
    try:
        expected = theirs(template, messages, tools=tools, add_generation_prompt=prompt)[0][0]
    except Exception as error:
        with pytest.raises(ChatTemplateError, match=type(error).__name__):
            render(template, messages, tools, prompt, tokens=TOKENS)
        return
    assert render(template, messages, tools, prompt, tokens=TOKENS) == expected


def test_what_the_assistant_wrote_is_found() -> None:
    chat = CHATS["more"][:2]
    expected, spans = theirs(MISTRAL, chat, return_assistant_tokens_mask=True)
    found = render_with_spans(MISTRAL, chat, tokens=TOKENS)
    assert found.text == expected[0]
    assert list(found.assistant_spans) == spans[0]
    assert [found.text[start:end] for start, end in found.assistant_spans] == ["Hello.</s>"]
    assert render_with_spans(CHATML, chat, tokens={}).assistant_spans == ()


def test_chatml_as_it_stands() -> None:
    text = render(CHATML, CHATS["system"], None, True, tokens={})
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace(a=1) %}{% set ns.__class__ = 2 %}",
        "{{ namespace(__init__=1) }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ messages[0].content.format.__globals__.x }}",
        "{% include 'other' %}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ messages[7].role }}",
    ],
)
def test_a_strangers_template_gets_nowhere(template: str) -> None:
    with pytest.raises(ChatTemplateError, match="the chat template") as caught:
        render(template, CHATS["one"], tokens={})
    assert caught.value.exit_code == 3


def test_objects_do_not_reach_a_template() -> None:
    with pytest.raises(ChatTemplateError, match="found a PosixPath"):
        render(CHATML, [{"role": "user", "content": __import__("pathlib").Path(".")}], tokens={})


def test_whether_a_template_takes_tools() -> None:
    assert takes_tools(CHATML)
    assert not takes_tools(LLAMA)


def test_special_tokens_by_their_names() -> None:
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None, "x": "y"}
    assert special_tokens(config) == {"bos_token": "<s>", "eos_token": "</s>"}
