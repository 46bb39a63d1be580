"""Receipts side by side: what differs, by how much, and which is better."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from console_worlds import Site, filled
from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.console import receipts_beside
from sixfold.service.domain.registry import Lineage, ModelVersion
from sixfold.service.use_cases import registry

FIGURES = st.floats(1e-3, 1e6) | st.none()


def version(number: int, receipt: dict[str, Any], **lineage: Any) -> ModelVersion:
    return ModelVersion(
        f"version-{number}", "t", "m", number, "0" * 64, 1, 0.0, {}, receipt, Lineage(**lineage)
    )


def receipt(score: float, milliseconds: float | None, up: bool = True) -> dict[str, Any]:
    quality = {"metric": "m", "greater_is_better": up, "holdout_after": score}
    return {"candidate": "mlp", "quality": [quality], "after": {"p50_1_ms": milliseconds}}


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), FIGURES), min_size=1, max_size=6), st.booleans())
def test_every_figure_stands_beside_the_firsts(
    figures: list[tuple[float, float | None]], up: bool
) -> None:
    versions = [version(at, receipt(*pair, up)) for at, pair in enumerate(figures)]
    rows = {(row.name, row.of): row for row in receipts_beside.rows(versions)}
    assert ("p50_1_ms", "cost") in rows or all(one is None for _, one in figures)
    for (name, _), row in rows.items():
        assert len(row.cells) == len(versions)
        for cell, (score, slow) in zip(row.cells, figures, strict=True):
            expected = {"m": score, "p50_1_ms": slow, "candidate": "mlp"}[name]
            assert cell.value == expected
        if name == "candidate":
            assert not row.differs
            continue
        first = row.cells[0].value
        for cell in row.cells[1:]:
            if first is None or cell.value is None:
                assert cell.change is None and cell.better is None
            else:
                assert cell.change == pytest.approx((cell.value - first) / first)
                more = cell.value > first
                if abs(cell.change or 0) > receipts_beside.SAME:
                    assert cell.better == (more == (up and name == "m"))


def test_which_way_is_better_is_known_of_every_measure() -> None:
    assert set(receipts_beside.MORE_IS_BETTER) <= set(receipts_beside.MEASURED)
    assert all("tokens_per_s" in name for name in receipts_beside.MORE_IS_BETTER)


def test_recipes_and_data_are_compared() -> None:
    first = version(1, {}, recipe="a: 1\nb: 2\n", data={"a.csv": "1" * 64, "b.csv": "2" * 64})
    second = version(2, {}, recipe="a: 1\nb: 3\n", data={"a.csv": "1" * 64, "c.csv": "3" * 64})
    assert receipts_beside.recipe_changes(first, second)[1:] == [" a: 1", "-b: 2", "+b: 3"]
    assert receipts_beside.recipe_changes(first, first) == []
    rows = {row.path: row for row in receipts_beside.files([first, second])}
    assert [rows[name].differs for name in ("a.csv", "b.csv", "c.csv")] == [False, True, True]
    assert rows["c.csv"].digests == (None, "3" * 64)
    assert receipts_beside.rows([first, second]) == []


@pytest.mark.parametrize("asked", ["", "version=1", "version=1&version=1"])
def test_fewer_than_two_versions_are_not_compared(here: Site, tmp_path: Path, asked: str) -> None:
    filled(here, tmp_path / "trees")
    answer = here.client.get(f"/console/models/iris/compare?{asked}")
    assert answer.status_code == 400 and "2 to 6 versions" in answer.text


def test_a_version_that_is_not_there_is_not_compared(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    answer = here.client.get("/console/models/iris/compare?version=1&version=9")
    assert answer.status_code == 404 and "one of latest, 2, 1" in answer.text


def test_a_page_compares(here: Site, tmp_path: Path) -> None:
    filled(here, tmp_path / "trees")
    text = here.client.get("/console/models/iris/compare?version=1&version=2").text
    cells = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", text))
    assert "holdout 0.93 0.95 +2.15 % better" in cells
    assert "one row, p50 0.0186 ms 0.019 ms +2.15 % worse" in cells
    assert "The same recipe." in cells


def test_versions_go_on_a_page_at_a_time(here: Site) -> None:
    made = here.world
    for _ in range(30):
        made.finish(made.running())
    first = here.client.get("/console/models/iris").text
    older = re.search(r'href="(/console/models/iris\?before=\d+)"', first)
    assert older is not None
    numbers = [
        {int(one) for one in re.findall(r'/console/models/iris/(\d+)"', text)}
        for text in (first, here.client.get(older[1]).text)
    ]
    assert numbers == [set(range(6, 31)), set(range(1, 6))]
    registry.promote(made.service, made.operator, "iris", "old", "2")
    assert (
        'href="/console/models/iris/2">version 2</a>'
        in here.client.get("/console/models/iris").text
    )
