"""The tokenizer of a language model: byte-level pairs that are learned from texts, or that of a checkpoint;
as the two files that every tool of that ecosystem reads.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import DataError, SystemFault
from sixfold.core.json_limits import JsonLimits
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER
from sixfold.parts.hub_checkpoint import local_folder
from sixfold.parts.state import State

TOKENIZER_CONFIG: Final = "tokenizer_config.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"
CONFIG_LIMITS: Final = JsonLimits(4 << 20, values=200_000)
# Ids 0 to 3 of what is learned here. A text starts and ends with the first.
TEXT_END, PADDING, MESSAGE_START, MESSAGE_END = (
    "<|endoftext|>",
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
)
SPECIAL: Final = (TEXT_END, PADDING, MESSAGE_START, MESSAGE_END)
BYTES: Final = 256
LEAST_VOCABULARY: Final = BYTES + len(SPECIAL)  # every byte is a token of its own
ENDLESS: Final = 10**9  # as `model_max_length`: what a model can take stands in its config.json
ANOTHER: Final = "Save it with AutoTokenizer.save_pretrained(folder)."


@dataclass(frozen=True)
class TextTokenizer(State):
    """`model`: the text of tokenizer.json; `config`: that of tokenizer_config.json, the chat
    template inside. `start` and `end`: ids before and after a text; `vocabulary`: of all ids.
    """

    model: str
    config: str
    start: int
    end: int
    vocabulary: int

    @property
    def digest(self) -> str:
        """SHA-256 of both files."""
        return sha256(f"{self.model}\n{self.config}".encode()).hexdigest()

    @property
    def chat_template(self) -> str:
        """Jinja; '' where there is none."""
        found = self.settings().get("chat_template")
        return found if isinstance(found, str) else ""

    @property
    def padding(self) -> int:
        """The id that fills rows of several texts: `pad_token`, or the one that ends a text."""
        named = self.settings().get("pad_token")
        token = named.get("content") if isinstance(named, dict) else named
        found = self.id_of(str(token)) if token is not None else None
        return self.end if found is None else found

    def settings(self) -> dict[str, Any]:
        """What tokenizer_config.json says."""
        return json.loads(self.config)  # type: ignore[no-any-return]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without those that start and end it; marks of messages in it are
        text, as anybody may have written them.
        """
        found = _opened(self.model, True).encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in found]

    def encode_marked(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of texts that a chat template made: its marks are tokens of their own."""
        found = _opened(self.model, False).encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in found]

    def library(self, plain: bool) -> Any:
        """The tokenizer of the package `tokenizers`; `plain`: special tokens in a text are text."""
        return _opened(self.model, plain)

    def continuing(self) -> Any:
        """The `plain` one, of texts that go on with another: no space is put before them, as tokenizers
        of SentencePiece's kind do where a text begins.
        """
        return _opened(_without_prefix(self.model), True)

    def marks(self) -> tuple[str, ...]:
        """All special tokens."""
        added = _opened(self.model, False).get_added_tokens_decoder()
        return tuple(token.content for token in added.values() if token.special)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special ones."""
        return str(_opened(self.model, False).decode(list(ids), skip_special_tokens=True))

    def id_of(self, token: str) -> int | None:
        """Of a token; None where it is none."""
        found = _opened(self.model, False).token_to_id(token)
        return None if found is None else int(found)


def learned(texts: Iterable[str], vocabulary: int, template: str = "") -> TextTokenizer:
    """Byte-level pairs of these texts (Sennrich and others, Neural machine translation of rare words
    with subword units, 2016; over bytes, as GPT-2's): every text can be written, however strange.

    `vocabulary`: tokens in all, LEAST_VOCABULARY for single bytes; fewer where the texts have no more
    pairs. `template`: of a chat. The same texts give the same tokenizer.
    """
    library: Any = _library()
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=max(vocabulary, LEAST_VOCABULARY),
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": ENDLESS,
        "bos_token": TEXT_END,
        "eos_token": TEXT_END,
        "unk_token": TEXT_END,
        "pad_token": PADDING,
        "additional_special_tokens": [MESSAGE_START, MESSAGE_END],
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        **({"chat_template": template} if template else {}),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False)
    return TextTokenizer(made.to_str(), text, 0, 0, int(made.get_vocab_size()))


