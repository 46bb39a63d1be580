"""Seconds of training until a language model's held-out loss is what tuned AdamW reaches with its budget.

tinyshakespeare (`SIXFOLD_BENCH_SHAKESPEARE` names the file), characters and byte-level pairs that are learned
from its training part; nanoGPT's network for a processor: 4 layers, 4 heads, width 128, context 64, batch 12.

The peer is a plain loop as nanoGPT's over the same windows of the same tokens through transformers' Llama of
the same shape: fused AdamW, warm-up, half a cosine down to a tenth, gradients clipped, for `STEPS` steps. Ours
is Sixfold's loop with what the family chooses where a recipe says nothing, for fewer steps. The target is the
highest of the losses at which the peer's five runs end, so that each of them reaches it; a run that does not
reach it takes forever, and the median of the five counts. The loss is looked at every `EVERY` steps, with the
clock stopped, on the same windows for both.

Tuned on other data and another seed than are measured: the text is 80% training, 10% tuning, 10% held out.
Both get eight runs or nine: the peer four learning rates on each vocabulary; ours four lengths on each, of which the
shortest that reaches the peer's best loss is taken, and two more rates on characters (the family's default is
the best of the three). `python -m bench.language_target` runs them; `TUNED` is what they found. Pairs of bytes
reached it with 0.7 by a hundredth, which one of five runs measured kept: the next length is taken.
"""

from __future__ import annotations

import gzip
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from bench.pairs import Result
from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.cores import cores
from sixfold.parts import scratch
from sixfold.parts.fit import Fit
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store
from sixfold.parts.table import IntArray
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, learned
from sixfold.parts.token_windows import IDS, IGNORED, PackedTexts, WindowBatch
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.choosing import chosen
from sixfold.train.loop import train
from sixfold.train.module import ModuleFit, ModuleLearner, RowBatch

TEXT: Final = "SIXFOLD_BENCH_SHAKESPEARE"
TARGET: Final = 1.5
SEEDS: Final = 5
TUNING_SEED: Final = 1_000
TRAINING, TUNING, TEST = slice(0, 8), slice(8, 9), slice(9, 10)  # tenths of the text
STEPS, EVERY = 800, 40  # of the peer; between two looks
WINDOWS, AT_ONCE = 256, 64  # that are looked at; together
RATES: Final = (0.0005, 0.001, 0.002, 0.004)  # of which the peer's is the best one
OWN_RATES: Final = (0.001, 0.002, 0.004)  # tried with the middle one of the shares
SHARES: Final = (0.5, 0.6, 0.7, 0.8)  # of the peer's steps, of which ours is the smallest that does
DECAY, BETAS, WARM, LOWEST, CLIP = 0.1, (0.9, 0.99), 0.05, 0.1, 1.0  # nanoGPT's


class Tuned(NamedTuple):
    """What the tuning found: the peer's learning rate, and our share of its steps."""

    rate: float
    share: float


TUNED: Final = {"characters": Tuned(0.002, 0.5), "pairs of bytes": Tuned(0.002, 0.8)}


@dataclass(frozen=True)
class Workload:
    """A network and the tokens that it learns; `vocabulary`: how many."""

    name: str
    vocabulary: int
    layers: int = 4
    width: int = 128
    heads: int = 4
    context: int = 64
    batch: int = 12

    @property
    def family(self) -> Any:
        """`language` of this shape."""
        return FAMILY.load("language")(
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            kv_heads=self.heads,
            context=self.context,
            vocabulary=self.vocabulary,
        )


WORKLOADS: Final = (Workload("characters", LEAST_VOCABULARY), Workload("pairs of bytes", 1_024))


class Texts(NamedTuple):
    """What is trained on, and windows of what is not: the loss is looked at there."""

    seen: StoredTokens
    unseen: WindowBatch


@dataclass
class Curve:
    """Seconds and the held-out loss at every look. The clock stands while it is looked."""

    every: int
    points: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    started: float = 0.0

    def start(self) -> None:
        """The clock runs."""
        self.started = time.perf_counter()

    def stepped(self, loss: Callable[[], float]) -> None:
        """A step was taken; look where it is time to."""
        self.steps += 1
        if self.steps % self.every == 0:
            self.seconds += time.perf_counter() - self.started
            self.points.append((self.seconds, loss()))
            self.start()

    @property
    def last(self) -> float:
        """The loss at the end."""
        return self.points[-1][1]

    def until(self, target: float) -> float:
        """Seconds until the loss was `target` or less; infinite where it never was."""
        return next((seconds for seconds, loss in self.points if loss <= target), math.inf)


