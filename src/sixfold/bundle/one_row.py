"""One row after the other through a session: its input and outputs are bound once, to memory of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sixfold.recipe.signature import NUMBERS


@dataclass(frozen=True)
class OneRow:
    """A session bound to `cells`, float64 [1, columns]. For one thread at a time."""

    session: ort.InferenceSession
    binding: Any
    cells: npt.NDArray[np.float64]

    @classmethod
    def of(cls, session: ort.InferenceSession, columns: int, outputs: Sequence[str]) -> Self:
        """Bound to the graph's one input, of so many numbers, and to outputs."""
        cells, binding = np.zeros((1, columns)), session.io_binding()
        binding.bind_input(NUMBERS, "cpu", 0, np.float64, [1, columns], cells.ctypes.data)
        for name in outputs:
            binding.bind_output(name)
        return cls(session, binding, cells)

    def ask(self, numbers: npt.NDArray[np.float64]) -> list[npt.NDArray[Any]]:
        """[columns] → the outputs, each [1, columns], in memory of their own: onnxruntime writes
        over its own next time.

        They are taken one by one: in onnxruntime 1.32 `copy_outputs_to_cpu` ends the process for
        strings.
        """
        self.cells[0] = numbers
        self.session.run_with_iobinding(self.binding)
        return [np.array(value.numpy()) for value in self.binding.get_outputs()]
