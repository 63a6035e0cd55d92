"""Where a replay goes: what a sink promises, and the file."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import IO, Final, Protocol

from plantroom_cloud.replay.positions import Position
from plantroom_cloud.replay.rows import first_bytes
from plantroom_shared.errors import ConfigError, Unavailable

_CHUNK: Final = 1 << 20


class Sink(Protocol):
    """Takes lines in order; what `deliver` has returned for is safe with the receiver."""

    async def open(self, position: Position) -> int:
        """Get ready to go on at `position`; return what its `file_size` is to be.

        Raises:
            ConfigError: there it cannot go on.
        """

    async def deliver(self, lines: bytes) -> int:
        """Deliver whole lines; return the size of the file, 0 where there is none."""

    async def close(self) -> None:
        """Let go."""


class FileSink:
    """JSON lines at the end of a file, on the disk before they count.

    The database holds how many bytes of the file are confirmed and the very bytes that come next,
    so what a kill left of them is completed, never doubled. A file that is gone or empty was moved
    away by its reader: the rest goes into a new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._size = 0

    async def open(self, position: Position) -> int:
        """Open and lock the file, and see that it is what the position says."""
        try:
            await asyncio.to_thread(self._open, position)
        except OSError as error:
            what = f"cannot be written: {error}"
            fix = "name a file in a folder that can be written"
            raise ConfigError(what, file=str(self.path), key="--to-file", fix=fix) from error
        return self._size

    def _open(self, position: Position) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{self.path} is being written by another replay"
            raise Unavailable(msg) from error
        _sync_folder(self.path.parent)
        size = os.fstat(descriptor).st_size
        self._size = position.file_size if size else 0
        if size < self._size or not self._is_ours(position, size):
            raise self._foreign()

    def _is_ours(self, position: Position, size: int) -> bool:
        """Say whether the file holds what was confirmed and, beyond it, nothing but our own."""
        assert self._file is not None  # noqa: S101 - opened above
        head = first_bytes(position.replay)
        if self._size and os.pread(self._file.fileno(), len(head), 0) != head:
            return False
        # What is beyond the confirmed bytes of a file that has some is what a crash left there.
        rest = os.pread(self._file.fileno(), len(position.pending) + 1, self._size)
        return bool(self._size) or size == 0 or position.pending.startswith(rest)

    def _foreign(self) -> ConfigError:
        what = "is not the file that this consumer has written so far"
        fix = "move it away (the replay goes on in a new one), or name another file"
        return ConfigError(what, file=str(self.path), key="--to-file", fix=fix)

    async def deliver(self, lines: bytes) -> int:
        """Write what of `lines` is not there yet, and wait for the disk."""
        try:
            await asyncio.to_thread(self._deliver, lines)
        except OSError as error:
            msg = f"{self.path} cannot be written: {error}"
            raise Unavailable(msg) from error
        return self._size

    def _deliver(self, lines: bytes) -> None:
        assert self._file is not None  # noqa: S101 - `open` comes first
        descriptor = self._file.fileno()
        there = os.pread(descriptor, len(lines), self._size)
        # A reader that follows the file never sees it shrink below what it has rightly read.
        keep = next((i for i, byte in enumerate(there) if byte != lines[i]), len(there))
        if os.fstat(descriptor).st_size > self._size + keep:
            os.ftruncate(descriptor, self._size + keep)
        view, start = memoryview(lines), keep
        while start < len(view):
            start += os.pwrite(descriptor, view[start : start + _CHUNK], self._size + start)
        os.fsync(descriptor)
        self._size += len(lines)

    async def close(self) -> None:
        """Close the file, and with it the lock."""
        if self._file is not None:
            self._file.close()


def _sync_folder(folder: Path) -> None:
    """Make the file's name last as its content does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
