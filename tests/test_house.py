"""The house keeps itself: the limits on functions, files and arguments, as a ratchet whose exceptions may only shrink."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sixfold"
THIN = ("recipe", "runs", "bundle", "serve", "cli")
# file:function → what is above the limit. Only ever remove lines here.
EXCEPTIONS: frozenset[str] = frozenset()

Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.match_case)


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def is_thin(path: Path) -> bool:
    return path.relative_to(SOURCE).parts[0] in THIN


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def complexity(function: Function) -> int:
    """McCabe: 1 + branches + the extra operands of and/or."""
    count = 1
    for node in ast.walk(function):
        count += isinstance(node, BRANCHES)
        count += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
    return count


def named(path: Path, function: Function) -> str:
    return f"{path.relative_to(SOURCE)}:{function.name}"


def beyond(measure: object, thin_limit: int, limit: int) -> list[str]:
    assert callable(measure)
    return [
        f"{named(path, function)} has {measure(function)}"
        for path in sources()
        for function in functions(path)
        if measure(function) > (thin_limit if is_thin(path) else limit) and named(path, function) not in EXCEPTIONS
    ]


def test_functions_fit_on_a_screen() -> None:
    assert beyond(length, 60, 80) == []


@pytest.mark.parametrize(("thin", "limit"), [(True, 40), (False, 50)])
def test_nearly_all_functions_are_short(thin: bool, limit: int) -> None:
    lengths = sorted(length(f) for path in sources() if is_thin(path) is thin for f in functions(path))
    assert lengths[int(len(lengths) * 0.95)] <= limit


def test_functions_are_simple() -> None:
    assert beyond(complexity, 15, 18) == []  # ruff counts fewer kinds of branches: 12 there


def test_functions_take_at_most_six_arguments() -> None:
    def arguments(function: Function) -> int:
        spec = function.args
        return len([a for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if a.arg not in ("self", "cls")])

    # a command's options are its function's arguments
    assert [text for text in beyond(arguments, 6, 6) if not text.startswith("cli/")] == []


SECTIONS = {"Section", "SolverFamily", "NetworkFamily", "Family", "TabularSettings", "OptimizerSettings"}


def test_configs_have_at_most_twelve_fields() -> None:
    top = {"Recipe", "Receipt", "Report", "Data"}  # the recipe's sections, two results, and all that is said of a table
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and SECTIONS & {getattr(b, "id", "") for b in node.bases}:
                fields = [
                    n for n in node.body if isinstance(n, ast.AnnAssign) and "ClassVar" not in ast.unparse(n.annotation)
                ]
                assert len(fields) <= 12 or node.name in top, f"{path}:{node.name}"


def test_files_can_be_read_in_one_sitting() -> None:
    too_long = {
        str(path.relative_to(SOURCE)): len(path.read_text().splitlines())
        for path in sources()
        if len(path.read_text().splitlines()) > (500 if is_thin(path) else 600)
    }
    assert too_long == {}


def test_no_file_without_a_topic() -> None:
    assert [p.name for p in sources() if p.stem in ("utils", "helpers", "common", "misc")] == []


def test_no_code_in_data() -> None:
    banned = re.compile(
        r"pickle\.loads?\(|joblib\.load|torch\.load\(|yaml\.load\(|trust_remote_code|shell=True|(?<![\w.])eval\(|allow_pickle=True"
    )
    assert [str(p) for p in sources() if banned.search(p.read_text())] == []


def test_nothing_is_left_to_do_without_an_issue() -> None:
    undone = re.compile(r"(TODO|FIXME|XXX)(?!\(#\d+\))|\bNotImplementedError")
    assert [str(p) for p in sources() if undone.search(p.read_text())] == []


def test_imports_have_no_cycles() -> None:
    graph: dict[str, set[str]] = {}
    names = {
        ".".join(("sixfold", *p.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in sources()
    }
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        typing_only = {
            id(n)
            for b in ast.walk(tree)
            if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.unparse(b.test)
            for n in ast.walk(b)
        }
        graph[name] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= {m if m in names else node.module for m in parts} & set(names)
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in finished:
            for target in sorted(graph[name] - {name}):
                visit(target, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())
