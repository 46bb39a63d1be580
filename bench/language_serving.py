"""Decoding through HTTP: `sixfold serve` of a llama of 30 million random weights, beside `generate` of transformers and
the runtime by hand.

1 and 8 requests at once of 64 tokens each, by the most probable ones, to prompts of 64 tokens that nobody has seen
before; f16, q8_0 and q4_0. All use the same two threads. Peers are asked in a process of their own, prompts as token
ids, so that nothing is tokenized. transformers has the numbers of the same blocks, in single precision. Before anything is
timed, the first tokens of all have to be the same; how many are is said, as what is nearly equal may turn either way.

Three rows more, where `.venv-language-serve` is there, an environment with the extra `language-serve` alone: from the
start of its command to the first answer, the bytes of all of its files once it has answered, and those with pip,
setuptools and every module's bytecode added, which `python -m venv` and `pip install` leave there by themselves.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import language_model
from bench.child import ROOT, Child, child
from bench.load import Connection, request
from bench.pairs import ROUNDS, Result, against
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.parts.gguf_blocks import BlockType

KINDS: tuple[BlockType, ...] = ("f16", "q8_0", "q4_0")
REQUESTS = (1, 8)
TOKENS, PROMPT, THREADS = 64, 64, 2
BY_TRANSFORMERS, BY_HAND, READY_S, INSTALLED_BYTES = 10.0, 0.9, 2.0, 450e6
ENVIRONMENT = ROOT / ".venv-language-serve"
Prompts = list[list[int]]


def measure(
    rounds: int = ROUNDS, layers: int = 8, width: int = 512, vocabulary: int = 4096
) -> Iterator[Result]:
    """Seconds of all requests at once."""
    files = language_model.checkpoint(layers, width, vocabulary)
    draw = random.Random(0)
    agree = partial(_agreement, LanguageTokens.of(files, "the checkpoint"))
    with tempfile.TemporaryDirectory() as name, _peers() as (by_hand, generate):
        folder = Path(name)
        for kind in KINDS:
            bundle = language_model.bundle(folder / kind, files, kind)
            if kind == KINDS[0]:
                yield from _environment(bundle, rounds)
            plain = language_model.as_served(folder / f"{kind}.plain", files, bundle)
            with _served(bundle) as port:
                ask = partial(_over_http, port)
                peers: list[tuple[str, Callable[[Prompts, int], Any], float]] = [
                    (
                        "OpenVINO GenAI by hand",
                        partial(_by_hand, by_hand, bundle / "model.gguf"),
                        BY_HAND,
                    ),
                    (
                        "transformers generate, f32",
                        partial(_by_hand, generate, plain),
                        BY_TRANSFORMERS,
                    ),
                ]
                for count in REQUESTS:
                    for peer, theirs, target in peers:
                        form = Result(
                            f"30M, {kind}, {count} request{'s' if count > 1 else ''}, {TOKENS} tokens",
                            peer,
                            target=target,
                        )
                        new = partial(_prompts, draw, count, vocabulary)
                        yield _timed(form, ask, theirs, new, agree, rounds)


def _timed(
    form: Result,
    ours: Callable[..., Any],
    theirs: Callable[[Prompts, int], Any],
    new: Callable[[], Prompts],
    agree: Callable[[Any, Any], str],
    rounds: int,
) -> Result:
    """Both on the same prompts, new ones in every round."""
    prompts = new()
    found = against(
        form,
        lambda: ours(prompts, TOKENS, told=True),
        lambda: theirs(prompts, TOKENS),
        agree,
        rounds=1,
    )
    if found.failed or found.absent:
        return found
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        prompts = new()
        for work, seen in ((ours, times[0]), (theirs, times[1])):
            started = time.perf_counter()
            work(prompts, TOKENS)
            seen.append(time.perf_counter() - started)
    mine, others = (sorted(seen)[len(seen) // 2] for seen in times)
    count = len(prompts)
    rates = f"{count * TOKENS / mine:,.0f} and {count * TOKENS / others:,.0f} tokens/s"
    return replace(
        found, ours=mine, peers=others, rounds=rounds, quality=f"{found.quality}; {rates}"
    )


def _agreement(tokens: LanguageTokens, mine: list[list[str]], others: list[list[int]]) -> str:
    """How many tokens at the start are the same; one at the least."""
    shared = []
    for texts, ids in zip(mine, others, strict=True):
        told = [tokens.token_bytes(place).decode(errors="replace") for place in ids]
        same = [a == b for a, b in zip(texts, told, strict=True)]
        shared.append((*same, False).index(False))
    assert min(shared) > 0, "the first tokens differ"
    return f"the first {min(shared)} tokens at least agree"


def _prompts(draw: random.Random, count: int, vocabulary: int) -> Prompts:
    return [[draw.randrange(1, vocabulary) for _ in range(PROMPT)] for _ in range(count)]


def _over_http(port: int, prompts: Prompts, tokens: int, told: bool = False) -> Any:
    """Each prompt on a connection of its own: a new one, as the server closes those that wait while
    the peers have their turn. `told`: returns the tokens of each answer, which are asked for.
    """
    connections = [Connection(port) for _ in prompts]
    for connection, ids in zip(connections, prompts, strict=True):
        body = {
            "model": language_model.NAME,
            "prompt": ids,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            **({"logprobs": 0} if told else {}),
        }
        content = json.dumps(body).encode()
        connection.send(request("/v1/completions", content))
    found = []
    for connection in connections:
        while not connection.receive():
            pass
        answer = json.loads(connection.received.partition(b"\r\n\r\n")[2])
        assert answer["usage"]["completion_tokens"] == tokens
        found.append(answer["choices"][0]["logprobs"]["tokens"] if told else [])
        connection.socket.close()
    return found


def _by_hand(peer: Child, path: Path, prompts: Prompts, tokens: int) -> Any:
    answer = peer.ask(path=str(path), prompts=prompts, tokens=tokens, threads=THREADS)
    return answer["ids"]


@contextmanager
def _peers() -> Iterator[tuple[Child, Child]]:
    with (
        child("bench.peers.genai_generate") as by_hand,
        child("bench.peers.transformers_generate") as generate,
    ):
        yield by_hand, generate


@contextmanager
def _served(bundle: Path, python: Path = Path(sys.executable)) -> Iterator[int]:
    """The server's port. Another environment's `python` has packages and bytecode of its own."""
    unset = () if python == Path(sys.executable) else ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    known = {name: value for name, value in os.environ.items() if name not in unset}
    code = (
        "from sixfold.serve.run import serve; import sys; "
        "serve(sys.argv[1], port=0, trust_recipe=True)"
    )
    with subprocess.Popen(
        [str(python), "-c", code, str(bundle)],
        stdout=subprocess.PIPE,
        text=True,
        env={**known, "OMP_NUM_THREADS": str(THREADS)},
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+) ", process.stdout.readline())
            assert found is not None
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _environment(bundle: Path, rounds: int) -> Iterator[Result]:
    """How fast a server is ready there, and what there is to keep for it."""
    ready = Result("30M, f16: start to first answer", "the limit", target=1.0, rounds=rounds)
    lean = Result("sixfold[language-serve], all it needs", "the limit", unit="B", target=1.0)
    usual = replace(lean, workload="the same by venv and pip, with both and all bytecode")
    if not ENVIRONMENT.is_dir():
        absent = f"no {ENVIRONMENT.name} here: `make {ENVIRONMENT.name}/.done` installs it"
        yield from (replace(form, absent=absent) for form in (ready, lean, usual))
        return
    times = []
    for _ in range(rounds + 1):  # the first writes the bytecode
        started = time.perf_counter()
        with _served(bundle, ENVIRONMENT / "bin" / "python") as port:
            _over_http(port, [[5]], 1)
            times.append(time.perf_counter() - started)
    yield replace(ready, ours=statistics.median(times[1:]), peers=READY_S)
    size = _bytes(ENVIRONMENT)
    yield replace(lean, ours=size, peers=INSTALLED_BYTES, rounds=1)
    yield replace(usual, ours=size + _left_by_pip(), peers=INSTALLED_BYTES, rounds=1)


def _left_by_pip() -> float:
    """Bytes of an empty environment's packages, and of the bytecode that is not there yet."""
    with tempfile.TemporaryDirectory() as name:
        empty, copy = Path(name) / "empty", Path(name) / "copy"
        subprocess.run([sys.executable, "-m", "venv", empty], check=True)
        shutil.copytree(ENVIRONMENT, copy, symlinks=True)
        before = _bytes(copy)
        python = ENVIRONMENT / "bin" / "python"
        subprocess.run([python, "-m", "compileall", "-q", copy / "lib"], stdout=subprocess.DEVNULL)
        return _bytes(empty / "lib") + _bytes(copy) - before


def _bytes(folder: Path) -> float:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return float(sum(path.stat().st_size for path in found))
