"""The report: one file, nothing from outside, every fold shown, whatever the names look like."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.bundle import page
from sixfold.core.errors import BundleError
from sixfold.package import charts
from sixfold.package.html import render
from sixfold.recipe.receipt import Cost, Nested, Outer, Quality, Receipt, Step
from sixfold.recipe.report import (
    Attribution,
    Cohort,
    Cohorts,
    ColumnSummary,
    Confusion,
    Curve,
    Dependence,
    ExampleList,
    Explained,
    Figure,
    Importance,
    Layer,
    Line,
    Report,
    Reproduction,
    Row,
    ShownExample,
    ShownValue,
)

COST = Cost(
    file_bytes=12_345,
    parameters=100,
    inputs=3,
    p50_1_ms=0.02,
    p99_1_ms=0.05,
    p50_64_ms=0.1,
    p99_64_ms=0.2,
    peak_memory_bytes=60_000_000,
)
EXAMPLE = ShownExample(
    row=4,
    truth="no",
    predicted="yes",
    score=0.9,
    truth_score=0.1,
    values=(
        ShownValue(column="note", type="text", text="a <note>"),
        ShownValue(column="x", type="number", text="1"),
    ),
)
REPRODUCTION = Reproduction(
    command="sixfold run a.yaml", recipe="version: 1", data_sha256="ab" * 32, created="today"
)


def sample(name: str = "mlp <b>", folds: int = 5, columns: int = 3) -> Report:
    scores = tuple(np.linspace(0.8, 0.9, folds).tolist())
    steps = (0.0, 0.5, 1.0)
    return Report(
        verdict=("It works.", "mlp won."),
        notes=("5 rows",),
        warnings=("look at x",),
        columns=tuple(
            ColumnSummary(name=f"col{i}", type="number", missing=0.1, distinct=9, detail="1 to 2")
            for i in range(columns)
        ),
        baseline={"accuracy": 0.5, "log_loss": 0.7},
        leaderboard=(
            Row(
                name=name,
                family="mlp",
                scores={"accuracy": scores, "log_loss": scores},
                fit_s=1.5,
                why="best",
            ),
            Row(name="svm", family="svm", scores={"accuracy": scores}, fit_s=0.5),
        ),
        curves=(
            Curve(
                candidate=name,
                fold=0,
                epochs=(1, 2, 3),
                loss=(3.0, 2.0, 1.0),
                validation=(3.0, 2.5, 2.0),
            ),
        ),
        confusion=Confusion(classes=("no", "yes"), counts=((5, 1), (2, 7))),
        figures=(
            Figure(kind="roc", lines=(Line(name="yes", x=steps, y=steps),)),
            Figure(
                kind="residuals",
                lines=(Line(name="y", x=(1.0, 2.0), y=(-0.5, 0.5)),),
                words="Off by at most <2>.",
            ),
        ),
        examples=(
            ExampleList(kind="wrong", rows=3, examples=(EXAMPLE,)),
            ExampleList(kind="cell", truth=0, predicted=1, rows=1, examples=(EXAMPLE,)),
        ),
        importances=(Importance(column="<script>alert(1)</script>", mean=0.1, spread=0.01),),
        layers=(Layer(name="hidden", shape="3 × 10", parameters=40),),
        receipt=Receipt(
            name="demo",
            candidate=name,
            rows_trained=100,
            rows_holdout=20,
            metric="accuracy",
            quality=(
                Quality(
                    metric="accuracy",
                    greater_is_better=True,
                    folds_before=scores,
                    folds_after=scores,
                    holdout_before=0.9,
                    holdout_after=0.89,
                    baseline=0.5,
                ),
            ),
            before=COST,
            after=COST,
            steps=(Step(name="prune", accepted=False, why="no gain"),),
            parity_rows=1000,
            parity_worst=1e-7,
            how=("by measuring",),
            duration_s=12.0,
        ),
    )


class Page(HTMLParser):
    """Collects tags that could load or run something, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_one_file_that_loads_and_runs_nothing() -> None:
    html = render(sample(), REPRODUCTION)
    page = Page(html)
    assert set(page.links) == {"#cell-0-1", "#confusion"}  # within the page
    assert "script" not in page.tags
    assert "url(" not in html
    assert "@import" not in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_every_part_is_shown() -> None:
    text = Page(render(sample(), REPRODUCTION)).text
    for part in (
        "It works.",
        "look at x",
        "mlp <b>",
        "0.9000",
        "0.8500",
        "refused",
        "3 × 10",
        "12.3 kB",
        "1.0e-07",
        "sixfold run a.yaml",
        "Confusion matrix",
        "Residuals",
        "Learning curves",
        "col2",
    ):
        assert part in text, part


def test_outer_folds_are_shown_where_they_were_asked_for() -> None:
    report = sample()
    assert "Nested" not in Page(render(report, REPRODUCTION)).text
    folds = (
        Outer(chosen="<b>", candidates=4, inner=1.5, score=1.25),
        Outer(chosen="x", candidates=4, inner=1.5, score=1.75),
    )
    nested = Nested(
        metric="rmse", greater_is_better=False, folds=folds, mean=1.5, spread=0.35, optimism=0.0
    )
    receipt = report.receipt.model_copy(update={"nested": nested})
    page = render(report.model_copy(update={"receipt": receipt}), REPRODUCTION)
    assert "&lt;b&gt;" in page
    rows = re.findall(r"<tr[^>]*><td>(?:1|2|mean)</td>(.*?)</tr>", page[page.index("<h2>Nested") :])
    cells = [re.findall(r'<td class="n">(.*?)</td>', row) for row in rows]
    assert cells == [
        ["4", "1.5000", "1.2500", "-0.2500"],
        ["4", "1.5000", "1.7500", "0.2500"],
        ["1.5000", "1.5000", "0.0000"],
    ]
    assert "Chosen: <b> (1 of 2), x (1 of 2)." in Page(page).text


