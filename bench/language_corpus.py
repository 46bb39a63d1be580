"""A corpus on its way to tokens: read, cleaned of what was said before, a tokenizer learned, tokens
written into a file. How fast, and in how much memory, beside a plain script with the same tokenizer
that holds all of it and looks for no near duplicates.

Each way works on each size in a process of its own, after a small corpus, so that what is imported
counts for neither. Memory is the peak of the process above what it held then, as the system saw it.
Texts are drawn words, one in nine is said twice. Both have to write the same ids.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from bench.pairs import Result, need
from sixfold.core.memory import MemoryLimit
from sixfold.data.load import load
from sixfold.parts.fit import DocumentNeeds, Needs
from sixfold.parts.stored_tokens import stored_tokens
from sixfold.parts.text_tokenizer import learned
from sixfold.prepare import preparer
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.schema import Data, Prepare

TIMES: Final = 4  # the larger corpus has so many times the smaller one's bytes
TARGET: Final = 0.67  # of memory: the larger corpus takes at most half as much again
WORDS, OF_TEXT, VOCABULARY = 20_000, 300, 1_024
SMALL: Final = 300_000  # bytes of the corpus that is worked on first
OURS, PLAIN = "ours", "a plain script in memory"
CLEAN: Final = {"denoise": {"duplicates": "drop"}}


def write(path: Path, size: int) -> None:
    """JSON lines."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(map(chr, rng.integers(97, 123, 2 + n % 9))) for n in range(WORDS)])
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            drawn = words[rng.integers(0, WORDS, (64, OF_TEXT))].tolist()
            texts = [" ".join(row) for row in drawn]
            file.writelines(json.dumps({"text": text}) + "\n" for text in [*texts, *texts[:8]])


def ours(path: Path) -> str:
    """As a run does it; SHA-256 of all ids."""
    section = Data(source=path.name)
    found = load(section, "generation", path.parent, MemoryLimit.of(None))
    needs = Needs(precision="float32", documents=DocumentNeeds(VOCABULARY))
    prepare = Prepare.model_validate(CLEAN)
    _, x, _ = preparer.fit(found.table, found.target, prepare, needs, 0, found.units)
    sha = hashlib.sha256()
    for ids in stored_tokens(x).texts():
        sha.update(np.where(ids < 0, ~ids, ids).data)
    return sha.hexdigest()


def plain(path: Path) -> str:
    """The same ids."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(json.loads(line)["text"] for line in lines))
    tokenizer = learned(texts, VOCABULARY, CHATML)
    start, end = tokenizer.start, tokenizer.end
    rows = [np.array([start, *ids, end], dtype=np.int32) for ids in tokenizer.encode(texts)]
    ids = np.concatenate(rows)
    ids.tofile(path.with_suffix(".ids"))
    return hashlib.sha256(ids.data).hexdigest()


def child(way: str, folder: Path, name: str) -> None:
    """One way, in this process."""
    work = ours if way == OURS else plain
    work(folder / "small.jsonl")
    held, started = psutil.Process().memory_info().rss, time.perf_counter()
    digest = work(folder / name)
    took_s = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    grown = max(1, int(peak[1] if peak else 0) * 1024 - held)
    print(json.dumps({"digest": digest, "seconds": took_s, "bytes": grown}))


def measure(rounds: int = 1, megabytes: int = 16) -> Iterator[Result]:
    """Seconds and bytes of the larger corpus beside the plain script's, and bytes beside the smaller
    corpus'. `megabytes`: of the smaller one.
    """
    need("tokenizers")
    sizes = {"once.jsonl": megabytes, "times.jsonl": TIMES * megabytes}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "small.jsonl", SMALL)
        for name, size in sizes.items():
            write(Path(folder) / name, size * 1_000_000)
        small, large = (_asked(OURS, folder, name, rounds) for name in sizes)
        other = _asked(PLAIN, folder, "times.jsonl", 1)
    assert large["digest"] == other["digest"], "other ids"
    same = "the same ids"
    name = f"{TIMES * megabytes} MB of JSON lines to tokens"
    yield Result(name, PLAIN, large["seconds"], other["seconds"], quality=same, rounds=rounds)
    yield Result(f"{name}: memory", PLAIN, large["bytes"], other["bytes"], "B", same, rounds=rounds)
    yield Result(
        f"{name}: memory",
        f"ours, {megabytes} MB",
        large["bytes"],
        small["bytes"],
        "B",
        "the same way",
        TARGET,
        rounds=rounds,
    )


def _asked(way: str, folder: str, name: str, rounds: int) -> dict[str, Any]:
    """Of `rounds` processes the one with the median of the seconds."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "bench.language_corpus", way, folder, name]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return sorted(found, key=lambda one: float(one["seconds"]))[rounds // 2]


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
