"""What several scenarios do or need."""

from __future__ import annotations

from typing import Final

from plantroom_cloud.conformance.kit import Kit
from plantroom_cloud.conformance.played import Rows
from plantroom_cloud.conformance.told import Lane
from plantroom_shared import ranges
from plantroom_shared.ranges import Range

STRANGER: Final = "fedcba9876543210"
"""An epoch and a session that no gateway has drawn."""
FAR: Final = 1_000_000
SOME: Final = 3
"""Messages of rows that show that delivery goes on."""
RUBBISH: Final = (
    b"",
    b"not gzip at all",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut",
)


class NoClient(Exception):
    """There is nothing to judge: no client came, or none with rows."""


async def answer_late(kit: Kit, late: list[Rows]) -> None:
    """Go back to ordinary ways and ack what was left waiting."""
    kit.cloud.mute = lambda _: False
    for rows in late:
        await kit.tell("ack", kit.cloud.commit(rows))


def came(kit: Kit, mark: int, lane: Lane) -> list[Range]:
    """Return the rows of `lane` that came after place `mark` of the log."""
    return ranges.merge(rows.whole for rows in kit.rows_since(mark) if rows.lane == lane)


def forgive(kit: Kit, spans: list[Range]) -> None:
    """Take rows whose loss has been reported once for present."""
    for lane in kit.watch.seen:
        if lane[1] == "tel":
            kit.watch.forgiven[lane] = ranges.merge([*kit.watch.forgiven.get(lane, []), *spans])
