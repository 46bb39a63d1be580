"""Files that survive a kill: written aside, synced, renamed; and paths that cannot leave their
folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from sixfold.core.errors import SixfoldError, SystemFault


def safe_join(folder: Path, name: str) -> Path:
    """`folder / name`, where `name` is relative and stays inside `folder`. Raises SixfoldError."""
    path = (folder / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(folder.resolve()) or not name:
        raise SixfoldError(
            str(folder), "a file name inside this folder", repr(name), "Use a plain relative name."
        )
    return path


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing: aside, fsync, rename. Raises SystemFault on a full disk or a
    read-only folder.
    """
    data = content.encode() if isinstance(content, str) else content
    aside = path.with_name(path.name + ".tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            aside.unlink(missing_ok=True)
        raise system_fault(path, error) from error


def clear(path: Path) -> None:
    """Remove what stands at `path`: a folder with all that is in it; of a link the link alone;
    nothing where nothing is.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def system_fault(path: Path, error: OSError) -> SystemFault:
    """The operating system's refusal in the words of a user's remedy."""
    remedies = {
        errno.ENOSPC: (
            "free disk space",
            "Free some space and run the same command: finished stages are kept.",
        ),
        errno.EROFS: ("a writable folder", "Choose another folder with --out."),
        errno.EACCES: (
            "a writable folder",
            "Choose another folder with --out, or change its permissions.",
        ),
        errno.EPERM: (
            "a writable folder",
            "Choose another folder with --out, or change its permissions.",
        ),
    }
    expected, remedy = remedies.get(
        error.errno or 0, ("a file that can be written", "Look at the path and the disk.")
    )
    return SystemFault(str(path), expected, error.strerror or str(error), remedy)


def refusal(folder: Path) -> SystemFault | None:
    """Why nothing can be written into a folder, which may have yet to be made; None where nothing
    hinders.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        code = errno.EEXIST if there == folder else errno.ENOTDIR
    elif os.access(there, os.W_OK | os.X_OK):
        return None
    else:
        code = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
    return system_fault(folder, OSError(code, os.strerror(code)))


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
