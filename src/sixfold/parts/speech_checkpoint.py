"""A local speech checkpoint of transformers: its module from samples to vectors in time, how the
recordings are prepared that it was trained on, and the characters of its head, where it has one.

wav2vec 2.0: Baevski, Zhou, Mohamed and Auli, 2020; HuBERT: Hsu and others, 2021.

Shape letters: B recordings, L samples, S frames, D width, V symbols.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.utils import parametrize

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint, checkpoint_files
from sixfold.parts.checkpoint import (
    ANOTHER,
    LIMITS,
    OF_SPEECH,
    CheckpointShape,
    first_line,
    read_checkpoint,
    read_shape,
)
from sixfold.parts.checkpoint_files import AGAIN, CONFIG, extractor_file
from sixfold.parts.draws import own_draws
from sixfold.parts.log_mel import FULL_SCALE
from sixfold.parts.state import State
from sixfold.recipe.audio import HIGHEST_RATE, LOWEST_RATE

VOCABULARY: Final = "vocab.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
HEAD: Final = ("lm_head.weight", "lm_head.bias")
VARIANCE: Final = 1e-7  # added to the variance of the samples, as transformers' extractor does
ACTIVATIONS: Final = frozenset({"gelu", "gelu_pytorch_tanh", "relu", "silu"})  # as nodes, too
# Tokens of a vocabulary that stand for no character, by what they are called where nothing is said.
SPECIAL: Final = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
DELIMITER: Final = "|"  # between words
SAVE_TOKENIZER: Final = (
    "Save the tokenizer beside the model, or let the head be a new one: characters: texts."
)


@dataclass(frozen=True)
class SpeechEncoderShape(State):
    """What a module is put together by, without its folder. `rate`: samples a second; `normalize`:
    each recording gets the mean 0 and the variance 1.
    """

    checkpoint: CheckpointShape
    rate: int
    normalize: bool

    @property
    def width(self) -> int:
        """Numbers of a frame, D."""
        return int(self.checkpoint.fields["hidden_size"])

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return int(math.prod(self.checkpoint.fields["conv_stride"]))

    @property
    def seen(self) -> int:
        """Samples that the convolutions look at for one frame."""
        fields, found = self.checkpoint.fields, 1
        for kernel, stride in zip(
            reversed(fields["conv_kernel"]), reversed(fields["conv_stride"]), strict=True
        ):
            found = (found - 1) * stride + kernel
        return found

    def frames(self, samples: int) -> int:
        """Of a recording, S; 0 where it is too short for one."""
        return max(0, (samples - self.seen) // self.hop + 1)

    def network(self) -> SpeechEmbedding:
        """In evaluation, with weights of any value."""
        return SpeechEmbedding(self.checkpoint.network(), self.normalize).eval()


@dataclass(frozen=True)
class CtcHead:
    """From vectors to a blank, and to each character of `alphabet`, which rises: [V, D] and [V]."""

    alphabet: tuple[str, ...]
    weight: torch.Tensor
    bias: torch.Tensor

    def layer(self) -> nn.Linear:
        """A new one each time."""
        with own_draws():  # it fills itself before
            made = nn.Linear(self.weight.shape[1], len(self.weight))
        made.load_state_dict({"weight": self.weight, "bias": self.bias})
        return made


@dataclass(frozen=True)
class SpeechCheckpoint:
    """`module`: float32, in evaluation, [B, L] → [B, S, D]. `digest`: SHA-256 of all files that were
    read.
    """

    shape: SpeechEncoderShape
    module: SpeechEmbedding
    digest: str


class SpeechEmbedding(nn.Module):
    """What a checkpoint makes of a recording before its own head. The weights of its convolution of
    places are one array each, and not the product of a length and a direction, as they are stored.
    """

    def __init__(self, encoder: nn.Module, normalize: bool) -> None:
        super().__init__()
        places: Any = encoder.get_submodule("encoder.pos_conv_embed.conv")
        if parametrize.is_parametrized(places):
            places.double()  # whose sums, in single precision, differ by the number of threads
            with torch.enable_grad():  # so that the product is a parameter, whoever asks
                parametrize.remove_parametrizations(places, "weight")
            places.float()
        self.encoder, self.normalize = encoder, normalize

    def freeze_convolutions(self) -> None:
        """Those over samples are not learned (Baevski and others, 2020, appendix B), and no gradient
        goes through them.
        """
        front: Any = self.encoder.get_submodule("feature_extractor")
        front._freeze_parameters()

    def forward(self, x_BL: torch.Tensor) -> torch.Tensor:
        """float [B, L], whole numbers of 16 bits or between them → [B, S, D]."""
        samples = standardized(x_BL) if self.normalize else x_BL * (1 / FULL_SCALE)
        return self.encoder(input_values=samples).last_hidden_state  # type: ignore[no-any-return]


def standardized(x_BL: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1, as transformers' extractor makes them of a recording without what is put
    around it: samples that are exactly 0 do not count, and stay 0. Sums are double.
    """
    x = x_BL.double() * (1 / FULL_SCALE)
    here = (x != 0).double()
    count = here.sum(dim=1, keepdim=True).clamp_min(1.0)
    off = (x - x.sum(dim=1, keepdim=True) / count) * here
    variance = (off * off).sum(dim=1, keepdim=True) / count
    return (off * (variance + VARIANCE).pow(-0.5)).to(x_BL.dtype)


