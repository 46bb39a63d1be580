"""What of a bundle's recipe a server does: a stranger does not decide who is listened to, nor how
much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sixfold.core.units import size_bytes
from sixfold.recipe.serving import Serve

FIRST_FREE_PORT: Final = 1024  # below it are the system's own
TAKE_IT: Final = "--trust-recipe would take it"


def settings_of(
    asked: Serve, given: Mapping[str, Any], trusted: bool = False
) -> tuple[Serve, tuple[str, ...]]:
    """The settings of a server, and a line for each that the recipe asks for and does not get.

    `asked`: the recipe's; `given`: the command line's host and port, which go before it. A recipe
    may ask for less than the defaults; for another host, for more, or for a port of the system only
    where it is `trusted`.
    """
    if trusted:
        return asked.model_copy(update=given), ()
    kept = {key: getattr(Serve(), key) for key in _refused(asked) if key not in given}
    lines = (
        f"serve.{key}: {kept[key]}, not {getattr(asked, key)} as in the recipe: {TAKE_IT}"
        for key in kept
    )
    return asked.model_copy(update={**kept, **given}), tuple(lines)


def _refused(asked: Serve) -> Iterator[str]:
    default = Serve()
    if asked.host not in (default.host, "localhost", "::1"):
        yield "host"
    if 0 < asked.port < FIRST_FREE_PORT:
        yield "port"
    if asked.concurrency > default.concurrency:
        yield "concurrency"
    if asked.max_rows > default.max_rows:
        yield "max_rows"
    if size_bytes(asked.max_body) > size_bytes(default.max_body):
        yield "max_body"
