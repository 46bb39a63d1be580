"""A connection whose client sends a head without end is closed: httptools alone would keep all of it."""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

LONGEST_HEAD: Final = 64 << 10  # bytes


class BoundedHead(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with httptools where that is installed, else with h11."""

    head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        cycle: Any = self.cycle
        super().data_received(data)
        if self.cycle is not cycle or (cycle is not None and not cycle.response_complete):
            self.head_bytes = 0
            return
        self.head_bytes += len(data)
        if self.head_bytes > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head is too long.")
