"""HTTP to a server, as patient as it must be: a server that starts again finds its workers and clients at work."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from sixfold import __version__
from sixfold.core import strict_json
from sixfold.core.paths import safe_join, sha256_file
from sixfold.service.domain import errors
from sixfold.service.domain.errors import (
    VERSION_HEADER,
    ServiceError,
    Unavailable,
    Unprocessable,
)
from sixfold.telemetry import traces

CHUNK: Final = 1 << 20
FIRST_WAIT_S: Final = 0.1
MOST_WAIT_S: Final = 2.0
TIMEOUT_S: Final = 30.0
FILE_TIMEOUT_S: Final = 660.0  # a bundle is verified before it is a version
OF_ANOTHER_VERSION: Final = (400, 404, 405, 422)  # what one knows and the other does not
KINDS: Final = {
    kind.status: kind
    for kind in (
        errors.InvalidRequest,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.Unprocessable,
        errors.QuotaExceeded,
        errors.Unavailable,
    )
}


@dataclass
class Transport:
    """`url`: of the server, without a path. `patience_s`: how long it is asked again while it is away; None: for ever."""

    url: str
    key: str
    patience_s: float | None = None
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        # Not through a proxy of the environment: the server is named by its address.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )

    def close(self) -> None:
        """Its connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON; None for 204. Raises the ServiceError that the server names, and Unavailable once patience
        ends.
        """
        content = None if body is None else strict_json.text(body).encode()
        of_json = {} if content is None else {"Content-Type": "application/json"}
        answer = self._patiently(
            method, path, content=content, headers={**of_json, **(headers or {})}
        )
        return json.loads(answer.content) if answer.content else None

    def send(self, path: str, file: Path, headers: Mapping[str, str] | None = None) -> Any:
        """A file as the body of a POST; the answer's JSON."""
        return json.loads(self._patiently("POST", path, headers=headers, path=file).content)

    def save(self, url: str, path: Path) -> None:
        """An answer's body as a file. Raises the ServiceError that the server names."""
        with self._http.stream("GET", url) as answer, path.open("wb") as file:
            if answer.is_error:
                answer.read()
                raise _error(answer)
            for block in answer.iter_bytes(CHUNK):
                file.write(block)

    def fetch_tree(self, digest: str, folder: Path) -> None:
        """All files of a tree into `folder`, each verified."""
        tree = json.loads(self._patiently("GET", f"/api/v1/artifacts/{digest}").content)
        for name, each in tree["files"].items():
            self.fetch(each, safe_join(folder, name))

    def fetch(self, digest: str, path: Path) -> None:
        """One file, aside and renamed once it is whole. Raises Unprocessable where it is not what it should be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".part")
        for _ in self._tries():
            found = hashlib.sha256()
            with contextlib.suppress(httpx.TransportError):
                with self._http.stream("GET", f"/api/v1/artifacts/{digest}") as answer:
                    if answer.status_code >= 500:
                        continue
                    if answer.is_error:
                        answer.read()
                        raise _error(answer)
                    with aside.open("wb") as file:
                        for block in answer.iter_bytes(CHUNK):
                            found.update(block)
                            file.write(block)
                if found.hexdigest() != digest:
                    raise Unprocessable(
                        path.name,
                        f"SHA-256 {digest}",
                        found.hexdigest(),
                        "Look at the store's disk.",
                    )
                aside.replace(path)
                return

    def put_tree(self, folder: Path, names: list[str]) -> tuple[str, int]:
        """The digest of the tree of these files, and their bytes; what the server has is not sent again."""
        files, total = {}, 0
        for name in sorted(names):
            path = folder / name
            digest = sha256_file(path)
            files[name] = digest
            total += path.stat().st_size
            self._put(digest, path)
        content = json.dumps({"files": files}, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        self._patiently("PUT", f"/api/v1/artifacts/{digest}", content=content)
        return digest, total

    def put_file(self, path: Path) -> str:
        """The digest of a file that the server has now."""
        digest = sha256_file(path)
        self._put(digest, path)
        return digest

    def _put(self, digest: str, path: Path) -> None:
        there = self._patiently("HEAD", f"/api/v1/artifacts/{digest}", allowed=(404,))
        if there.status_code == 404:
            self._patiently("PUT", f"/api/v1/artifacts/{digest}", path=path)

    def _patiently(
        self,
        method: str,
        url: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: Path | None = None,
        allowed: tuple[int, ...] = (),
    ) -> httpx.Response:
        last = "no answer"
        for _ in self._tries():
            try:
                body = content if path is None else _blocks(path)
                answer = self._http.request(
                    method,
                    url,
                    content=body,
                    headers={**traces.headers(), **(headers or {})},
                    timeout=_timeout(path),
                )
            except httpx.TransportError as error:
                last = str(error) or type(error).__name__
                continue
            if answer.status_code in (502, 503, 504):
                last = f"status {answer.status_code}"
                continue
            if answer.is_error and answer.status_code not in allowed:
                raise _error(answer)
            return answer
        raise Unavailable(self.url, "a server that answers", last, "Start it, or name another.")

    def _tries(self) -> Iterator[None]:
        """Again and again, with growing pauses, until patience ends."""
        started, wait = time.monotonic(), FIRST_WAIT_S
        while True:
            yield
            patience_s = self.patience_s  # a worker that ends has less of it from then on
            if patience_s is not None and time.monotonic() + wait > started + patience_s:
                return
            time.sleep(wait * (0.5 + random.random() / 2))
            wait = min(2 * wait, MOST_WAIT_S)


def _timeout(path: Path | None) -> httpx.Timeout:
    """A file that was sent may be looked at for a while before there is an answer."""
    return httpx.Timeout(TIMEOUT_S, read=TIMEOUT_S if path is None else FILE_TIMEOUT_S)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            yield block


def _error(answer: httpx.Response) -> ServiceError:
    """The server's problem document, as the error that it was there."""
    try:
        problem = answer.json()
        parts = [str(problem[name]) for name in ("where", "expected", "found", "remedy")]
    except (ValueError, KeyError, TypeError):
        parts = ["the server", "an answer", f"status {answer.status_code}", "Look at its log."]
    theirs = answer.headers.get(VERSION_HEADER, __version__)
    if theirs != __version__ and answer.status_code in OF_ANOTHER_VERSION:
        parts[3] += (
            f" This is Sixfold {__version__} and the server {theirs}: pip install 'sixfold=={theirs}'."
        )
    return KINDS.get(answer.status_code, ServiceError)(*parts)
