"""A checkpoint of a language model, in a folder or by its name on the hub: safetensors and JSON alone, no code, no pickle.
What cannot be used is refused by the name of its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint import (
    ANOTHER,
    LIMITS,
    check_sizes,
    damaged,
    first_line,
    weight_files,
)
from sixfold.parts.checkpoint_files import AGAIN, CONFIG, TOKENIZER
from sixfold.parts.gguf_shape import GgufShape, check_tokenizer
from sixfold.parts.hub_checkpoint import local_folder
from sixfold.parts.language_network import ARCHITECTURES, PackedNetwork
from sixfold.parts.text_tokenizer import TOKENIZER_CONFIG, TextTokenizer, of_checkpoint
from sixfold.recipe.model_context import context_of

GENERATION: Final = "generation_config.json"
# Of a configuration what says how a model was trained or stored, or names code.
LEFT_OUT: Final = frozenset(
    {"_name_or_path", "auto_map", "transformers_version", "torch_dtype", "dtype", "use_cache"}
)
REAL: Final = frozenset({torch.float32, torch.float16, torch.bfloat16})


@dataclass(frozen=True)
class LanguageFolder:
    """A checkpoint whose files were looked at; its weights are read when they are asked for. `config`:
    the text of its configuration, as that of a float32 model; `longest`: tokens of a window at most;
    `stops`: ids after which it ends an answer.
    """

    folder: Path
    config: str
    tokenizer: TextTokenizer
    longest: int
    stops: tuple[int, ...] = ()

    def network(self) -> PackedNetwork:
        """With the checkpoint's weights, float32. Raises DataError for weights that are damaged, that
        are missing, or of another shape.
        """
        network = PackedNetwork(self.config)
        wanted = {name: tuple(one.shape) for name, one in network.network.named_parameters()}
        return network.load(dict(self._weights(wanted)))

    def _weights(
        self, wanted: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        left = dict(wanted)
        for file in filter(_holds_weights, weight_files(self.folder)):
            try:
                with safe_open(self.folder / file, framework="pt") as stored:
                    for name in sorted(set(stored.keys()) & left.keys()):
                        yield name, self._array(name, stored.get_tensor(name), left.pop(name))
            except (SafetensorError, OSError) as error:
                raise DataError(
                    str(self.folder / file), "a whole safetensors file", first_line(error), AGAIN
                ) from None
        if left:
            more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
            found = f"none for {sorted(left)[0]}{more}"
            raise DataError(str(self.folder), f"weights of every layer in {CONFIG}", found, AGAIN)

    def _array(self, name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> Any:
        where = f"{self.folder}, {name}"
        if tuple(tensor.shape) != shape:
            raise DataError(
                where, f"the shape {shape}, as of {CONFIG}", f"{tuple(tensor.shape)}", AGAIN
            )
        if tensor.dtype not in REAL:
            raise DataError(where, "float32, bfloat16 or float16", f"{tensor.dtype}", ANOTHER)
        found = tensor.to(torch.float32).numpy()
        if not np.isfinite(found).all():
            raise DataError(where, "finite numbers", "others", ANOTHER)
        return found


def read_language(folder: Path) -> LanguageFolder:
    """Looked at once, as long as its files do not change. Raises DataError for a folder that is no
    checkpoint of a language model that is known here.
    """
    folder = local_folder(folder)
    return _read(folder, digest(folder))


@cache
def _read(folder: Path, content: str) -> LanguageFolder:
    files = weight_files(folder)
    checkpoint_files.present(folder, (TOKENIZER,))
    file = folder / CONFIG
    fields = checkpoint_files.read_json(file, LIMITS)
    kind = fields.get("model_type") if isinstance(fields, dict) else None
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        expected = f"a model_type of {', '.join(sorted(ARCHITECTURES))}"
        raise DataError(str(file), expected, "none" if kind is None else repr(kind)[:80], ANOTHER)
    if fields.get("quantization_config") is not None:
        raise DataError(str(file), "no quantization_config", "one", ANOTHER)
    check_sizes(fields, file)
    kept = {name: value for name, value in sorted(fields.items()) if name not in LEFT_OUT}
    config = json.dumps({**kept, "dtype": "float32"}, indent=1) + "\n"
    _check_weights(config, folder, sum((folder / name).stat().st_size for name in files))
    GgufShape.of(fields)  # what cannot be served is not trained
    tokenizer = of_checkpoint(folder)
    check_tokenizer(json.loads(tokenizer.model))
    _check_vocabulary(fields, tokenizer, folder)
    return LanguageFolder(folder, config, tokenizer, context_of(fields), _stops(folder))


def _holds_weights(name: str) -> bool:
    return not name.endswith(".json")  # as the index of several files does


def digest(folder: Path) -> str:
    """SHA-256 of all that is read of a checkpoint. Raises DataError where something is missing."""
    folder = local_folder(folder)
    names = checkpoint_files.present(folder, (CONFIG, TOKENIZER), (TOKENIZER_CONFIG, GENERATION))
    return checkpoint_files.digest(folder, [*names, *weight_files(folder)])


def _check_weights(config: str, folder: Path, size: int) -> None:
    """The configuration makes a network, and two bytes a weight are there at least, before memory is
    taken for it. Raises DataError.
    """
    try:
        with torch.device("meta"):
            network = PackedNetwork(config)
    except damaged() as error:
        raise DataError(
            str(folder / CONFIG),
            "a configuration that transformers knows",
            first_line(error),
            AGAIN,
        ) from None
    count = sum(one.numel() for one in network.parameters())
    if 2 * count > size:
        raise DataError(
            str(folder), f"files of the {count:,} weights of {CONFIG}", f"{size:,} bytes", AGAIN
        )


def _check_vocabulary(fields: Mapping[str, Any], tokenizer: TextTokenizer, folder: Path) -> None:
    """Raises DataError for a tokenizer with more ids than the network has vectors."""
    vectors = int(fields.get("vocab_size", 0))
    if tokenizer.vocabulary > vectors:
        raise DataError(
            str(folder / TOKENIZER),
            f"ids below vocab_size, {vectors:,}, of {CONFIG}",
            f"{tokenizer.vocabulary:,} ids",
            ANOTHER,
        )


def _stops(folder: Path) -> tuple[int, ...]:
    """As generation_config.json has them, which need not be there."""
    file = folder / GENERATION
    found = checkpoint_files.read_json(file, LIMITS) if file.is_file() else {}
    named = found.get("eos_token_id") if isinstance(found, dict) else None
    listed = named if isinstance(named, list) else [named]
    return tuple(one for one in listed if isinstance(one, int) and one >= 0)
