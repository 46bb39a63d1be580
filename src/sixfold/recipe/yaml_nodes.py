"""YAML that remembers where everything stood, so that an error can name the line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from sixfold.core.errors import RecipeError

Path = tuple[str | int, ...]
MOST_NODES = 20_000  # a recipe has hundreds; what has more is an accident or an attack
MOST_DEPTH = 40


class _Loader(yaml.SafeLoader):
    """Safe, and `1e-3` is a number, as everybody expects (YAML 1.1 wants `1.0e-3`)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


@dataclass
class Document:
    """The value, and the line and column (from 1) of each key or item by its path."""

    where: str
    value: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path) -> str:
        """`income.yaml, line 12, column 5: build[0].hidden`, or as much of it as is known."""
        known = path
        while known and known not in self.marks:
            known = known[:-1]
        line = f", line {self.marks[known][0]}, column {self.marks[known][1]}" if known in self.marks else ""
        dotted = show_path(path)
        return f"{self.where}{line}: {dotted}" if dotted else f"{self.where}{line}"


def show_path(path: Path) -> str:
    """("build", 0, "hidden") → build[0].hidden"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse(text: str, where: str) -> Document:
    """Read one YAML document. Raises RecipeError for broken YAML, duplicate keys, keys that are no text."""
    document = Document(where)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.value = _Reader(document, loader).read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(
            f"{where}{line}", "YAML", str(error.problem or error.context), "Look at indentation, colons and quotes."
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(where, "YAML", str(error).splitlines()[0], "Save the file as UTF-8 text.") from None
    finally:
        loader.dispose()
    return document


class _Reader:
    def __init__(self, document: Document, loader: _Loader) -> None:
        self.document, self.loader, self.count = document, loader, 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        if self.count > MOST_NODES or len(path) > MOST_DEPTH:
            raise RecipeError(
                self.document.where, f"at most {MOST_NODES:,} values", "more", "Look for repeated anchors."
            )
        self.document.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, number)) for number, item in enumerate(node.value)]
        value = self.loader.construct_object(node)
        return value if value is None or isinstance(value, str | int | float | bool) else str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self.loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            self.document.marks[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in result:
                raise RecipeError(
                    self.document.place(here), "each key once", f"'{key}' again", "Remove one of the two."
                )
            result[key] = self.read(value_node, here)
        return result
