"""Figure 8: hostile archives, slow and oversized bodies. Nothing is written outside, and the server's memory stays."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import hostile_archives
import httpx
import psutil
import pytest
from service_worlds import world
from up_process import UpProcess

from sixfold.service.domain.errors import ServiceError, Unprocessable
from sixfold.service.use_cases.bundle_archive import unpack

PATH = "/api/v1/models/tiny/versions"
MOST_GROWTH = 50 << 20
MOST_BYTES = 1 << 30


def everything(folder: Path) -> set[str]:
    """Names below a folder, but for what stands in `inside`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_forty_hostile_archives_write_nothing_outside(bundle: Path, tmp_path: Path) -> None:
    count = 0
    for what, archive in hostile_archives.hostile(bundle):
        inside = tmp_path / f"n{count}" / "inside"
        inside.mkdir(parents=True)
        with pytest.raises(ServiceError) as refusal:
            unpack(io.BytesIO(archive), inside, MOST_BYTES)
        assert isinstance(refusal.value, Unprocessable) or "at most" in refusal.value.expected, what
        assert everything(inside.parent) == {"inside"} | {
            f"inside/{one}" for one in everything(inside)
        }, what
        written = [one for one in inside.rglob("*") if one.is_file()]
        assert not any(one.is_symlink() for one in inside.rglob("*")), what
        assert sum(one.stat().st_size for one in written) <= 10 * bundle_bytes(bundle), what
        count += 1
    print(f"{count} archives, 0 unpacked")
    assert count >= 40


def bundle_bytes(bundle: Path) -> int:
    return sum(one.stat().st_size for one in bundle.iterdir())


def test_more_than_the_limit_is_never_written(bundle: Path, tmp_path: Path) -> None:
    good = {path.name: path.read_bytes() for path in bundle.iterdir()}
    folder = tmp_path / "b"
    folder.mkdir()
    with pytest.raises(ServiceError, match="at most 1,000 bytes"):
        unpack(io.BytesIO(hostile_archives.packed(good)), folder, 1000)
    assert everything(folder) == set()
    assert unpack(io.BytesIO(hostile_archives.packed(good)), folder, 1 << 20) > 1000
    assert everything(folder) == set(good)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, int]]:
    """A server of its own, whose memory is looked at."""

    home = tmp_path_factory.mktemp("up")
    with world(home) as made:
        key = made.key
    up = UpProcess(home)
    up.start()
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx.Client(base_url=up.url, headers=headers, timeout=300, trust_env=False) as client:
            yield client, up.pid
    finally:
        up.stop()


def _rss(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


@pytest.mark.slow
def test_the_server_stays_small(running: tuple[httpx.Client, int], bundle: Path) -> None:
    """All archives, bodies that are cut off, and a slow one, before the same server."""
    client, pid = running
    first = client.post(PATH, content=b"no zip")
    assert first.status_code == 422
    before, peak, statuses = _rss(pid), 0, []
    for _, archive in hostile_archives.hostile(bundle):
        statuses.append(client.post(PATH, content=archive).status_code)
        peak = max(peak, _rss(pid))
    assert set(statuses) <= {422, 429} and len(statuses) >= 40
    peak = max(peak, _streamed(client, pid), _slow(client, pid))
    grown = peak - before
    print(f"{len(statuses)} archives; memory grew by {grown / 1e6:.1f} MB")
    assert grown <= MOST_GROWTH
    assert client.get("/livez").status_code == 200
    assert client.get("/api/v1/models/tiny").status_code == 404


def _streamed(client: httpx.Client, pid: int) -> int:
    """120 MB of nothing that is good, in blocks."""
    peak = 0

    def blocks() -> Iterator[bytes]:
        nonlocal peak
        for number in range(120):
            if number % 20 == 0:
                peak = max(peak, _rss(pid))
            yield os.urandom(1 << 20)

    assert client.post(PATH, content=blocks()).status_code == 422
    return max(peak, _rss(pid))


def _slow(client: httpx.Client, pid: int) -> int:
    """Fifty bodies at once that come a byte at a time and end early; others are answered in the meantime."""
    host, port = client.base_url.host, client.base_url.port
    key = client.headers["Authorization"]
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {key}\r\n"
    head += "Content-Length: 1000000\r\n\r\n"
    opened = [socket.create_connection((host, port)) for _ in range(50)]
    for one in opened:
        one.sendall(head.encode())
    for _ in range(5):
        for one in opened:
            one.sendall(b"P")
        time.sleep(0.05)
    assert client.get("/livez").status_code == 200
    peak = _rss(pid)
    for one in opened:
        one.close()
    return peak
