"""What training had not is counted, per column and kind, and told where it is much."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_bundle
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sixfold.bundle.load import Bundle, load
from sixfold.bundle.unfamiliar import Known, Unfamiliar, UnfamiliarCounts, joined
from sixfold.cli import group
from sixfold.recipe.serving import Serve
from sixfold.recipe.signature import Input, Output, Signature
from sixfold.serve.app import create

LEVELS = ("a", "b")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("unfamiliar") / "bundle"))


def test_columns_are_counted(bundle: Bundle) -> None:
    rows = [
        tiny_bundle.raw(size=9.5),
        tiny_bundle.raw(size=None, colour="blue"),
        tiny_bundle.raw(colour=None, label=-1),
    ]
    found = {each.column: each for each in bundle.predict(rows).unfamiliar}
    assert found["size"] == Unfamiliar("size", 3, outside=1, missing=1)
    assert found["colour"] == Unfamiliar("colour", 3, unseen=1)  # it was missing in training, too
    assert found["label"] == Unfamiliar("label", 3, outside=1)
    assert found["new"] == Unfamiliar("new", 3)
    assert list(found) == [each.name for each in bundle.signature.inputs]


NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, float("nan")])
TEXTS = st.sampled_from(["a", "b", "c", ""])


@given(
    st.lists(st.tuples(NUMBERS, TEXTS), min_size=1, max_size=12), st.booleans(), st.integers(0, 12)
)
def test_counts_are_those_of_single_values(
    rows: list[tuple[float, str]], optional: bool, cut: int
) -> None:
    """Against a loop over the values; and a batch is the sum of its parts."""
    inputs = (
        Input(name="n", type="number", minimum=0, maximum=1, optional=optional),
        Input(name="c", type="category", levels=LEVELS, optional=optional),
    )
    outputs = (Output(name="value", columns=("y",)),)
    known = Known(
        Signature(task="regression", target=("y",), inputs=inputs, outputs=outputs, missing=("",))
    )

    def feeds(some: list[tuple[float, str]]) -> dict[str, Any]:
        return {
            "numbers": np.array([[n] for n, _ in some], dtype=np.float64).reshape(-1, 1),
            "categories": np.array([[c] for _, c in some], dtype=object).reshape(-1, 1),
        }

    number, text = known.count(feeds(rows))
    assert number.outside == sum(n < 0 or n > 1 for n, _ in rows)
    assert number.missing == (0 if optional else sum(n != n for n, _ in rows))
    assert text.unseen == sum(c not in (*LEVELS, "") for _, c in rows)
    assert text.missing == (0 if optional else sum(c == "" for _, c in rows))
    tally = UnfamiliarCounts()
    for part in (rows[:cut], rows[cut:]):
        tally.add(known.count(feeds(part)))
    assert tuple(tally.columns.values()) == (number, text)
    assert known.count(joined([feeds(rows[:cut]), feeds(rows[cut:])])) == (number, text)


def test_predict_prints_a_line_where_the_share_is_large(bundle: Bundle, tmp_path: Path) -> None:
    lines = [
        "size,label,new,since,colour",
        *["1,1,true,2026-11-23,red"] * 18,
        *["1,1,true,2026-11-23,blue"] * 2,
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    told = "warning: colour: categories that were not seen in training in 2 of 20 rows (10%)."
    for asked in (["--out", str(tmp_path / "out.csv")], [], ["--json"]):
        done = CliRunner().invoke(
            group, ["predict", str(bundle.path), str(tmp_path / "rows.csv"), *asked]
        )
        assert done.exit_code == 0, done.output
        assert [line for line in done.stderr.splitlines() if line.startswith("warning")] == [told]
    (tmp_path / "rows.csv").write_text("\n".join([*lines, *[lines[1]] * 40]))  # 2 of 60
    done = CliRunner().invoke(group, ["predict", str(bundle.path), str(tmp_path / "rows.csv")])
    assert "warning" not in done.stderr


def test_the_server_counts_requests_of_all_sizes(bundle: Bundle) -> None:
    app = create(bundle, Serve(max_rows=1000))

    async def ask() -> list[str]:
        found = []
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            for rows in (
                [tiny_bundle.raw(colour="blue")],
                [tiny_bundle.raw(size=100)] * 70,
                [tiny_bundle.raw()] * 3,
                ["figures"],
                [tiny_bundle.raw(colour="grey")],
                ["figures"],
            ):
                if rows == ["figures"]:
                    found.append((await client.get("/metrics")).text)
                else:
                    assert (await client.post("/predict", json={"rows": rows})).status_code == 200
        return found

    before, after = asyncio.run(ask())
    start = "sixfold_unfamiliar_values_total{column="
    assert f'{start}"colour",kind="unseen"}} 1.0' in before
    assert f'{start}"size",kind="outside"}} 70.0' in before
    assert f'{start}"colour",kind="unseen"}} 2.0' in after
