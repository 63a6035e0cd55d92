"""Files of the service behind one port: in a folder, or in a store that speaks S3 (`kit.s3`).

A key is a path of lower-case names whose last one has an ending, such as
``exports/7/tower/2026-01.parquet``: so that every key means the same on every file system and in
every store, no key is the folder of another, and none leads anywhere else. Whoever makes a key of a
name that others chose has to encode it; what is no key is refused, never mended.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar

from plantroom_shared.errors import PlantroomError, Rejected, Unavailable

T = TypeVar("T")

LONGEST: Final = 512
"""Characters of a key."""
MOST: Final = 4 * 1024**3
"""Bytes of a blob where nobody says less: what S3 takes in one request, and some room."""
PIECE: Final = 256 * 1024
"""Bytes that are read and written at once."""
_FOLDER = r"[a-z0-9][a-z0-9_=-]{0,99}"
_KEY: Final = re.compile(rf"\A(?:{_FOLDER}/)*{_FOLDER}(?:\.[a-z0-9]{{1,20}}){{1,3}}\Z")
_PREFIX: Final = re.compile(rf"\A(?:{_FOLDER}/)*\Z")


class NoSuchBlob(PlantroomError):
    """There is nothing under this key."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What was kept."""

    key: str
    size: int
    """Bytes."""
    sha256: str
    """Of the content, in hex; note it where it matters, and `get` says if it is another."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is there."""

    key: str
    size: int


class Blobs(Protocol):
    """Where blobs are kept.

    Every method raises `Rejected` for what is no key, and `Unavailable` where the store does not
    answer, or refuses.
    """

    where: str
    """For people."""

    async def put(self, key: str, data: AsyncIterable[bytes], *, most: int = MOST) -> Blob:
        """Keep `data` under `key`, whole or not at all; what was there before is replaced.

        Raises:
            Rejected: it is longer than `most` bytes.
        """
        ...

    def get(self, key: str, *, sha256: str = "") -> AsyncIterator[bytes]:
        """Yield the content, piece by piece.

        Raises:
            NoSuchBlob: there is none.
            Rejected: at its end, where `sha256` is given and is not that of the content.
        """
        ...

    def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        """Yield what lies under `prefix`, folders each with a slash behind it, in order of keys."""
        ...

    async def delete(self, key: str) -> None:
        """Forget `key`; again is no matter."""
        ...

    async def close(self) -> None:
        """End."""
        ...


def check_key(key: str) -> str:
    """Return `key`.

    Raises:
        Rejected: it is none.
    """
    if len(key) > LONGEST or not _KEY.match(key):
        what = (
            f"{key[:60]!r} is no key of a blob: write folders and a name with an ending, of a-z, "
            "0-9, _, = and -, such as exports/tower/2026.parquet"
        )
        raise Rejected(what, reason="blob_key")
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix`.

    Raises:
        Rejected: it is none.
    """
    if len(prefix) > LONGEST or not _PREFIX.match(prefix):
        what = f"{prefix[:60]!r} is no folder of blobs: write it as exports/tower/"
        raise Rejected(what, reason="blob_key")
    return prefix


class Measured:
    """Counts what passes, and ends it where that is too much."""

    def __init__(self, most: int) -> None:
        self._most, self.size, self._hash = most, 0, hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            Rejected: there is more than there may be.
        """
        self.size += len(piece)
        if self.size > self._most:
            what = f"a blob of more than {self._most} bytes"
            raise Rejected(what, reason="blob_size")
        self._hash.update(piece)

    @property
    def sha256(self) -> str:
        """Of what has passed."""
        return self._hash.hexdigest()

    def check(self, sha256: str) -> None:
        """Raise Rejected if something else has passed than what `sha256` names, if it names any."""
        if sha256 and sha256 != self.sha256:
            what = f"damaged: its SHA-256 is {self.sha256} and should be {sha256}"
            raise Rejected(what, reason="blob_damaged")


class FolderBlobs:
    """Blobs as files under a folder, readable by their owner alone.

    Args:
        folder: made where it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    async def put(self, key: str, data: AsyncIterable[bytes], *, most: int = MOST) -> Blob:
        """See `Blobs`."""
        file, measured = self._file(key), Measured(most)
        draft = file.with_name(f".{secrets.token_hex(8)}")
        out = await self._done(_create, self._folder, draft)
        try:
            async for piece in data:
                measured.add(piece)
                await self._done(out.write, piece)
            await self._done(_settle, out, draft, file)
        except BaseException:
            out.close()
            draft.unlink(missing_ok=True)
            raise
        return Blob(key, measured.size, measured.sha256)

    async def get(self, key: str, *, sha256: str = "") -> AsyncIterator[bytes]:
        """See `Blobs`."""
        measured = Measured(MOST)
        try:
            opened = await asyncio.to_thread(_open, self._file(key))
            with opened:
                while piece := await asyncio.to_thread(opened.read, PIECE):
                    measured.add(piece)
                    yield piece
        except (FileNotFoundError, NotADirectoryError) as error:
            msg = f"there is no blob {key}"
            raise NoSuchBlob(msg) from error
        except OSError as error:
            raise self._trouble(error) from error
        measured.check(sha256)

    async def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        """See `Blobs`."""
        check_prefix(prefix)
        for key, size in await self._done(lambda: sorted(_walk(self._folder, prefix))):
            yield Listed(key, size)

    async def delete(self, key: str) -> None:
        """See `Blobs`."""
        try:
            await asyncio.to_thread(self._file(key).unlink, missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._trouble(error) from error

    async def close(self) -> None:
        """Nothing is open."""

    def _file(self, key: str) -> Path:
        return self._folder / check_key(key)

    async def _done(self, act: Callable[..., T], *given: Any) -> T:
        """Do something with a file, in a thread; trouble of `data` is not the folder's."""
        try:
            return await asyncio.to_thread(act, *given)
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> Unavailable:
        return Unavailable(f"the folder of blobs {self.where} cannot be used: {error.strerror}")


def _create(root: Path, draft: Path) -> IO[bytes]:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _settle(out: IO[bytes], draft: Path, file: Path) -> None:
    """Give what is written its name, on the disk before anybody is told."""
    with out:
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _walk(root: Path, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield key and size of files; drafts, links and what nobody of us has put there are none."""
    for folder, _, names in os.walk(root / prefix):
        for name in names:
            path = Path(folder, name)
            key = path.relative_to(root).as_posix()
            if len(key) <= LONGEST and _KEY.match(key) and not path.is_symlink():
                yield key, path.stat().st_size
