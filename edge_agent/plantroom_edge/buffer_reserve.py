"""A file that holds nothing: its space is given up when the disk is full.

With it the account, gaps and audit can still be written, and the log of the database has room to
turn over, when not a byte is left for anything else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from plantroom_edge.files import fsync_folder

LEAST: Final = 64 * 1024
"""Bytes below which a reserve is of no use."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """Say whether `error` means that there is no space on the disk."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    return isinstance(error, OSError) and error.errno in _FULL


class Reserve:
    """The reserve of one buffer.

    Args:
        path: of the buffer's file; the reserve lies beside it.
        wanted: bytes; fewer are taken where the disk has little left.
    """

    def __init__(self, path: Path, wanted: int) -> None:
        self.file = path.with_name(f"{path.name}.reserve")
        self.wanted = wanted
        self._enough = wanted
        """Bytes that were set aside before: a small disk never had more."""

    @property
    def size(self) -> int:
        """Bytes that are set aside now."""
        try:
            return self.file.stat().st_size
        except OSError:
            return 0

    def make(self) -> bool:
        """Set the space aside, in blocks the disk has really given; say whether that could be done.

        Never takes more than a quarter of what is left.
        """
        if self.size == self.wanted:
            return True
        try:
            size = min(self.wanted, self.size + free_bytes(self.file.parent) // 4)
            if size < min(LEAST, self.wanted):
                return False
            self._allocate(size)
        except OSError:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)
            return False
        return True

    def _allocate(self, size: int) -> None:
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(handle).st_size > size:
                os.ftruncate(handle, size)
            elif size:
                os.posix_fallocate(handle, 0, size)
            # A power cut must not leave a name without its space.
            os.fsync(handle)
        finally:
            os.close(handle)
        fsync_folder(self.file.parent)

    def release(self) -> bool:
        """Give the space up; say whether there was any."""
        had = self.size > 0
        self._enough = self.size or self._enough
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)
        return had

    def may_return(self) -> bool:
        """Say whether the disk has so much room again that it no longer counts as full."""
        try:
            return free_bytes(self.file.parent) >= max(self._enough // 2, 4 * LEAST)
        except OSError:
            return False


def free_bytes(folder: Path) -> int:
    """Return the bytes that an ordinary process may still write to the disk of `folder`."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
