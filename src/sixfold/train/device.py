"""Where networks train: the processor, or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sixfold.core.errors import FitError, RecipeError


def device_of(name: str) -> torch.device:
    """`name`: cpu, cuda. Raises RecipeError where this machine, or this torch, has no such
    device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        why = (
            "a torch that was built without CUDA"
            if torch.version.cuda is None
            else "no CUDA device that torch can use"
        )
        raise RecipeError(
            "budget.device",
            "a device of this machine (cpu)",
            f"cuda, and {why}",
            "Write `device: cpu`, or install the driver and a CUDA build of torch: `sixfold doctor` shows what is here.",
        )
    return torch.device(name)


def describe(name: str, trained: Sequence[str], others: Sequence[str]) -> list[str]:
    """Who trains where, in a run that has a GPU: the names of the candidates that the device
    trains, and of those whose solvers know none. Of a run without one there is nothing to say.
    """
    if name == "cpu":
        return []
    notes = (
        [f"Device: {torch.cuda.get_device_name(device_of(name))} trains {', '.join(trained)}."]
        if trained
        else []
    )
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
