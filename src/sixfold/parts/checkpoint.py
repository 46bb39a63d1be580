"""A local checkpoint of transformers as a module of torch: safetensors and JSON alone, no code, no
pickle, no network.

Which classes there are stands in ARCHITECTURES; nothing that a folder holds names a class to be
imported. transformers takes seconds to import, so it is imported where a module is made.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import nn

from sixfold.core.errors import DataError, SystemFault
from sixfold.core.json_limits import JsonLimits
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint_files import AGAIN, CONFIG, WEIGHTS
from sixfold.parts.draws import own_draws
from sixfold.parts.state import State

SHARDS: Final = "model-*-of-*.safetensors"
INDEX: Final = f"{WEIGHTS}.index.json"
ADAPTER: Final = "adapter_config.json"
LIMITS: Final = JsonLimits(1 << 20, values=100_000)  # of a configuration; labels take most of it
MOST: Final = 10_000_000  # of any number in a configuration
DEPTHS: Final = ("num_hidden_layers", "n_layers", "num_layers", "depths")
MOST_LAYERS: Final = 1_000
# What says how a model is trained, stored or shown, and not what it computes.
LEFT_OUT: Final = frozenset(
    {
        "_name_or_path",
        "architectures",
        "chunk_size_feed_forward",
        "dtype",
        "id2label",
        "label2id",
        "num_feat_extract_layers",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "transformers_version",
    }
)
# What transformers would do otherwise, or not do at all.
PLAIN: Final[Mapping[str, Any]] = {
    "adapter_attn_dim": None,
    "add_adapter": False,
    "conv_pos_batch_norm": False,
    "is_decoder": False,
    "position_embedding_type": "absolute",
    "quantization_config": None,
}
ANOTHER: Final = "Choose another checkpoint."


@dataclass(frozen=True)
class Architecture:
    """A model_type: the names of its configuration and of its model in transformers, arguments of
    that model, and fields of its configuration whose values are `fixed`, whatever a folder says.
    """

    config: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


UNPOOLED: Final = {"add_pooling_layer": False}
# In training transformers masks by NumPy's generator and skips layers, neither of which could be
# drawn again after a kill.
UNMASKED: Final = {
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    "mask_feature_prob": 0.0,
    "mask_time_prob": 0.0,
}
ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "bert": Architecture("BertConfig", "BertModel", UNPOOLED),
    "convnext": Architecture("ConvNextConfig", "ConvNextModel"),
    "deit": Architecture("DeiTConfig", "DeiTModel", UNPOOLED),
    "distilbert": Architecture("DistilBertConfig", "DistilBertModel"),
    "electra": Architecture("ElectraConfig", "ElectraModel"),
    "hubert": Architecture("HubertConfig", "HubertModel", fixed=UNMASKED),
    "resnet": Architecture("ResNetConfig", "ResNetModel"),
    "roberta": Architecture("RobertaConfig", "RobertaModel", UNPOOLED),
    "vit": Architecture("ViTConfig", "ViTModel", UNPOOLED),
    "wav2vec2": Architecture("Wav2Vec2Config", "Wav2Vec2Model", fixed=UNMASKED),
}
OF_IMAGES: Final = frozenset({"convnext", "deit", "resnet", "vit"})
OF_SPEECH: Final = frozenset({"hubert", "wav2vec2"})
OF_TEXTS: Final = frozenset({"bert", "distilbert", "electra", "roberta"})


@dataclass(frozen=True)
class CheckpointShape(State):
    """What a module is put together by, without its folder. `kind`: a key of ARCHITECTURES;
    `config`: JSON of all fields of its configuration that say what it computes, those with their
    defaults, too.
    """

    kind: str
    config: str

    def network(self) -> nn.Module:
        """The module, in float32 and evaluation, with weights of any value; attention is written
        out as products.
        """
        with own_draws(), without_reports():
            return _model(self)(_config(self), **ARCHITECTURES[self.kind].options).eval()  # type: ignore[no-any-return]

    @property
    def fields(self) -> dict[str, Any]:
        """Of the configuration."""
        return json.loads(self.config)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Checkpoint:
    """`module`: float32, in evaluation. `digest`: SHA-256 of configuration and weights. `unused`:
    names of arrays of the folder that no part of the module has, such as those of another head.
    """

    shape: CheckpointShape
    module: nn.Module
    digest: str
    unused: tuple[str, ...]


def digest(folder: Path) -> str:
    """SHA-256 of configuration and weights. Raises DataError for a folder that is no checkpoint."""
    return checkpoint_files.digest(folder, [CONFIG, *weight_files(folder)])


def weight_files(folder: Path) -> list[str]:
    """Names of the files with weights. Raises DataError for a folder without them or config.json,
    or of an adapter alone.
    """
    if (folder / ADAPTER).is_file():
        remedy = "Merge the adapter into its model, and save that."
        raise DataError(
            str(folder), "a whole checkpoint", f"{ADAPTER}, which is that of an adapter", remedy
        )
    shards = sorted(file.name for file in folder.glob(SHARDS))
    if shards and not (folder / WEIGHTS).is_file():
        return checkpoint_files.present(folder, [INDEX, *shards, CONFIG])[:-1]
    return checkpoint_files.present(folder, [CONFIG, WEIGHTS])[1:]


def read_shape(folder: Path, kinds: Set[str]) -> CheckpointShape:
    """Of a checkpoint whose model_type is one of `kinds`. Raises DataError."""
    weight_files(folder)
    file = folder / CONFIG
    found = checkpoint_files.read_json(file, LIMITS)
    kind = found.get("model_type") if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        expected = f"a model_type of {', '.join(sorted(kinds))}"
        raise DataError(str(file), expected, "none" if kind is None else repr(kind)[:80], ANOTHER)
    for name, plain in PLAIN.items():
        if (other := found.get(name) or plain) != plain:
            raise DataError(
                str(file),
                f"no {name}" if plain is None else f"{name} {plain}",
                repr(other)[:80],
                ANOTHER,
            )
    check_sizes(found, file)
    default = _class(ARCHITECTURES[kind].config)().to_dict()
    known = {
        name: value for name, value in found.items() if name in default and name not in LEFT_OUT
    } | dict(ARCHITECTURES[kind].fixed)
    try:
        whole = _config(CheckpointShape(kind, json.dumps(known))).to_dict()
    except damaged() as error:
        raise DataError(
            str(file), "a configuration that transformers knows", first_line(error), AGAIN
        ) from None
    kept = {name: whole[name] for name in sorted(default) if name not in LEFT_OUT}
    return CheckpointShape(kind, json.dumps(kept))


def read_checkpoint(folder: Path, kinds: Set[str]) -> Checkpoint:
    """The module with its weights. Raises DataError for a folder that is no checkpoint, is damaged,
    of another kind, lacks weights or has some of another shape.
    """
    shape, files = read_shape(folder, kinds), weight_files(folder)
    try:
        _check_weights_suffice(shape, folder, sum((folder / name).stat().st_size for name in files))
        with own_draws(), without_reports():
            module, told = _model(shape).from_pretrained(
                folder,
                config=_config(shape),
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told below
                **ARCHITECTURES[shape.kind].options,
            )
    except DataError:
        raise
    except damaged() as error:
        raise DataError(
            str(folder), "a checkpoint that transformers can read", first_line(error), AGAIN
        ) from None
    lacking = sorted({*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])})
    if lacking:
        found = f"none that fit for {lacking[0][:200]}" + (
            f" and {len(lacking) - 1:,} more" if lacking[1:] else ""
        )
        raise DataError(str(folder), f"weights of every layer in {CONFIG}", found, AGAIN)
    return Checkpoint(
        shape, module.eval(), digest(folder), tuple(sorted(map(str, told["unexpected_keys"])))
    )


def check_sizes(fields: Mapping[str, Any], file: Path) -> None:
    """Before anything is made of them. Raises DataError."""
    for name, value in fields.items():
        numbers = [
            one
            for one in (value if isinstance(value, list) else [value])
            if isinstance(one, int | float)
        ]
        most = MOST_LAYERS if name in DEPTHS else MOST
        if any(not abs(one) <= most for one in numbers) or (name in DEPTHS and sum(numbers) > most):
            raise DataError(str(file), f"{name} of at most {most:,}", repr(value)[:80], AGAIN)


def _check_weights_suffice(shape: CheckpointShape, folder: Path, size: int) -> None:
    """A byte of the files a weight at least, before memory is taken for it; half precision has two.
    Raises DataError.
    """
    with own_draws(), without_reports(), torch.device("meta"):
        count = sum(
            one.numel()
            for one in _model(shape)(
                _config(shape), **ARCHITECTURES[shape.kind].options
            ).parameters()
        )
    if count > size:
        raise DataError(
            str(folder), f"files of the {count:,} weights of {CONFIG}", f"{size:,} bytes", AGAIN
        )


def _config(shape: CheckpointShape) -> Any:
    return _class(ARCHITECTURES[shape.kind].config)(**shape.fields, attn_implementation="eager")


def _model(shape: CheckpointShape) -> Any:
    return _class(ARCHITECTURES[shape.kind].model)


def _class(name: str) -> Any:
    """Raises SystemFault where transformers is not installed."""
    try:
        return getattr(importlib.import_module("transformers"), name)
    except ImportError:
        remedy = 'pip install "sixfold[train]"'
        raise SystemFault(
            "build, checkpoint", "transformers, which reads checkpoints", "none", remedy
        ) from None


def damaged() -> tuple[type[Exception], ...]:
    """What transformers raises for files that it cannot use."""
    fields: type[Exception] = importlib.import_module("huggingface_hub.errors").StrictDataclassError
    return (
        ArithmeticError,
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
        SafetensorError,
        fields,
    )


def first_line(error: BaseException) -> str:
    """What a library says of it, in short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:200]


@contextmanager
def without_reports() -> Iterator[None]:
    """Inside, transformers draws no bars and writes no reports: what a user has to know is told by
    errors and notes.
    """
    logging: Any = importlib.import_module("transformers.utils.logging")
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
