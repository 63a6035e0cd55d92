"""A lane: messages of some gateways on their way from being read to being stored, in their order.

While a gateway has messages in a lane its next ones go there, too, so they never overtake each
other. Lanes store side by side: while the database writes for one, the rows of another are made
ready.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiomqtt

from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.outbound import Outbound
from plantroom_cloud.ingest.pressure import Pressure, Room
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.kit import figures
from plantroom_cloud.supervise import AWAY, Backoff
from plantroom_shared.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message with the way to say that it is dealt with."""

    item: Item
    client: aiomqtt.Client
    mid: int
    qos: int
    weight: int

    def done(self) -> None:
        """Tell the broker; on a connection that is gone this does nothing."""
        # aiomqtt has no call for it: acknowledging late is what makes a slow database slow the
        # broker down.
        self.client._client.ack(self.mid, self.qos)  # noqa: SLF001


class Lane:
    """Stores what is handed over, group by group.

    Args:
        store: where to.
        outbound: takes the answers.
        room: what deliveries give back once they are dealt with.
        length: messages that may wait, at most.
        group: messages in one transaction, at most.
    """

    def __init__(
        self, store: Store, outbound: Outbound, room: Room, *, length: int, group: int
    ) -> None:
        self._store, self._outbound, self._room = store, outbound, room
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue(length)
        self.pressure = Pressure(group)
        self.waiting: Counter[str] = Counter()
        """Gateway → its messages that are not dealt with."""
        self._database = Backoff("database", most=AWAY)

    async def put(self, delivery: Delivery) -> None:
        """Take `delivery` as soon as there is a place for it."""
        gateway = delivery.item.gateway
        self.waiting[gateway] += 1
        try:
            await self.queue.put(delivery)
        except asyncio.CancelledError:  # the connection is gone, and with it the message
            self._leave(delivery)
            raise
        self.pressure.arrived(gateway, _now())

    def _leave(self, delivery: Delivery) -> None:
        self._room.leave(delivery.weight)
        self.waiting -= Counter((delivery.item.gateway,))

    async def run(self, stop: asyncio.Event) -> None:
        """Store for ever; after `stop` nothing is tried again."""
        while True:
            group = [await self.queue.get()]
            while len(group) < self.pressure.group and not self.queue.empty():
                group.append(self.queue.get_nowait())
            began = _now()
            answers = await self._store_group([delivery.item for delivery in group], stop)
            self.pressure.stored(len(group), _now() - began, _now())
            if answers is not None:
                figures.INGEST_STORE_SECONDS.observe(_now() - began)
            if answers is not None:
                self._outbound.add(answers, len(group), more=not self.queue.empty())
            for delivery in group:
                if answers is not None:
                    delivery.done()
                self._leave(delivery)
                self.queue.task_done()

    async def _store_group(self, items: list[Item], stop: asyncio.Event) -> Answers | None:
        """Store `items`, however long the database is away; None where we are told to end."""
        while True:
            try:
                answers = await self._store.store(items)
            except Unavailable as error:
                if stop.is_set():
                    return None
                await self._database.wait(error, stop)
            else:
                self._database.recovered()
                return answers


def lane_of(lanes: Sequence[Lane], gateway: str) -> Lane:
    """Return the lane for a message of `gateway`: where its others are, else the emptiest."""
    return next(
        (lane for lane in lanes if gateway in lane.waiting),
        min(lanes, key=lambda lane: lane.waiting.total()),
    )


def _now() -> float:
    return time.monotonic()  # as the loop's own
