"""Training a language model: our loop beside a plain PyTorch loop as nanoGPT's, in float32 and in bfloat16, and
transformers' Trainer.

All train the same Llama from scratch on the same windows of the same tokens, one epoch of AdamW with the
same rate, clipped; the losses on text that none has seen have to be alike, and are taken outside of the time.
Ours has `precision: auto` and `compile: auto`, whose trials are in the time. Two workloads: nanoGPT's recipe for a processor (4
layers, 4 heads, width 128, context 64, batch 12, characters), and 6 layers of width 384 with a context of 256.

The floor is that of the products forward, for weights and for inputs, and of half of attention's (a token
reads those before it), in bfloat16, or in single precision on a processor where that is quicker; the loop in
bfloat16 is left out there.

The text ships with Python (the help topics of `pydoc`); SIXFOLD_BENCH_TEXT names another file, such as
tinyshakespeare.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import floor
from bench.pairs import Result, against, need
from sixfold.build.candidate import Candidate, fits_of
from sixfold.parts import scratch
from sixfold.parts.fit import Fit
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, learned
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

TEXT = "SIXFOLD_BENCH_TEXT"
HELD_OUT = 100_000  # characters at the end
ALIKE = 0.05
RATE, DECAY, CLIP = 1e-3, 0.1, 1.0
WATCHED = 64  # windows of a loss
HALF, SLOWER = (
    "a plain loop in bfloat16",
    "this processor has no products in bfloat16: single precision is quicker",
)
TARGETS = {"a plain loop": 1.3, "transformers' Trainer": 2.0}  # none for bfloat16


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained on `characters` of the text."""

    name: str
    layers: int
    width: int
    heads: int
    context: int
    batch: int
    characters: int

    @property
    def options(self) -> dict[str, Any]:
        """Of the family `language`."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "kv_heads": self.heads,
            "context": self.context,
            "vocabulary": "bytes",
        }

    def floor_s(self, tokens: int, vocabulary: int) -> float:
        """Of an epoch: what the products need at the least."""
        mlp = _family(self).shape(0).mlp
        weights = self.layers * self.width * (4 * self.width + 3 * mlp) + self.width * vocabulary
        attention = 6 * self.layers * self.width * self.context
        precision = "bf16" if floor.quicker_half() else "f32"
        return floor.seconds(tokens * (6 * weights + attention), precision=precision)


SMALL = Workload("4 layers, width 128, context 64, batch 12", 4, 128, 4, 64, 12, 153_600)
LARGE = Workload("6 layers, width 384, context 256, batch 16", 6, 384, 6, 256, 16, 57_344)


def measure(
    rounds: int = 3, device: str = "cpu", alike: float = ALIKE, **smaller: int
) -> Iterator[Result]:
    """Seconds of an epoch. `device`: cpu, cuda. `alike`: nats of the mean loss of a token that ours may be above
    the peer's. `smaller`: fields of both workloads, otherwise.
    """
    file = os.environ.get(TEXT)
    text = Path(file).read_text() if file else "\n\n".join(topics.topics.values())
    with tempfile.TemporaryDirectory() as place, scratch.of_run(Path(place), None):
        for workload in (SMALL, LARGE):
            yield from _compared(replace(workload, **smaller), text, rounds, device, alike)


def _compared(
    workload: Workload, text: str, rounds: int, device: str, alike: float
) -> Iterator[Result]:
    trained, held_out = text[: workload.characters], text[-HELD_OUT:]
    tokenizer = learned([trained], LEAST_VOCABULARY, CHATML)
    tokens, unseen = (
        store([part], tokenizer, plain_rows(tokenizer)) for part in (trained, held_out)
    )
    peers: dict[str, Callable[..., nn.Module]] = {
        "a plain loop": _plain,
        HALF: partial(_plain, half=True),
        "transformers' Trainer": _trainer,
    }
    ids, context = _windows(tokens, workload.context), workload.context
    count = int(tokens.lengths.sum())

    def no_worse(mine: nn.Module, others: nn.Module) -> str:
        own, theirs = (_loss(one, unseen, context) for one in (mine, others))
        assert own <= theirs + alike, f"held-out loss: {own} is more than {alike} above {theirs}"
        return f"held-out loss {own:.4g}, {theirs:.4g}"

    on_cpu = device == "cpu"
    title = f"{workload.name}: {count:,} tokens{'' if on_cpu else ', on a GPU'}"
    for name, loop in peers.items():
        if name == HALF and on_cpu and not floor.quicker_half():
            yield Result(title, name, absent=SLOWER)
            continue
        form = Result(
            title,
            name,
            unit="s",
            target=TARGETS.get(name) if on_cpu else None,
            floor=workload.floor_s(count, tokenizer.vocabulary) if on_cpu else None,
        )
        yield against(
            form,
            lambda: _ours(workload, tokens, device),
            lambda loop=loop: loop(workload, ids, tokenizer.vocabulary, device),  # type: ignore[misc]
            no_worse,
            rounds,
        )


def _family(workload: Workload) -> Any:
    return FAMILY.load("language")(**workload.options)


def _ours(workload: Workload, tokens: StoredTokens, device: str) -> nn.Module:
    """Trained for one epoch."""
    optimizer = {"name": "adamw", "learning_rate": RATE, "beta2": 0.99, "weight_decay": DECAY}
    train = Train.model_validate(
        {
            "epochs": 1,
            "batch_size": workload.batch,
            "optimizer": optimizer,
            "clip": CLIP,
            "precision": "auto",
            "compile": "auto",
        }
    )
    family = _family(workload)
    one = Candidate("language", "language", family, Prepare(), Initialize(), train)
    fit = Fit(tokens, np.zeros(len(tokens)), "generation", 3)
    (fitted,) = family.fit(fits_of([one], [fit]), Context(device=device))
    return fitted.network().network  # type: ignore[no-any-return]


def _windows(tokens: StoredTokens, context: int) -> torch.Tensor:
    """int64 [windows, context + 1] of the ids, one after the other."""
    ids = np.asarray(tokens.opened(), dtype=np.int64)
    ids = np.where(ids < 0, ~ids, ids)
    count = (len(ids) - 1) // context
    return torch.from_numpy(
        np.stack([ids[first : first + context + 1] for first in range(0, count * context, context)])
    )


def _loss(network: nn.Module, unseen: StoredTokens, context: int) -> float:
    """The mean loss of a token, in windows that have nothing before them."""
    windows = _windows(unseen, context)[:WATCHED]
    network.eval()
    with torch.no_grad():
        inputs = windows[:, :-1]
        scores = network(input_ids=inputs, use_cache=False).logits
        return float(nn.functional.cross_entropy(scores.flatten(0, 1), windows[:, 1:].reshape(-1)))


def _network(workload: Workload, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=workload.width,
            intermediate_size=_family(workload).shape(0).mlp,
            num_hidden_layers=workload.layers,
            num_attention_heads=workload.heads,
            num_key_value_heads=workload.heads,
            max_position_embeddings=workload.context,
            tie_word_embeddings=True,
        )
    )


def _plain(
    workload: Workload, windows: torch.Tensor, vocabulary: int, device: str, half: bool = False
) -> nn.Module:
    """As nanoGPT's train.py: forward, backward, clip, step. `half`: under autocast."""
    network, windows = _network(workload, vocabulary).train().to(device), windows.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, betas=(0.9, 0.99), weight_decay=DECAY)
    for rows in torch.randperm(len(windows)).split(workload.batch):
        batch = windows[rows]
        with torch.autocast(device, torch.bfloat16, enabled=half):
            scores = network(input_ids=batch[:, :-1], use_cache=False).logits
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
    return network.cpu()


class _Windows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """What the Trainer reads: it shifts the labels itself."""

    def __init__(self, windows: torch.Tensor) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.windows[row], "labels": self.windows[row]}


def _trainer(workload: Workload, windows: torch.Tensor, vocabulary: int, device: str) -> nn.Module:
    need("transformers", "accelerate")
    from transformers import Trainer, TrainingArguments

    network = _network(workload, vocabulary)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=workload.batch,
            learning_rate=RATE,
            adam_beta2=0.99,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=device == "cpu",
        )
        Trainer(model=network, args=arguments, train_dataset=_Windows(windows)).train()
    return network.cpu()
