"""PSI and KS beside SciPy and NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from sixfold.service.gateway import drift_figures

NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.just(0.0), min_size=1, max_size=60)


@given(NUMBERS, NUMBERS)
def test_ks_is_scipys(first: list[float], second: list[float]) -> None:
    found = drift_figures.ks(np.array(first), np.array(second))
    with warnings.catch_warnings():  # of its p value, which nobody looks at
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = ks_2samp(first, second).statistic
    assert found == pytest.approx(expected, abs=1e-12)


def by_numpy(reference: np.ndarray, window: np.ndarray) -> float:
    """With NumPy's own histogram, and the missing as a last bin."""
    known = [one[~np.isnan(one)] for one in (reference, window)]
    inner = np.unique(np.quantile(known[0], np.arange(1, 10) / 10))
    edges = [-np.inf, *inner, np.inf]
    counts = [
        np.append(np.histogram(one, edges)[0], len(whole) - len(one))
        for one, whole in zip(known, (reference, window), strict=True)
    ]
    used = (counts[0] + counts[1]) > 0
    q, p = ((one[used] + 0.5) / (one[used] + 0.5).sum() for one in counts)
    return float(np.sum((p - q) * np.log(p / q)))


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_psi_is_numpys(shift: float) -> None:
    draw = np.random.default_rng(3)
    reference, window = draw.normal(size=1000), draw.normal(shift, size=800)
    reference[::50] = window[::10] = np.nan
    found = drift_figures.of_numbers("x", "input", reference, window)
    assert found.psi == pytest.approx(by_numpy(reference, window), rel=1e-9)
    assert found.missing == pytest.approx(0.1) and found.rows == 800
    assert found.drifted == (found.psi > 0.25)
    assert found.drifted == (shift == 2.0)


def test_categories() -> None:
    same = drift_figures.of_categories("c", "input", ["a", "b"] * 100, ["b", "a"] * 50)
    assert same.psi == pytest.approx(0.0, abs=1e-4) and not same.drifted
    other = drift_figures.of_categories("c", "input", ["a", "b"] * 100, ["z", ""] * 60)
    q, p = (np.array(one) + 0.5 for one in ([100, 100, 0, 0], [0, 0, 60, 60]))
    q, p = q / q.sum(), p / p.sum()
    assert other.psi == pytest.approx(float(np.sum((p - q) * np.log(p / q))))
    assert (other.unseen, other.missing, other.drifted, other.ks) == (0.5, 0.5, True, None)
    assert not drift_figures.of_categories("c", "input", ["a"] * 9, ["z"] * 99).drifted  # too few
    assert drift_figures.of_categories("c", "input", ["a"], []).psi == 0.0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8))
def test_psi_of_the_same_counts_is_0(counts: list[int]) -> None:
    assert drift_figures.psi(counts, counts) == 0.0
    assert drift_figures.psi(counts, counts[::-1]) >= 0.0
