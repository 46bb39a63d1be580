"""sixfold explain: how much every column adds to an answer."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json
from sixfold.cli.explained_pieces import bars, pieces_shown
from sixfold.core.units import counted
from sixfold.core.visible import one_line

SHOWN = 20  # columns of the table for people
BAR = 24  # characters
OF_ANSWER = "--answer is of --prompt, or of a recording."


@click.command(name="explain")
@click.argument("bundle", type=EXISTING)
@click.argument("row", required=False)
@click.option("--output", metavar="NAME", help="A class, or a value; left out: the predicted one.")
@click.option(
    "--method",
    type=click.Choice(["auto", "exact", "sampled", "gradients", "occlusion", "bands", "rollout"]),
    default="auto",
    show_default=True,
    help="exact: linear models, trees, boosting; sampled: every model of table columns; "
    "gradients: networks of table columns, pixels of an image; "
    "occlusion: words, patches of images, windows of recordings; bands: of frequency, in windows of recordings; "
    "rollout: attention, of --prompt and of encoders of texts.",
)
@click.option(
    "--rows", type=click.IntRange(1, 1000), default=1, show_default=True, help="Rows of a file."
)
@click.option(
    "--faithfulness",
    type=EXISTING,
    metavar="FILE",
    help="Measure on 50 rows of FILE, in the place of ROW, whether contributions tell what the model looks at.",
)
@click.option(
    "--counterfactual",
    is_flag=True,
    help="The least change of ROW that makes the answer another class.",
)
@click.option("--fixed", metavar="NAMES", help="Columns that may not change: age,sex.")
@click.option(
    "--to", "wanted", metavar="CLASS", help="The class that is wanted; left out: another."
)
@click.option(
    "--nearest",
    type=click.IntRange(0, 50),
    default=0,
    help="So many stored training rows near ROW.",
)
@click.option("--prompt", metavar="TEXT", help="Of a language model: which of its tokens count.")
@click.option(
    "--answer",
    metavar="TEXT",
    help="To --prompt, or what is said in a recording that is written down; left out: what the model answers "
    "(to --prompt the most probable 16 tokens).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=60.0,
    show_default=True,
    help="At most, about.",
)
@ALLOW_PLUGIN
@JSON
def command(
    bundle: Path,
    row: str | None,
    output: str | None,
    method: Any,
    rows: int,
    faithfulness: Path | None,
    counterfactual: bool,
    fixed: str | None,
    wanted: str | None,
    nearest: int,
    prompt: str | None,
    answer: str | None,
    seconds: float,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say how much every column of ROW adds to BUNDLE's answer, or which tokens of a prompt.

    ROW: a JSON object (of a recommender the body of POST /recommend), a file of rows (its first
    ones), - for a JSON object on stdin, or of a model of images or recordings such a file.
    """
    from sixfold.bundle.explain.explainer import ExplainEffort
    from sixfold.bundle.explain.told import explanations
    from sixfold.bundle.load import load

    if [row, faithfulness, prompt].count(None) != 2:
        raise click.UsageError("Give a ROW, or --faithfulness FILE, or --prompt TEXT.")
    _check_given(bool(fixed or wanted), counterfactual, "--fixed and --to are of --counterfactual.")
    _check_given(answer is not None, faithfulness is None, OF_ANSWER)
    loaded = load(bundle, allow)
    if prompt is not None:
        _only({"prompt", "answer", "method", "seconds"}, "--prompt")
        _prompt(loaded, prompt, answer, method, seconds, as_json)
        return
    if row is not None and _said(loaded, row, answer, seconds, as_json):
        return
    if row is not None and _recommended(loaded, row, as_json):
        return
    if row is None:
        _only({"faithfulness", "method", "seconds"}, "--faithfulness")
        _faithfulness(loaded, str(faithfulness), method, seconds, as_json)
        return
    asked = _rows(loaded, row, rows)
    if counterfactual or nearest:
        _only({"counterfactual", "fixed", "wanted", "nearest"}, "--counterfactual and --nearest")
        kept = next(csv.reader([fixed]), []) if fixed else []
        change = _changed(loaded, asked[:1], kept, wanted) if counterfactual else {}
        beside = {**change, **(_near(loaded, asked[:1], nearest) if nearest else {})}
        show_json(beside) if as_json else _show_beside(beside)
        return
    found = explanations(loaded.explainer, asked, method, ExplainEffort(seconds), output=output)
    _show(found, asked, as_json)


