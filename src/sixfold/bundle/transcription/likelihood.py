"""How probable a text is: the sum over all of its paths (Graves, Fernández, Gomez and Schmidhuber,
Connectionist temporal classification, ICML 2006, the forward variables).

Shape letters: N recordings, T frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixfold.bundle.transcription.paths import Scores, fits, needed


def log_likelihoods(logs_NTV: Scores, symbols: Sequence[int]) -> Scores:
    """[N] ln of the probability of a text, of each recording. Raises ValueError for a text that no path
    has.
    """
    if not fits(symbols, logs_NTV.shape[1]):
        raise ValueError(f"{needed(symbols):,} frames are needed")
    states = np.zeros(2 * len(symbols) + 1, dtype=np.int64)  # a blank around every symbol
    states[1::2] = symbols
    skips = np.zeros(len(states), dtype=np.bool_)  # may be reached from two before
    skips[3::2] = states[3::2] != states[1:-2:2]
    none = np.full((len(logs_NTV), 2), -np.inf)
    ways = np.full((len(logs_NTV), len(states)), -np.inf)
    ways[:, :2] = logs_NTV[:, 0, states[:2]]
    for frame in range(1, logs_NTV.shape[1]):
        before = np.concatenate([none, ways], axis=1)
        one = np.logaddexp(ways, before[:, 1:-1])
        two = np.where(skips, before[:, :-2], -np.inf)
        ways = np.logaddexp(one, two) + logs_NTV[:, frame, states]
    return np.asarray(np.logaddexp.reduce(ways[:, -2:], axis=1))
