"""Any scalar at any key: refused in four parts, or read, written and read again as the same recipe;
never a traceback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError, SixfoldError
from sixfold.recipe import load as recipe_load
from sixfold.recipe import yaml_text
from sixfold.recipe.published import schema
from sixfold.recipe.schema import Recipe
from sixfold.recipe.yaml_nodes import parse

# Plain scalars that readers of YAML disagree on, and numbers that are hard to hold.
SCALARS = (
    "",
    "~",
    "null",
    "Null",
    "NULL",
    "nULL",
    "true",
    "True",
    "TRUE",
    "tRUE",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "Y",
    "n",
    "0",
    "-0",
    "+1",
    "-1",
    "017",
    "0o17",
    "0O17",
    "0o8",
    "0o",
    "0x1F",
    "0xg",
    "0x",
    "-0x1F",
    "0b11",
    "1_000",
    "1:30",
    "190:20:30",
    "190:20:30.15",
    "1e4",
    "1E4",
    "1e-3",
    "-1e+2",
    "1.",
    ".5",
    "+.5",
    "-.5e3",
    ".",
    "-.",
    "e3",
    "1e",
    "1e400",
    "-1e400",
    "1e-400",
    "1e4000000000",
    ".inf",
    "-.inf",
    "+.INF",
    ".nan",
    ".NaN",
    "-.nan",
    "inf",
    "nan",
    "Infinity",
    "9" * 20,
    "9" * 40,
    "9" * 100,
    "9" * 101,
    "9" * 5000,
    "0." + "1" * 200,
    "0o" + "7" * 200,
    "2024-01-01",
    "2026-11-23",
    "2001-12-14t21:59:43.10-05:00",
    "2024-99-99",
    "12:00",
    "=",
    "<<",
    "*",
    "&a b",
    "*b",
    "!x y",
    "!!bool foo",
    "!!timestamp x",
    "!!int abc",
    "!!float x",
    "!!binary x",
    "!!null x",
    "!!str 5",
    "!!set {a}",
    "!!python/name:os.system x",
    "! 5",
    "!<x> y",
    "%a",
    "@a",
    "`a`",
    "|",
    ">-",
    "'a'",
    "'12'",
    '"\\x41"',
    '"\\ud800"',
    '"\\U00110000"',
    "'it''s'",
    "a b",
    "a: b",
    "a #b",
    "#b",
    "[1, 2]",
    "{a: 1}",
    "[",
    "}",
    "[[[1]]]",
    "{? a}",
    "- a",
    "a\\b",
    "ﬁ",
    "١٢",
    "1,5",
    "None",
    "NA",
    "\u00a0",
    "\u2028",
    "\x85",
    "\x1b[31m",
    "\ufeff",
    "10m",
    "4GiB",
    "-5m",
    "1e3GiB",
    "9" * 400 + "GiB",
    "9" * 400 + "h",
    "0x10GiB",
    "auto",
    "full",
    "../../etc/passwd",
    "~root",
    "a.csv:b",
    "sklearn:",
    ":",
    "-",
    "?",
    ",",
)


def keys(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key that a recipe knows, but for the options of plug-ins."""
    reference = node.get("$ref")
    if reference and "." in reference:  # `optimizer.adam`
        return [path]
    node = schema()["$defs"][reference.removeprefix("#/$defs/")] if reference else node
    found = [path] if path else []
    for branch in node.get("anyOf", []):
        found += [key for key in keys(branch, path) if key not in found]
    for key, item in node.get("properties", {}).items():
        found += keys(item, (*path, key))
    return found


def every_key() -> list[tuple[str, ...]]:
    paths = dict.fromkeys(keys(schema()))
    return [path for path in paths if path != ("data",)]


def flow(path: tuple[str, ...], text: str) -> str:
    """A recipe with this text at a key, and what else it has to have."""
    data = {"source": "a.csv", "target": "y"}
    if path[0] == "data" and len(path) == 2:
        data.pop(path[1], None)
    base = ", ".join(f"{key}: {value}" for key, value in data.items())
    if path[0] != "data":
        inner = text
        for part in reversed(path[1:]):
            inner = f"{{{part}: {inner}}}"
        return f"data: {{{base}}}\n{path[0]}: {inner}\n"
    inner = text
    for part in reversed(path[2:]):
        inner = f"{{{part}: {inner}}}"
    return (
        "data:\n"
        + "".join(f"  {key}: {value}\n" for key, value in data.items())
        + f"  {path[1]}: {inner}\n"
    )


