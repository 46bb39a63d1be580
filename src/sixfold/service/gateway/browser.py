"""A browser that is signed in to the console: its cookie stands for a key. It reads with it alone, and changes something only
with a form's token beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sixfold.service.domain.people import Principal
from sixfold.service.use_cases import sessions
from sixfold.service.use_cases.service import Service

SESSION: Final = "sixfold_session"  # the cookie's name
FORM_HEADER: Final = "x-csrf-token"
READING: Final = frozenset({"GET", "HEAD"})


def principal(
    service: Service, cookies: Mapping[str, str], sent: str, reading: bool
) -> Principal | None:
    """Of the cookie; None where there is none. `sent`: the token of the form, which is not asked of who is `reading`. Raises
    Unauthenticated, Forbidden.
    """
    token = cookies.get(SESSION)
    if not token:
        return None
    if not reading:
        sessions.must_match(token, sent)
    return sessions.of_token(service, token)
