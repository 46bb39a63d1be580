"""OpenVINO GenAI generates: all requests in one batch that goes on token by token, in one thread.

Every request has its own seed and ends, and joins the batch at the next step. What a step raises leaves the pipeline
unusable (measured, 2026.4): it is opened again, and the requests in work are asked again from their start, without the
tokens that were delivered; they get the same ones, as draws depend on the seed alone.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
import openvino_genai

from sixfold.bundle.gguf_header import check_gguf
from sixfold.bundle.language.network_graph import NetworkGraph
from sixfold.bundle.language.requests import Deliver, Finish, GenerationRequest, Piece
from sixfold.bundle.language.vocabulary_model import vocabulary_tokenizer
from sixfold.core.errors import BundleError, RowError

BLOCK: Final = 32  # tokens of a block of the cache on a CPU
# Both default to less on machines that have it; answers would differ from those of the trained model.
EXACT: Final = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
FINISHES: Final[dict[Any, Finish | None]] = {
    openvino_genai.GenerationFinishReason.STOP: "stop",
    openvino_genai.GenerationFinishReason.LENGTH: "length",
}
# What exceptions of C++ become here.
FAULTS: Final = (RuntimeError, IndexError, ValueError, MemoryError)
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."


@dataclass(frozen=True)
class EngineLimits:
    """`sequences`: in a batch at most; `cached_tokens`: whose keys and values are kept; `threads`
    0: as many as there are cores.
    """

    sequences: int = 8
    cached_tokens: int = 8192
    threads: int = 0
    prefix_cache: bool = True


class Ticket:
    """A request in work."""

    def __init__(self, number: int, request: GenerationRequest, deliver: Deliver) -> None:
        self.number, self.request, self.deliver = number, request, deliver
        self.cancelled = False
        self.sent = 0  # tokens that were delivered

    def cancel(self) -> None:
        """No more of it is generated, nor delivered."""
        self.cancelled = True


class Engine:
    """The model of a GGUF file, ready to generate. Calls may come from several threads at once.

    `vocabulary`: the bytes of each token, b"" for one that stands for no text; without it no JSON Schema
    is followed. Its thread starts with the first request, and ends with `close`, with the object or with the
    process.
    """

    def __init__(self, path: Path, limits: EngineLimits, vocabulary: Sequence[bytes] = ()) -> None:
        self.limits = limits
        self._worker = _EngineWork(path, limits, vocabulary)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._end = weakref.finalize(self, _stop, self._worker)

    def submit(self, request: GenerationRequest, deliver: Deliver) -> Ticket:
        """Start it at the next step. `deliver` gets every piece in order, the last one has `last`;
        it is called by the engine's thread, and must not wait.
        """
        with self._lock:
            if not self._end.alive or self._worker.ended:
                raise RuntimeError("the engine was closed, or could not be opened again")
            self._count += 1
            ticket = Ticket(self._count, request, deliver)
            self._worker.inbox.put(ticket)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._worker.work, name="generation", daemon=True
                )
                self._worker.thread = self._thread
                self._thread.start()
        return ticket

    def complete(self, request: GenerationRequest) -> Piece:
        """The whole answer in one piece. Raises what the engine could not do."""
        pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self.submit(request, pieces.put)
        return gathered(iter(pieces.get, None))

    @property
    def generated(self) -> int:
        """Tokens since the start."""
        return self._worker.generated

    def close(self) -> None:
        """Requests in work are given up."""
        self._end()


def gathered(pieces: Iterable[Piece]) -> Piece:
    """All pieces up to the last one as one. Raises its error."""
    ids: list[int] = []
    logprobs: list[float] = []
    for piece in pieces:
        if piece.error is not None:
            raise piece.error
        ids += piece.ids
        logprobs += piece.logprobs
        if piece.last:
            return Piece(tuple(ids), tuple(logprobs), piece.finish)
    raise ValueError("pieces without a last one")


def _stop(worker: _EngineWork) -> None:
    worker.inbox.put(None)
    if worker.thread is not None and worker.thread is not threading.current_thread():
        worker.thread.join()


@dataclass
class _Running:
    """A ticket whose request is in the pipeline. `skip`: tokens that were delivered before the
    pipeline was opened again.
    """

    ticket: Ticket
    handle: Any
    skip: int


class _EngineWork:
    """What the thread does. It knows nothing of the Engine, which can go while it works."""

    def __init__(self, path: Path, limits: EngineLimits, vocabulary: Sequence[bytes]) -> None:
        self._path, self._limits, self._vocabulary = path, limits, vocabulary
        self.inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.generated = 0
        self.ended = False
        self._running: list[_Running] = []
        self._pipeline = self._opened()

    def work(self) -> None:
        """Until the end is asked for, or the model cannot be opened again."""
        try:
            while self._take_new():
                self._step()
        except Exception as error:
            self.ended = True
            self._fail(self._running, error)
            while not self.inbox.empty():
                if (ticket := self.inbox.get()) is not None:
                    ticket.deliver(Piece(error=error))
            raise  # for the log

    def _step(self) -> None:
        try:
            self._pipeline.step()
        except FAULTS as error:
            self._start_again(error)
            return
        self._running = [each for each in self._running if self._read(each)]

    def _take_new(self) -> bool:
        """Put what waits into the pipeline; wait where there is nothing to do. False: the end."""
        while True:
            idle = not self._running and not self._pipeline.has_non_finished_requests()
            try:
                ticket = self.inbox.get(block=idle)
            except queue.Empty:
                return True
            if ticket is None:
                for each in self._running:
                    each.handle.cancel()
                self._fail(self._running, RuntimeError("the engine was closed"))
                return False
            if not ticket.cancelled:
                self._add(ticket)

    def _add(self, ticket: Ticket) -> None:
        tokens = openvino.Tensor(np.array([ticket.request.prompt], dtype=np.int64))
        try:
            handle = self._pipeline.add_request(
                ticket.number, tokens, _generation_config(ticket.request)
            )
        except FAULTS as error:
            ticket.deliver(Piece(error=_refused(error)))
            return
        self._running.append(_Running(ticket, handle, ticket.sent))

    def _read(self, running: _Running) -> bool:
        """Deliver what the step gave. Whether more comes."""
        ticket, handle = running.ticket, running.handle
        if ticket.cancelled:
            handle.cancel()
            return False
        if handle.can_read():
            for output in handle.read().values():
                piece = self._piece(running, output)
                if piece.ids or piece.last:
                    ticket.deliver(piece)
                if piece.last:
                    return False
        if handle.get_status() == openvino_genai.GenerationStatus.IGNORED:
            found = f"{len(ticket.request.prompt):,} tokens"
            most = f"at most {self._limits.cached_tokens:,} tokens in the cache"
            error = RowError("the prompt", most, found, "Send a shorter one.")
            ticket.deliver(Piece(error=error))
            return False
        return True

    def _piece(self, running: _Running, output: Any) -> Piece:
        request = running.ticket.request
        ids, logprobs = list(output.generated_ids), list(output.generated_log_probs)
        self.generated += len(ids)
        skipped = min(running.skip, len(ids))
        running.skip -= skipped
        running.ticket.sent += len(ids) - skipped
        return Piece(
            tuple(ids[skipped:]),
            tuple(logprobs[skipped:]) if request.logprobs else (),
            FINISHES.get(output.finish_reason),
        )

    def _start_again(self, error: Exception) -> None:
        """Those that may have broken it have a schema and no token yet; where there is none, all
        that run.
        """
        running, self._running = self._running, []
        bad = [each for each in running if each.ticket.request.json_schema and not each.ticket.sent]
        self._fail(bad or running, _refused(error))
        self._pipeline = self._opened()
        for each in running if bad else ():
            if each not in bad:
                self._add(each.ticket)

    def _opened(self) -> Any:
        """The pipeline reads files, whose pages it keeps: they are written, opened and removed."""
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = -(-self._limits.cached_tokens // BLOCK)
        scheduler.max_num_seqs = self._limits.sequences
        scheduler.enable_prefix_caching = self._limits.prefix_cache
        properties: dict[str, Any] = dict(EXACT)
        if self._limits.threads:
            properties["INFERENCE_NUM_THREADS"] = self._limits.threads
        header = check_gguf(self._path, self._path.stat().st_size)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                graph = NetworkGraph(self._path, header)
                files = folder / "openvino_model.xml", folder / "openvino_model.bin"
                openvino.serialize(graph.generator(), *files)
                tokenizer = vocabulary_tokenizer(self._vocabulary, folder)
                return openvino_genai.ContinuousBatchingPipeline(
                    name, tokenizer, scheduler, "CPU", **properties
                )
            except FAULTS as error:
                expected = "a model that OpenVINO opens"
                raise BundleError(str(self._path), expected, _told(error), AGAIN) from None

    def _fail(self, some: list[_Running], error: Exception) -> None:
        for each in some:
            if not each.ticket.cancelled:
                each.ticket.deliver(Piece(error=error))


def _generation_config(request: GenerationRequest) -> Any:
    config, sampling = openvino_genai.GenerationConfig(), request.sampling
    config.apply_chat_template = False
    config.max_new_tokens = request.max_tokens
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature, config.top_p = sampling.temperature, sampling.top_p
        config.rng_seed = sampling.seed
        if sampling.top_k:
            config.top_k = sampling.top_k
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.ignore_eos = not request.end
    if request.end:
        config.stop_token_ids = set(request.end)
        config.eos_token_id = min(request.end)
    config.logprobs = int(request.logprobs)
    config.echo = request.echo
    if request.json_schema is not None:
        config.structured_output_config = openvino_genai.StructuredOutputConfig(
            json_schema=request.json_schema
        )
    return config


def _refused(error: Exception) -> RowError:
    remedy = "Change the request: its schema may use what the runtime does not know."
    return RowError("the request", "one that OpenVINO GenAI can answer", _told(error), remedy)


def _told(error: Exception) -> str:
    """The last line that says something, without the places of sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1].rpartition("Check failed: ")[2] if lines else "an error")[:200]
