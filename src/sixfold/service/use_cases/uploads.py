"""A bundle that was made elsewhere becomes a version: unpacked aside, verified by a process of its own, stored, published."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from sixfold.service.domain.errors import QuotaExceeded, Unavailable, Unprocessable
from sixfold.service.domain.ids import checked_name
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.ports.database import Transaction
from sixfold.service.process_tools import child_environment, dies_with_its_parent
from sixfold.service.use_cases import audit, files, registry
from sixfold.service.use_cases.bundle_archive import unpack
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.service import Service

VERIFY: Final = (sys.executable, "-m", "sixfold", "verify", "--json")
AT_ONCE: Final = 2  # bundles that are verified at the same time: each takes a core and its memory
VERIFY_S: Final = 600.0  # guessed: a language model of 8 GB takes two minutes to hash and to ask
MEMORY: Final = 4 << 30  # of the verifying process, besides three times the bundle; guessed
MOST_ANSWER: Final = 1 << 20
_verifying = threading.BoundedSemaphore(AT_ONCE)


def opened(service: Service, who: Principal, name: str, archive: BinaryIO) -> NewVersion:
    """The bundle in the zip file, verified and stored; not yet a version. Raises Unprocessable with what is wrong, QuotaExceeded,
    Unavailable where others are verified.
    """
    allowed(who, name)
    with service.database.reading() as rows:
        room = files.room_of(rows, who.tenant_id)
    most = service.settings.most_upload_bytes
    most = most if room is None else min(most, room)
    if not _verifying.acquire(blocking=False):
        found = f"{AT_ONCE} others"
        raise Unavailable("the server", "no bundle that is verified", found, "Ask again soon.", 5)
    try:
        with tempfile.TemporaryDirectory(prefix="sixfold-upload-") as aside:
            folder = Path(aside).resolve() / "bundle"
            folder.mkdir()
            size = unpack(archive, folder, most)
            _verify(folder, size)
            receipt, signature = (
                _object(folder / f"{one}.json") for one in ("receipt", "signature")
            )
            tree, stored = service.artifacts.put_tree(folder)
    finally:
        _verifying.release()
    return NewVersion(tree, stored, {"signature": signature}, receipt)


def publish(
    service: Service, rows: Transaction, who: Principal, name: str, new: NewVersion
) -> ModelVersion:
    """The next version of the model, within the caller's transaction."""
    allowed(who, name)
    room = files.room_of(rows, who.tenant_id)
    if room is not None and new.bytes > room:
        raise QuotaExceeded(
            "storage", f"at most {room:,} bytes more", f"{new.bytes:,}", "Delete files."
        )
    version = registry.publish(service, rows, who.tenant_id, name, new)
    audit.record(service, rows, who, "model.upload", name, version=version.number)
    return version


def allowed(who: Principal, name: str) -> None:
    """Before a byte is read. Raises Forbidden, InvalidRequest."""
    who.require(Scope.MODELS)
    checked_name(name, "the model's name")


def _verify(folder: Path, size: int) -> None:
    """By `sixfold verify` in a process of its own: what a hostile file does to it, the server does not feel."""
    most = MEMORY + 3 * size

    def limited() -> None:
        dies_with_its_parent()
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(
                [*VERIFY, str(folder)],
                cwd=folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                timeout=VERIFY_S,
                preexec_fn=limited,
                start_new_session=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            found = f"no end within {VERIFY_S:.0f} s"
            raise _wrong("the bundle", "one that can be verified", found) from None
        output.seek(0)
        answer = output.read(MOST_ANSWER)
    if code == 0:
        return
    try:
        error = json.loads(answer)["error"]
        where, expected, found = (str(error[part]) for part in ("where", "expected", "found"))
    except (ValueError, KeyError, TypeError):
        where, expected, found = "the bundle", "one that can be verified", f"exit code {code}"
    raise _wrong(
        where.replace(f"{folder}/", "").replace(str(folder), "the bundle"), expected, found
    )


def _wrong(where: str, expected: str, found: str) -> Unprocessable:
    remedy = "Run sixfold verify on the bundle where it was made, and send it again."
    return Unprocessable(where, expected, found, remedy)


def _object(path: Path) -> Mapping[str, Any]:
    """Verified before: it is small, and an object."""
    found: Mapping[str, Any] = json.loads(path.read_bytes())
    return found
