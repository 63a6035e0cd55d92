"""Disks as a power cut may leave them, made from what the instrumented VFS has noted.

What was synced is there. Of all that was written since, any part may be there in any order: whole
writes, some 512-byte sectors of a write, or nothing; where the file had to grow for a later write, the
hole holds zeros or rubbish. Names are another matter than content: a file whose folder was not synced
may be missing, and one that was deleted may be back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from support.vfs_recorder import Event

SECTOR: Final = 512

_serial = count()


@dataclass(slots=True)
class _File:
    """An inode: what is safe, and what is under way."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_serial))


class Disk:
    """The state of a disk while events are played to it."""

    def __init__(self) -> None:
        self._now: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        """Names as they stand after the last sync of the folder."""
        self._names: list[tuple[Event, _File]] = []
        """Changes of names since."""

    def play(self, event: Event) -> None:
        """Let `event` happen."""
        match event.kind:
            case "create":
                self._now[event.name] = _File()
                self._names.append((event, self._now[event.name]))
            case "write" | "truncate":
                self._now[event.name].pending.append(event)
            case "sync":
                file = self._now[event.name]
                for change in file.pending:
                    _apply(file.safe, change)
                file.pending.clear()
            case "unlink":
                self._names.append((event, self._now.pop(event.name)))
            case "rename":
                file = self._now.pop(event.name)
                self._now[event.to] = file
                self._names.append((event, file))
            case "folder":
                self._safe = dict(self._now)
                self._names.clear()

    def crash(self, dice: random.Random) -> dict[str, bytes]:
        """Return the files that a power cut now may leave behind."""
        style = dice.choice(("none", "all", "some", "torn", "torn"))
        contents: dict[int, bytes] = {}
        out: dict[str, bytes] = {}
        for name, file in self._names_left(dice).items():
            if file.number not in contents:
                contents[file.number] = _left(file, style, dice)
            out[name] = contents[file.number]
        return out

    def _names_left(self, dice: random.Random) -> dict[str, _File]:
        """Return the names: a journalling file system keeps their order, others need not."""
        changes = self._names
        if dice.random() < 0.5 or any(event.kind == "rename" for event, _ in changes):
            changes = changes[: dice.randint(0, len(changes))]
        else:
            changes = [change for change in changes if dice.random() < 0.5]
        left = dict(self._safe)
        for event, file in changes:
            if event.kind == "create":
                left[event.name] = file
            elif left.pop(event.name, None) is not None and event.kind == "rename":
                left[event.to] = file
        return left


def _apply(content: bytearray, change: Event) -> None:
    if change.kind == "truncate":
        if change.at <= len(content):
            del content[change.at :]
        else:
            content.extend(bytes(change.at - len(content)))
        return
    end = change.at + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[change.at : end] = change.data


def _left(file: _File, style: str, dice: random.Random) -> bytes:
    if style == "none" or not file.pending:
        return bytes(file.safe)
    content = bytearray(file.safe)
    for change in _some(file.pending, style, dice):
        start = len(content)
        _apply(content, change)
        if change.kind == "write" and change.at > start and dice.random() < 0.5:
            content[start : change.at] = dice.randbytes(change.at - start)
    return bytes(content)


def _some(pending: Iterable[Event], style: str, dice: random.Random) -> Iterator[Event]:
    """Yield what of the writes under way has reached the disk."""
    for change in pending:
        if style == "all" or (style == "some" and dice.random() < 0.5):
            yield change
        elif style == "torn":
            yield from _torn(change, dice)


def _torn(change: Event, dice: random.Random) -> Iterator[Event]:
    """Yield the sectors of a write that have reached the disk."""
    if change.kind == "truncate":
        if dice.random() < 0.5:
            yield change
        return
    at, end = change.at, change.at + len(change.data)
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        if dice.random() < 0.5:
            yield Event(
                "write",
                change.name,
                at=at,
                data=change.data[at - change.at : stop - change.at],
            )
        at = stop
