"""What a solver warns of becomes an event of the run, not a line on the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning

from sixfold.runs.context import Context


@contextmanager
def told(context: Context, not_converged: str) -> Iterator[None]:
    """Emit one `warning` event per distinct warning of the solver inside; `not_converged` is the
    text for that one.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.simplefilter("always", LinAlgWarning)
        yield
    texts = [
        not_converged
        if issubclass(item.category, ConvergenceWarning)
        else f"{item.category.__name__}: {item.message}"
        for item in caught
    ]
    for text in dict.fromkeys(texts):
        context.emit("warning", text=text)
