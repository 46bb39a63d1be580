"""The pages' words: a catalog for each language, and which one a browser reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final = {"en": "English", "zh": "中文"}
USUAL: Final = "en"


class Words:
    """Of one language; `words("jobs.new")` is a text, with the facts that stand in braces in it."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **facts: object) -> str:
        """Raises KeyError for a key that the catalog lacks: tests compare the catalogs."""
        text = catalog(self.language)[key]
        return text.format(**facts) if facts else text

    def of(self, kind: str, value: object) -> str:
        """A name that the service gives, such as a job's state; the name itself where it has no word."""
        return catalog(self.language).get(f"{kind}.{value}", str(value))

    def help(self, path: str, text: str) -> str:
        """What a key of the recipe is for: `text`, as the schema has it, or its translation."""
        return recipe_help(self.language).get(path, text)


@cache
def recipe_help(language: str) -> Mapping[str, str]:
    """By the key's path; empty in the language of the schema."""
    return {} if language == USUAL else catalog(f"{language}_recipe")


@cache
def catalog(language: str) -> Mapping[str, str]:
    """By key."""
    text = files(__package__).joinpath("languages", f"{language}.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def chosen(cookie: str | None, accepts: str) -> str:
    """By the cookie of the switch, else the first of Accept-Language that there is a catalog for.

    >>> chosen(None, "fr-CH, zh-TW;q=0.9, en;q=0.8"), chosen("en", "zh"), chosen("xx", "")
    ('zh', 'en', 'en')
    """
    if cookie in LANGUAGES:
        return str(cookie)
    ranked = []
    for at, part in enumerate(accepts.split(",")[:20]):
        name, _, quality = part.partition(";")
        ranked.append((-_quality(quality), at, name.strip().lower().partition("-")[0]))
    return next((name for rank, _, name in sorted(ranked) if rank and name in LANGUAGES), USUAL)


def _quality(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=")) if text else 1.0
    except ValueError:
        return 0.0
