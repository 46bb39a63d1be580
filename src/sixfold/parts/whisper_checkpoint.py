"""A local checkpoint of Whisper: its configuration and weights as transformers saves them, what it is asked
for before a text, and what its tokens spell. JSON and safetensors alone, no code, no pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from sixfold.core.byte_letters import BYTES
from sixfold.core.errors import DataError
from sixfold.parts import checkpoint, checkpoint_files
from sixfold.parts.checkpoint import ANOTHER, LIMITS, check_sizes, first_line
from sixfold.parts.checkpoint_files import AGAIN, CONFIG, TOKENIZER, extractor_file
from sixfold.parts.state import State
from sixfold.parts.whisper_mel import HOP, RATE, WINDOW

GENERATION: Final = "generation_config.json"
VOCABULARY: Final = "vocab.json"
MERGES: Final = "merges.txt"
ADDED: Final = "added_tokens.json"
OPTIONAL: Final = (GENERATION, TOKENIZER, VOCABULARY, MERGES, ADDED)
TASK: Final = "<|transcribe|>"
UNTIMED: Final = "<|notimestamps|>"
SEVERAL: Final = 51_865  # tokens that published checkpoints of several languages have at least
MOST_FRAMES: Final = 6_000  # of a spectrogram: a minute
SAVE_TOKENIZER: Final = "Save the processor beside the model: processor.save_pretrained(folder)."
# What of a configuration is fixed here, as in every published checkpoint.
FIXED: Final[Mapping[str, Any]] = {
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": True,
}
EXTRACTED: Final[Mapping[str, Any]] = {
    "sampling_rate": RATE,
    "hop_length": HOP,
    "n_fft": WINDOW,
    "dither": 0.0,
    "do_normalize": False,
}
# Numbers of a configuration that have to be there.
SIZES: Final = (
    "num_mel_bins",
    "d_model",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_layers",
    "decoder_attention_heads",
    "decoder_ffn_dim",
    "vocab_size",
    "max_source_positions",
    "max_target_positions",
)


@dataclass(frozen=True)
class StackShape(State):
    """Layers of attention: how many, heads of each, and numbers between its two products."""

    layers: int
    heads: int
    inner: int


@dataclass(frozen=True)
class WhisperShape(State):
    """What a network is put together by. `positions`: of the encoder, for two frames each."""

    bands: int
    width: int
    encoder: StackShape
    decoder: StackShape
    vocabulary: int
    positions: int
    most_tokens: int

    @property
    def frames(self) -> int:
        """Of a spectrogram."""
        return 2 * self.positions

    @property
    def samples(self) -> int:
        """Of a recording, with the silence behind it."""
        return self.frames * HOP


@dataclass(frozen=True)
class WhisperDecoding(State):
    """Numbers of tokens: `prompt` before every text, `end` behind it; which are never written (`suppressed`),
    and which never first.
    """

    prompt: tuple[int, ...]
    end: int
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]


@dataclass(frozen=True)
class WhisperTokens:
    """`pieces`: of each token what it spells, in the letters of `core.byte_letters`; '' of one that
    spells nothing. `special`: those of that kind, by what they are called.
    """

    tokenizer: Tokenizer
    special: Mapping[str, int]
    pieces: tuple[str, ...]

    def encode(self, text: str) -> list[int]:
        """With a space before it, as the checkpoint learned to begin."""
        return list(self.tokenizer.encode(f" {text}", add_special_tokens=False).ids)

    def spelled(self, numbers: Sequence[int]) -> str:
        """What tokens stand for, without the space before it."""
        letters = "".join(self.pieces[number] for number in numbers)
        return bytes(map(BYTES.__getitem__, letters)).decode("utf-8", "replace").removeprefix(" ")

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes of those that it can be asked for: of two or three letters."""
        inner = (name[2:-2] for name in self.special if name.startswith("<|"))
        return tuple(
            sorted(one for one in inner if one.isalpha() and one.islower() and len(one) in (2, 3))
        )


def digest(folder: Path) -> str:
    """SHA-256 of all files that are read. Raises DataError for a folder that lacks one."""
    needed = [CONFIG, *checkpoint.weight_files(folder), extractor_file(folder)]
    return checkpoint_files.digest(folder, checkpoint_files.present(folder, needed, OPTIONAL))


def read_whisper_shape(folder: Path) -> WhisperShape:
    """Raises DataError for a folder that is no checkpoint of Whisper, or hears otherwise than it is made to
    here.
    """
    checkpoint.weight_files(folder)
    found = _mapping(folder / CONFIG)
    if found.get("model_type") != "whisper":
        kind = found.get("model_type")
        shown = "none" if kind is None else repr(kind)[:80]
        raise DataError(str(folder / CONFIG), "a model_type of whisper", shown, ANOTHER)
    check_sizes(found, folder / CONFIG)
    _check_fixed(found, FIXED, folder / CONFIG)
    for name in SIZES:
        if type(found.get(name)) is not int or found[name] < 1:
            shown = repr(found.get(name))[:80]
            raise DataError(str(folder / CONFIG), f"{name} of 1 and more", shown, AGAIN)
    encoder, decoder = (
        StackShape(*(found[f"{side}_{name}"] for name in ("layers", "attention_heads", "ffn_dim")))
        for side in ("encoder", "decoder")
    )
    shape = WhisperShape(
        found["num_mel_bins"],
        found["d_model"],
        encoder,
        decoder,
        found["vocab_size"],
        found["max_source_positions"],
        found["max_target_positions"],
    )
    _check_layers(shape, folder / CONFIG)
    _check_extractor(shape, folder)
    return shape


