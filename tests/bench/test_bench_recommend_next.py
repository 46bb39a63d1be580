"""The law of made sequences, by which the optimum of the bench is told."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ITEMS = 30


@pytest.fixture
def recommend_next(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("bench.recommend_next")


def test_what_comes_next_is_a_law_over_what_is_left(recommend_next: Any) -> None:
    draw = np.random.default_rng(0)
    world = recommend_next.World.drawn(ITEMS, draw)
    for _ in range(50):
        last, taste = int(draw.integers(ITEMS)), int(draw.integers(recommend_next.TASTES))
        had = draw.random(ITEMS) < 0.7
        had[last] = True
        if had.all():
            continue
        chance = world.next_of(last, taste, had)
        assert chance.sum() == pytest.approx(1.0)
        assert (chance[had] == 0).all() and (chance[~had] > 0).all()
        free = [item for item in world.followers[last] if not had[item]]
        if free:
            assert chance[free].sum() >= recommend_next.FOLLOWS - 1e-9


def test_nothing_comes_twice_and_chance_alone_beats_the_optimum(recommend_next: Any) -> None:
    frame, best = recommend_next.sequences(users=300, items=100, each=12)
    assert not frame.duplicated(["user", "item"]).any()
    own, other = np.random.default_rng(1), recommend_next.sequences(300, 100, 12)
    assert frame.equals(other[0]) and best == other[1]
    random = np.mean(1 / np.log2(own.integers(2, 12, 600))) * 10 / 95  # a list by chance
    assert 0.3 < best < 0.7 and best > 3 * random


def test_ratings_are_read_by_their_names(recommend_next: Any, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating,timestamp\n7,50,3.5,881250949\n")
    assert recommend_next.ratings(path).to_dict("records") == [
        {"user": 7, "item": 50, "time": 881250949}
    ]
