"""Files that survive a power cut: replaced whole or not at all, and found under their names."""

from __future__ import annotations

import os
from pathlib import Path

from plantroom_shared.errors import ConfigError


def replace(file: Path, text: str) -> Path:
    """Write `text` to `file` at once; return where what it was before is kept.

    A reader, and a power cut, sees the old file or the new one. Rights and owner stay as far as
    we may set them; a link stays a link.

    Raises:
        ConfigError: it cannot be written; nothing has changed.
    """
    target = file.resolve()
    backup = target.with_name(f"{target.name}.bak")
    try:
        before = target.stat()
        _write(backup, target.read_bytes(), before)
        draft = target.with_name(f".{target.name}.new")
        _write(draft, text.encode(), before)
        draft.replace(target)
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        fix = f"run this as a user who may write to {target.parent}"
        raise ConfigError(what, file=str(file), fix=fix) from error
    return backup


def fsync_folder(folder: Path) -> None:
    """Make the names of new files in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(file: Path, content: bytes, like: os.stat_result) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        if os.geteuid() == 0:
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, like.st_mode & 0o777)
        os.fsync(handle)
