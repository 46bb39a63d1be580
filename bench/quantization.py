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
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.pairs import Result, need
from sixfold.compress.language.calibration import distance
from sixfold.compress.language.fewer_bits import FewerBits, Method, quantized
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork, token_losses
from sixfold.parts.text_tokenizer import TextTokenizer, learned
from sixfold.parts.token_windows import WindowBatch

HELD_OUT = 0.1  # of the text, its end
CALIBRATION = 32_768  # tokens of training text
STEPS = 100  # between two looks at the held-out loss
BATCH, RATE = 16, 3e-3  # windows of a step
PATIENCE = 3  # looks without a lower loss, then a third of the rate; after RATES of them the end
RATES = 3
TARGET = 50.0  # hundredths of the damage
METHODS: tuple[Method, ...] = ("int4", "gptq")
Damages = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """A small Llama and how it is trained; `tokens`: of its byte-pair vocabulary."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    context: int = 64
    tokens: int = 384
    seed: int = 0

    def config(self, tokenizer: TextTokenizer) -> str:
        """The text of config.json."""
        return json.dumps(
            {
                "model_type": "llama",
                "vocab_size": tokenizer.vocabulary,
                "hidden_size": self.width,
                "intermediate_size": 8 * self.width // 3 // 32 * 32,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": max(1, self.heads // 2),
                "max_position_embeddings": self.context,
                "tie_word_embeddings": False,
            }
        )


@dataclass(frozen=True)
class Corpus:
    """Windows of training text, and of the text held out; byte pairs are learned on the former."""

    tokenizer: TextTokenizer
    training: WindowBatch
    held_out: WindowBatch

    @classmethod
    def of(cls, text: str, setup: Setup) -> Corpus:
        """The last tenth is held out."""
        cut = int(len(text) * (1 - HELD_OUT))
        parts = text[:cut], text[cut:]
        tokenizer = learned(parts[0].splitlines(keepends=True), setup.tokens)
        ids = (np.array(tokenizer.encode([part])[0]) for part in parts)
        return cls(tokenizer, *(_windows(some, setup.context) for some in ids))


def _windows(ids: npt.NDArray[np.int64], context: int) -> WindowBatch:
    """One text, cut."""
    count = (len(ids) - 1) // context
    x = np.zeros((count, 3, context), dtype=np.int64)
    x[:, 0] = ids[: count * context].reshape(count, context)
    x[:, 1] = np.arange(context)
    y = ids[1 : count * context + 1].reshape(count, context)
    return WindowBatch(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)))


def measure(
    rounds: int = 1,
    characters: int | None = None,
    widths: Sequence[int] = (64, 128),
    **sizes: int,
) -> Iterator[Result]:
    """Two lines a width and seed: the divergence's, the loss's. `rounds`: seeds; `characters`: of the
    text, all where left out; `sizes`: of `Setup`.
    """
    need("transformers", "tokenizers")
    named = os.environ.get("SIXFOLD_BENCH_TEXT")
    text = Path(named).read_text(encoding="utf-8") if named else "\n".join(topics.topics.values())
    name = Path(named).stem if named else "pydoc topics"
    for width, seed in itertools.product(widths, range(rounds)):
        setup = Setup(width=width, seed=seed, **sizes)
        corpus = Corpus.of(text[:characters], setup)
        yield from compared(f"{name}, width {width}, seed {seed}", trained(setup, corpus), corpus)


def compared(workload: str, model: LanguageModel, corpus: Corpus) -> Iterator[Result]:
    """The two lines of a trained model."""
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(len(corpus.training.y), generator=generator)
    some = some[: max(1, CALIBRATION // model.context)]
    calibration = WindowBatch(*(part[some] for part in corpus.training))
    network = model.network()
    before = damages(network, network, corpus.held_out)
    nearest, ours = (
        damages(
            quantized(model, FewerBits(method), calibration).network(), network, corpus.held_out
        )
        - before
        for method in METHODS
    )
    quality = (
        f"{corpus.held_out.y.numel():,} held-out tokens, loss {before[:, 1].mean():.4f} before"
    )
    for what, damage, left in zip(("KL", "loss"), nearest.T, ours.T, strict=True):
        low, high = likely(damage, left)
        yield Result(
            workload=f"4 bits, {what}, {workload}",
            peer="round to nearest",
            ours=float(1 - left.mean() / damage.mean()),
            peers=0.0,
            unit=f"share of {what} recovered",
            quality=f"{damage.mean():.5f} → {left.mean():.5f} nats, a share of {low:.2f} to {high:.2f} where other "
            f"windows had been held out; {quality}",
            target=TARGET,
            rounds=1,
        )


def damages(network: PackedNetwork, whole: PackedNetwork, held_out: WindowBatch) -> Damages:
    """[windows, 2] of each: divergence from `whole`, and loss."""
    rows = []
    for window in range(len(held_out.y)):
        one = distance(network, whole, WindowBatch(*(part[window, None] for part in held_out)))
        rows.append((one.divergence, one.loss))
    return np.array(rows)


def likely(damage: Damages, left: Damages) -> tuple[float, float]:
    """The middle nine tenths of the share that is recovered, windows drawn again (Efron's bootstrap)."""
    draw = np.random.default_rng(0)
    rows = draw.integers(len(damage), size=(1_000, len(damage)))
    shares = 1 - left[rows].mean(axis=1) / damage[rows].mean(axis=1)
    low, high = np.quantile(shares, (0.05, 0.95))
    return float(low), float(high)


def trained(setup: Setup, corpus: Corpus) -> LanguageModel:
    """AdamW until the held-out loss has stopped falling, at the last rate, too; the best model."""
    torch.manual_seed(setup.seed)
    config = setup.config(corpus.tokenizer)
    network = PackedNetwork(config)
    optimizer = torch.optim.AdamW(
        network.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    generator = torch.Generator().manual_seed(setup.seed)
    least, best, unchanged, rates = float("inf"), copy.deepcopy(network), 0, 0
    while rates <= RATES:
        _steps(network, optimizer, corpus.training, generator)
        loss = distance(network.eval(), network, corpus.held_out).loss
        unchanged = 0 if loss < least - 1e-4 else unchanged + 1
        if loss < least:
            least, best = loss, copy.deepcopy(network)
        if unchanged >= PATIENCE:
            unchanged, rates = 0, rates + 1
            network.load_state_dict(best.state_dict())
            for group in optimizer.param_groups:
                group["lr"] /= 3
    return LanguageModel(config, best.arrays(), corpus.tokenizer, setup.context)


def _steps(
    network: PackedNetwork,
    optimizer: torch.optim.Optimizer,
    windows: WindowBatch,
    generator: torch.Generator,
) -> None:
    network.train()
    for _ in range(STEPS):
        rows = torch.randint(0, len(windows.y), (BATCH,), generator=generator)
        token_losses(network(windows.x[rows]), windows.y[rows]).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    for line in measure():
        print(line.workload, line.ratio, line.quality, flush=True)
