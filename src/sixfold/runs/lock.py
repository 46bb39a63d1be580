"""One process at a time in a folder: the folder itself is locked, so that no file that someone
removes opens the door.

On filesystems that lock no folders (NFS asks for a file that can be written) the file `.lock`
inside is locked instead; it is locked beside the folder everywhere, and holds the process that has
it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
from pathlib import Path
from typing import Final

from sixfold.core.errors import SystemFault

NAME: Final = ".lock"
UNLOCKABLE: Final = (
    errno.EBADF,
    errno.EINVAL,
    errno.ENOLCK,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EISDIR,
)
TRIES: Final = 10  # where the folder is replaced while it is locked


class FolderLock:
    """Taken by `take`, given back by `release` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handles: list[int] = []

    def take(self) -> None:
        """Make the folder if there is none, and lock it. Raises SystemFault where another process
        has it, and OSError.
        """
        try:
            self._lock_folder()
            self._lock_file()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Also where it was not taken."""
        while self._handles:
            with contextlib.suppress(OSError):
                os.close(self._handles.pop())

    def check(self) -> None:
        """Raises SystemFault where the locked folder is not at its path any more: another process
        may be in the new one.
        """
        if not self._handles:
            return
        try:
            here = os.stat(self.folder)  # noqa: PTH116  # the same call as for the descriptor
        except OSError:
            found = "none: it was moved or removed while the run was at work"
        else:
            if os.path.samestat(here, os.fstat(self._handles[0])):
                return
            found = "another folder of this name"
        raise SystemFault(
            str(self.folder),
            "the folder in which the run began",
            found,
            "Move it back and run the same command again: finished stages are kept.",
        )

    def _lock_folder(self) -> None:
        for _ in range(TRIES):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._handles = [os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
            self._flock(self._handles[0], UNLOCKABLE)
            try:
                self.check()
            except SystemFault:
                self.release()
            else:
                return
        raise SystemFault(
            str(self.folder),
            "a folder that stays",
            "one that is replaced all the time",
            "Run again.",
        )

    def _lock_file(self) -> None:
        path = self.folder / NAME
        if path.is_symlink() or path.is_dir():
            found = "a symbolic link" if path.is_symlink() else "a folder"
            raise SystemFault(
                str(path), "a plain file", found, "Remove it and run the same command again."
            )
        handle = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
        )
        self._handles.append(handle)
        self._flock(handle)
        os.ftruncate(handle, 0)
        with contextlib.suppress(OSError):  # on a full disk: nobody needs it
            os.pwrite(handle, f"{os.getpid()} {platform.node()}\n".encode(), 0)

    def _flock(self, handle: int, allowed: tuple[int, ...] = ()) -> None:
        """Raises SystemFault where another process has it, and OSError but for `allowed`
        numbers.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemFault(
                str(self.folder),
                "a run folder that nobody else uses",
                f"another process at work in it{self._holder()}",
                "Wait for it to end, or choose another folder with --out.",
            ) from None
        except OSError as error:
            if error.errno not in allowed:
                raise

    def _holder(self) -> str:
        """ " (process 123)", or '' where that is not known."""
        with contextlib.suppress(OSError, ValueError):
            process, _, machine = (
                (self.folder / NAME).read_text(encoding="utf-8")[:300].strip().partition(" ")
            )
            there = f" on {machine}" if machine and machine != platform.node() else ""
            return f" (process {int(process)}{there})"
        with contextlib.suppress(OSError):
            own = str(os.stat(self.folder).st_ino)  # noqa: PTH116
            found = re.search(
                rf"FLOCK\s+\S+\s+WRITE\s+(\d+) \S+:{own} ", Path("/proc/locks").read_text()
            )
            return f" (process {found[1]})" if found else ""
        return ""