def measure(
    rounds: int = SEEDS, steps: int = STEPS, every: int = EVERY, **smaller: int
) -> Iterator[Result]:
    """Seconds until the target, of both vocabularies. `smaller`: fields of both workloads, otherwise."""
    file = os.environ.get(TEXT)
    if not file:
        yield Result("tinyshakespeare", "all", absent=f"{TEXT} does not name tinyshakespeare.txt")
        return
    with tempfile.TemporaryDirectory() as place, scratch.of_run(Path(place), None):
        for workload in WORKLOADS:
            own = replace(workload, **smaller)
            yield _compared(own, _texts(own, Path(file), TEST), Length(steps, every), rounds)


class Length(NamedTuple):
    """Of a training."""

    steps: int
    every: int

    def times(self, share: float) -> Length:
        """A share of the steps; no part of a stretch between two looks."""
        return self._replace(steps=max(1, round(share * self.steps / self.every)) * self.every)


def _compared(workload: Workload, texts: Texts, length: Length, seeds: int) -> Result:
    tuned = Tuned(*TUNED[workload.name])
    own = length.times(tuned.share)
    short = length._replace(steps=length.every)
    _ours(workload, texts, 0, short)  # warm
    _peers(workload, texts, 0, short, tuned.rate)
    mine, others = list[Curve](), list[Curve]()
    for seed in range(seeds):
        mine.append(_ours(workload, texts, seed, own))
        others.append(_peers(workload, texts, seed, length, tuned.rate))
    target = max(curve.last for curve in others)
    ours, peers = ([curve.until(target) for curve in curves] for curves in (mine, others))
    reached = sum(map(math.isfinite, ours))
    form = Result(
        f"{workload.name}, until the held-out loss is {target:.3f}",
        f"AdamW, rate {tuned.rate:g}, cosine",
        target=TARGET,
        rounds=seeds,
    )
    if 2 * reached <= seeds:
        return replace(form, absent=f"failed: {reached} of our {seeds} runs got there", failed=True)
    quality = (
        f"{own.steps:,} steps of ours, {length.steps:,} of AdamW's; loss at the end, mean "
        f"{statistics.fmean(curve.last for curve in mine):.3f}, "
        f"{statistics.fmean(curve.last for curve in others):.3f}; reached by {reached} of {seeds}"
    )
    medians = [statistics.median(times) for times in (ours, peers)]
    return replace(form, ours=medians[0], peers=medians[1], quality=quality)


def _texts(workload: Workload, file: Path, part: slice) -> Texts:
    """`part`: of tenths of the text, that which is held out."""
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()
    tenth = len(text) // 10
    seen, unseen = (text[tenth * one.start : tenth * one.stop] for one in (TRAINING, part))
    tokenizer = learned([seen], workload.vocabulary, CHATML)
    known, other = (store([one], tokenizer, plain_rows(tokenizer)) for one in (seen, unseen))
    windows = PackedTexts(other, workload.context)
    looked_at = np.linspace(0, len(windows) - 1, min(len(windows), WINDOWS)).astype(np.int64)
    return Texts(known, windows.read(looked_at, None))


def _loss(network: Any, windows: WindowBatch) -> float:
    """The mean of a token, with nothing before each window."""
    network.eval()
    with torch.no_grad():
        sums = [
            nn.functional.cross_entropy(
                network(input_ids=x[:, IDS], use_cache=False).logits.flatten(0, 1),
                y.flatten(),
                reduction="sum",
            )
            for x, y in zip(windows.x.split(AT_ONCE), windows.y.split(AT_ONCE), strict=True)
        ]
    return float(sum(sums)) / int((windows.y != IGNORED).sum())


