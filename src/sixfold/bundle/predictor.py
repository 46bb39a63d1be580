"""From raw rows to answers: front end, runtime, predictions. What a bundle, the server and the
parity check share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.file_values import file_columns
from sixfold.bundle.frontend import Extra, Feeds, FrontEnd, RawRows
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.runtime import Outputs, PlainRows, ReadsFiles, Runtime
from sixfold.bundle.unfamiliar import Known
from sixfold.core.errors import BundleError
from sixfold.recipe.signature import NAMED, NUMBERS, Signature

SLOW: Final = "A model of Sixfold takes less: copy the bundle again from where it was made."


class Predictor:
    """A runtime and the front end that feeds it. Calls may come from several threads at once."""

    def __init__(self, runtime: Runtime, signature: Signature, where: str) -> None:
        self.runtime, self.signature, self._where = runtime, signature, where
        self.front_end, self.file_columns = FrontEnd(signature), file_columns(signature)
        self.known = Known(signature)
        self._predict_plain = runtime.predict_plain if isinstance(runtime, PlainRows) else None
        self._end_s = math.inf  # of processor time of this process

    def predict(self, rows: RawRows, extra: Extra = "ignore") -> Predictions:
        """Answers for raw rows. Raises RowError with the row and the column that do not fit.

        `extra`: what becomes of columns that the signature does not have.
        """
        if self._predict_plain is not None:
            numbers = self.front_end.plain_row(rows, extra)
            if numbers is not None:
                return self._answered(self._predict_plain(numbers), {NUMBERS: numbers[None]})
        return self.run(self.front_end.feeds(rows, extra))

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside, answers take at most so much processor time, and one call of the runtime more.
        Raises BundleError.
        """
        self._end_s = time.process_time() + seconds
        try:
            yield
        finally:
            self._end_s = math.inf

    def run(self, feeds: Feeds, first_row: int = 1) -> Predictions:
        """Answers for what the front end made, each [rows, columns]. Raises RowError for a value
        that cannot be used.
        """
        rows, at_once = len(next(iter(feeds.values()))), self.runtime.rows_at_once
        if rows == 0:
            return self._answered(
                {output.name: _empty(output) for output in self.signature.outputs}, feeds
            )
        if rows <= at_once:
            return self._answered(self._ask(feeds, first_row), feeds)
        parts = [
            self._ask(
                {name: array[start : start + at_once] for name, array in feeds.items()},
                first_row + start,
            )
            for start in range(0, rows, at_once)
        ]
        return self._answered(
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, feeds
        )

    @property
    def becomes(self) -> dict[str, str]:
        """What a column is made into before the model sees it, where there is something to say:
        `becomes 28 × 28, gray`.
        """
        return self.runtime.becomes if isinstance(self.runtime, ReadsFiles) else {}

    def decoded_values(self, feeds: Feeds) -> int:
        """Of all files of what the front end made, by their headers: what answering will decode.
        Raises RowError.
        """
        return self.runtime.decoded_values(feeds) if isinstance(self.runtime, ReadsFiles) else 0

    def _answered(self, outputs: Outputs, feeds: Feeds) -> Predictions:
        return Predictions(self.signature, outputs, feeds, self.known)

    def _ask(self, feeds: Feeds, first_row: int) -> Outputs:
        if self._end_s < math.inf and time.process_time() > self._end_s:
            raise BundleError(
                self._where, "answers to the stored rows within seconds", "more time", SLOW
            )
        return self.runtime.predict(feeds, first_row)


def _empty(output: Any) -> npt.NDArray[Any]:
    return np.empty(0, dtype=object) if output.name in NAMED else np.empty((0, len(output.columns)))
