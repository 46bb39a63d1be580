"""What of a conversation is learned, token by token: as transformers says it of templates with
{% generation %} tags, and what each message adds of the others.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sixfold.core.errors import DataError
from sixfold.parts.conversation import Completion, Conversation, example_of
from sixfold.prepare.text.chat_text import ChatTemplate
from sixfold.prepare.text.learned_tokens import ExampleTokens, LearnedTokens
from sixfold.recipe.chat_template import CHATML

SPECIAL = [
    "<|endoftext|>",
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
TEXTS = [
    "Hello there, how are you? I am fine. 2 + 2 = 4. The user said: ünïcödé 你好 words words"
] * 3
TAGGED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant') }}{% endif %}{% endfor %}"
)
QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Only the last answer is told with its thoughts, as Qwen 3 does.
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def say(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


TALK = [
    say("user", "Hello there"),
    say("assistant", "I am fine, ünïcödé 你好"),
    say("user", "2 + 2?"),
    say("assistant", "4\n\n"),
]


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def chat(*messages: dict[str, Any]) -> Any:
    return example_of({"messages": list(messages)}, "here")


def tokens(library: Tokenizer, template: str, bos: str, eos: str) -> ExampleTokens:
    plain = Tokenizer.from_str(library.to_str())
    plain.encode_special_tokens = True
    named = {"bos_token": bos, "eos_token": eos}
    return ExampleTokens(library, plain, plain, ChatTemplate(template, named, SPECIAL), 0, 0)


def learned(library: Tokenizer, found: LearnedTokens) -> list[str]:
    """The text of each stretch of tokens that are learned."""
    edges = np.flatnonzero(np.diff(np.r_[0, found.learned.astype(int), 0]))
    return [
        library.decode(found.ids[a:b].tolist(), skip_special_tokens=False)
        for a, b in edges.reshape(-1, 2)
    ]


@pytest.mark.parametrize("system", [(), (say("system", "You are helpful."),)])
def test_templates_with_tags_are_read_as_transformers_reads_them(
    library: Tokenizer, system: tuple[dict[str, Any], ...]
) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=library, bos_token="<s>", eos_token="</s>")
    messages = [*system, *TALK]
    expected = theirs.apply_chat_template(
        messages, chat_template=TAGGED, return_dict=True, return_assistant_tokens_mask=True
    )
    found = tokens(library, TAGGED, "<s>", "</s>").of(chat(*messages))
    assert found.ids.tolist() == expected["input_ids"]
    assert found.learned.tolist() == [bool(one) for one in expected["assistant_masks"]]
    assert learned(library, found) == ["I am fine, ünïcödé 你好<|im_end|>", "4\n\n<|im_end|>"]


def test_chatml_learns_what_the_tags_would_say(library: Tokenizer) -> None:
    ours = tokens(library, CHATML, "<s>", "</s>").of(chat(*TALK))
    tagged = tokens(library, TAGGED, "<s>", "</s>").of(chat(*TALK))
    assert ours.ids.tolist() == tagged.ids.tolist()
    assert ours.learned.tolist() == tagged.learned.tolist()
    assert ours.size_bytes == tagged.size_bytes == len("I am fine, ünïcödé 你好4\n\n".encode())


OTHERS = {
    "llama 3": (LLAMA_3, "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>", "", "4"),
    "qwen": (QWEN, "<|endoftext|>", "<|im_end|>", "<|im_end|>", "", "4\n\n"),
    "mistral": (MISTRAL, "<s>", "</s>", "</s>", " ", "4\n\n"),
    "thoughts of the last": (
        THINKING,
        "<s>",
        "</s>",
        "<|im_end|>",
        "",
        "<think>\n\n</think>\n\n4\n\n",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_templates_learn_what_each_message_adds(library: Tokenizer, name: str) -> None:
    template, bos, eos, mark, space, last = OTHERS[name]
    made = tokens(library, template, bos, eos)
    found = made.of(chat(*TALK))
    assert learned(library, found) == [
        f"{space}I am fine, ünïcödé 你好{mark}",
        f"{space}{last}{mark}",
    ]
    theirs = PreTrainedTokenizerFast(tokenizer_object=library, bos_token=bos, eos_token=eos)
    expected = theirs.apply_chat_template(TALK, chat_template=template, return_dict=True)[
        "input_ids"
    ]
    assert found.ids.tolist() == expected
    silent = chat(*TALK[:1], {**TALK[1], "weight": 0}, *TALK[2:])
    assert learned(library, made.of(silent)) == [f"{space}{last}{mark}"]


def test_a_weight_of_0_leaves_a_tagged_message_out(library: Tokenizer) -> None:
    made = tokens(library, TAGGED, "<s>", "</s>")
    silent = chat(TALK[0], {**TALK[1], "weight": 0}, *TALK[2:])
    assert learned(library, made.of(silent)) == ["4\n\n<|im_end|>"]


def test_the_prompt_of_an_answer_is_what_a_server_renders(library: Tokenizer) -> None:
    """What stands before the answer, in training and in serving."""
    made = tokens(library, CHATML, "<s>", "</s>")
    found = made.of(chat(*TALK))
    first = int(np.argmax(found.learned))
    served = library.encode(made.template.prompt(TALK[:1]), add_special_tokens=False).ids
    assert found.ids[:first].tolist() == served


def test_calls_of_tools_are_learned_and_their_answers_are_not(library: Tokenizer) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 2}'}}
    messages = [
        say("user", "2 + 2?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        say("tool", "4", tool_call_id="a"),
        say("assistant", "4"),
    ]
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    example = example_of({"messages": messages, "tools": [tool]}, "here")
    assert isinstance(example, Conversation)
    found = learned(library, tokens(library, CHATML, "<s>", "</s>").of(example))
    assert found[0] == '<tool_call>\n{"name": "add", "arguments": {"x": 2}}\n</tool_call><|im_end|>'
    assert found[1] == "4<|im_end|>"


def test_a_completion_has_no_template(library: Tokenizer) -> None:
    found = tokens(library, "", "<s>", "</s>").of(Completion("The user said:", " words<s>"))
    assert learned(library, found) == [" words<s><|endoftext|>"]
    assert found.ids[0] == found.ids[-1] == 0
    assert SPECIAL.index("<s>") not in found.ids  # what a user wrote is text
    assert found.size_bytes == len(" words<s>")


def test_what_is_refused(library: Tokenizer) -> None:
    with pytest.raises(DataError, match="expected a tokenizer with a chat template; found one wit"):
        tokens(library, "", "<s>", "</s>").of(chat(*TALK))
    made = tokens(library, MISTRAL, "<s>", "</s>")
    with pytest.raises(DataError.__bases__[0], match="Only user and assistant"):
        made.of(chat(say("system", "x"), *TALK))
    reversing = "{% for m in messages | reverse %}{{ m.content }}|{% endfor %}"
    with pytest.raises(
        DataError, match=re.escape("messages[1]: expected a chat template that tells")
    ):
        tokens(library, reversing, "<s>", "</s>").of(
            chat(
                TALK[0],
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
                },
                say("tool", "x"),
                TALK[3],
            )
        )
    half = TAGGED.replace("m.role == 'assistant'", "m.role == 'assistant' and loop.last")
    with pytest.raises(
        DataError, match=r"expected 2 messages of the assistant in {% generation %} t"
    ):
        tokens(library, half, "<s>", "</s>").of(chat(TALK[0], {**TALK[1], "weight": 0}, *TALK[2:]))


def test_the_same_template_from_a_file(library: Tokenizer, tmp_path: Path) -> None:
    """A tokenizer saved and read again gives the same ids."""
    library.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_str((tmp_path / "tokenizer.json").read_text())
    assert json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]
    for messages in (TALK, TALK[:2]):
        first = tokens(library, CHATML, "<s>", "</s>").of(chat(*messages))
        second = tokens(again, CHATML, "<s>", "</s>").of(chat(*messages))
        np.testing.assert_array_equal(first.ids, second.ids)
