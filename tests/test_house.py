"""The house keeps itself: the limits of STYLE.md, without exceptions."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sixfold"
THIN = ("recipe", "runs", "bundle", "serve", "service", "cli")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def is_thin(path: Path) -> bool:
    return path.relative_to(SOURCE).parts[0] in THIN


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of every file, with the file's name."""
    for path in sources():
        name = path.relative_to(SOURCE).as_posix()
        for node in nodes_of(path):
            yield name, node


def functions(path: Path) -> Iterator[Function]:
    for node in nodes_of(path):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def arguments(function: Function) -> list[ast.arg]:
    spec = function.args
    return [
        a for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if a.arg not in ("self", "cls")
    ]


def beyond(measure: Callable[[Function], int], thin_limit: int, limit: int) -> list[str]:
    return [
        f"{path.relative_to(SOURCE).as_posix()}:{function.name} has {measure(function)}"
        for path in sources()
        for function in functions(path)
        if measure(function) > (thin_limit if is_thin(path) else limit)
    ]


def test_functions_fit_on_a_screen() -> None:
    assert beyond(length, 60, 80) == []


@pytest.mark.parametrize(("thin", "limit"), [(True, 40), (False, 50)])
def test_nearly_all_functions_are_short(thin: bool, limit: int) -> None:
    lengths = sorted(
        length(f) for path in sources() if is_thin(path) is thin for f in functions(path)
    )
    assert lengths[int(len(lengths) * 0.95)] <= limit


def test_functions_are_simple() -> None:
    """The linter counts; here is what it is told, and that it is asked of every file."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["mccabe"]["max-complexity"] == 10
    assert {"C90", "PLC0415"} <= set(lint["select"])
    assert not {"C90", "C901", "PLC0415"} & set(lint["ignore"])
    lifted = {
        folder: {"C90", "C901", "PLC0415"} & set(rules)
        for folder, rules in lint["per-file-ignores"].items()
    }
    assert {folder: rules for folder, rules in lifted.items() if rules} == {
        "tests/**": {"PLC0415"},
        "bench/**": {"PLC0415"},
        "src/sixfold/cli/**": {"PLC0415"},
    }
    assert [
        str(path)
        for path in sources()
        if re.search(r"noqa:.*(C901|PLC0415|PLR09)", path.read_text())
    ] == []


def test_the_formatter_is_never_switched_off() -> None:
    off = re.compile(r"#\s*fmt:|# yapf|# isort: (skip|off)")
    assert [str(path) for path in sources() if off.search(path.read_text())] == []


def test_functions_take_at_most_six_arguments() -> None:
    too_many = beyond(lambda function: len(arguments(function)), 6, 6)
    assert [
        text for text in too_many if not text.startswith(("cli/", "sklearn.py:__init__"))
    ] == []  # a command's options are arguments, and an estimator's parameters


def test_arguments_have_names_of_their_own() -> None:
    """No anonymous tuple: a small frozen dataclass, or arguments, say what each thing is."""
    found = set()
    for path in sources():
        for function in functions(path):
            for argument in arguments(function):
                if argument.annotation is not None and any(
                    map(is_packed, choices(argument.annotation))
                ):
                    found.add(f"{path.relative_to(SOURCE).as_posix()}: {argument.arg}")
    assert found == set()


def choices(annotation: ast.expr) -> list[ast.expr]:
    """Of `A | B`, both."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*choices(annotation.left), *choices(annotation.right)]
    return [annotation]


def is_packed(annotation: ast.expr) -> bool:
    """`tuple[A, B]`, but not `tuple[A, ...]`."""
    if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "tuple"):
        return False
    items = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else []
    return len(items) > 1 and ast.unparse(items[-1]) != "..."


def test_choices_are_not_nested() -> None:
    """`a if b else c if d else e` and comprehensions with two conditions have to be read twice."""
    found = set()
    for file, node in nodes():
        nested = isinstance(node, ast.IfExp) and any(
            isinstance(part, ast.IfExp) for part in (node.test, node.body, node.orelse)
        )
        if nested or (isinstance(node, ast.comprehension) and len(node.ifs) > 1):
            found.add(file)
    assert found == set()


def test_a_class_name_is_used_once() -> None:
    places = defaultdict(list)
    for file, node in nodes():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(file)
    twice = {name for name, files in places.items() if len(files) > 1}
    assert twice == {"Settings"}


def test_an_ability_is_no_guess() -> None:
    """`getattr(x, "maybe", False)`: a protocol, or a field that all have, says it."""
    found = {
        f"{file}: {ast.literal_eval(node.args[1])}"
        for file, node in nodes()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "getattr"
        and len(node.args) == 3
        and isinstance(node.args[1], ast.Constant)
    }
    assert found == set()


def test_nobody_asks_which_kind_of_family_it_is() -> None:
    """`isinstance(family, NetworkFamily)`: a field or a protocol says what a family can do."""
    kinds = re.compile("(Gradient|Solver|Network)Family")
    found = {
        file
        for file, node in nodes()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and kinds.search(ast.unparse(node.args[1]))
    }
    assert found == set()


def test_imports_stand_at_the_top() -> None:
    found = {
        file
        for file, node in nodes()
        if isinstance(node, Function)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    assert [file for file in sorted(found) if not file.startswith("cli/")] == []


SECTIONS = {
    "Section",
    "SolverFamily",
    "ManyTrees",
    "NetworkFamily",
    "ModuleFamily",
    "Family",
    "TabularSettings",
    "OptimizerSettings",
}


def test_configs_have_at_most_twelve_fields() -> None:
    top = {
        "Recipe",
        "Receipt",
        "Report",
        "Data",
    }  # the recipe's sections, two results, and all that is said of a table
    for path in sources():
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef) and SECTIONS & {
                getattr(b, "id", "") for b in node.bases
            }:
                fields = [
                    n
                    for n in node.body
                    if isinstance(n, ast.AnnAssign) and "ClassVar" not in ast.unparse(n.annotation)
                ]
                assert len(fields) <= 12 or node.name in top, f"{path}:{node.name}"


def test_files_can_be_read_in_one_sitting() -> None:
    too_long = {
        str(path.relative_to(SOURCE)): len(path.read_text().splitlines())
        for path in sources()
        if len(path.read_text().splitlines()) > (500 if is_thin(path) else 600)
    }
    assert too_long == {}


def test_few_lines_have_more_than_100_characters() -> None:
    """What the formatter cannot break: strings, and comments behind code."""
    lines = [line for path in sources() for line in path.read_text().splitlines()]
    assert sum(len(line) > 100 for line in lines) <= 0.02 * len(lines)


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
        ".".join(("sixfold", *p.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): p
        for p in sources()
    }
    for name, path in names.items():
        typing_only = {
            id(n)
            for b in nodes_of(path)
            if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.unparse(b.test)
            for n in ast.walk(b)
        }
        graph[name] = set()
        for node in nodes_of(path):
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