def read_whisper_weights(folder: Path, names: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Those of a network, in float32, by its own names and shapes. Raises DataError for some that are missing
    or do not fit.
    """
    found: dict[str, torch.Tensor] = {}
    for file_name in checkpoint.weight_files(folder):
        try:
            with safe_open(folder / file_name, "pt") as file:
                held = {one.removeprefix("model."): one for one in set(file.keys())}
                for name in names.keys() & held.keys():
                    found[name] = file.get_tensor(held[name]).float()
        except SafetensorError as error:
            where, what = str(folder / file_name), first_line(error)
            raise DataError(where, "a file of safetensors", what, AGAIN) from None
    unfit = [name for name, size in names.items() if name not in found or found[name].shape != size]
    if unfit:
        more = f" and {len(unfit) - 1:,} more" if unfit[1:] else ""
        shown = f"none that fit for {unfit[0]}{more}"
        raise DataError(str(folder), f"weights of every layer in {CONFIG}", shown, AGAIN)
    return found


def read_tokens(folder: Path, vocabulary: int) -> WhisperTokens:
    """Its tokens, of which there are at most `vocabulary`. Raises DataError."""
    if (folder / TOKENIZER).is_file():
        where, made = folder / TOKENIZER, _whole_tokenizer(folder / TOKENIZER)
    elif (folder / VOCABULARY).is_file() and (folder / MERGES).is_file():
        where, made = folder / VOCABULARY, _tokenizer_of_parts(folder)
    else:
        expected = f"{TOKENIZER}, or {VOCABULARY} and {MERGES}"
        raise DataError(str(folder), expected, "none", SAVE_TOKENIZER)
    numbers = made.get_vocab(with_added_tokens=True)
    added = {each.content for each in made.get_added_tokens_decoder().values()}
    special = {name: number for name, number in numbers.items() if name in added}
    letters = BYTES.keys()
    if any(number >= vocabulary for number in numbers.values()):
        expected, shown = f"at most {vocabulary:,} tokens", f"{1 + max(numbers.values()):,}"
        raise DataError(str(where), expected, shown, SAVE_TOKENIZER)
    strange = next((one for one in numbers if one not in added and not letters >= set(one)), "")
    if strange or not letters <= numbers.keys():
        shown = repr(strange)[:80] if strange else "not all 256"
        raise DataError(
            str(where), "a token of each byte, and of rows of them", shown, SAVE_TOKENIZER
        )
    pieces = [""] * vocabulary
    for name, number in numbers.items():
        pieces[number] = "" if name in added else name
    return WhisperTokens(made, special, tuple(pieces))


def read_decoding(folder: Path, tokens: WhisperTokens, language: str | None) -> WhisperDecoding:
    """What a decoding begins and ends with. Raises DataError for a language that it does not know, and where
    it has to be told one.
    """
    config, told = _mapping(folder / CONFIG), {}
    if (folder / GENERATION).is_file():
        told = _mapping(folder / GENERATION)
    start, end = (
        _token(told, config, name, len(tokens.pieces), folder)
        for name in ("decoder_start_token_id", "eos_token_id")
    )
    prompt = [start, *_language(folder, tokens, told, language)]
    if UNTIMED in tokens.special:
        prompt.append(tokens.special[UNTIMED])
    if end in prompt:
        expected = "eos_token_id that is no token of the prompt"
        raise DataError(str(folder / CONFIG), expected, f"{end:,}", AGAIN)
    listed = (
        _listed(told.get(name, config.get(name)), len(tokens.pieces))
        for name in ("suppress_tokens", "begin_suppress_tokens")
    )
    suppressed, first = listed
    return WhisperDecoding(
        tuple(prompt), end, tuple(sorted({*suppressed} - {end})), tuple(sorted({*first}))
    )


def _language(
    folder: Path, tokens: WhisperTokens, told: Mapping[str, Any], language: str | None
) -> list[int]:
    """Tokens of language and task; none of a checkpoint of one language alone, whose tokenizer may name others.
    Raises DataError.
    """
    several = told.get("is_multilingual")
    if not isinstance(several, bool):
        several = language is not None or len(tokens.pieces) >= SEVERAL
    if not several or TASK not in tokens.special:
        if language is None:
            return []
        expected = "no language, as the checkpoint knows one alone"
        raise DataError(str(folder), expected, repr(language)[:40], "Leave build.language out.")
    asked = language or _told_language(tokens, told)
    if asked not in tokens.languages:
        expected = f"build.language, one of {', '.join(tokens.languages[:100])}"
        shown = repr(asked)[:40] if asked else "none"
        raise DataError(str(folder), expected, shown, "Say in which language the texts are.")
    return [tokens.special[f"<|{asked}|>"], tokens.special[TASK]]


def _told_language(tokens: WhisperTokens, told: Mapping[str, Any]) -> str:
    """By `language`, or, as it was said before, by a token that is forced; '' for none."""
    if isinstance(found := told.get("language"), str):
        return found.removeprefix("<|").removesuffix("|>")
    forced = told.get("forced_decoder_ids")
    numbers = {number: name[2:-2] for name, number in tokens.special.items()}
    pairs = [pair for pair in forced if isinstance(pair, list)] if isinstance(forced, list) else []
    names = [numbers.get(one, "") for pair in pairs for one in pair[1:2] if type(one) is int]
    return next((name for name in names if name in tokens.languages), "")


def _token(
    told: Mapping[str, Any], config: Mapping[str, Any], name: str, vocabulary: int, folder: Path
) -> int:
    """Raises DataError."""
    found = told.get(name, config.get(name))
    if type(found) is not int or not 0 <= found < vocabulary:
        expected = f"{name} below {vocabulary:,}"
        raise DataError(str(folder / CONFIG), expected, repr(found)[:80], AGAIN)
    return found


def _listed(found: Any, vocabulary: int) -> list[int]:
    """Numbers of tokens; those that there are none of are left out, as -1 is."""
    listed = found if isinstance(found, list) else []
    return [one for one in listed if type(one) is int and 0 <= one < vocabulary]


def _mapping(file: Path) -> dict[str, Any]:
    found = checkpoint_files.read_json(file, LIMITS)
    return found if isinstance(found, dict) else {}


def _check_fixed(found: Mapping[str, Any], fixed: Mapping[str, Any], file: Path) -> None:
    for name, value in fixed.items():
        if (other := found.get(name, value)) != value:
            raise DataError(str(file), f"{name} {value}", repr(other)[:80], ANOTHER)


def _check_layers(shape: WhisperShape, file: Path) -> None:
    for stack in (shape.encoder, shape.decoder):
        if shape.width % stack.heads or stack.layers > checkpoint.MOST_LAYERS:
            expected = f"a width of {shape.width:,} that its heads divide, and few layers"
            raise DataError(str(file), expected, f"{stack.heads:,} heads", AGAIN)


def _check_extractor(shape: WhisperShape, folder: Path) -> None:
    """Recordings are heard as here. Raises DataError."""
    file, found = folder / extractor_file(folder), checkpoint_files.read_extractor(folder, LIMITS)
    _check_fixed(found, EXTRACTED, file)
    if (bands := found.get("feature_size")) != shape.bands:
        expected = f"feature_size {shape.bands}, the num_mel_bins of {CONFIG}"
        raise DataError(str(file), expected, repr(bands)[:80], AGAIN)
    length = found.get("n_samples")
    if length is None and type(found.get("chunk_length")) is int:
        length = found["chunk_length"] * RATE
    if length != shape.samples or shape.frames > MOST_FRAMES:
        expected = f"n_samples {shape.samples:,}, of the max_source_positions of {CONFIG}"
        raise DataError(str(file), expected, repr(length)[:80], AGAIN)


def _whole_tokenizer(file: Path) -> Tokenizer:
    """Raises DataError."""
    found = checkpoint_files.read_json(file)
    kind = found.get("model", {}).get("type", "BPE") if isinstance(found, dict) else None
    try:
        made = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises nothing more specific
        raise DataError(str(file), "a tokenizer", first_line(error), SAVE_TOKENIZER) from None
    if kind != "BPE":
        raise DataError(str(file), "byte-pair encoding", repr(kind)[:80], SAVE_TOKENIZER)
    return made


def _tokenizer_of_parts(folder: Path) -> Tokenizer:
    """As transformers makes it of the older files. Raises DataError."""
    vocabulary, added = _numbers(folder / VOCABULARY), {}
    if (folder / ADDED).is_file():
        added = _numbers(folder / ADDED)
    lines = (folder / MERGES).read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    try:
        made = Tokenizer(BPE(vocabulary | added, [(one, other) for one, other in merges]))
    except Exception as error:  # tokenizers raises nothing more specific
        where = str(folder / MERGES)
        raise DataError(where, "pairs of tokens", first_line(error), SAVE_TOKENIZER) from None
    made.pre_tokenizer, made.decoder = ByteLevel(add_prefix_space=False), ByteDecoder()
    made.add_special_tokens(sorted(added, key=added.__getitem__))
    return made


def _numbers(file: Path) -> dict[str, int]:
    """Token → its number. Raises DataError."""
    found = checkpoint_files.read_json(file)
    rows = found.values() if isinstance(found, dict) else [None]
    if not all(type(row) is int and row >= 0 for row in rows):
        raise DataError(str(file), "tokens with their numbers", "something else", SAVE_TOKENIZER)
    return found  # type: ignore[no-any-return]