def _only(taken: set[str], what: str) -> None:
    """Raises UsageError for an option of the command line that says nothing of `what`. `taken`: those that do,
    beside the ones that are of all.
    """
    context = click.get_current_context()
    for one in context.command.params:
        given = one.name and context.get_parameter_source(one.name) is ParameterSource.COMMANDLINE
        if given and one.name not in {"bundle", "row", "allow", "as_json", *taken}:
            raise click.UsageError(f"{one.opts[0]} says nothing of {what}: leave it out.")


def _check_given(given: bool, needed: bool, message: str) -> None:
    """Raises UsageError where an option was given without what it belongs to."""
    if given and not needed:
        raise click.UsageError(message)


def _show(found: Any, asked: list[dict[str, Any]], as_json: bool) -> None:
    records = found.records
    if as_json:
        answers = found.predictions.records()
        told = [
            {**record, "answer": answer} for record, answer in zip(records, answers, strict=True)
        ]
        show_json({"explanations": told, "rows_asked": found.asked})
        return
    for number, (record, values) in enumerate(zip(records, asked, strict=True), start=1):
        for line in (*_table(record, values), *pieces_shown(record)):
            click.echo(line)
        if number < len(records):
            click.echo()
    if found.asked:
        click.echo(f"The model answered {counted(found.asked, 'row')} for it.", err=True)


def _prompt(
    bundle: Any, prompt: str, answer: str | None, method: str, seconds: float, as_json: bool
) -> None:
    from sixfold.bundle.runtime import Generates
    from sixfold.core.errors import BundleError

    runtime = bundle.predictor.runtime
    if not isinstance(runtime, Generates):
        expected = "a language model's bundle, for --prompt"
        raise BundleError(str(bundle.path), expected, "one that answers rows", "Give a ROW.")
    if method not in ("auto", "occlusion", "rollout"):
        raise click.UsageError("--prompt takes --method auto, occlusion or rollout.")
    from sixfold.bundle.language.leave_one_out import changes, rollout

    model = runtime.language_model()
    try:
        found: Any = (
            rollout(model, prompt, answer, seconds)
            if method == "rollout"
            else changes(model, prompt, answer, seconds)
        )
    finally:
        model.close()
    if as_json:
        show_json(found.record())
        return
    for line in found.lines():
        click.echo(one_line(line))
    for line in bars([(repr(text), each) for text, each in found.pairs()]):
        click.echo(line)


def _said(bundle: Any, row: str, answer: str | None, seconds: float, as_json: bool) -> bool:
    """Of a model that writes down what is said: where in a recording; False for another model."""
    from sixfold.bundle.runtime import Transcribes

    runtime = bundle.predictor.runtime
    if not isinstance(runtime, Transcribes):
        if answer is not None:
            raise click.UsageError(OF_ANSWER)
        return False
    from sixfold.bundle.explain.spoken import spoken

    _only({"answer", "seconds"}, "where in a recording something is said")
    asked = _rows(bundle, row, 1)
    found = spoken(bundle.predictor, runtime.transcriber(), asked, answer, seconds)
    record = found.record()
    if as_json:
        show_json({"explanations": [record], "rows_asked": found.asked})
        return True
    for line in (*_table(record, {}), *pieces_shown(record)):
        click.echo(line)
    return True


def _recommended(bundle: Any, row: str, as_json: bool) -> bool:
    """Of a recommender: what the items of a user add to the scores; False for another model."""
    from sixfold.bundle.runtime import Recommends
    from sixfold.serve.recommend_request import content_of, read_request

    runtime = bundle.predictor.runtime
    if not isinstance(runtime, Recommends):
        return False
    _only(set(), "what a recommendation is due to")
    model = runtime.recommender()
    (asked,) = _raw_rows(bundle, row, 1)
    found = content_of(model.recommend(read_request({**asked, "explain": True}, model)), model)
    if as_json:
        show_json(found)
        return True
    for one in found["items"]:
        parts = [(str(part["item"]), part["adds"]) for part in one.get("parts", ())]
        click.echo(one_line(f"{one['item']}: score {one['score']:.5g}"))
        for line in bars(parts[:SHOWN]):
            click.echo(line)
    click.echo(f"  due to: {found['basis']}")
    return True


def _changed(bundle: Any, row: list[Any], fixed: list[str], wanted: str | None) -> dict[str, Any]:
    from sixfold.bundle.explain.what_if import counterfactual

    found = counterfactual(bundle.explainer, row, fixed, wanted)
    if found is None:
        return {"counterfactual": None}
    changes = [each._asdict() for each in found.changes]
    return {"counterfactual": {**found._asdict(), "changes": changes}}


def _near(bundle: Any, row: list[Any], count: int) -> dict[str, Any]:
    from sixfold.bundle.explain.what_if import nearest

    return {"nearest": [each._asdict() for each in nearest(bundle.explainer, row, count)]}


