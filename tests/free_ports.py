"""Ports for servers that are told theirs: nobody else gets one meanwhile, also not between a server's end and its next start."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST: Final = 20_000  # above those that Ray gives to its workers


def free_port() -> int:
    """Below those that the system gives to whoever connects. Its twin of UDP is held, so that no other process of the tests
    takes it.
    """
    draw, end = random.SystemRandom(), _first_given()
    for _ in range(1000):
        port = draw.randrange(FIRST, end)
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        held.detach()  # open until this process ends
        return port
    raise AssertionError(f"no port from {FIRST} to {end} is free")


def _first_given() -> int:
    """Of the system's own: 32768 on Linux, unless somebody set it."""
    given = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    return given if given > FIRST + 1000 else 65_536
