"""Four bits: GPTQ beside rounding to the nearest, on a model whose held-out loss has stopped falling.

Both keep the same matrices in the same blocks (32 weights of 4 bits with a scale in half precision;
vectors of tokens in 8 bits), so their files have the same bytes. What is compared, on held-out text:
Kullback and Leibler's divergence from the model in single precision, and how much higher the loss is
than that model's. GPTQ's calibration tokens are windows of training text.

The text ships with Python (the help topics of `pydoc`); SIXFOLD_BENCH_TEXT names another file, such as
tinyshakespeare. A figure is the share of rounding's damage that GPTQ undoes: 0 is rounding, 1 is the
model in single precision.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics
from typing import Any

import torch
from torch import nn

from bench.pairs import Result, need
from sixfold.compress.language.calibration import Distance, distance
from sixfold.compress.language.fewer_bits import FewerBits, Method, as_served, quantized

HELD_OUT = 0.1  # of the text, its end
CALIBRATION = 128  # windows of training text
STEPS = 100  # between two looks at the held-out loss
PATIENCE = 3  # looks without a lower loss, then a third of the rate; after RATES of them the end
RATES = 3
TARGET = 50.0  # hundredths of the damage


@dataclass(frozen=True)
class Setup:
    """A small Llama and how it is trained; `tokens`: of its byte-pair vocabulary."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 128
    tokens: int = 512
    batch: int = 16
    rate: float = 3e-3
    seed: int = 0

    def module(self) -> nn.Module:
        """With random weights."""
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(self.seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=self.tokens,
                hidden_size=self.width,
                intermediate_size=8 * self.width // 3 // 32 * 32,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.heads // 2,
                max_position_embeddings=self.context,
            )
        )


@dataclass(frozen=True)
class Corpus:
    """Windows [windows, context] of tokens."""

    training: torch.Tensor
    held_out: torch.Tensor

    @classmethod
    def of(cls, text: str, setup: Setup) -> Corpus:
        """Byte pairs are learned on the training part alone."""
        from tokenizers import ByteLevelBPETokenizer

        cut = int(len(text) * (1 - HELD_OUT))
        tokenizer: Any = ByteLevelBPETokenizer()
        tokenizer.train_from_iterator(
            [text[:cut]], vocab_size=setup.tokens, min_frequency=2, show_progress=False
        )
        parts = (torch.tensor(tokenizer.encode(part).ids) for part in (text[:cut], text[cut:]))
        return cls(
            *(p[: len(p) // setup.context * setup.context].view(-1, setup.context) for p in parts)
        )


def measure(rounds: int = 1) -> Iterator[Result]:
    """Two lines a seed: the divergence's, the loss's. `rounds`: seeds."""
    need("transformers", "tokenizers")
    named = os.environ.get("SIXFOLD_BENCH_TEXT")
    text = Path(named).read_text(encoding="utf-8") if named else "\n".join(topics.topics.values())
    name = Path(named).stem if named else "pydoc topics"
    for seed in range(rounds):
        setup = Setup(seed=seed)
        corpus = Corpus.of(text, setup)
        yield from compared(f"{name}, seed {seed}", trained(setup, corpus), corpus)


def compared(workload: str, module: nn.Module, corpus: Corpus) -> Iterator[Result]:
    """The two lines of a trained model."""
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(len(corpus.training), generator=generator)[:CALIBRATION]
    before = distance(module, module, corpus.held_out)
    nearest, ours = (
        of_method(module, method, corpus.training[some], corpus.held_out)
        for method in ("int4", "gptq")
    )
    quality = f"{before.tokens:,} held-out tokens, loss {before.loss:.4f} before"
    form = Result(workload, "round to nearest", peers=0.0, target=TARGET, rounds=1)
    for what, damage, left in (
        ("KL", nearest.divergence, ours.divergence),
        ("loss", nearest.loss - before.loss, ours.loss - before.loss),
    ):
        yield Result(
            workload=f"4 bits, {what}, {form.workload}",
            peer=form.peer,
            ours=1 - left / damage,
            peers=form.peers,
            unit=f"share of {what} recovered",
            quality=f"{damage:.5f} → {left:.5f} nats; {quality}",
            target=form.target,
            rounds=form.rounds,
        )


def of_method(
    module: nn.Module, method: Method, calibration: torch.Tensor, held_out: torch.Tensor
) -> Distance:
    """Of the weights as served from the model's own."""
    tensors = quantized(module, FewerBits(method), calibration)
    return distance(as_served(module, tensors), module, held_out)


def trained(setup: Setup, corpus: Corpus) -> nn.Module:
    """AdamW until the held-out loss has stopped falling, at the last rate, too; the best model."""
    module = setup.module()
    optimizer = torch.optim.AdamW(
        module.parameters(), setup.rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    generator = torch.Generator().manual_seed(setup.seed)
    least, best, unchanged, rates = torch.inf, copy.deepcopy(module), 0, 0
    while rates <= RATES:
        _steps(module, optimizer, corpus.training, generator)
        loss = distance(module.eval(), module, corpus.held_out).loss
        unchanged = 0 if loss < least - 1e-4 else unchanged + 1
        if loss < least:
            least, best = loss, copy.deepcopy(module)
        if unchanged >= PATIENCE:
            unchanged, rates = 0, rates + 1
            module.load_state_dict(best.state_dict())
            for group in optimizer.param_groups:
                group["lr"] /= 3
    return best.eval()


def _steps(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    windows: torch.Tensor,
    generator: torch.Generator,
) -> None:
    module.train()
    for _ in range(STEPS):
        rows = torch.randint(0, len(windows), (Setup.batch,), generator=generator)
        tokens = windows[rows]
        loss = module(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    for line in measure():
        print(line.workload, line.ratio, line.quality, flush=True)
