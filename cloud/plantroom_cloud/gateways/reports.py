"""In which order a gateway drew up its reports, whatever order they are stored in.

Where several processes take the messages, one may hold a report while another stores a later one:
what it says is then no news. The gateway's clock alone does not tell, since clocks are set back,
and a hello that is repeated says when it was sent, not when its account was drawn up. What a start
of the agent has accepted only grows, so that comes first; the clock decides where it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_shared import wire

PATIENCE_US: Final = 600_000_000
"""Microseconds without news after which the next report is believed, whatever its time: the clock of
a gateway that accepts nothing may have been set back by years."""


@dataclass(frozen=True, slots=True)
class Report:
    """What tells a report from a later one."""

    epoch: str
    """The one that runs; empty where the report names none, or nothing was reported yet."""
    rows: int
    """How many were accepted in it, over all streams."""
    at: int
    """The gateway's clock, microseconds; 0 where it has none."""
    after: frozenset[str] = frozenset()
    """Epochs that ran before it."""

    @classmethod
    def of(cls, epochs: Sequence[wire.Holding], at: int) -> Report:
        """Return what tells the age of a hello or state with these `epochs`."""
        if not epochs:
            return cls("", 0, at)
        # Made up numbers must fit into the database, too.
        rows = min(sum(epochs[-1].accepted.values()), 2**63 - 1)
        return cls(epochs[-1].ep, rows, at, frozenset(epoch.ep for epoch in epochs[:-1]))


def is_late(new: Report, last: Report, waited_us: int, former: Mapping[str, bool]) -> bool:
    """Say whether `new` was drawn up before `last`, which was stored before it.

    Args:
        new: what comes now.
        last: the newest known.
        waited_us: how long ago that came, by our clock.
        former: of the two epochs those that have said hello, and whether another has taken their
            place since.
    """
    if not last.epoch or waited_us > PATIENCE_US:
        return False
    if new.epoch != last.epoch:
        if last.epoch in new.after:
            return False
        # A start that nobody has heard of is the newest. One whose hello is still on its way took
        # the place of the one before.
        return new.epoch in former and (former[new.epoch] or last.epoch not in former)
    if new.rows != last.rows:
        return new.rows < last.rows
    return 0 < new.at < last.at
