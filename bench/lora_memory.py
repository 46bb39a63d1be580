"""What fine-tuning a language model takes of memory: low-rank adapters beside all weights, and beside
peft with transformers' Trainer. Random weights, random tokens, equal model, rows and steps; the losses
have to agree.

Each way runs in a process of its own, which has imported the same libraries. Compared is by how much
its resident memory grew at the most, as the system saw it (`VmHWM`); what it took in all is said, too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.child import Answer, Child, child, serve
from bench.pairs import Absent, Result, need

WINDOW, BATCH, STEPS, RANK, VOCABULARY = 256, 4, 2, 8, 8_192
SENTENCES = ["The quick brown fox jumps over the lazy dog.", "Pack my box with jugs."]
TWICE = "lora, layers computed twice"
ADAPTERS = {"adapt": "lora", "rank": RANK}
OURS: dict[str, dict[str, Any]] = {
    "lora": ADAPTERS,
    "lora, int4 below": ADAPTERS | {"base": "int4"},
    TWICE: ADAPTERS,
    "whole": {},
}
ALIKE = 0.05  # nats between the mean losses: a few steps on random tokens learn nothing
LESS, NO_MORE = 1 / 0.45, 1.0
# Ours, how the peer is called, which way it is, and the target.
COMPARED: tuple[tuple[str, str, str, float], ...] = (
    ("lora", "all weights", "whole", LESS),
    ("lora", "all weights, Trainer", "Trainer", LESS),
    ("lora", "peft with Trainer", "peft", NO_MORE),
    ("lora, int4 below", "peft with Trainer", "peft", NO_MORE),
    (TWICE, "all weights, Trainer", "Trainer", LESS),
)


def measure(
    rounds: int = 1, sizes: tuple[str, ...] = ("small", "base"), **shape: int
) -> Iterator[Result]:
    """`sizes`: of `Settings`; `shape`: fields of config.json that are otherwise. `rounds`: the
    largest of so many is taken of each way.
    """
    ways = dict.fromkeys(way for ours, _, theirs, _ in COMPARED for way in (ours, theirs))
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                need("peft", "accelerate")
                told = _asked("written", folder, size=size, shape=shape)["parameters"]
                found = {way: _most(way, folder, rounds) for way in ways}
            except Absent as error:
                yield Result(f"{size}, LoRA", "peft with Trainer", absent=str(error))
                continue
        for ours, peer, theirs, target in COMPARED:
            form = Result(
                f"{told / 1e6:.0f}M, {ours}: growth of memory", peer, unit="B", target=target
            )
            yield replace(form, **_pair(found[ours], found[theirs]), rounds=rounds)


def _pair(mine: Answer, others: Answer) -> dict[str, Any]:
    apart = abs(mine["loss"] - others["loss"])
    assert apart <= ALIKE, f"losses {mine['loss']} and {others['loss']}"
    whole = f"{mine['peak'] / 1e6:,.0f} and {others['peak'] / 1e6:,.0f} MB in all"
    losses = f"losses {mine['loss']:.3f} and {others['loss']:.3f}"
    return {"ours": mine["grown"], "peers": others["grown"], "quality": f"{whole}; {losses}"}


def _most(way: str, folder: Path, rounds: int) -> Answer:
    return max((_asked(way, folder) for _ in range(rounds)), key=lambda one: one["grown"])


def _asked(way: str, folder: Path, **more: Any) -> Answer:
    asked: Child
    with child("bench.lora_memory") as asked:
        return asked.ask(way=way, folder=str(folder), **more)


def start() -> Callable[[Answer], Answer]:
    """In the child."""
    import peft  # noqa: F401  what is imported is no part of a fine-tuning
    from transformers import AutoModelForCausalLM, Trainer  # noqa: F401

    from sixfold.build.language import Settings  # noqa: F401

    def answer(question: Answer) -> Answer:
        way, folder = question["way"], Path(question["folder"])
        if way == "written":
            return {"parameters": write(folder, question["size"], question["shape"])}
        before = psutil.Process().memory_info().rss
        adapters = way == "peft"
        loss = ours(folder, way) if way in OURS else theirs(folder, adapters)
        peak = _peak()
        return {"loss": loss, "peak": peak, "grown": float(peak - before)}

    return answer


def _peak() -> int:
    """Bytes of this program alone: what `getrusage` says includes who started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def write(folder: Path, size: str, shape: dict[str, int]) -> int:
    """A checkpoint of random weights; how many."""
    from sixfold.build._language_shape import SIZES
    from sixfold.parts.language_model import LanguageModel
    from sixfold.parts.language_network import PackedNetwork
    from sixfold.parts.text_tokenizer import learned

    tokenizer = learned(SENTENCES, 512)
    fields = json.loads(SIZES[size].config(tokenizer)) | {"vocab_size": VOCABULARY} | shape
    network = PackedNetwork(json.dumps(fields))
    model = LanguageModel(json.dumps(fields), network.arrays(), tokenizer, WINDOW)
    for name, content in model.files().items():
        (folder / name).write_bytes(content)
    return sum(one.numel() for one in network.parameters())


def rows() -> np.ndarray[Any, Any]:
    """Tokens, a window a row."""
    shape = (BATCH * STEPS, WINDOW + 1)
    return np.random.default_rng(0).integers(4, VOCABULARY, shape).astype(np.int32)


def ours(folder: Path, way: str) -> float:
    """Through the family, as in a run; the mean loss."""
    from sixfold.build.language import Settings
    from sixfold.parts.fit import Fit, Setting
    from sixfold.parts.language_checkpoint import read_language
    from sixfold.parts.stored_tokens import StoredTokens
    from sixfold.recipe.schema import Train
    from sixfold.recipe.strategy import Strategy
    from sixfold.runs.context import Context

    path, losses = folder / "tokens", list[float]()
    rows().tofile(path)
    starts = np.arange(len(rows()) + 1) * (WINDOW + 1)
    tokenizer = read_language(folder).tokenizer
    x: Any = StoredTokens(path, starts, np.ones(len(rows())), np.arange(len(rows())), tokenizer)
    family = Settings(checkpoint=str(folder), context=WINDOW, **OURS[way])
    defaults = {**family.train_defaults.options, "epochs": 1, "batch_size": BATCH}
    setting = Setting(
        "language",
        family,
        train=Train.model_validate(defaults),
        strategy=Strategy(gradient_checkpointing=way == TWICE),
    )
    fit = Fit(x, np.zeros((len(x), 3)), "generation", 3, seed=0, setting=setting)

    def emit(kind: str, facts: dict[str, Any]) -> None:
        if kind == "epoch":
            losses.append(facts["loss"])

    list(family.fit([fit], Context(emit_to=emit)))
    return losses[-1]


def theirs(folder: Path, adapters: bool) -> float:
    """transformers' Trainer, with peft's adapters or without; the mean loss."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapters:
        model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear"))
    ids = [{"input_ids": torch.from_numpy(row.astype(np.int64))} for row in rows()[:, :-1]]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    data: Any = [{**row, "labels": row["input_ids"]} for row in ids]
    done = Trainer(model=model, args=arguments, train_dataset=data).train()
    if adapters:
        model = model.merge_and_unload()
    model.save_pretrained(folder / "out")
    return float(done.training_loss)


if __name__ == "__main__":
    serve(start)
