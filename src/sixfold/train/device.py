"""Where networks train: the processor, or a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sixfold.build.family import GradientFamily
from sixfold.core.errors import FitError, RecipeError
from sixfold.train.candidate import Candidate

AHEAD = 16  # steps that Python may ask for before the first of them is done: guessed, enough to keep a GPU busy


def device_of(name: str) -> torch.device:
    """`name`: cpu, cuda. Raises RecipeError where this machine, or this torch, has no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        why = (
            "a torch that was built without CUDA" if torch.version.cuda is None else "no CUDA device that torch can use"
        )
        raise RecipeError(
            "budget.device",
            "a device of this machine (cpu)",
            f"cuda, and {why}",
            "Write `device: cpu`, or install the driver and a CUDA build of torch: `sixfold doctor` shows what is here.",
        )
    return torch.device(name)


def describe(name: str, candidates: Sequence[Candidate]) -> list[str]:
    """Who trains where, in a run that has a GPU; of a run without one there is nothing to say."""
    if name == "cpu":
        return []
    by_loop = [one.name for one in candidates if isinstance(one.family, GradientFamily)]
    others = [one.name for one in candidates if one.name not in by_loop]
    notes = [f"Device: {torch.cuda.get_device_name(device_of(name))} trains {', '.join(by_loop)}."] if by_loop else []
    idle = f"Device: the processor trains {', '.join(others)}: their solvers do not work on a GPU."
    return [*notes, *([idle] if others else [])]


def generator(device: torch.device, seed: int) -> torch.Generator:
    """Draws numbers where they are needed; a GPU's numbers are not the processor's."""
    return torch.Generator(device).manual_seed(seed)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Inside, a GPU that is full is an error of the recipe's. Raises FitError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FitError(
            "budget.device",
            "rows and networks that fit into the GPU's memory",
            str(error).split(". ")[0],
            "Lower train.batch_size, take fewer hidden units, or write `device: cpu`.",
        ) from error


class Pace:
    """Keeps Python at most AHEAD steps before the GPU, so that a deadline looked at between two steps means something."""

    def __init__(self, device: torch.device) -> None:
        self.waits = device.type == "cuda"
        self.asked: deque[torch.cuda.Event] = deque()

    def stepped(self) -> None:
        """After a step was asked for. A processor has done it by then."""
        if not self.waits:
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self.asked.append(event)
        if len(self.asked) > AHEAD:
            self.asked.popleft().synchronize()
