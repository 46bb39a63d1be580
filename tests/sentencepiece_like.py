"""Tokenizers as Llama 2 and Mistral 7B have them: pairs of characters, a space is ▁, bytes for what is no character of the
vocabulary. As transformers converts them of SentencePiece's: all ways to make a token are pairs, in the order of the tokens.
"""

from __future__ import annotations

import json

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import language_bundles

MARKS = ("<unk>", "<s>", "</s>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "{{ '[INST] ' + message.content + ' [/INST]' }}{% else %}"
    "{{ ' ' + message.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
TEXTS = (
    "The import statement finds a module",
    "two  spaces inside, a tab\tand a line\nmore ",
    "café naïve 漢字 🙂👩\u200d👩\u200d👧 \u0301 Ωμέγα",
    "<s> is no mark here </s>, nor is <0x41>",
    "\x00\ufeff",
    "",
)
# The split at spaces puts none before one that is there already, so these are the tokens of fewer spaces.
LEADING = (" leading", "  ")


def tokenizer(old: bool, size: int = 380) -> Tokenizer:
    """`old`: the space is put before a text by the normalizer, as up to transformers 4.40."""
    pieces, letters = _learned(size - len(MARKS) - 256)
    names = [*MARKS, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *letters]
    vocabulary = {token: place for place, token in enumerate(names)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    made = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    if old:
        made.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    made.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in MARKS])
    made.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return made


def _learned(count: int) -> tuple[list[str], list[str]]:
    """Tokens of several characters in the order in which they are learned, and single characters."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=True)
    trainer = trainers.BpeTrainer(vocab_size=count, show_progress=False)
    own.train_from_iterator((text[:60] for text in language_bundles.TEXTS), trainer)
    model = json.loads(own.to_str())["model"]
    pieces = list(dict.fromkeys("".join(pair) for pair in model["merges"]))
    return pieces, [token for token in model["vocab"] if token not in pieces]


def files(kind: str, old: bool, **changes: object) -> dict[str, bytes]:
    """Of a checkpoint with such a tokenizer."""
    own = tokenizer(old)
    found = language_bundles.checkpoint(kind, **{"bos_token_id": 1, "eos_token_id": 2, **changes})
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    generation = {"bos_token_id": 1, "eos_token_id": 2}
    return {
        **found,
        "tokenizer.json": own.to_str().encode(),
        "tokenizer_config.json": json.dumps(settings).encode(),
        "generation_config.json": json.dumps(generation).encode(),
    }
