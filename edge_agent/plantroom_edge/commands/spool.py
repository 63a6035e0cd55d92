"""Orders of somebody on the gateway: files in a folder that only its owner may write to."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from plantroom_edge.commands.entries import Heard
from plantroom_edge.commands.moments import LocalWindow, Now
from plantroom_edge.files import fsync_folder
from plantroom_shared.errors import Rejected, Unavailable
from plantroom_shared.wire import MAX_BODY, read_order

VALID: Final = 20.0
"""Seconds within which the agent must have begun."""

_MOST: Final = 64
"""Files that are taken at a time."""


class _Slip(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    body: str
    boot: str
    until_mono_us: int


@dataclass(frozen=True, slots=True)
class Spool:
    """The folder `writes/spool` in the data folder."""

    folder: Path

    def put(self, gateway: str, now: Now, **order: Any) -> str:
        """Hand in an order; return its id. Unavailable if it cannot be put there."""
        ident, valid = f"local-{secrets.token_hex(8)}", round(VALID * 1e6)
        body = {
            "v": 1,
            "gateway": gateway,
            "id": ident,
            "issued": now.wall_us,
            "expires": now.wall_us + valid,
            "nonce": secrets.token_hex(16),
            "actor": f"local:{whoami()}",
        } | order
        slip = _Slip(
            body=orjson.dumps(body).decode(), boot=now.boot, until_mono_us=now.mono_us + valid
        )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self.folder / f"{ident}.new"
            draft.write_text(slip.model_dump_json())
            draft.replace(draft.with_suffix(".json"))
            fsync_folder(self.folder)
        except OSError as error:
            msg = f"the order cannot be handed in at {self.folder}: {error.strerror or error}"
            raise Unavailable(msg) from error
        return ident

    def take(self) -> Iterator[tuple[Path, Heard | str]]:
        """Yield what was handed in: the order, or why it cannot be read."""
        try:
            files = sorted(self.folder.glob("*.json"))[:_MOST]
        except OSError:
            return
        for file in files:
            try:
                with file.open("rb") as opened:
                    text = opened.read(4 * MAX_BODY)
                slip = _Slip.model_validate(orjson.loads(text))
                window = LocalWindow(slip.until_mono_us, slip.boot)
                yield file, Heard(read_order(slip.body), slip.body, "local", window)
            except (OSError, orjson.JSONDecodeError, ValidationError, Rejected) as error:
                yield file, str(error)[:200]


def whoami() -> str:
    """Return who is at the keyboard, for the audit."""
    name = os.environ.get("SUDO_USER", "")
    try:
        return (name or getpass.getuser())[:100]
    except (KeyError, OSError):
        return str(os.getuid())