def digest(folder: Path) -> str:
    """SHA-256 of all files that are read. Raises DataError for a folder that is no checkpoint."""
    needed = [CONFIG, *checkpoint.weight_files(folder), extractor_file(folder)]
    names = checkpoint_files.present(folder, needed, [VOCABULARY, TOKENIZER_CONFIG])
    return checkpoint_files.digest(folder, names)


def read_speech_shape(folder: Path) -> SpeechEncoderShape:
    """Raises DataError for a folder that is no checkpoint of speech, whose recordings are prepared
    otherwise than here, or whose bundle could not be written.
    """
    shape, file = read_shape(folder, OF_SPEECH), folder / extractor_file(folder)
    fields = shape.fields
    for name in ("hidden_act", "feat_extract_activation"):
        if fields[name] not in ACTIVATIONS:
            expected = f"{name} of {', '.join(sorted(ACTIVATIONS))}"
            raise DataError(str(folder / CONFIG), expected, repr(fields[name])[:80], ANOTHER)
    sizes = [*fields["conv_kernel"], *fields["conv_stride"]]
    if not sizes or not all(isinstance(one, int) and one >= 1 for one in sizes):
        expected = "conv_kernel and conv_stride of 1 and more"
        raise DataError(str(folder / CONFIG), expected, repr(sizes)[:80], AGAIN)
    return SpeechEncoderShape(
        shape, *_prepared(checkpoint_files.read_extractor(folder, LIMITS), file)
    )


def read_speech_checkpoint(folder: Path) -> SpeechCheckpoint:
    """Raises DataError as `read_speech_shape`, and for weights that are missing or do not fit."""
    shape, found = read_speech_shape(folder), read_checkpoint(folder, OF_SPEECH)
    module = SpeechEmbedding(found.module, shape.normalize).eval()
    return SpeechCheckpoint(shape, module, digest(folder))


