"""The form of a result; the page is what results.json renders to; a partial run replaces its own
rows only.
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a floor that is measured in a moment, and for the test alone."""
    monkeypatch.syspath_prepend(ROOT)
    floor = importlib.import_module("bench.floor")
    for name, value in (("SIDE", 128), ("LENGTH", 1 << 16), ("TRIES", 2)):
        monkeypatch.setattr(floor, name, value)
    monkeypatch.setattr(floor, "rates", cache(floor.rates.__wrapped__))


@pytest.fixture
def pairs() -> Any:
    return importlib.import_module("bench.pairs")


def test_the_page_in_the_docs_is_what_the_results_render_to() -> None:
    record, page = (importlib.import_module(f"bench.{name}") for name in ("record", "page"))
    assert page.PAGE.read_text(encoding="utf-8") == page.markdown(record.read())


def test_every_row_of_the_results_stands_in_the_page_and_the_table() -> None:
    record, page = (importlib.import_module(f"bench.{name}") for name in ("record", "page"))
    known = record.read()
    rows = [row for one in known.values() for row in one["rows"]]
    assert (
        len(rows)
        == page.table(known).count("\n")
        == sum(
            line.startswith("| ") and not line.startswith(("| workload", "| ---"))
            for line in page.markdown(known).splitlines()
        )
    )


def test_the_ratio_is_of_medians_after_one_run_of_both(pairs: Any) -> None:
    seen: list[str] = []

    def work(name: str, pause_s: float) -> float:
        seen.append(name)
        time.sleep(pause_s)
        return 0.5

    found = pairs.against(
        pairs.Result("w", "p", target=2),
        lambda: work("ours", 0.002),
        lambda: work("peer", 0.02),
        pairs.close("score", 0.1),
        3,
    )
    assert seen == ["ours", "peer"] * 4
    assert found.ratio == found.peers / found.ours > 2
    assert found.reached
    assert found.quality == "score 0.5, 0.5"


def test_medians_are_those_of_the_rounds(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 1, 0, 10, 0, 3, 0, 30, 0, 2, 0, 50])
    monkeypatch.setattr(pairs, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert pairs.interleaved(int, int, 3) == (
        statistics.median([1, 3, 2]),
        statistics.median([10, 30, 50]),
    )


def test_unequal_quality_gives_no_figure(pairs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = pairs.against(
        pairs.Result("w", "p"), lambda: 0.9, lambda: 0.5, pairs.close("accuracy", 0.1), 1
    )
    assert found.failed
    assert found.ratio is None
    assert "accuracy: 0.9 and 0.5 differ by more than 0.1" in found.absent


def test_a_score_is_compared_in_points(pairs: Any) -> None:
    assert pairs.Result("w", "p", 0.870, 0.872, "accuracy", target=-0.3).reached
    assert not pairs.Result("w", "p", 0.868, 0.872, "accuracy", target=-0.3).reached


def test_a_result_survives_its_record(pairs: Any) -> None:
    one = pairs.Result("w", "p", 1.0, 2.0, "B", "equal", target=3, floor=0.5)
    assert pairs.Result.of(json.loads(json.dumps(one.record()))) == one


def test_amounts_are_read_by_people() -> None:
    amount = importlib.import_module("bench.page").amount
    assert [amount(value, "s") for value in (12.34, 0.01234, 0.0000123, None)] == [
        "12.3 s",
        "12.3 ms",
        "12.3 µs",
        "—",
    ]
    assert [amount(value, "B") for value in (999, 123_456_789)] == ["999 B", "123 MB"]
    assert amount(0.87, "accuracy") == "0.8700 accuracy"


def test_the_floor_counts_every_product() -> None:
    floor = importlib.import_module("bench.floor")
    forward = weights = 2 * (4 * 3 + 3 * 2)  # a multiplication and an addition each
    inputs = 2 * (3 * 2)  # nobody needs the gradient of the first layer's inputs
    assert floor.perceptron([4, 3, 2], 10) == 10 * (forward + weights + inputs)
    rates = floor.rates()
    assert floor.seconds(rates.f32) == floor.seconds(0, rates.bandwidth) == 1.0
    assert floor.seconds(rates.f64, 2 * rates.bandwidth, "f64") == 2.0


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`python -m bench` on two measurements made up here: name of the file → its rows."""
    main, pairs = importlib.import_module("bench.__main__"), importlib.import_module("bench.pairs")
    monkeypatch.setattr(main, "MEASUREMENTS", ("first", "second"))
    monkeypatch.setattr(main, "_keep_to", lambda cores: None)
    files: dict[str, Any] = {}

    def call(*arguments: str, **rows: list[Any]) -> tuple[int, dict[str, Any], str]:
        def measure(name: str) -> Any:
            def rows_of(rounds: int = 7) -> Iterator[Any]:
                for each in rows[name]:
                    if isinstance(each, Exception):
                        raise each
                    yield pairs.Result(name, "peer", each, 2 * each, rounds=rounds)

            return rows_of

        monkeypatch.setattr(
            main.importlib,
            "import_module",
            lambda name: SimpleNamespace(measure=measure(name.removeprefix("bench."))),
        )
        status = main.main(
            [*arguments, "--results", str(tmp_path / "r.json"), "--page", str(tmp_path / "p.md")]
        )
        files.update(json.loads((tmp_path / "r.json").read_text())["measurements"])
        return status, files, (tmp_path / "p.md").read_text()

    return call


def test_a_partial_run_replaces_its_own_rows(command: Any) -> None:
    status, known, _ = command(first=[1.0], second=[3.0])
    before = known["first"]
    assert status == 0
    status, known, page = command("second", "--rounds", "2", second=[4.0, 5.0])
    assert known["first"] == before
    assert [(row["ours"], row["rounds"]) for row in known["second"]["rows"]] == [(4.0, 2), (5.0, 2)]
    assert page.count("| 2× |") == 3


def test_what_breaks_is_a_row_and_the_rest_is_measured(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, known, page = command(first=[1.0, ValueError("no such solver")], second=[3.0])
    assert status == 1
    assert [row["absent"] for row in known["first"]["rows"]] == [
        "",
        "failed: ValueError: no such solver",
    ]
    assert "failed: ValueError: no such solver" in page
    assert known["second"]["rows"][0]["ratio"] == 2


def test_an_unknown_measurement_is_refused(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command("third")
    assert "unknown: third; there are first, second" in capsys.readouterr().err


def test_a_child_answers_whatever_its_libraries_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = importlib.import_module("bench.child")
    (tmp_path / "noisy.py").write_text(
        "from bench.child import serve\n\n\ndef answer(question):\n    print('noise')\n"
        "    return {'twice': 2 * question['number']}\n\n\nserve(lambda: answer)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with child.child("noisy") as one:
        assert one.ask(number=4) == {"twice": 8}
        with pytest.raises(child.Refused, match="KeyError: 'number'"):
            one.ask()
        assert one.ask(number=5) == {"twice": 10}
    with (
        child.child("no_such_module") as gone,
        pytest.raises(child.Refused, match="no_such_module ended with 1"),
    ):
        gone.ask()
