"""The report of a bundle as a page that strangers may send: it starts with a policy that a browser
holds it to.

The policy stands before everything else, so whatever follows can neither run a script nor load,
embed or send anything. What a page can do beside its policy takes an element that a report does not
have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sixfold.bundle.manifest import AGAIN
from sixfold.core.errors import BundleError

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'"
)
SILENT: Final = POLICY.replace("media-src data:; ", "")  # of reports before there were recordings
EARLIER: Final = SILENT.replace("img-src data:; ", "")  # of reports without thumbnails


def start_of(policy: str) -> str:
    """How a page that is held to `policy` starts."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    )


START: Final = start_of(POLICY)
STARTS: Final = tuple(start_of(policy).encode() for policy in (POLICY, SILENT, EARLIER))
# `meta` may lead to another page, `link` looks up names. A "<" of the report's own texts is written
# &lt;: none of them matches.
FOREIGN: Final = re.compile(
    rb"<(?:meta|link|base|script|iframe|frame|object|embed|form|portal)", re.IGNORECASE
)


def check(content: bytes, where: Path) -> None:
    """Raises BundleError for a page that does not start with the policy, or has an element that no
    report has.
    """
    start = next(filter(content.startswith, STARTS), None)
    if start is None:
        raise BundleError(
            str(where), "a page that starts with the policy of a report", "another start", AGAIN
        )
    if (found := FOREIGN.search(content, len(start))) is not None:
        raise BundleError(
            str(where),
            "the elements of a report",
            f"{found.group().decode()}> at byte {found.start()}",
            AGAIN,
        )
