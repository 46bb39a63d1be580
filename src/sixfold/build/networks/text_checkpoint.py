"""A local checkpoint of a BERT kind, read from its folder: safetensors and JSON alone, no code and no pickle from it.

Mean pooling over the tokens: Reimers and Gurevych, Sentence-BERT, 2019. Low-rank adapters: Hu and others, LoRA, 2021.

Shape letters: B texts, L tokens, D width, K outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel

from sixfold.build.networks.text_encoder import MASKED, mean_over_tokens
from sixfold.core.errors import DataError, SystemFault

NEEDED: Final = ("config.json", "model.safetensors", "tokenizer.json")
KINDS: Final = frozenset({"bert", "distilbert", "roberta", "xlm-roberta", "mpnet", "electra", "camembert"})
ADAPTED: Final = ("query", "value", "q_lin", "v_lin", "q", "v")  # the products that LoRA's authors adapt


def read_checkpoint(folder: Path) -> nn.Module:
    """The encoder of a checkpoint. Raises DataError for a folder that is none, or of another kind."""
    missing = next((name for name in NEEDED if not (folder / name).is_file()), None)
    if missing is not None:
        raise DataError(
            str(folder),
            f"a checkpoint: {', '.join(NEEDED)}",
            f"no {missing}",
            "Save it with save_pretrained(folder, safe_serialization=True); files with pickle in them are not read.",
        )
    kind = _kind(folder / "config.json")
    if kind not in KINDS:
        raise DataError(
            str(folder / "config.json"),
            f"a model_type of {', '.join(sorted(KINDS))}",
            repr(kind),
            "Choose another one.",
        )
    try:
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SystemFault(str(folder), "a checkpoint that transformers can read", text, "Save it again.") from None
    return model.to(torch.float32).eval()  # type: ignore[no-any-return]


def _kind(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError):
        raise DataError(
            str(file), "the configuration of a model", "something else", "Save the checkpoint again."
        ) from None


class TextEmbedding(nn.Module):
    """A checkpoint's mean over its last layer's tokens, of length 1 where the checkpoint is one of sentence-transformers."""

    def __init__(self, encoder: nn.Module, unit_norm: bool) -> None:
        super().__init__()
        self.encoder, self.unit_norm = encoder, unit_norm

    def forward(self, tokens_BL: torch.Tensor, here_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] tokens, and 1 where there is one, 0 for padding → [B, D]."""
        here = here_BL.to(torch.float32)
        bias = ((1.0 - here) * MASKED)[
            :, None, None, :
        ]  # made here: transformers' own mask is exported as ten operators more
        states = self.encoder(input_ids=tokens_BL, attention_mask=bias).last_hidden_state
        mean = mean_over_tokens(states, here)
        return nn.functional.normalize(mean, dim=1) if self.unit_norm else mean


class LowRank(nn.Module):
    """W x + b + (α / r) B A x, of which A and B are learned; B is 0 at first, so that nothing is changed yet."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, inputs] → […, outputs]."""
        return self.linear(x) + self.scale * (x @ self.down.T) @ self.up.T  # type: ignore[no-any-return]

    def merged(self) -> nn.Linear:
        """The same as one product."""
        result = nn.Linear(self.linear.in_features, self.linear.out_features, bias=self.linear.bias is not None)
        with torch.no_grad():
            result.weight.copy_(self.linear.weight + self.scale * self.up @ self.down)
            if self.linear.bias is not None:
                result.bias.copy_(self.linear.bias)
        return result


def with_adapters(module: nn.Module, rank: int, alpha: float) -> nn.Module:
    """The module with adapters beside its attention's queries and values; everything else stays as it is.

    Raises DataError where there are none.
    """
    module.requires_grad_(False)
    found = [(parent, name, child) for parent, name, child in _children(module) if name in ADAPTED]
    linear = [(parent, name, child) for parent, name, child in found if isinstance(child, nn.Linear)]
    if not linear:
        raise DataError("lora", f"products called {', '.join(ADAPTED)}", "none", "Train the whole checkpoint instead.")
    for parent, name, child in linear:
        setattr(parent, name, LowRank(child, rank, alpha))
    return module


def without_adapters(module: nn.Module) -> nn.Module:
    """The module with each adapter merged into its product: as large and as fast as before."""
    for parent, name, child in list(_children(module)):
        if isinstance(child, LowRank):
            setattr(parent, name, child.merged())
    return module


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child
