"""The switch on site: a file that nobody but somebody on the gateway can change.

Off refuses every write and takes all values back. What cannot be read is off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from plantroom_edge.files import fsync_folder
from plantroom_shared.errors import Unavailable


class Position(BaseModel):
    """How the switch stands."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    off: bool = False
    release: int = 0
    """How often somebody has asked to take all values back."""
    by: str = ""
    at_us: int = 0


BROKEN = Position(off=True, by="(the switch cannot be read)")


@dataclass(frozen=True, slots=True)
class Switch:
    """The file `writes/switch.json` in the data folder."""

    file: Path

    def read(self) -> Position:
        """Return how it stands; off where that cannot be told."""
        try:
            return Position.model_validate(orjson.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return Position() if self.file.parent.is_dir() else BROKEN
        except (OSError, orjson.JSONDecodeError, ValidationError):
            return BROKEN

    def set(self, position: Position) -> None:
        """Put it there for good; Unavailable if that cannot be."""
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self.file.with_suffix(".new")
            with draft.open("wb") as out:
                out.write(position.model_dump_json().encode())
                out.flush()
                os.fsync(out.fileno())
            draft.replace(self.file)
            fsync_folder(self.file.parent)
        except OSError as error:
            msg = f"the switch {self.file} cannot be set: {error.strerror or error}"
            raise Unavailable(msg) from error