def read_head(folder: Path, width: int) -> CtcHead | None:
    """The head of a checkpoint that was trained by CTC, for the characters of its vocabulary; None of
    one without a head. Raises DataError for a head without a vocabulary, or with one of another size.
    """
    arrays = _head_arrays(folder)
    if not arrays:
        return None
    shapes = [tuple(arrays[name].shape) for name in HEAD if name in arrays]
    if len(arrays) < len(HEAD) or shapes[0][1:] != (width,) or shapes[1] != shapes[0][:1]:
        expected = f"{HEAD[0]} of vectors of {width:,}, and {HEAD[1]} of as many numbers"
        raise DataError(str(folder), expected, f"{shapes}"[:80], AGAIN)
    if not (folder / VOCABULARY).is_file():
        found = f"{HEAD[0]}, but no {VOCABULARY}"
        raise DataError(str(folder), "the characters of the head", found, SAVE_TOKENIZER)
    numbers = _character_numbers(folder, shapes[0][0])
    alphabet = tuple(sorted(numbers.keys() - {""}))
    rows = torch.tensor([numbers[character] for character in ("", *alphabet)])
    return CtcHead(alphabet, *(arrays[name][rows] for name in HEAD))


def _prepared(found: Mapping[str, Any], file: Path) -> tuple[int, bool]:
    """Rate, and whether recordings are normalized. Raises DataError."""
    rate, normalize = found.get("sampling_rate"), found.get("do_normalize", True)
    alone = found.get("feature_size", 1) == 1
    if not (isinstance(rate, int) and isinstance(normalize, bool) and alone):
        expected = "sampling_rate and do_normalize of recordings of one channel"
        remedy = "Save the feature extractor again."
        raise DataError(str(file), expected, "something else", remedy)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        expected = f"a sampling_rate of {LOWEST_RATE:,} to {HIGHEST_RATE:,}"
        raise DataError(str(file), expected, f"{rate:,}", ANOTHER)
    return rate, normalize


def _head_arrays(folder: Path) -> dict[str, torch.Tensor]:
    """Those that are there, in float32. Raises DataError."""
    found: dict[str, torch.Tensor] = {}
    for name in checkpoint.weight_files(folder):
        try:
            with safe_open(folder / name, "pt") as file:
                held = set(file.keys())
                found |= {one: file.get_tensor(one).float() for one in HEAD if one in held}
        except SafetensorError as error:
            raise DataError(
                str(folder / name), "a file of safetensors", first_line(error), AGAIN
            ) from None
    return found


def _character_numbers(folder: Path, symbols: int) -> dict[str, int]:
    """Of a blank ('') and of each character its row of the head, of which there are `symbols`. Raises
    DataError.
    """
    file, told = folder / VOCABULARY, folder / TOKENIZER_CONFIG
    known = checkpoint_files.read_json(told, LIMITS) if told.is_file() else {}
    known = known if isinstance(known, dict) else {}
    vocabulary = checkpoint_files.read_json(file, LIMITS)
    rows = vocabulary.values() if isinstance(vocabulary, dict) else [None]
    if not all(type(row) is int and 0 <= row < symbols for row in rows):
        expected = f"characters with their numbers, below {symbols:,}"
        raise DataError(str(file), expected, "something else", SAVE_TOKENIZER)
    special = {name: _token(known.get(name), usual) for name, usual in SPECIAL.items()}
    delimiter = _token(known.get("word_delimiter_token"), DELIMITER)
    blank, found = special["pad_token"], dict[str, int]()
    for token, row in vocabulary.items():
        if token == blank:
            found[""] = row
        elif token == delimiter:
            found[" "] = row
        elif token not in special.values() and not _bracketed(token):
            found[token.lower() if known.get("do_lower_case") is True else token] = row
    longer = next((token for token in found if len(token) > 1), None)
    if longer is not None or "" not in found or len(found) < 2:
        expected = f"single characters, and {blank!r} for a blank"
        shown = "too few of them" if longer is None else repr(longer)[:80]
        raise DataError(str(file), expected, shown, SAVE_TOKENIZER)
    return found


def _token(found: Any, usual: str) -> str:
    """A token stands alone, or with how it is used."""
    found = found.get("content") if isinstance(found, dict) else found
    return found if isinstance(found, str) else usual


def _bracketed(token: str) -> bool:
    return len(token) > 2 and token[0] + token[-1] in ("<>", "[]")
