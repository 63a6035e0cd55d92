"""The dictionary of the current epoch, kept as the JSON it is written as."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, overload

from plantroom_edge.buffer_db import crc_of
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Device, Point

_ANEW: Final = 16
"""How many aliases points may have on average."""

_ANYWAY: Final = 1000
"""Aliases below which nobody counts."""


class Points(Sequence[Point]):
    """Points in the order of their aliases; an object is made whenever one is looked at.

    Ten thousand points are 14 MB as objects and 2 MB like this, and they are looked at only when a
    connection is new.
    """

    def __init__(self) -> None:
        self.docs: list[bytes] = []

    def extend(self, docs: Iterable[bytes]) -> None:
        """Take further points, as `doc` returns them."""
        self.docs.extend(docs)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        if isinstance(index, slice):
            return [Point.model_validate_json(doc) for doc in self.docs[index]]
        return Point.model_validate_json(self.docs[index])

    def __len__(self) -> int:
        return len(self.docs)


def doc(point: Point) -> bytes:
    """Return a point as JSON, without what it has by default."""
    return point.model_dump_json(exclude_defaults=True).encode()


def check_growth(aliases: int, points: int) -> None:
    """Raise Unavailable if a dictionary of so many aliases for so many points has no end."""
    if aliases > max(_ANYWAY, _ANEW * points):
        msg = (
            f"a bus has described its {points} points {aliases} times since the start: a device, or what"
            " is configured, changes them without end; put that right and start the agent again"
        )
        raise Unavailable(msg)


def write(
    db: sqlite3.Connection,
    epoch: int,
    first: int,
    docs: Iterable[bytes],
    devices: Iterable[Device],
) -> None:
    """Enter points, from alias `first` on, and devices into the dictionary of an epoch."""
    db.executemany(
        "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)",
        (
            (epoch, alias, crc_of(epoch, alias, blob=blob), blob)
            for alias, blob in enumerate(docs, first)
        ),
    )
    named = ((device.key, device.model_dump_json().encode()) for device in devices)
    db.executemany(
        "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)",
        ((epoch, key, crc_of(epoch, key, blob=blob), blob) for key, blob in named),
    )
