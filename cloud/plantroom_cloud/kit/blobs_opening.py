"""The blobs of the settings."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.kit.blobs import PIECE, Blobs, FolderBlobs
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import Unavailable

_TRIAL: Final = b"plantroom"


def open_blobs(settings: CloudSettings, clock: Clock | None = None) -> Blobs:
    """Return where the settings keep blobs; who opens it closes it.

    Raises:
        ConfigError: a file that the settings name cannot be read.
    """
    if not settings.blobs:
        return FolderBlobs(settings.data / "blobs")
    parts = urlsplit(settings.blobs)
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)))
    from plantroom_cloud.kit.s3 import S3Blobs  # noqa: PLC0415 - the HTTP client only where it is used

    prefix = parts.path.strip("/")
    return S3Blobs(
        parts.netloc, f"{prefix}/" if prefix else "", settings.s3, clock or SystemClock()
    )


@asynccontextmanager
async def opened_blobs(settings: CloudSettings) -> AsyncIterator[Blobs]:
    """Yield where the settings keep blobs, closed afterwards."""
    blobs = open_blobs(settings)
    try:
        yield blobs
    finally:
        await blobs.close()


async def try_out(blobs: Blobs) -> None:
    """Put a blob, read it and delete it.

    Raises:
        Unavailable: one of these cannot be done.
    """
    key = f"checks/{secrets.token_hex(8)}.txt"
    kept = await blobs.put(key, _pieces(_TRIAL))
    read = b"".join([piece async for piece in blobs.get(key, sha256=kept.sha256)])
    await blobs.delete(key)
    if read != _TRIAL:
        msg = f"{blobs.where} gives back something else than it was given"
        raise Unavailable(msg)


async def file_pieces(file: Path) -> AsyncIterator[bytes]:
    """Yield the content of a file of this machine."""
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
