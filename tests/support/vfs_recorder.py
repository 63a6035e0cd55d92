"""An instrumented SQLite VFS: notes every write, sync, truncation and name change of a database.

It is registered, by ctypes, in the very SQLite library that the `sqlite3` module is linked with, and
made its default: what is recorded is the code that runs on a gateway, not a look-alike of it. Calls
go on to the ordinary VFS. Names that Python changes (rename, unlink, fsync of a folder) are noted, too.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes as c
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

_OK: Final = 0
_CREATE: Final = 0x4
_LOG: Final = 0x800 | 0x80000  # main journal, WAL: their folder is synced with their first sync

# Names are passed on as pointers: SQLite keeps them, and hides parameters behind their end.
_Open = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_void_p, c.c_int, c.c_void_p)
_Delete = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_int)
_Write = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_int, c.c_int64)
_Truncate = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int64)
_Sync = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int)


class _Vfs(c.Structure):
    """``sqlite3_vfs``, all three versions."""

    _fields_ = (
        ("version", c.c_int),
        ("file_size", c.c_int),
        ("longest_name", c.c_int),
        ("next", c.c_void_p),
        ("name", c.c_char_p),
        ("data", c.c_void_p),
        ("open", c.c_void_p),
        ("delete", c.c_void_p),
        ("rest", c.c_void_p * 13),
    )


class _Methods(c.Structure):
    """``sqlite3_io_methods``, all three versions."""

    _fields_ = (
        ("version", c.c_int),
        ("close", c.c_void_p),
        ("read", c.c_void_p),
        ("write", c.c_void_p),
        ("truncate", c.c_void_p),
        ("sync", c.c_void_p),
        ("rest", c.c_void_p * 13),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to the disk, or that the workload knows by now.

    `kind` is ``create``, ``write``, ``truncate``, ``sync`` (of a file), ``unlink``, ``rename``,
    ``folder`` (a sync of the folder's names) or ``mark``.
    """

    kind: str
    name: str = ""
    at: int = 0
    """Offset of a write, size of a truncation."""
    data: bytes = b""
    to: str = ""
    mark: Any = None


class Recorder:
    """Notes what happens to the files of `folder`, in order.

    Used as ``with recorder.recording():``; one at a time in a process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._names: dict[int, str] = {}
        """Address of an open file → its name."""
        self._fresh: set[int] = set()
        self._tables: dict[int, _Methods] = {}
        self._kept: list[Any] = []
        """What C holds a pointer to must not be collected."""

    def mark(self, what: Any) -> None:
        """Note what the workload knows from here on."""
        self.events.append(Event("mark", mark=what))

    def _note(self, kind: str, name: str, **more: Any) -> None:
        self.events.append(Event(kind, name, **more))

    def _ours(self, path: str | bytes | os.PathLike[str]) -> str:
        text = os.fsdecode(path)
        return os.path.basename(text) if os.path.dirname(text) == str(self.folder) else ""  # noqa: PTH119, PTH120 -- names from C

    # ------------------------------------------------------------ SQLite's side

    @contextlib.contextmanager
    def recording(self) -> Iterator[Recorder]:
        """Note what happens until the block ends."""
        library = c.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = c.POINTER(_Vfs)
        usual = library.sqlite3_vfs_find(None)
        shim = _Vfs.from_buffer_copy(usual.contents)
        shim.name, shim.next = b"recorder", None
        opened = self._callback(_Open, self._opener(usual))
        deleted = self._callback(_Delete, self._deleter(usual))
        shim.open, shim.delete = (c.cast(each, c.c_void_p) for each in (opened, deleted))
        library.sqlite3_vfs_register(c.byref(shim), 1)
        try:
            with self._names_by_python():
                yield self
        finally:
            library.sqlite3_vfs_unregister(c.byref(shim))
            self._kept.append(shim)

    def _callback(self, kind: Any, function: Callable[..., int]) -> Any:
        made = kind(function)
        self._kept.append(made)
        return made

    def _opener(self, usual: Any) -> Callable[..., int]:
        real = _Open(usual.contents.open)

        def opened(_: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            path = c.string_at(name) if name else b""
            ours, existed = self._ours(path), os.path.exists(path)  # noqa: PTH110 -- a name from C
            result: int = real(c.addressof(usual.contents), name, file, flags, out)
            if result == _OK and ours and not ours.endswith("-shm"):
                if not existed and flags & _CREATE:
                    self._note("create", ours)
                    self._fresh |= {file} if flags & _LOG else set()
                self._names[file] = ours
                self._wrap(file)
            return result

        return opened

    def _deleter(self, usual: Any) -> Callable[..., int]:
        real = _Delete(usual.contents.delete)

        def deleted(_: int, name: int, sync: int) -> int:
            path = c.string_at(name)
            existed = os.path.exists(path)  # noqa: PTH110 -- a name from C
            result: int = real(c.addressof(usual.contents), name, sync)
            if existed and (ours := self._ours(path)):
                self._note("unlink", ours)
                if sync:
                    self._note("folder", "")
            return result

        return deleted

    def _wrap(self, file: int) -> None:
        """Put our methods in the place of those that the file was opened with."""
        slot = c.cast(file, c.POINTER(c.c_void_p))
        address = slot[0]
        if address not in self._tables:
            self._tables[address] = self._methods(_Methods.from_address(address))
        slot[0] = c.addressof(self._tables[address])

    def _methods(self, real: _Methods) -> _Methods:
        write, truncate, sync = _Write(real.write), _Truncate(real.truncate), _Sync(real.sync)

        def wrote(file: int, data: int, size: int, offset: int) -> int:
            self._note("write", self._names[file], at=offset, data=c.string_at(data, size))
            return int(write(file, data, size, offset))

        def truncated(file: int, size: int) -> int:
            self._note("truncate", self._names[file], at=size)
            return int(truncate(file, size))

        def synced(file: int, flags: int) -> int:
            result: int = sync(file, flags)
            self._note("sync", self._names[file])
            if file in self._fresh:
                self._fresh.discard(file)
                self._note("folder", "")
            return result

        ours = _Methods.from_buffer_copy(real)
        for name, kind, function in (
            ("write", _Write, wrote),
            ("truncate", _Truncate, truncated),
            ("sync", _Sync, synced),
        ):
            setattr(ours, name, c.cast(self._callback(kind, function), c.c_void_p))
        return ours

    # ------------------------------------------------------------ Python's side

    @contextlib.contextmanager
    def _names_by_python(self) -> Iterator[None]:
        rename, unlink, fsync = os.rename, os.unlink, os.fsync

        def renamed(old: Any, new: Any, **more: Any) -> None:
            rename(old, new, **more)
            if (ours := self._ours(old)) and (to := self._ours(new)):
                self._note("rename", ours, to=to)

        def unlinked(path: Any, **more: Any) -> None:
            unlink(path, **more)
            if ours := self._ours(path):
                self._note("unlink", ours)

        def fsynced(handle: int) -> None:
            fsync(handle)
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                self._note("folder", "")

        with (
            mock.patch("os.rename", renamed),
            mock.patch("os.replace", renamed),
            mock.patch("os.unlink", unlinked),
            mock.patch("os.fsync", fsynced),
        ):
            yield
