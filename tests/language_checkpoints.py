"""A tiny language model with its tokenizer in a folder, and rows to fine-tune it on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from sixfold.parts.language_model import LanguageModel
from sixfold.parts.text_tokenizer import learned
from sixfold.recipe.chat_template import CHATML
from tiny_language_models import tiny

WORDS: Final = ("red", "green", "blue", "one", "two", "three", "cat", "dog", "sun", "sea")


def sentences() -> list[str]:
    """Of a few words."""
    return [f"The {a} is {b} and {c}." for a in WORDS for b in WORDS for c in WORDS[:3]]


@cache
def model(
    kind: str = "llama", vocabulary: int = 300, context: int = 64, **fields: Any
) -> LanguageModel:
    """Random weights."""
    tokenizer = learned(sentences(), vocabulary, CHATML)
    network = tiny(kind, vocab_size=tokenizer.vocabulary, max_position_embeddings=context, **fields)
    config = json.dumps({**network.config.to_dict(), "dtype": "float32"})
    arrays = {name: one.detach().numpy().copy() for name, one in network.named_parameters()}
    return LanguageModel(config, arrays, tokenizer, context)


def write(folder: Path, kind: str = "llama", **fields: Any) -> Path:
    """The files of such a model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in model(kind, **fields).files().items():
        (folder / name).write_bytes(content)
    return folder


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    """A row of two messages."""
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer, **more},
        ]
    }


def chats(count: int = 24) -> list[dict[str, Any]]:
    """Each question has its answer."""
    return [
        chat(f"Say {a} or {b}?", f"I say {a}.")
        for number, a in enumerate(WORDS)
        for b in WORDS[number + 1 :]
    ][:count]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path