def _drawn(windows: int, workload: Workload, length: Length, seed: int) -> IntArray:
    """Windows of every step: all of them in an order of their own, again and again."""
    draw, wanted = np.random.default_rng(seed), length.steps * workload.batch
    orders = [draw.permutation(windows) for _ in range(-(-wanted // windows))]
    return np.concatenate(orders)[:wanted].astype(np.int64)


@dataclass(frozen=True)
class DrawnWindows:
    """Some windows, in some order, some twice: an `ExampleReader`."""

    windows: PackedTexts
    order: IntArray

    def __len__(self) -> int:
        return len(self.order)

    def read(self, rows: IntArray, draw: torch.Generator | None) -> WindowBatch:
        """As in `ExampleReader`."""
        return self.windows.read(self.order[rows], draw)


class LookedAt(ModuleLearner):
    """Our learner, which is looked at between its steps."""

    def __init__(self, fit: ModuleFit, curve: Curve, unseen: WindowBatch) -> None:
        super().__init__(fit)
        self.curve, self.unseen = curve, unseen

    def step(self, batch: RowBatch) -> None:
        """And the clock stands while it is looked."""
        super().step(batch)
        self.curve.stepped(lambda: _loss(self.module.network, self.unseen))


def _ours(
    workload: Workload, texts: Texts, seed: int, length: Length, rate: float | None = None
) -> Curve:
    """What the family chooses where a recipe says nothing; one epoch of the windows that are drawn.
    `rate`: another one than its own.
    """
    family, curve = workload.family, Curve(length.every)
    options = {**family.train_defaults.options, "batch_size": workload.batch, "epochs": 1}
    if rate is not None:
        options["optimizer"] = {**options["optimizer"], "learning_rate": rate}
    settings = (Prepare(), Initialize(seed=seed), Train.model_validate(options))
    one = Candidate("language", "language", family, *settings)
    fit = Fit(texts.seen, np.zeros(len(texts.seen)), "generation", 3)
    fits = chosen(fits_of([one], [fit]), family.fit_shape, Context())
    work = family.work_of(fits[0], Context())
    windows = PackedTexts(texts.seen, workload.context)
    drawn = DrawnWindows(windows, _drawn(len(windows), workload, length, seed))
    learner = LookedAt(replace(work, examples=drawn, workers=cores()), curve, texts.unseen)
    with closing(learner):
        curve.start()
        train(learner)
    return curve


def _peers(workload: Workload, texts: Texts, seed: int, length: Length, rate: float) -> Curve:
    """As nanoGPT's train.py on a processor, with the optimizer's fused kernel."""
    curve, shape = Curve(length.every), workload.family.shape(0)
    torch.manual_seed(seed)
    network: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=texts.seen.tokenizer.vocabulary,
            hidden_size=workload.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=workload.layers,
            num_attention_heads=workload.heads,
            num_key_value_heads=workload.heads,
            max_position_embeddings=workload.context,
            tie_word_embeddings=True,
        )
    )
    optimizer = torch.optim.AdamW(
        network.parameters(), rate, betas=BETAS, weight_decay=DECAY, fused=True
    )
    windows = PackedTexts(texts.seen, workload.context)
    every_x, every_y = windows.read(np.arange(len(windows)), None)
    batches = torch.from_numpy(_drawn(len(windows), workload, length, seed)).split(workload.batch)
    ids, targets = every_x[:, IDS].contiguous(), every_y
    curve.start()
    for step, rows in enumerate(batches):
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = rate * _factor(step, length.steps)
        scores = network(input_ids=ids[rows], use_cache=False).logits
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), targets[rows].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        curve.stepped(lambda: _loss(network, texts.unseen))
    return curve


def _factor(step: int, steps: int) -> float:
    """A rise, then half a cosine."""
    warm = math.ceil(WARM * steps)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * done))


def main() -> None:
    """The tuning: the loss at the end of each run, and the seconds that it took."""
    length = Length(STEPS, EVERY)
    with tempfile.TemporaryDirectory() as place, scratch.of_run(Path(place), None):
        for workload in WORKLOADS:
            texts = _texts(workload, Path(os.environ[TEXT]), TUNING)
            default = workload.family.train_defaults.options["optimizer"]["learning_rate"]
            rates = OWN_RATES if workload is WORKLOADS[0] else (default,)
            for rate in RATES:
                _told(
                    workload, f"AdamW {rate:g}", _peers(workload, texts, TUNING_SEED, length, rate)
                )
            for share in SHARES:
                for rate in rates if share == SHARES[1] else (default,):
                    curve = _ours(workload, texts, TUNING_SEED, length.times(share), rate)
                    _told(workload, f"ours {rate:g}, {share:g} of the steps", curve)


def _told(workload: Workload, what: str, curve: Curve) -> None:
    print(f"{workload.name}, {what}: {curve.last:.4f}, {curve.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
