"""What both who writes and who takes back need: the journal, the holds at hand, the clock."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from plantroom_edge.commands.entries import Event, Heard, Hold
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.moments import Lease, Now
from plantroom_shared.errors import Unavailable

T = TypeVar("T")
Place = tuple[str, int | None]

Clerk = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something with the journal where it may wait for the disk."""


@dataclass(slots=True)
class Book:
    """The journal, and what it says of values that stand."""

    journal: Journal
    clerk: Clerk
    now: Callable[[], Now]
    holds: dict[Place, Hold] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a hold may be due, or an event waits."""
    telling: asyncio.Event = field(default_factory=asyncio.Event)
    counters: Counter[str] = field(default_factory=Counter)
    owed: list[Callable[[], None]] = field(default_factory=list)
    """What happened and is not in the journal yet."""
    failing: bool = False
    """Whether the journal cannot be written: meanwhile nothing new is written to devices."""
    _paying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, operation: Callable[[], T]) -> T:
        """Return what the journal says; Unavailable if it cannot be read."""
        try:
            result: T = await self.clerk(operation)
        except sqlite3.Error as error:
            msg = f"the journal of commands cannot be read: {error}"
            raise Unavailable(msg) from error
        return result

    async def write(self, operation: Callable[[], T]) -> T:
        """Do something with the journal that may be worth telling; Unavailable if it cannot be."""
        result = await self.ask(operation)
        self.telling.set()
        return result

    async def surely(self, operation: Callable[[], None]) -> None:
        """Do something with the journal, later if it cannot be written now: it has happened."""
        self.owed.append(operation)
        try:
            await self.pay()
        except Unavailable:
            self.counters["journal_unavailable"] += 1

    async def pay(self) -> None:
        """Enter what is owed, in its order; Unavailable if it cannot be."""
        async with self._paying:
            while self.owed:
                try:
                    await self.write(self.owed[0])
                except Unavailable:
                    self.failing = True
                    raise
                del self.owed[0]
            self.failing = False

    def take(self, holds: Sequence[Hold], gone: Sequence[Hold] = ()) -> None:
        """Have `holds` at hand as they are in the journal now, without those that are gone."""
        for hold in gone:
            self.holds.pop(hold.place, None)
        for hold in holds:
            self.holds[hold.place] = hold
        self.wake.set()

    async def end(self, which: Callable[[Hold], bool]) -> int:
        """Let the leases of holds end now; return how many. They are taken back whatever the disk says."""
        over = Lease.begin(0, self.now())
        ended = [replace(hold, lease=over) for hold in self.holds.values() if which(hold)]
        self.take(ended)
        if ended:
            await self.surely(lambda: self.journal.update(ended))
        return len(ended)


def told(kind: str, heard: Heard, now: Now, **more: Any) -> Event:
    """Return the event that `heard` is, or was, carried out or not."""
    order = heard.order
    doc: dict[str, Any] = {"id": order.id, "actor": order.actor, "source": heard.source}
    if order.kind != "write":
        doc["kind"] = order.kind
    return Event(f"command.{kind}", doc | more, now.wall_us)
