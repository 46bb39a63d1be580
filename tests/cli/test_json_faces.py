"""Everything that calls itself JSON is: NaN and the infinities, which JSON does not have, are
null.
"""

from __future__ import annotations

import ast
import asyncio
import json
import math
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sixfold import cli
from sixfold.cli import group
from sixfold.core import errors, strict_json
from sixfold.runs.folder import RunFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle"))
import tiny_bundle

SOURCE = Path(cli.__file__).parents[1]
ROWS = [{"size": 1e308}, {"label": 1e308}, {"size": 1e308, "label": 1e308}, {}]
ANSWERS = [None, None, None, 1.0]
WRITERS = {  # who writes JSON without `strict_json`, and why it cannot hold NaN, or may
    "build/_language_shape.py": "a configuration, whose numbers are bounded",
    "bundle/named_arrays.py": "texts and whole numbers, read by the same file alone",
    "bundle/recommend/runtime.py": "names of items",
    "bundle/language/vocabulary_model.py": "a whole number",
    "bundle/manifest.py": "whole numbers and texts",
    "bundle/forms.py": "stored rows in the forms that a user may send",
    "bundle/runtimes/onnx.py": "facts of the graph, texts",
    "bundle/parity.py": "stored answers, read by the same file alone",
    "compress/language/removal.py": "a configuration, whose numbers are bounded",
    "compress/measure.py": "for a process of our own",
    "compress/served_cost.py": "bytes and seconds, read by the same file alone",
    "core/strict_json.py": "the writer",
    "data/first_look.py": "names, marks and words of a table, in a proposed recipe",
    "data/nearly.py": "names, marks and words of a table, in a message",
    "data/sources/_header.py": "an example in a message",
    "data/sources/jsonl.py": "rows that were read from JSON, for pyarrow",
    "data/target.py": "texts",
    "package/gguf_tokenizer.py": "a tokenizer's own file, read as JSON before",
    "package/http_latency.py": "an example that is sent, of finite numbers",
    "recipe/plugin_schema.py": "a schema, texts",
    "parts/checkpoint.py": "a configuration, whose numbers are bounded; read by the same file alone",
    "parts/conversation.py": "texts that were read from JSON, read by the same file alone",
    "parts/language_checkpoint.py": "a configuration, read as JSON before",
    "parts/language_model.py": "whole numbers",
    "parts/text_tokenizer.py": "texts and truth values",
    "parts/graph.py": "facts of the graph, texts",
    "parts/decoded_column.py": "digests and texts, read by the same file alone",
    "parts/state.py": "read by the same file alone, to the last bit",
    "prepare/text/checkpoint_tokens.py": "an option in a message",
    "recipe/chat_template.py": "as transformers writes it, into a prompt",
    "recipe/validate.py": "a value in a message",
    "plan/candidates.py": "defaults of a family, constants, in a message",
    "recipe/generate.py": "schema.json, of constants",
    "serve/language/embeddings.py": "the server's writer, which writes null",
    "serve/language/endpoint.py": "the server's writer, which writes null",
    "serve/language/page.py": "an example in a page, of texts and finite numbers",
    "serve/language/schema_output.py": "a schema that came as JSON",
    "serve/language/tool_calls.py": "arguments that came as JSON, into a prompt",
    "runs/events.py": "pydantic's writer, which is told to write null",
    "runs/sealed.py": "texts",
    "serve/body.py": "by the writer of serve/errors.py",
    "serve/connection.py": "by the writer of serve/errors.py",
    "serve/errors.py": "has its own null",
    "serve/inference.py": "by the writer of serve/errors.py",
    "serve/pages.py": "an example in a page, of finite numbers",
    "serve/recommendations.py": "by the writer of serve/errors.py",
    "serve/tensors.py": "has its own null",
    "serve/transcriptions.py": "by the writer of serve/errors.py",
    "build/candidate.py": "text for a digest",
    "plan/run_context.py": "text for a digest",
    "runs/talking.py": "for a process of our own",
    "evaluate/ray_bridge.py": "for the process that started it, and for tasks of our own",
    "evaluate/ray_task.py": "for the bridge that started it",
    "runs/told_process.py": "for the process that started it",
    "select/bagging.py": "scores, of which one may be NaN, read by the same file alone",
    "service/client/client.py": "an address",
    "service/client/settings.py": "an address and a key",
    "service/client/transport.py": "a tree: names and digests",
    "service/console/file_preview.py": "a cell that was read from JSON, for a page",
    "service/gateway/request_log.py": "has its own null",
    "service/stores/artifacts.py": "a tree: names and digests",
    "service/stores/backup.py": "rows as they are stored, read by the same file alone",
    "service/stores/columns.py": "read by the same file alone, to the last bit",
    "service/use_cases/fine_tuning.py": "a tree: names and digests",
}


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights so large that answers leave the numbers: size gives inf, label -inf, both NaN."""
    monkeypatch.setitem(tiny_bundle.WEIGHTS, "size", 50.0)
    monkeypatch.setitem(tiny_bundle.WEIGHTS, "label", -50.0)
    monkeypatch.chdir(tmp_path)
    return tiny_bundle.make(tmp_path / "b", "regression")


def rows() -> list[dict[str, Any]]:
    empty = {"size": None, "label": None, "new": None, "since": None, "colour": "red"}
    return [{**empty, **row} for row in ROWS]


def test_predictions_on_stdout_and_in_a_file(bundle: Path) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    whole = strict(
        CliRunner().invoke(group, ["predict", str(bundle), "rows.jsonl", "--json"]).stdout
    )
    assert [row["value"] for row in whole["predictions"]] == ANSWERS
    done = CliRunner().invoke(
        group, ["predict", str(bundle), "rows.jsonl", "--out", "a.jsonl", "--json"]
    )
    assert strict(done.stdout)["rows"] == 4
    assert [strict(line)["value"] for line in Path("a.jsonl").read_text().splitlines()] == ANSWERS


def test_answers_over_http(bundle: Path) -> None:
    from sixfold.bundle.load import load
    from sixfold.serve.app import create

    loaded = load(bundle)

    async def call(path: str, body: Any) -> str:
        transport = httpx.ASGITransport(create(loaded, loaded.recipe.serve))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post(path, json=body)).text

    def ask(path: str, body: Any) -> Any:
        return strict(asyncio.run(call(path, body)))

    def tensors(some: list[dict[str, Any]]) -> dict[str, Any]:
        columns = {name: [row[name] for row in some] for name in some[0]}
        return {
            "inputs": [
                {"name": n, "shape": [len(v)], "datatype": "BYTES", "data": v}
                for n, v in columns.items()
            ]
        }

    many = rows() * 25  # of a size that is answered in one piece, whichever way
    for number, answers in ((4, ANSWERS), (100, ANSWERS * 25)):
        some = many[:number]
        assert [row["value"] for row in ask("/predict", some)["predictions"]] == answers
        assert ask("/v2/models/tiny/infer", tensors(some))["outputs"][0]["data"] == answers
    columns = {name: [row[name] for row in many] for name in many[0]}
    assert [
        row["value"] for row in ask("/predict", {"columns": columns})["predictions"]
    ] == ANSWERS * 25


def test_events_of_a_run(tmp_path: Path) -> None:
    facts = {"loss": math.nan, "scores": {"r2": -math.inf}, "losses": [math.inf, 1.0]}
    with RunFolder(tmp_path) as folder:
        folder.emit("epoch", facts)
        folder.emit("epoch", {**facts, "name": "half a character \ud800"})
        for event in folder.history():
            assert (event["loss"], event["scores"], event["losses"]) == (
                None,
                {"r2": None},
                [None, 1.0],
            )
    for line in (tmp_path / "events.jsonl").read_text().splitlines():
        strict(line)
    assert strict(CliRunner().invoke(group, ["inspect", str(tmp_path), "--json"]).stdout)[
        "events"
    ] == {"epoch": 2}


def test_every_verb_with_json(bundle: Path) -> None:
    Path("r.yaml").write_text("version: 1\ndata: {source: none.csv, target: y, holdout: .nan}\n")
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},{i}e307\n" for i in range(-15, 15)))
    for arguments in (
        ["inspect", str(bundle)],
        ["verify", str(bundle)],
        ["doctor"],
        ["check", "r.yaml"],
        ["init", "t.csv", "--target", "y"],
    ):
        assert strict(CliRunner().invoke(group, [*arguments, "--json"]).stdout)
    assert strict(CliRunner().invoke(group, ["schema"]).stdout)


def test_a_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(**_: object) -> None:
        raise errors.DataError("a", "b", "NaN", "D.")

    monkeypatch.setattr(cli.group, "main", broken)
    monkeypatch.setattr(sys, "argv", ["sixfold", "check", "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    assert strict(capsys.readouterr().out)["error"]["found"] == "NaN"


@given(
    st.recursive(
        st.floats() | st.text() | st.none() | st.booleans() | st.integers(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.sampled_from([None, 1]),
)
def test_the_writer(value: Any, indent: int | None) -> None:
    def expected(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: expected(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [expected(item) for item in part]
        return None if isinstance(part, float) and not math.isfinite(part) else part

    assert strict(strict_json.text(value, indent)) == expected(value)


def test_whoever_writes_json_writes_it_strictly() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "json.dumps",
                "json.dump",
                "to_json",
            ):
                found.add(str(path.relative_to(SOURCE)))
    assert found == set(WRITERS)
