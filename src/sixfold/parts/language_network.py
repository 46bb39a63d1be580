"""The networks of language models, put together by transformers from a config.json: which there are, and
how texts that share a window are kept apart.

Shape letters: B windows, T tokens, V vocabulary. transformers takes seconds to import, so it is
imported where a network is made.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.core.errors import SystemFault
from sixfold.parts import decoder_pass
from sixfold.parts.checkpoint import without_reports
from sixfold.parts.compiled_layer import WindowKind
from sixfold.parts.draws import own_draws
from sixfold.parts.token_windows import IDS, IGNORED, PLACES, TEXTS

HALF: Final = frozenset({torch.bfloat16, torch.float16})  # in which no sum of exponentials is taken
EXTRA: Final = (
    "transformers",
    "tokenizers",
    "gguf",
    "openvino",
    "openvino_genai",
    "openvino_tokenizers",
)
INSTALL: Final = "Install it: pip install 'sixfold[train,language]'."
NARROW, SAVED = 128, 0.3  # the widest layers that are worth compiling, and what it saves
VECTOR_START: Final = 0.02  # standard deviation, as GPT-2's and Llama's


class Fills(Protocol):
    """How parameters start."""

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """In place."""


@dataclass(frozen=True)
class CausalArchitecture:
    """Names in transformers: of a model_type's configuration and of its model."""

    config: str
    model: str


# Those that the runtime of a bundle serves; SmolLM is a llama.
ARCHITECTURES: Final[Mapping[str, CausalArchitecture]] = {
    "llama": CausalArchitecture("LlamaConfig", "LlamaForCausalLM"),
    "mistral": CausalArchitecture("MistralConfig", "MistralForCausalLM"),
    "qwen2": CausalArchitecture("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": CausalArchitecture("Qwen3Config", "Qwen3ForCausalLM"),
}


def causal_network(config: Mapping[str, Any]) -> Any:
    """transformers' own module for a configuration, float32, weights of any value, in evaluation."""
    architecture = ARCHITECTURES[str(config["model_type"])]
    fields = {name: value for name, value in config.items() if name != "model_type"}
    with own_draws(), without_reports():
        made = _class(architecture.config)(**fields, attn_implementation="sdpa")
        network = _class(architecture.model)(made)
    return network.float().eval()


class PackedNetwork(nn.Module):
    """A causal language model that reads windows of several texts (`parts.token_windows`)."""

    def __init__(self, config: str) -> None:
        super().__init__()
        self.config = config
        self.loaded = False  # weights that `initialize` leaves alone
        self.kind: WindowKind | None = None  # of a pass in training, one of most windows
        self.compiled: WindowKind | None = None  # those that go through compiled layers
        self.network = causal_network(json.loads(config))

    def start(self, weights: Fills, biases: Fills, generator: torch.Generator) -> frozenset[str]:
        """Vectors of tokens as GPT-2's; products by the recipe's scheme, those that end a layer
        smaller by the square root of their number (Radford and others, Language models are
        unsupervised multitask learners, 2019); norms keep their own start.
        """
        if self.loaded:
            return frozenset(name for name, _ in self.named_parameters())
        filled = set()
        layers = self.network.config.num_hidden_layers
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if "norm" in name:
                    filled.add(name)
                elif "embed_tokens" in name or "lm_head" in name:
                    parameter.normal_(std=VECTOR_START, generator=generator)
                    filled.add(name)
                elif name.endswith(("o_proj.weight", "down_proj.weight")):
                    weights.fill(parameter, generator)
                    parameter.div_(math.sqrt(2 * layers))
                    filled.add(name)
        return frozenset(filled)

    @property
    def compiled_saving(self) -> float:
        """Share of a step that compiled layers save, about: measured on an EPYC 9005 with two cores, 0.37 at width 128
        and 0.04 at 384, whose time is that of products.
        """
        return SAVED if self.network.config.hidden_size <= NARROW else 0.0

    @property
    def longest(self) -> int:
        """Places that it was made for."""
        return int(self.network.config.max_position_embeddings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """int64 [B, 3, T] → scores of the next token, [B, T, V]."""
        if self.training and torch.is_grad_enabled() and decoder_pass.can_read(self.network):
            seen = _several(x[:, TEXTS])
            kind = WindowKind(len(x), x.shape[-1], seen is not None)
            if (
                self.kind is None or kind.windows >= self.kind.windows
            ):  # the rest of a batch is smaller
                self.kind = kind
            compiled = kind == self.compiled
            return decoder_pass.scores(self.network, x[:, IDS], x[:, PLACES], seen, compiled)
        found = self.network(
            input_ids=x[:, IDS],
            position_ids=x[:, PLACES],
            attention_mask=_seen(x[:, TEXTS]),
            use_cache=False,
        )
        return found.logits  # type: ignore[no-any-return]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Name → float32 array, as the checkpoint's file has them: what is one and the same once. They
        are the network's own memory where they can be: it is not trained further.
        """
        found: dict[str, npt.NDArray[Any]] = {}
        for name, parameter in self.network.named_parameters():
            found[name] = parameter.detach().to(torch.float32).cpu().numpy()
        return found

    def load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> PackedNetwork:
        """Itself, with these weights, in evaluation."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(np.array(arrays[name])))
        self.loaded = True
        return self.eval()


def _several(texts: torch.Tensor) -> torch.Tensor | None:
    """As `_seen`; None where every window holds one text, whose tokens see all before them."""
    if not texts.is_meta and bool((texts == texts[:, :1]).all()):
        return None
    return _seen(texts)


def _seen(texts: torch.Tensor) -> torch.Tensor:
    """bool [B, 1, T, T]: which tokens each token sees. `texts`: int64 [B, T], their numbers."""
    length = texts.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=texts.device).tril()
    return ((texts[:, :, None] == texts[:, None, :]) & before).unsqueeze(1)


def token_losses(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """−ln of the probability of each target, [B, T], 0 where there is none."""
    whole = scores.float() if scores.dtype in HALF else scores
    found = nn.functional.cross_entropy(
        whole.flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return found.reshape(y.shape)


def check_extra() -> None:
    """What trains, packs and proves a language model is installed: told before a training, not behind it. Raises
    SystemFault.
    """
    for name in EXTRA:
        if importlib.util.find_spec(name) is None:
            raise SystemFault(
                "build, language", f"{name}, of the extra `language`", "none", INSTALL
            )


def _class(name: str) -> Any:
    """Raises SystemFault where transformers is not installed."""
    try:
        return getattr(importlib.import_module("transformers"), name)
    except ImportError:
        raise SystemFault(
            "build, language",
            "transformers, which puts networks together",
            "none",
            INSTALL,
        ) from None
