"""Whisper: an encoder of log-mel spectrograms, and a decoder that writes tokens one after the other
(Radford and others, Robust speech recognition via large-scale weak supervision, 2022). Its parameters are
called as those of transformers, so that a checkpoint's are its own.
"""

# Letters: B rows, M bands, T frames, P positions of the encoder, N tokens, R rounds of the decoder,
# H heads, E numbers of a head, D width, V tokens of the vocabulary.
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.whisper_checkpoint import StackShape, WhisperShape
from sixfold.train.adapters.adapt import start_adapters
from sixfold.train.network import Scheme

NEVER: Final = -1e30  # added to a score whose token, or place, is left out


class Attended(NamedTuple):
    """What attention looks at, by heads: keys [B, H, E, places] and values [B, H, places, E]."""

    keys: torch.Tensor
    values: torch.Tensor


class WhisperAttention(nn.Module):
    """Scaled products by `heads`; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def attended(self, x_BND: torch.Tensor) -> Attended:
        """What these vectors are to be looked at by."""
        keys, values = self._by_heads(self.k_proj(x_BND)), self._by_heads(self.v_proj(x_BND))
        return Attended(keys.transpose(2, 3), values)

    def forward(
        self, x_BND: torch.Tensor, at: Attended, hidden: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, N, D]. `hidden`: added to the scores [B, H, N, places]."""
        width = x_BND.shape[-1]
        queries = self._by_heads(self.q_proj(x_BND) * math.sqrt(self.heads / width))
        scores = torch.matmul(queries, at.keys)
        shares = functional.softmax(scores if hidden is None else scores.add(hidden), dim=-1)
        mixed = torch.matmul(shares, at.values).transpose(1, 2)
        return self.out_proj(mixed.reshape(-1, mixed.shape[1], width))  # type: ignore[no-any-return]

    def _by_heads(self, x_BND: torch.Tensor) -> torch.Tensor:
        places, width = x_BND.shape[1:]
        split = x_BND.reshape(-1, places, self.heads, width // self.heads)
        return split.transpose(1, 2)


class WhisperEncoderLayer(nn.Module):
    """Norms first."""

    def __init__(self, width: int, stack: StackShape) -> None:
        super().__init__()
        self.self_attn = WhisperAttention(width, stack.heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, stack.inner)
        self.fc2 = nn.Linear(stack.inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x_BPD: torch.Tensor) -> torch.Tensor:
        """[B, P, D]"""
        normed = self.self_attn_layer_norm(x_BPD)
        x_BPD = x_BPD.add(self.self_attn(normed, self.self_attn.attended(normed)))
        return x_BPD.add(self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x_BPD)))))


class WhisperDecoderLayer(nn.Module):
    """Looks at what was written, then at what was heard."""

    def __init__(self, width: int, stack: StackShape) -> None:
        super().__init__()
        self.self_attn = WhisperAttention(width, stack.heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = WhisperAttention(width, stack.heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, stack.inner)
        self.fc2 = nn.Linear(stack.inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        x_BND: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        hidden: torch.Tensor,
        written: Attended | None = None,
    ) -> torch.Tensor:
        """[B, N, D]. `keys`, `values`: of what was heard, each by itself, as a block that is computed twice
        follows tensors alone; `written`: None for these vectors themselves.
        """
        normed = self.self_attn_layer_norm(x_BND)
        at = self.self_attn.attended(normed) if written is None else written
        x_BND = x_BND.add(self.self_attn(normed, at, hidden))
        heard = self.encoder_attn_layer_norm(x_BND)
        x_BND = x_BND.add(self.encoder_attn(heard, Attended(keys, values)))
        return x_BND.add(self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x_BND)))))


class WhisperEncoder(nn.Module):
    """Spectrograms → vectors. Its vectors of places are sines, and are not learned."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        width = shape.width
        self.conv1 = nn.Conv1d(shape.bands, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(shape.positions, width)
        self.layers = nn.ModuleList(
            WhisperEncoderLayer(width, shape.encoder) for _ in range(shape.encoder.layers)
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x_BMT: torch.Tensor) -> torch.Tensor:
        """[B, M, T] → [B, P, D]"""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(x_BMT))))
        x = x.transpose(1, 2).add(self.embed_positions.weight)
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)  # type: ignore[no-any-return]


class WhisperDecoder(nn.Module):
    """Tokens → scores of the ones that follow, by the table of tokens."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.embed_positions = nn.Embedding(shape.most_tokens, shape.width)
        self.layers = nn.ModuleList(
            WhisperDecoderLayer(shape.width, shape.decoder) for _ in range(shape.decoder.layers)
        )
        self.layer_norm = nn.LayerNorm(shape.width)

    def heard(self, x_BPD: torch.Tensor) -> list[Attended]:
        """What each layer looks at of a recording."""
        return [layer.encoder_attn.attended(x_BPD) for layer in self.layers]  # type: ignore[union-attr, operator]

    def forward(self, tokens_BN: torch.Tensor, x_BPD: torch.Tensor) -> torch.Tensor:
        """Of all places at once, each of which sees those before it: [B, N, V]."""
        count = tokens_BN.shape[1]
        x = functional.embedding(tokens_BN, self.embed_tokens.weight)
        x = x.add(self.embed_positions.weight[:count])
        hidden = torch.full((count, count), NEVER, dtype=x.dtype, device=x.device).triu(1)
        for layer, heard in zip(self.layers, self.heard(x_BPD), strict=True):
            x = layer(x, *heard, hidden)
        return functional.linear(self.layer_norm(x), self.embed_tokens.weight)

    def step(
        self,
        token_B1: torch.Tensor,
        place_1: torch.Tensor,
        heard: Sequence[Attended],
        written: Sequence[Attended],
    ) -> tuple[torch.Tensor, list[Attended]]:
        """Of the token at one place: scores [B, V], and what is written with it. `written`: R places, of
        which those from this one on are empty.
        """
        x = functional.embedding(token_B1, self.embed_tokens.weight)
        x = x.add(functional.embedding(place_1, self.embed_positions.weight))
        steps_R = torch.arange(written[0].values.shape[2])
        here_R, after_R = steps_R.eq(place_1), torch.maximum(steps_R, place_1).ne(place_1)
        hidden_R = after_R.to(x.dtype).mul(NEVER)
        now = []
        for layer, heard_here, before in zip(self.layers, heard, written, strict=True):
            own = layer.self_attn.attended(layer.self_attn_layer_norm(x))  # type: ignore[union-attr, operator]
            keys = torch.where(here_R, own.keys, before.keys)
            values = torch.where(here_R[:, None], own.values, before.values)
            now.append(Attended(keys, values))
            x = layer(x, *heard_here, hidden_R, now[-1])
        # The table before the vectors: it is stored once.
        last = self.layer_norm(x).transpose(1, 2)
        return torch.matmul(self.embed_tokens.weight, last).flatten(1), now


class Whisper(nn.Module):
    """A spectrogram, with the tokens that are given behind it → scores of the tokens that follow."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder, self.decoder = WhisperEncoder(shape), WhisperDecoder(shape)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Adapters are filled as in their paper; all else stays as the checkpoint brought it."""
        start_adapters(self, generator)
        return frozenset(name for name, _ in self.named_parameters())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, M · T + N] → [B, N, V]"""
        bands, frames = self.shape.bands, self.shape.frames
        heard = self.encoder(x[:, : bands * frames].reshape(-1, bands, frames))
        return self.decoder(x[:, bands * frames :].long(), heard)  # type: ignore[no-any-return]
