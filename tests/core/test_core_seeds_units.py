"""Seeds by name; durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError
from sixfold.core.seeds import derive
from sixfold.core.units import seconds, show_bytes, show_seconds, size_bytes


def test_seeds_do_not_change_between_versions() -> None:
    """Runs are resumed and repeated by these numbers."""
    assert derive(7) == 1015100621
    assert derive(7, "fold", 0) == 1244789290
    assert derive(7, "fold", 1) == 253411506


@given(st.integers(0, 2**63), st.lists(st.text(max_size=5) | st.integers(), max_size=4))
def test_seeds_fit_every_engine(seed: int, names: list[str | int]) -> None:
    assert 0 <= derive(seed, *names) < 2**31
    assert derive(seed, *names) == derive(seed, *names)


def test_every_name_counts() -> None:
    seeds = {
        derive(s, *n)
        for s in range(20)
        for n in ((), ("a",), ("b",), ("a", "b"), ("b", "a"), ("a", 0), ("a", 1))
    }
    assert len(seeds) == 20 * 7


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1d", 86400),
        (" 2 m ", 120),
        ("7", 7),
        (3, 3),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4GiB", 4 * 2**30),
        ("500MB", 500_000_000),
        ("1.5KiB", 1536),
        ("12", 12),
        ("12 B", 12),
        (7, 7),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str | float, value: int) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize(
    "text", ["", "ten", "10 parsecs", "-5s", "0s", "1e3s", "5 s m", "10M", "1,5h", "٣s"]
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        seconds(text)
    assert str(caught.value) == (
        f"budget: expected a duration such as 90s, 10m or 2h; found {text!r}. Units: ms, s, m, h, d."
    )


@pytest.mark.parametrize("text", ["", "4gb", "GiB", "-1B", "4 GiB B"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        size_bytes(text)
    assert str(caught.value) == (
        f"budget: expected a size such as 500MB or 4GiB; found {text!r}. Units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB."
    )


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("inf")])
def test_amounts_that_are_none(value: float) -> None:
    for read in (seconds, size_bytes):
        with pytest.raises(RecipeError, match="Give a positive amount"):
            read(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5e9, "5.0 GB")],
)
def test_bytes_for_people(size: float, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0012, "1.20 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (75, "1m 15s"),
        (3599.6, "1h 0m"),
        (7260, "2h 1m"),
    ],
)
def test_durations_for_people(duration_s: float, text: str) -> None:
    assert show_seconds(duration_s) == text
