"""A call whose kernels a CUDA graph plays again: Python and the driver launch one thing instead of
dozens.

A step of a small network is some twenty-five kernels of a few microseconds, each of which takes
Python as long to ask for.

NVIDIA, CUDA C++ programming guide, CUDA graphs; torch.cuda.graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Call = Callable[..., torch.Tensor]
Recorder = Callable[[Callable[[], torch.Tensor]], tuple[torch.Tensor, Callable[[], None]]]
# Multiplications and additions of a step whose kernels take a GPU longer than Python takes to ask
# for them, so that a recording would save nothing: guessed, 25 launches of 5 µs on a GPU of 50
# TFLOP/s and twice that for doubt.
LONG = 1e10
WARM_UP = (
    3  # calls before the recording, in which libraries take their memory: as torch's notes have it
)


def recorder_of(device: torch.device, operations: float) -> Recorder | None:
    """How calls of so many operations are recorded on a device; None where that does not help."""
    return on_cuda if device.type == "cuda" and operations < LONG else None


def on_cuda(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
    """Where the result will lie, and what fills it. `call` may be called several times: it changes
    nothing but memory that the next call writes anew.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    return result, graph.replay


class Captured:
    """`call` with tensors of the shapes of `given`: the same as calling it, if it branches on no
    value, reads no value back and uses besides its arguments only memory that stays where it is.
    The result is overwritten by the next call.
    """

    def __init__(self, call: Call, given: Sequence[torch.Tensor], record: Recorder) -> None:
        self.inputs = [one.clone() for one in given]
        self.result, self.replay = record(lambda: call(*self.inputs))

    def __call__(self, *given: torch.Tensor) -> torch.Tensor:
        """What `call` returns, once the device has done it."""
        for held, one in zip(self.inputs, given, strict=True):
            held.copy_(one)
        self.replay()
        return self.result