def _show_beside(beside: dict[str, Any]) -> None:
    if "counterfactual" in beside:
        found = beside["counterfactual"]
        if found is None:
            click.echo("No change of up to four columns was found that changes the answer.")
        else:
            click.echo(one_line(f"{found['before']['label']} → {found['after']['label']}, if:"))
            for each in found["changes"]:
                click.echo(one_line(f"  {each['column']}: {each['before']} → {each['after']}"))
    for near in beside.get("nearest", []):
        answer = near["answer"].get("label", near["answer"].get("value"))
        values = ", ".join(f"{name}={value}" for name, value in near["values"].items())
        click.echo(one_line(f"{near['distance']:.4f} away, answered {answer}: {values:.300}"))


def _faithfulness(bundle: Any, file: str, method: Any, seconds: float, as_json: bool) -> None:
    from sixfold.bundle.explain.explainer import ExplainEffort
    from sixfold.bundle.explain.faithfulness import ROWS
    from sixfold.bundle.explain.told import faithfulness_of

    some = _rows(bundle, file, ROWS)
    found = faithfulness_of(bundle.explainer, some, method, ExplainEffort(seconds))
    if as_json:
        show_json({"faithfulness": found.found.record()})
        return
    click.echo(one_line(found.sentence()))


def _rows(bundle: Any, given: str, most: int) -> list[dict[str, Any]]:
    """With paths of files where a column takes them. Raises a SixfoldError for what is no row."""
    from sixfold.bundle.file_values import with_paths

    files = bundle.predictor.file_columns
    is_text = given == "-" or given.lstrip().startswith("{")
    if not is_text and len(bundle.signature.inputs) == len(files) == 1 and _is_one_file(given):
        return [{files[0]: Path(given)}]
    folder = Path() if is_text else Path(given).parent
    found: list[dict[str, Any]] = with_paths(_raw_rows(bundle, given, most), files, folder)
    return found


def _is_one_file(given: str) -> bool:
    """An image or a recording itself, and no file of rows."""
    from sixfold.bundle.stream import KINDS
    from sixfold.core.archive import suffix

    path = Path(given)
    return path.is_file() and suffix(path) not in KINDS


def _raw_rows(bundle: Any, given: str, most: int) -> list[dict[str, Any]]:
    from sixfold.bundle.frontend import shown
    from sixfold.bundle.headerless import Fields
    from sixfold.bundle.stream import Source
    from sixfold.core.errors import DataError, RowError

    text = sys.stdin.read() if given == "-" else given
    if given == "-" or given.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RowError(
                "ROW", "a JSON object", str(error)[:80], 'Write {"column": value}.'
            ) from None
        if not isinstance(found, dict):
            raise RowError("ROW", "a JSON object", shown(found), 'Write {"column": value}.')
        return [found]
    source = Source.of(Path(given), bundle.recipe.data, Fields.of(bundle.signature))
    some = list(itertools.islice(source.rows(), most))
    if not some:
        raise DataError(given, "at least one row", "none", "Check the file.")
    return some


def _table(record: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The contributions with sign, the largest first; base, sum and method beside them."""
    if "contributions" not in record:
        head = f"{record['output']}: {record['scale']} {record['prediction']:.5g}"
        return [one_line(head), f"  of nothing {record['base']:.5g}", f"  {record['method']}"]
    given, error = record["contributions"], record.get("standard_error")
    shown = dict(itertools.islice(given.items(), SHOWN))
    widest = max([abs(value) for value in shown.values()], default=0.0) or 1.0
    width = min(32, max(map(len, [*shown, "all other columns"])))
    lines = [f"{record['output']}: {record['scale']} {record['prediction']:.5g}"]
    lines.append(f"  {'base value':{width}} {record['base']:>+11.4g}")
    for name, value in shown.items():
        bar = ("+" if value > 0 else "-") * round(BAR * abs(value) / widest)
        beside = f" ± {error[name]:.2g}" if error else ""
        lines.append(f"  {name:{width}} {value:>+11.4g}{beside}  {bar}  = {values[name]!s:.40}")
    rest = [value for name, value in given.items() if name not in shown]
    if rest:
        lines.append(f"  {'all other columns':{width}} {sum(rest):>+11.4g}  ({len(rest):,})")
    lines.append(f"  {'sum':{width}} {record['prediction']:>+11.4g}")
    lines.append(f"  {record['method']}" + ("; ± standard error" if error else ""))
    if "error" in record:
        lines[-1] += f"; each within about {record['error']:.2g}"
    return [one_line(line) for line in lines]
