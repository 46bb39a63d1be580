"""Features that are no matrix: they stay on disk and are read where they are asked for, or are codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from sixfold.parts.table import IntArray


class StoredFeatures(ABC):
    """Rows of features, in a file of the run or as codes."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and features."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""

    @abstractmethod
    def __len__(self) -> int:
        """Rows."""

    @abstractmethod
    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""

    @abstractmethod
    def largest(self) -> float:
        """No feature is further from 0."""
