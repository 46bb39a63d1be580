"""Values as the text of a recipe: whatever a value holds, `yaml_nodes.parse` reads the same value
back, and nothing else.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from sixfold.core.visible import escaped
from sixfold.recipe.yaml_nodes import CORE, TAG

ESCAPED: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
LONGEST_COMMENT: Final = 60  # characters of a name that stands in a comment


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what our reader, or one of YAML 1.1, would take for another type: `1e3` is a
    number for ours alone, `yes` a boolean for the other one.
    """


_Dumper.yaml_implicit_resolvers = {
    first: list(found) for first, found in yaml.SafeDumper.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in CORE.items():
    _Dumper.add_implicit_resolver(f"{TAG}{_name}", _pattern, _first)


def dump(value: Any) -> str:
    """A document of plain values."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def flow(value: Any) -> str:
    """A mapping or a list of plain values on one line: `{a: 1, b: [x, y]}`."""
    return str(
        yaml.dump(
            value,
            Dumper=_Dumper,
            default_flow_style=True,
            sort_keys=False,
            allow_unicode=True,
            width=1e6,
        )
    ).strip()


def quoted(text: str) -> str:
    """A text in double quotes, on one line; what is not printable is escaped."""
    return '"' + "".join(map(_character, text)) + '"'


def scalar(text: str) -> str:
    """A text as it stands where YAML reads it so, else in quotes."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) and _plain_tag(text) == f"{TAG}str":
        return text
    return quoted(text)


def comment(text: str) -> str:
    """A text that stays inside its comment: one line, printable, not too long."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= LONGEST_COMMENT else f"{line[: LONGEST_COMMENT - 1]}…"


def _character(character: str) -> str:
    if character in ESCAPED:
        return ESCAPED[character]
    if character.isprintable():
        return character
    return escaped(character)


def _plain_tag(text: str) -> str:
    """What the text is without quotes."""
    tags = [
        tag
        for tag, pattern in _Dumper.yaml_implicit_resolvers.get(text[:1], [])
        if pattern.match(text)
    ]
    return tags[0] if tags else f"{TAG}str"


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Double quotes for what is not printable: YAML folds other line breaks, and refuses many
    characters.
    """
    style = None if all(map(_is_plain, text)) else '"'
    return dumper.represent_scalar(f"{TAG}str", text, style=style)


def _is_plain(character: str) -> bool:
    return character == "\n" or character.isprintable()


_Dumper.add_representer(str, _represented)