def of_checkpoint(folder: Path) -> TextTokenizer:
    """A checkpoint's own. Raises DataError for a folder without one, or a damaged one."""
    folder = local_folder(folder)
    checkpoint_files.present(folder, (TOKENIZER,))
    checkpoint_files.read_json(folder / TOKENIZER)  # bounded, before the library reads it
    text = (folder / TOKENIZER).read_text(encoding="utf-8")
    settings = _settings(folder)
    try:
        opened = _opened(text, False)
    except Exception as error:  # the library raises Exception itself
        raise DataError(str(folder / TOKENIZER), "a tokenizer", str(error)[:100], ANOTHER) from None
    end = _special(folder, settings, "eos_token", opened)
    start = _special(folder, settings, "bos_token", opened)
    if start is None:
        start = _start_of_config(folder, opened)
    if end is None and start is None:
        raise DataError(
            str(folder / TOKENIZER_CONFIG), "an eos_token, which ends a text", "none", ANOTHER
        )
    first, last = (start if start is not None else end), (end if end is not None else start)
    return TextTokenizer(
        text,
        json.dumps(settings, indent=1, ensure_ascii=False),
        int(first or 0),
        int(last or 0),
        1 + max(opened.get_vocab(with_added_tokens=True).values()),
    )


def _settings(folder: Path) -> dict[str, Any]:
    """Of tokenizer_config.json, the chat template inside, wherever it stands; {} where there is none."""
    file, template = folder / TOKENIZER_CONFIG, folder / CHAT_TEMPLATE
    found = checkpoint_files.read_json(file, CONFIG_LIMITS) if file.is_file() else {}
    if not isinstance(found, dict):
        raise DataError(str(file), "a JSON object", type(found).__name__, ANOTHER)
    found = {name: value for name, value in found.items() if name != "auto_map"}
    if template.is_file() and template.stat().st_size <= CONFIG_LIMITS.size_bytes:
        found["chat_template"] = template.read_text(encoding="utf-8")
    named = found.get("chat_template")
    if isinstance(named, list):  # several, by name: the default one
        chosen = {
            str(one.get("name")): one.get("template") for one in named if isinstance(one, dict)
        }
        found["chat_template"] = chosen.get("default") or ""
    return found


def _special(folder: Path, settings: dict[str, Any], key: str, opened: Any) -> int | None:
    """The id of a special token that the settings name. Raises DataError where the tokenizer does not
    have it.
    """
    named = settings.get(key)
    token = named.get("content") if isinstance(named, dict) else named
    if token is None:
        return None
    found = opened.token_to_id(str(token))
    if found is None:
        raise DataError(
            str(folder / TOKENIZER), f"the {key} of {TOKENIZER_CONFIG}", f"no {token!r}", ANOTHER
        )
    return int(found)


def _start_of_config(folder: Path, opened: Any) -> int | None:
    """The id that a text begins with, as config.json has it where the tokenizer names none (Qwen's)."""
    file = folder / CONFIG
    found = checkpoint_files.read_json(file, CONFIG_LIMITS) if file.is_file() else {}
    named = found.get("bos_token_id") if isinstance(found, dict) else None
    known = type(named) is int and opened.id_to_token(named) is not None
    return named if known else None


@cache
def _without_prefix(model: str) -> str:
    """The tokenizer.json without what puts a space before a text."""
    described = json.loads(model)
    normalizer, splits = described.get("normalizer") or {}, described.get("pre_tokenizer") or {}
    if "normalizers" in normalizer:
        kept = [each for each in normalizer["normalizers"] if each["type"] != "Prepend"]
        normalizer["normalizers"] = kept
    elif normalizer.get("type") == "Prepend":
        described["normalizer"] = None
    for each in (splits, *splits.get("pretokenizers", ())):
        if each.get("type") == "Metaspace":
            each["prepend_scheme"] = "never"
        if each.get("type") == "ByteLevel":
            each["add_prefix_space"] = False
    return json.dumps(described, ensure_ascii=False)


@cache
def _opened(model: str, plain: bool) -> Any:
    """`plain`: special tokens that stand in a text are taken for text."""
    found = _library().Tokenizer.from_str(model)
    found.no_truncation()
    found.no_padding()
    found.encode_special_tokens = plain
    return found


def _library() -> Any:
    """Raises SystemFault where it is not installed."""
    try:
        return importlib.import_module("tokenizers")
    except ImportError:
        raise SystemFault(
            "build, language",
            "tokenizers, which learns and reads tokens",
            "none",
            'pip install "sixfold[language]"',
        ) from None
