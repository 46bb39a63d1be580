"""YAML that remembers where everything stood, so that an error can name the line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sixfold.core.errors import RecipeError

Path = tuple[str | int, ...]
MOST_NODES = 20_000  # PyYAML takes 60 µs for each; a recipe has hundreds; what has more is an accident or an attack
MOST_DEPTH = 40
LONGEST_SHOWN: Final = 100  # characters of a key, or of what PyYAML says
TAG: Final = "tag:yaml.org,2002:"
MOST_CHARACTERS: Final = (
    100  # of a number: a double takes 24, and what is this long is still one for Python
)
# What a plain scalar is: the core schema of YAML 1.2, and nothing of YAML 1.1 (yes, 1_000,
# 190:20:30, a date are texts). Of two that match the first one counts. Merge keys (`<<`) are the
# one thing that is taken beside it.
CORE: Final[dict[str, tuple[re.Pattern[str], list[str]]]] = {
    name: (re.compile(pattern), list(first) + ([""] if name == "null" else []))
    for name, pattern, first in (
        ("null", r"(?:~|null|Null|NULL|)\Z", "~nN"),
        ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
        ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789"),
        (
            "float",
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
            "-+.0123456789",
        ),
        ("merge", r"<<\Z", "<"),
    )
}


class _Loader(yaml.SafeLoader):
    """Makes nodes only, at most MOST_NODES of them; `tagged` are those with a tag of their own, by
    identity.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012  # none of YAML 1.1

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.count = 0
        self.tagged: dict[int, str] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As ever, counted. Raises TooMany."""
        self.count += 1
        if self.count > MOST_NODES:
            raise TooMany
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = event.tag if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) else None
        node = super().compose_node(parent, index)
        if tag is not None and node is not None:
            self.tagged[id(node)] = tag
        return node


class TooMany(Exception):
    """More values than a recipe may have."""


for _name, (_pattern, _first) in CORE.items():
    _Loader.add_implicit_resolver(f"{TAG}{_name}", _pattern, _first)


@dataclass
class Document:
    """The value, and the line and column (from 1) of each key or item by its path.

    `faults` are mistakes that do not hinder reading on, such as a key given twice; `changed` are
    the paths that came from the command line and stand on no line.
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
        line = (
            f", line {self.marks[known][0]}, column {self.marks[known][1]}"
            if known in self.marks
            else ""
        )
        return f"{self.where}{line}: {dotted}" if dotted else f"{self.where}{line}"


def show_path(path: Path) -> str:
    """("build", 0, "hidden") → build[0].hidden"""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else f".{short(part)}"
        text += name if text else name.removeprefix(".")
    return text


def short(text: str) -> str:
    """At most LONGEST_SHOWN characters of a text for a message."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def parse(text: str, where: str) -> Document:
    """Read one YAML document; duplicate keys and the like end in its `faults`. Raises RecipeError
    for broken YAML.
    """
    document = Document(where)
    try:
        _read(text, document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        found = (
            str(error.problem or error.context).removeprefix("but found ").removeprefix("found ")
        )
        raise RecipeError(
            f"{where}{line}", "YAML", short(found), "Look at indentation, colons and quotes."
        ) from None
    except (
        yaml.YAMLError
    ) as error:  # a character that YAML does not allow; `position` counts characters
        position = error.position if isinstance(error, yaml.reader.ReaderError) else 0
        line = f", line {text.count(chr(10), 0, position) + 1}"
        raise RecipeError(
            f"{where}{line}", "YAML", short(str(error).splitlines()[0]), "Remove the character."
        ) from None
    except RecursionError:
        raise _too_deep(where) from None
    except TooMany:
        raise _too_many(where) from None
    return document


def _read(text: str, document: Document) -> None:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except RecipeError:
        raise
    except (
        ValueError
    ) as error:  # PyYAML makes characters of "\\U00110000" and numbers of %YAML without looking
        place = f"{document.where}, line {loader.line + 1}"
        raise RecipeError(
            place, "YAML", short(str(error)), "Look at escapes and directives."
        ) from None
    finally:
        loader.dispose()
    if node is not None:
        document.value = _Reader(document, loader.tagged).read_root(node)


def _too_deep(where: str) -> RecipeError:
    return RecipeError(
        where,
        f"at most {MOST_DEPTH} levels",
        "more",
        "Look for unclosed brackets, or an anchor inside itself.",
    )


def _too_many(where: str) -> RecipeError:
    return RecipeError(
        where, f"at most {MOST_NODES:,} values", "more", "Look for repeated anchors."
    )


def _is_merge(node: yaml.Node) -> bool:
    return bool(node.tag == f"{TAG}merge")


def plain_value(kind: str, text: str) -> Any:
    """The value of a plain scalar that is of `kind` by the core schema."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text.replace(".", "", 1) if text[-1] in "fFnN" else text)


class _Reader:
    def __init__(self, document: Document, tagged: dict[int, str]) -> None:
        self.document, self.tagged, self.count = document, tagged, 0

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
            raise _too_many(self.document.where)
        tag = self.tagged.get(id(node))
        if tag is not None:
            self._refuse_tag(tag, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._mark((*path, number), item)
            return [self.read(item, (*path, number)) for number, item in enumerate(node.value)]
        return str(node.value) if tag is not None else self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(TAG)
        if kind not in ("null", "bool", "int", "float"):
            return text
        if kind in ("int", "float") and len(text) > MOST_CHARACTERS:
            place, found = self._at(node, path), f"{len(text):,}, which begin with {text[:12]}"
            self.document.faults.append(
                RecipeError(
                    place,
                    f"a number of at most {MOST_CHARACTERS} characters",
                    found,
                    "Shorten it, or put it in quotes.",
                )
            )
            return text
        return plain_value(kind, text)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = [pair for pair in node.value if not _is_merge(pair[0])]
        result: dict[str, Any] = {}
        for _, value_node in (pair for pair in node.value if _is_merge(pair[0])):
            result |= self._merged(value_node, path)
        given: set[str] = set()
        for key_node, value_node in own:
            if not isinstance(key_node, yaml.ScalarNode):
                place = f"{self.document.where}, line {key_node.start_mark.line + 1}"
                self.document.faults.append(
                    RecipeError(
                        place,
                        "a key that is text",
                        "a list or a mapping",
                        "Write one word before the colon.",
                    )
                )
                continue
            key = str(key_node.value)
            if (tag := self.tagged.get(id(key_node))) is not None:
                self._refuse_tag(tag, (*path, key))
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
                RecipeError(
                    place,
                    "a mapping to merge with <<",
                    "something else",
                    "Merge an anchor of a mapping.",
                )
            )
        return result

    def _again(self, node: yaml.Node, here: Path) -> None:
        self.document.faults.append(
            RecipeError(
                self._at(node, here),
                "each key once",
                f"'{short(str(here[-1]))}' again",
                "Remove one of the two.",
            )
        )

    def _refuse_tag(self, tag: str, path: Path) -> None:
        self.document.faults.append(
            RecipeError(
                self.document.place(path),
                "a plain value, list or mapping",
                f"the tag {short(tag.replace(TAG, '!!'))}",
                "Remove the tag.",
            )
        )

    def _at(self, node: yaml.Node, path: Path) -> str:
        """Where a node itself stands, which may be on the line after its key."""
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        return (
            f"{self.document.where}, line {line}, column {column}: {show_path(path)}".removesuffix(
                ": "
            )
        )

    def _mark(self, path: Path, node: yaml.Node) -> None:
        self.document.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
