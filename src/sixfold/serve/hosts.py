"""By which names a server may be asked, and from which pages: what a browser was led to by a name
that means something else (DNS rebinding), or by another site's page, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

from sixfold.bundle.frontend import shown
from sixfold.serve.errors import Refusal

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
ANY: Final = "*"
MOST_HEADERS: Final = 100
REMEMBERED: Final = 64  # values that were found good
LONGEST: Final = 300  # bytes of such a value
WATCHED: Final = frozenset({b"host", b"origin", b"transfer-encoding"})
_AUTHORITY: Final = re.compile(r"(?P<name>\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?")


class Hosts:
    """Which values of Host and Origin are answered. `names`: besides loopback and the address that
    a request came to; with `*` among them, any.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = LOOPBACK | {_name(name) for name in names}
        self._good: set[tuple[bytes, object]] = set()

    def check(self, scope: Scope) -> None:
        """Raises Refusal 400, 403, 421 or 431."""
        headers, host = scope["headers"], None
        if len(headers) > MOST_HEADERS:
            raise Refusal(
                431, "the head", f"at most {MOST_HEADERS} headers", str(len(headers)), "Send fewer."
            )
        for name, value in headers:
            if name not in WATCHED:
                continue
            if name == b"host":
                if host is not None:
                    raise Refusal(400, "Host", "one header", "two", "Send one.")
                host = value
            else:
                self._check_rare(name, value, headers)
        if host is None:
            if scope["http_version"] != "1.0":
                raise Refusal(400, "Host", "the header", "none", "Send it.")
        else:
            server = scope["server"]
            server = tuple(server) if isinstance(server, list) else server
            if (host, server) not in self._good:
                self._check_host(host, server)

    def _check_host(self, host: bytes, server: object) -> None:
        """`server`: the address that the request came to."""
        match = _AUTHORITY.fullmatch(host.decode("latin-1").lower())
        own = _name(str(server[0])) if isinstance(server, tuple | list) else None
        if ANY not in self.names and (
            match is None or match["name"].rstrip(".") not in self.names | {own}
        ):
            raise Refusal(
                421,
                "Host",
                "a name of this server",
                shown(host.decode("latin-1")),
                "Name it at the start: sixfold serve --allow-host NAME.",
            )
        if len(self._good) < REMEMBERED and len(host) < LONGEST:
            self._good.add((host, server))

    def _check_rare(
        self, name: bytes, value: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """A page's own server may be asked by it. A body has one length: two are how requests are
        smuggled past a proxy.
        """
        if name == b"transfer-encoding":
            if any(other == b"content-length" for other, _ in headers):
                raise Refusal(
                    400,
                    "Content-Length",
                    "none beside Transfer-Encoding",
                    "both",
                    "Send one of them.",
                )
            return
        own = next((one for other, one in headers if other == b"host"), b"")
        if value.partition(b"://")[2].lower() != own.lower() and ANY not in self.names:
            raise Refusal(
                403,
                "Origin",
                "a page of this server",
                shown(value.decode("latin-1")),
                "Ask from a program, or from /.",
            )


def _name(text: str) -> str:
    """A name or an address as a Host header has it, without a port."""
    match = _AUTHORITY.fullmatch(text.lower())
    if match is not None:
        return match["name"]
    return f"[{text.lower()}]" if ":" in text and not text.startswith("[") else text.lower()
