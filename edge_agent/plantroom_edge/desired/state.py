"""What is in force of what the cloud wants, and what was before: one file, replaced whole.

A power cut, or a kill at any moment, leaves one state or the next: what is being tried, what to go
back to, the highest number that was ever taken, and what has not been told yet stand in one file.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plantroom_edge.files import fsync_folder
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

_LARGEST: Final = 16 * 1024 * 1024
_MOST_UNTOLD: Final = 100
_MOST_STARTS: Final = 2
"""Starts within a trial after which the next one goes back: the trial may be what kills the agent."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Entry(_Strict):
    """A configuration that the cloud wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: int
    serial: int
    document: dict[str, Any]
    based: str
    """Digest of what the site's file said of the sections when it was applied."""
    force: bool = False
    at_us: int = 0


class Trial(_Strict):
    """What is in force is being tried: what must come again."""

    expect: dict[str, list[str]] = Field(default_factory=dict)
    """Bus that was changed → keys of its devices that gave values before and are to again."""
    added: list[str] = Field(default_factory=list)
    """Buses that were not there before: something of each must give values."""
    changed: list[str] = Field(default_factory=list)
    """Keys of devices whose own entry was changed: each of them must give values again."""
    points: int = 0
    """How many points the changed buses had that are not meant to go."""
    starts: int = 0
    """How often the agent has started since."""


class Told(_Strict):
    """Something that is to be told to the cloud."""

    kind: str
    at_us: int
    doc: dict[str, Any]


class State(_Strict):
    """All that is kept."""

    v: Literal[1] = 1
    journal: str = Field(default_factory=lambda: secrets.token_hex(8))
    n: int = 0
    """Number of the last thing that was told."""
    serial: int = 0
    """The highest that was ever taken: nothing up to it counts any more."""
    issued_us: int = 0
    """When the latest one was issued: the true time is not before it."""
    in_force: Entry | None = None
    former: Entry | None = None
    """What was in force before; during a trial that is what is gone back to (None: the site's file)."""
    trial: Trial | None = None
    last: Told | None = None
    """How the last one ended: told again when it comes again."""
    untold: list[Told] = Field(default_factory=list)
    running: str = ""
    """Hash of the configuration that was last told to run."""

    @classmethod
    def read(cls, file: Path) -> State:
        """Return what `file` says; an empty state where there is none or it is damaged."""
        try:
            return cls._parse(file)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            extra = {"file": str(file), "error": str(error)[:200]}
            log.warning("what the cloud wants cannot be read and does not count", extra=extra)
            return cls()

    @classmethod
    def open(cls, file: Path) -> tuple[State, bool]:
        """Return what `file` says, and whether it was damaged: it is moved aside then."""
        try:
            return cls._parse(file), False
        except FileNotFoundError:
            return cls(), False
        except (OSError, ValueError):
            file.replace(file.with_name(f"{file.name}.bad"))
            return cls(), True

    @classmethod
    def _parse(cls, file: Path) -> State:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST)
        try:
            return cls.model_validate(orjson.loads(content))
        except ValidationError as error:
            raise ValueError(str(error)) from error

    def write(self, file: Path) -> None:
        """Replace `file` at once; Unavailable if it cannot be written, and nothing has changed."""
        draft = file.with_name(f".{file.name}.new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as out:
                out.write(orjson.dumps(self.model_dump(mode="json")))
                out.flush()
                os.fsync(out.fileno())
            draft.replace(file)
            fsync_folder(file.parent)
        except OSError as error:
            msg = f"{file} cannot be written: {error.strerror or error}"
            raise Unavailable(msg) from error

    # ------------------------------------------------------------ steps

    def tell(self, kind: str, at_us: int, entry: Entry | None = None, **doc: Any) -> Told:
        """Note something to be told; return it."""
        self.n += 1
        about = {"id": entry.id, "version": entry.version} if entry else {}
        doc = {"journal": self.journal, "n": self.n, **about, **doc}
        told = Told(kind=f"desired.{kind}", at_us=max(0, at_us), doc=doc)
        self.untold = [*self.untold, told][-_MOST_UNTOLD:]
        return told

    def end(self, kind: str, at_us: int, entry: Entry, **doc: Any) -> None:
        """Note how `entry` has ended."""
        self.last = self.tell(kind, at_us, entry, **doc)

    def try_out(self, entry: Entry, trial: Trial, at_us: int, **doc: Any) -> None:
        """From now on `entry` is in force, as a trial."""
        self.in_force, self.former, self.trial = entry, self.in_force, trial
        self.tell("pending", at_us, entry, **doc)

    def keep(self, at_us: int, **doc: Any) -> None:
        """The trial has gone well."""
        assert self.in_force is not None  # noqa: S101 -- a trial is of something
        self.trial = None
        self.end("applied", at_us, self.in_force, **doc)

    def go_back(self, at_us: int, kind: str, **doc: Any) -> None:
        """What is in force is not any more; what was before is."""
        tried = self.in_force
        assert tried is not None  # noqa: S101 -- as above
        # What the site has overruled it has overruled with all that was before.
        back = self.former if self.trial and kind != "set_aside" else None
        self.in_force, self.former, self.trial = back, tried, None
        self.end(kind, at_us, tried, **doc)

    def begin(self, at_us: int) -> bool:
        """The agent starts; return whether anything has changed by that.

        A trial that the agent has not survived twice is over.
        """
        if self.trial is None:
            return False
        if self.trial.starts >= _MOST_STARTS:
            self.go_back(at_us, "rolled_back", reason="crashed")
        else:
            self.trial = self.trial.model_copy(update={"starts": self.trial.starts + 1})
        return True


def details(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return `words` without those that say nothing."""
    return {key: value for key, value in words.items() if value}
