"""One row after the other through a session: its inputs and outputs are bound once, to memory of their own.

For a graph of 30 inputs `session.run` spends more time on looking at its arguments than on the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort


@dataclass(frozen=True)
class OneRow:
    """A session bound to `cells`, float64 [inputs, 1, 1]. For one thread at a time."""

    session: ort.InferenceSession
    binding: Any
    cells: npt.NDArray[np.float64]

    @classmethod
    def of(cls, session: ort.InferenceSession, inputs: Sequence[str], outputs: Sequence[str]) -> Self:
        """Bound to inputs that are doubles, all of them, and to outputs."""
        cells, binding = np.zeros((len(inputs), 1, 1)), session.io_binding()
        for name, cell in zip(inputs, cells, strict=True):
            binding.bind_input(name, "cpu", 0, np.float64, [1, 1], cell.ctypes.data)
        for name in outputs:
            binding.bind_output(name)
        return cls(session, binding, cells)

    def ask(self, numbers: npt.NDArray[np.float64]) -> list[npt.NDArray[Any]]:
        """[inputs] → the outputs, each [1, columns], in memory of their own: onnxruntime writes over its own next time.

        They are taken one by one: in onnxruntime 1.32 `copy_outputs_to_cpu` ends the process for strings.
        """
        self.cells[:, 0, 0] = numbers
        self.session.run_with_iobinding(self.binding)
        return [np.array(value.numpy()) for value in self.binding.get_outputs()]