def survives(text: str, file: Path) -> bool:
    """Whether the text is accepted; then it has to be the same after writing and reading. Raises
    what is no RecipeError.
    """
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    found = recipe_load.problems(file)
    try:
        loaded = recipe_load.load(file)
    except RecipeError as error:
        assert found, "check accepts what run refuses"
        assert str(found[0]) == str(error)
        assert all((error.where, error.expected, error.found)), error
        return False
    assert found == []
    same(loaded.recipe, loaded.text)
    same(loaded.recipe, yaml_text.dump(parse(text, "r").value))  # as `--set` writes it
    return True


def same(recipe: Recipe, text: str) -> None:
    """As a bundle reads it back."""
    text.encode("utf-8")
    assert recipe_load.from_text(text, "recipe.yaml") == recipe


@pytest.mark.parametrize("part", range(4))
def test_every_scalar_at_some_keys(tmp_path: Path, part: int) -> None:
    paths = [("name",), ("data", "target"), ("serve", "max_rows"), ("budget", "time")]
    accepted = sum(survives(flow(paths[part], scalar), tmp_path / "r.yaml") for scalar in SCALARS)
    assert accepted > 0


@pytest.mark.slow
def test_every_scalar_at_every_key(tmp_path: Path) -> None:
    paths = every_key()
    assert len(paths) > 70
    tried = [
        (path, scalar)
        for at, path in enumerate(paths)
        for number, scalar in enumerate(SCALARS)
        if (at + number) % 8 == 0  # neighbors are of one kind
    ]
    accepted = sum(survives(flow(path, scalar), tmp_path / "r.yaml") for path, scalar in tried)
    print(f"{len(tried)} recipes, {accepted} accepted")
    assert 0 < accepted < len(tried)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("drop: [2024-01-01]", ("data", "drop"), ("2024-01-01",)),
        ("name: 2026-11-23", ("name",), "2026-11-23"),
        ("serve: {max_rows: 1e4}", ("serve", "max_rows"), 10_000),
        ("serve: {max_rows: 0o17}", ("serve", "max_rows"), 15),
        ("serve: {port: 0x1F90}", ("serve", "port"), 8080),
        ("target: yes", ("data", "target"), "yes"),
        ("target: 12:30", ("data", "target"), "12:30"),
        ("target: 1_000", ("data", "target"), "1_000"),
    ],
)
def test_what_used_to_end_after_the_training(
    tmp_path: Path, text: str, path: tuple[str, ...], value: Any
) -> None:
    data = "data: {source: a.csv, target: y}\n"
    for key in ("drop", "target"):
        if text.startswith(f"{key}:"):
            data, text = (
                f"data: {{source: a.csv, {'target: y, ' if key == 'drop' else ''}{text}}}\n",
                "",
            )
    assert survives(f"{data}{text}\n", tmp_path / "r.yaml")
    found: Any = recipe_load.load(tmp_path / "r.yaml").recipe
    for part in path:
        found = getattr(found, part)
    assert found == value


def test_a_number_beyond_whole_ones_is_refused_by_check_and_run_alike(tmp_path: Path) -> None:
    assert not survives(
        "data: {source: a.csv, target: y}\nserve: {max_rows: 1.5e0}\n", tmp_path / "r.yaml"
    )
    [problem] = recipe_load.problems(tmp_path / "r.yaml")
    assert str(problem) == (
        "r.yaml, line 2, column 9: serve.max_rows: expected a whole number, at least 1; found 1.5. Change the value."
    )


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


def equal(one: Any, other: Any) -> bool:
    """With NaN equal to itself, and the types of numbers told apart."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plain)
def test_whatever_is_written_is_read_as_the_same_value(value: Any) -> None:
    text = yaml_text.dump(value)
    document = parse(text, "r")
    assert document.faults == []
    assert equal(document.value, value), text
    assert equal(parse(yaml_text.flow({"a": value}), "r").value, {"a": value})


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.sampled_from(SCALARS), st.sampled_from(every_key()))
def test_any_text_of_set_is_taken_or_refused(text: str, path: tuple[str, ...]) -> None:
    file = Path(__file__).with_name("any.yaml")
    document_text = "data: {source: a.csv, target: y}\n"
    try:
        document = parse(document_text, file.name)
        recipe_load._apply(document, f"{'.'.join(path)}={text}")
        found = recipe_load._problems(document)
    except SixfoldError as error:
        found = [error]  # type: ignore[list-item]
    for error in found:
        assert str(error).startswith((error.where, "--set"))
        json.dumps(str(error)).encode()
    if not found:
        same(Recipe.model_validate(document.value), yaml_text.dump(document.value))
