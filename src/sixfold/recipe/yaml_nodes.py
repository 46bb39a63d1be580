"""YAML that remembers where everything stood, so that an error can name the line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sixfold.core.errors import RecipeError

Path = tuple[str | int, ...]
MOST_NODES = 20_000  # a recipe has hundreds; what has more is an accident or an attack
MOST_DEPTH = 40
TAG: Final = "tag:yaml.org,2002:"
EXPONENT: Final = re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")
SCALARS: Final = {f"{TAG}{name}" for name in ("null", "bool", "int", "float", "str")}


class _Loader(yaml.SafeLoader):
    """Safe; `1e-3` is a number, as everybody expects (YAML 1.1 wants `1.0e-3`); a date is text, as it was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != f"{TAG}timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{TAG}float", EXPONENT, list("-+0123456789"))


@dataclass
class Document:
    """The value, and the line and column (from 1) of each key or item by its path.

    `faults` are mistakes that do not hinder reading on, such as a key given twice; `changed` are the paths that came from
    the command line and stand on no line.
    """

    where: str
    value: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[RecipeError] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)

    def place(self, path: Path) -> str:
        """`income.yaml, line 12, column 5: build[0].hidden`, or as much of it as is known."""
        dotted = show_path(path)
        if any(path[: len(change)] == change for change in self.changed):
            return f"--set {dotted}"
        known = path
        while known and known not in self.marks:
            known = known[:-1]
        line = f", line {self.marks[known][0]}, column {self.marks[known][1]}" if known in self.marks else ""
        return f"{self.where}{line}: {dotted}" if dotted else f"{self.where}{line}"


def show_path(path: Path) -> str:
    """("build", 0, "hidden") → build[0].hidden"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse(text: str, where: str) -> Document:
    """Read one YAML document; duplicate keys and the like end in its `faults`. Raises RecipeError for broken YAML."""
    document = Document(where)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                document.value = _Reader(document, loader).read_root(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        found = str(error.problem or error.context).removeprefix("but found ").removeprefix("found ")
        raise RecipeError(f"{where}{line}", "YAML", found, "Look at indentation, colons and quotes.") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow; `position` counts characters
        line = f", line {text.count(chr(10), 0, getattr(error, 'position', 0)) + 1}"
        raise RecipeError(f"{where}{line}", "YAML", str(error).splitlines()[0], "Remove the character.") from None
    except RecursionError:
        raise _too_deep(where) from None
    return document


def _too_deep(where: str) -> RecipeError:
    return RecipeError(
        where, f"at most {MOST_DEPTH} levels", "more", "Look for unclosed brackets, or an anchor inside itself."
    )


class _Reader:
    def __init__(self, document: Document, loader: _Loader) -> None:
        self.document, self.loader, self.count = document, loader, 0

    def read_root(self, node: yaml.Node) -> Any:
        """The whole document; its mark is that of its first key."""
        self._mark((), node)
        return self.read(node, ())

    def read(self, node: yaml.Node, path: Path) -> Any:
        """The value of a node as plain Python. Raises RecipeError for too much of it."""
        self.count += 1
        if len(path) > MOST_DEPTH:
            raise _too_deep(self.document.where)
        if self.count > MOST_NODES:
            raise RecipeError(
                self.document.where, f"at most {MOST_NODES:,} values", "more", "Look for repeated anchors."
            )
        if isinstance(node, yaml.MappingNode):
            self._expect_tag(node, path, {f"{TAG}map"})
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._expect_tag(node, path, {f"{TAG}seq"})
            for number, item in enumerate(node.value):
                self._mark((*path, number), item)
            return [self.read(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        if not self._expect_tag(node, path, SCALARS):
            return str(node.value)
        try:
            return self.loader.construct_object(node)
        except (
            ValueError
        ):  # `!!int abc`, or an integer of more digits than Python reads: the schema will say what is due
            return str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = [pair for pair in node.value if pair[0].tag != f"{TAG}merge"]
        result: dict[str, Any] = {}
        for _, value_node in (pair for pair in node.value if pair[0].tag == f"{TAG}merge"):
            result |= self._merged(value_node, path)
        given: set[str] = set()
        for key_node, value_node in own:
            if not isinstance(key_node, yaml.ScalarNode):
                place = f"{self.document.where}, line {key_node.start_mark.line + 1}"
                self.document.faults.append(
                    RecipeError(place, "a key that is text", "a list or a mapping", "Write one word before the colon.")
                )
                continue
            key = str(key_node.value)
            if key in given:
                self._again(key_node, (*path, key))
                continue
            given.add(key)
            self._mark((*path, key), key_node)
            result[key] = self.read(value_node, (*path, key))
        return result

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """`<<: *one` or `<<: [*one, *two]`: of two, the first goes before."""
        parts = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                result |= self.read(part, path)
                continue
            place = f"{self.document.where}, line {part.start_mark.line + 1}"
            self.document.faults.append(
                RecipeError(place, "a mapping to merge with <<", "something else", "Merge an anchor of a mapping.")
            )
        return result

    def _again(self, node: yaml.Node, here: Path) -> None:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.document.faults.append(
            RecipeError(
                f"{self.document.where}, line {line}, column {column}: {show_path(here)}", "each key once",
                f"'{here[-1]}' again", "Remove one of the two.",
            )
        )  # fmt: skip

    def _expect_tag(self, node: yaml.Node, path: Path, tags: set[str]) -> bool:
        if node.tag in tags:
            return True
        self.document.faults.append(
            RecipeError(
                self.document.place(path), "a plain value, list or mapping",
                f"the tag {node.tag.replace(TAG, '!!')}", "Remove the tag.",
            )
        )  # fmt: skip
        return False

    def _mark(self, path: Path, node: yaml.Node) -> None:
        self.document.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