def test_a_candidate_without_the_metric_shows_a_dash() -> None:
    report = sample().model_copy(
        update={
            "leaderboard": (*sample().leaderboard, Row(name="x", family="svm", scores={}, fit_s=1))
        }
    )
    assert "–" in Page(render(report, REPRODUCTION)).text


def test_a_run_of_many_folds_and_columns_stays_under_2_mb() -> None:
    html = render(sample(folds=600, columns=2000), REPRODUCTION)
    assert len(html.encode()) < 2_000_000


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.7, 12.0), (1e-6, 2e-6), (5.0, 5.0), (0, 1e9)]
)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    values = charts.ticks(*charts.padded([low, high]))
    assert 2 <= len(values) <= 12
    first, last = charts.padded([low, high])
    assert all(first - 1e-9 * abs(first) <= value <= last + 1e-9 * abs(last) for value in values)


def test_the_report_survives_json() -> None:
    report = sample()
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_score_stands_under_its_own_fold() -> None:
    """Who was dropped was tried on some folds, in any order; the others stay empty."""
    first = sample().leaderboard[0]
    folds = len(first.scores["accuracy"])
    left = Row(
        name="left",
        family="svm",
        scores={"accuracy": (0.1234,)},
        fit_s=1,
        folds=(folds - 1,),
        dropped="Behind.",
    )
    page = render(sample().model_copy(update={"leaderboard": (first, left)}), REPRODUCTION)
    cells = re.findall(r"<tr><td>left</td>(.*?)</tr>", page)[-1]
    assert re.findall(r'<td class="n">(.*?)</td>', cells) == [*[""] * (folds - 1), "0.1234"]
    assert "Behind." in page


TAGS = "<script>alert('1')</script>\"'`&<img src=x onerror=alert(1)><meta http-equiv=refresh content=0></title></style>"


class Elements(HTMLParser):
    """Names and attributes of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def with_tags(value: Any) -> Any:
    """A report in whose every text, and every key of data, tags stand."""
    if isinstance(value, dict):
        return {
            key if key in FIELDS else f"{key}{TAGS}": with_tags(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_tags(item) for item in value]
    return f"{value}{TAGS}" if isinstance(value, str) and value not in KINDS else value


KINDS = ("roc", "residuals", "not asked for", "wrong", "cell")
SECTIONS = (
    Report,
    ExampleList,
    ShownExample,
    ShownValue,
    Receipt,
    Quality,
    Cost,
    Step,
    ColumnSummary,
    Row,
    Curve,
    Confusion,
    Line,
    Figure,
    Importance,
    Layer,
    Outer,
    Nested,
)
FIELDS = {name for section in SECTIONS for name in section.model_fields} | {
    "p50_ms",
    "p99_ms",
    "requests",
}


def test_tags_in_every_name_are_text(tmp_path: Path) -> None:
    hostile = Report.model_validate(with_tags(sample().model_dump(mode="json")))
    reproduction = Reproduction(command=TAGS, recipe=TAGS, data_sha256=TAGS, created=TAGS)
    pages = [render(sample(), REPRODUCTION), render(hostile, reproduction)]
    found = []
    for text in pages:
        found.append(Elements())
        found[-1].feed(text)
        page.check(text.encode(), tmp_path)
    assert pages[1].count("alert(1)") > 20
    assert found[1].names <= found[0].names
    assert found[1].attributes <= found[0].attributes
    assert not any(name.startswith("on") for name in found[1].attributes)


@pytest.mark.parametrize(
    "text", ["<meta name=x>", "<SCRIPT>", "<link>", "<base href=x>", "<Form>", "<iframe>"]
)
def test_a_page_with_other_elements_is_refused(tmp_path: Path, text: str) -> None:
    whole = render(sample(), REPRODUCTION)
    page.check(whole.encode(), tmp_path)
    with pytest.raises(BundleError, match="expected the elements of a report"):
        page.check(f"{whole}{text}".encode(), tmp_path)
    with pytest.raises(BundleError, match="starts with the policy"):
        page.check(f" {whole}".encode(), tmp_path)


def test_what_explains_the_model_is_shown() -> None:
    explained = Explained(
        how="exact: by <hand>",
        scale="log-odds",
        rows=7,
        columns=(Attribution(column="col1", mean=0.5),),
        faithfulness="Faithfulness over 7 rows.",
        dependences=(
            Dependence(
                column="col1", output="yes", x=(0.0, 1.0), mean=(0.25, 0.5), lines=((0.0, 1.0),)
            ),
            Dependence(column="col2", output="yes", names=("<a>", "b"), mean=(0.25, 0.5)),
        ),
    )
    worst = Cohorts(
        loss="share of wrong classes",
        overall=0.25,
        tried=12,
        worst=(Cohort(text="col1 = <b>", rows=40, loss=0.75),),
    )
    text = render(
        sample().model_copy(update={"explained": explained, "cohorts": worst}), REPRODUCTION
    )
    for part in (
        "exact: by &lt;hand&gt;",
        "Faithfulness over 7 rows.",
        "Partial dependence",
        "0: &lt;a&gt;, 1: b",
        "col1 = &lt;b&gt;",
        "12 slices were looked at",
    ):
        assert part in text, part
    assert "<b>" not in text.partition("Where it is worst")[2].partition("</table>")[0]
    page.check(text.encode(), Path("report.html"))
