"""Rows that a report shows: against a plain ordering of out-of-fold predictions; thumbnails; what a
page can bear.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_report_html import REPRODUCTION, Page, sample

from evaluating import candidate, dataset
from sixfold.bundle import page as bundle_page
from sixfold.evaluate import out_of_fold
from sixfold.evaluate.cross_validation import Evaluation, cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.package import data_uris, examples, thumbnails
from sixfold.package.html import render
from sixfold.package.report import learning_curves
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.report import Confusion, Curve, ExampleList, ShownExample, ShownValue
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context


def many_classes(rows: int, classes: int) -> tuple[Dataset, Evaluation, list[Fold]]:
    """Probabilities drawn at random, of folds that leave the last tenth of the rows out."""
    random = np.random.default_rng(3)
    names = tuple(f"class {n}" for n in range(classes))
    table = Table(
        {"x": Column("number", random.random(rows)), "y": Column("number", random.random(rows))},
        rows,
    )
    data = Dataset(
        table, Target("classification", random.integers(0, classes, rows), ("t",), names)
    )
    predictions = random.dirichlet(np.ones(classes), rows)
    predictions[rows - rows // 10 :] = np.nan
    own = cross_validate(
        candidate({"family": "linear"}),
        dataset(40),
        make(Evaluate(folds=2), dataset(40)),
        ["accuracy"],
        Context(),
    )
    folds = [
        Fold(np.arange(rows), np.arange(0, rows - rows // 10, 2)),
        Fold(np.arange(rows), np.arange(1, rows - rows // 10, 2)),
    ]
    return data, replace(own, predictions=predictions, numbers=(0, 1)), folds


def kinds(found: tuple[ExampleList, ...], kind: str) -> list[ExampleList]:
    return [each for each in found if each.kind == kind]


def test_the_most_wrong_and_the_most_unsure_are_those_of_a_plain_ordering() -> None:
    data, evaluation, folds = many_classes(200, 4)
    found = examples.examples(data, evaluation, folds, ["y"], 7)
    scored = []
    for row, scores in enumerate(evaluation.predictions[:180].tolist()):
        truth, best = int(data.target.values[row]), max(scores)
        predicted, second = scores.index(best), sorted(scores)[-2]
        scored.append((row, truth, predicted, best - scores[truth], best - second))
    mistakes = sorted((one for one in scored if one[1] != one[2]), key=lambda one: -one[3])
    (wrong,), (unsure,) = kinds(found, "wrong"), kinds(found, "unsure")
    assert [e.row for e in wrong.examples] == [one[0] for one in mistakes[:7]]
    assert wrong.rows == len(mistakes)
    assert [e.row for e in unsure.examples] == [
        one[0] for one in sorted(scored, key=lambda one: one[4])[:7]
    ]
    first = wrong.examples[0]
    assert (first.truth, first.predicted) == tuple(f"class {n}" for n in mistakes[0][1:3])
    assert first.score == pytest.approx(evaluation.predictions[first.row].max(), rel=1e-3)
    assert [value.column for value in first.values] == ["y", "x"]  # by importance


def test_every_cell_has_rows_of_its_own() -> None:
    data, evaluation, folds = many_classes(300, 3)
    found = kinds(examples.examples(data, evaluation, folds, [], 4), "cell")
    labels = out_of_fold.labels(evaluation, folds)
    assert {(each.truth, each.predicted) for each in found} == {
        (int(t), int(p)) for t, p in zip(data.target.values, labels, strict=True) if p >= 0
    }
    for each in found:
        own = [e.row for e in each.examples]
        assert len(own) == min(4, each.rows)
        assert set(data.target.values[own]) == {each.truth} and set(labels[own]) == {each.predicted}
        assert each.rows == int(
            ((data.target.values == each.truth) & (labels == each.predicted)).sum()
        )
    assert [each.truth == each.predicted for each in found] == sorted(
        each.truth == each.predicted for each in found
    )


def test_many_classes_share_what_a_page_can_bear() -> None:
    data, evaluation, folds = many_classes(3000, 25)
    found = kinds(examples.examples(data, evaluation, folds, [], 12), "cell")
    assert sum(len(each.examples) for each in found) == examples.MOST_IN_CELLS
    counts = [each.rows for each in found]
    assert counts == sorted(counts, reverse=True)
    assert kinds(examples.examples(*many_classes(300, 31), [], 12), "cell") == []


def test_a_threshold_decides_what_is_unsure() -> None:
    data = dataset(90)
    folds = make(Evaluate(folds=3), data)
    found = cross_validate(
        candidate({"family": "linear"}, calibration={"threshold": "f1"}),
        data,
        folds,
        ["f1"],
        Context(),
    )
    lists = examples.examples(data, found, folds, [], 5)
    limits = np.empty(90)
    for fold, model in zip(folds, found.models, strict=True):
        limits[fold.validation] = model.threshold
    distance = np.abs(found.predictions[:, 1] - limits)
    assert [e.row for e in kinds(lists, "unsure")[0].examples] == np.argsort(
        distance, kind="stable"
    )[:5].tolist()
    labels = out_of_fold.labels(found, folds)
    mistakes = np.flatnonzero(labels != data.target.values)
    assert kinds(lists, "wrong")[0].rows == len(mistakes) > 0
    assert all(
        e.truth == data.target.classes[int(data.target.values[e.row])]
        for each in lists
        for e in each.examples
    )


@pytest.mark.parametrize("outputs", [1, 2])
def test_values_that_are_furthest_off(outputs: int) -> None:
    data, evaluation, folds = many_classes(50, 2)
    random = np.random.default_rng(1)
    values = random.normal(size=(50, outputs)) * np.array([1.0, 1000.0])[:outputs]
    target = Target(
        "regression" if outputs == 1 else "reconstruction",
        values[:, 0] if outputs == 1 else values,
        ("a", "b")[:outputs],
    )
    predictions = values + random.normal(size=(50, outputs)) * np.array([1.0, 1000.0])[:outputs]
    predictions[45:] = np.nan
    (found,) = examples.examples(
        replace(data, target=target),
        replace(evaluation, predictions=predictions, output="value"),
        folds,
        [],
        3,
    )
    off = np.abs(predictions - values)[:45] / values[:45].std(axis=0)
    order = np.argsort(-np.sqrt((off**2).sum(axis=1)), kind="stable")[:3]
    assert [e.row for e in found.examples] == order.tolist()
    at = int(off[order[0]].argmax())
    assert float(found.examples[0].truth.split()[-1]) == pytest.approx(
        values[order[0], at], rel=1e-5
    )
    assert float(found.examples[0].predicted) == pytest.approx(predictions[order[0], at], rel=1e-5)


def test_none_are_shown_where_nobody_may_see_them() -> None:
    assert examples.examples(*many_classes(50, 2), [], 0) == ()


def test_texts_are_cut_and_files_lose_their_place() -> None:
    levels = ("/home/ann/cats/7.png", "x" * 1000, "id-1")
    codes = np.zeros(1, dtype=np.int32)
    table = Table(
        {
            "id": Column("identifier", codes + 2, levels),
            "n": Column("number", np.array([0.1234567])),
            "long": Column("category", codes + 1, levels),
            "note": Column("text", codes + 1, levels),
            "photo": Column("image", codes, levels),
            "gone": Column("number", np.array([np.nan])),
        },
        1,
    )
    columns = examples._shown_columns(table, ["gone"])
    assert columns == ["note", "photo", "gone", "n", "long"]
    (row,) = examples.shown_values(table, np.array([0]), columns)
    shown = {value.column: value.text for value in row}
    assert shown["photo"] == "cats/7.png"
    assert (len(shown["note"]), len(shown["long"])) == (280, 60)
    assert shown["note"].endswith("…")
    assert (shown["gone"], shown["n"]) == ("", "0.1234567")


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    image.save(stream := io.BytesIO(), form)
    return stream.getvalue()


def decoded(uri: str) -> Image.Image:
    head, _, content = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_thumbnail_is_small_and_looks_alike() -> None:
    noise = Image.effect_noise((900, 600), 50).convert("RGB")
    found = decoded(thumbnails.thumbnail(encoded(noise), "a"))
    assert found.size == (96, 64)
    tiny = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8))
    found = decoded(thumbnails.thumbnail(encoded(tiny), "a"))
    assert found.size == (72, 72)
    pixels = np.asarray(found.convert("L"))
    assert pixels[:35, :35].max() <= 2 and pixels[:35, 37:].min() >= 253  # WebP rounds
    turned = Image.new("L", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(stream := io.BytesIO(), "JPEG", exif=exif)
    assert decoded(thumbnails.thumbnail(stream.getvalue(), "a")).size == (20, 40)


def shown(row: int, *columns: str, text: str = "") -> ShownExample:
    values = tuple(
        ShownValue(column=name, type="image" if name == "photo" else "text", text=text)
        for name in columns
    )
    return ShownExample(
        row=row, truth="no", predicted="yes", score=0.9, truth_score=0.1, values=values
    )


def test_thumbnails_have_a_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded(Image.effect_noise((96, 96), 40 + number)))
        paths.append(str(path))
    (tmp_path / "3.png").write_text("no image")
    table = Table({"photo": Column("image", np.arange(4, dtype=np.int32), tuple(paths))}, 4)
    lists = [
        ExampleList(
            kind="wrong", rows=9, examples=tuple(shown(row, "photo") for row in (3, 2, 1, 0, 2))
        )
    ]
    everything = thumbnails.thumbnails(table, lists)
    assert sorted(everything) == [(0, "photo"), (1, "photo"), (2, "photo")]
    one = len(everything[2, "photo"])
    monkeypatch.setattr(data_uris, "MOST_BYTES", one + 10)
    assert thumbnails.thumbnails(table, lists) == {(2, "photo"): everything[2, "photo"]}


def test_cells_lead_to_their_examples(tmp_path: Path) -> None:
    lists = (
        ExampleList(
            kind="wrong", rows=3, examples=(shown(1, "photo", "note", text="<b>&amp;</b>"),)
        ),
        ExampleList(kind="cell", truth=0, predicted=1, rows=1, examples=(shown(1, "note"),)),
        ExampleList(kind="cell", truth=1, predicted=1, rows=7, examples=(shown(2, "note"),)),
    )
    uri = thumbnails.thumbnail(encoded(Image.new("L", (9, 9))), "a")
    report = sample().model_copy(update={"examples": lists})
    assert isinstance(report.confusion, Confusion)
    html = render(report, REPRODUCTION, {(1, "photo"): uri})
    found = Page(html)
    assert set(found.links) == {"#cell-0-1", "#cell-1-1", "#confusion", uri}
    assert all(f'id="{link[1:]}"' in html for link in found.links if link.startswith("#"))
    assert re.search(r'<a href="#cell-0-1">1</a>', html) and re.search(
        r'<a href="#cell-1-1">7</a>', html
    )
    assert "<b>&amp;</b>" in found.text and "&lt;b&gt;&amp;amp;" in html
    bundle_page.check(html.encode(), tmp_path)


def test_a_report_of_before_is_a_report(tmp_path: Path) -> None:
    html = render(sample(), REPRODUCTION)
    for policy in ("media-src data:; ", "img-src data:; "):  # before recordings, then before images
        old = html.replace(policy, "", 1)
        assert old != html
        bundle_page.check(old.encode(), tmp_path)
        html = old


def test_every_fold_has_its_curve() -> None:
    events: list[dict[str, Any]] = [
        {
            "event": "epoch",
            "candidate": "mlp <b>",
            "fold": fold,
            "epoch": 3,
            "losses": [3.0, 2.0, 1.0 + fold],
            "validations": [],
        }
        for fold in range(3)
    ]
    curves = learning_curves(events)
    assert [curve.fold for curve in curves] == [0, 1, 2]
    html = render(sample().model_copy(update={"curves": curves}), REPRODUCTION)
    chart = html[html.index("<h2>Learning curves") :]
    chart = chart[: chart.index("</svg>")]
    assert len(re.findall("<polyline points=", chart)) == 3
    assert len(re.findall('<polyline class="line', chart)) == 1
    many = tuple(
        Curve(candidate="mlp <b>", fold=n, epochs=(1, 2), loss=(2.0, 1.0), validation=(2.0, 1.5))
        for n in range(500)
    )
    assert len(render(sample().model_copy(update={"curves": many}), REPRODUCTION)) < 200_000
