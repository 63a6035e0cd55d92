"""The account is closed at every moment: whatever is on its way, whoever looks."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import EpochAccount, _epoch, account, explain
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.tables import SampleRow, StreamTotal
from plantroom_shared import wire
from plantroom_shared.ranges import count, covers, merge, subtract
from support import cloud_site as site
from support.cloud_site import EPOCH, GATEWAY, NOW, TestClock
from support.servers import as_owner

Ranges = list[tuple[int, int]]


class Edge:
    """A gateway that accepts, sends in any order, loses rows and reports, as its rules allow."""

    def __init__(self, stores: list[Store], seed: int) -> None:
        self.stores, self.random = stores, random.Random(seed)
        self.accepted = 0
        self.waiting: Ranges = []
        self.held: Ranges = []
        self.gaps = 0
        self.now = NOW
        self.reports: list[bytes] = []

    async def live(self, steps: int) -> None:
        """Take `steps` at random."""
        for _ in range(steps):
            await self.random.choice((self.accept, self.send, self.send, self.lose, self.report))()
        await self.send()

    async def accept(self) -> None:
        """Commit some rows to the buffer."""
        n = self.random.randrange(1, 30)
        self.waiting.append((self.accepted + 1, self.accepted + n))
        self.accepted += n
        self.held = merge([*self.held, (self.accepted - n + 1, self.accepted)])

    async def send(self) -> None:
        """Send what waits, any of it again, through several ingests at once."""
        chosen = self.random.sample(self.waiting, min(3, len(self.waiting)))
        await asyncio.gather(*(self.deliver(lo, hi) for lo, hi in chosen))
        self.waiting = [span for span in self.waiting if self.random.random() < 0.2]

    async def deliver(self, lo: int, hi: int) -> None:
        """Send a message and let go of what is acknowledged; one row of some is refused."""
        store = self.random.choice(self.stores)
        payload = site.samples(lo, hi - lo + 1)
        if lo % 3 == 0:
            payload = site.tampered(payload, x=[[1], *range(hi - lo)])
        await self.confirm(await store.store([site.incoming("tel", payload)]))

    async def confirm(self, answers: object) -> None:
        """Let go of what is acknowledged."""
        for ranges in answers.acks.values():  # type: ignore[attr-defined] # of the ingest
            self.held = subtract(self.held, ranges)

    async def lose(self) -> None:
        """Declare rows lost that have not been acknowledged."""
        for lo, hi in [span for span in self.waiting if covers(self.held, *span)][:1]:
            self.waiting.remove((lo, hi))
            gap = wire.Gap(ep=EPOCH, st="tel", s0=lo, n=hi - lo + 1, gap="quota")
            message = site.incoming("tel", wire.encode(gap))
            await self.confirm(await self.stores[0].store([message]))

    async def report(self) -> None:
        """Say what is held; by way of several ingests, one of which may be long in storing it."""
        holding = wire.Holding(ep=EPOCH, accepted={"tel": self.accepted}, held={"tel": self.held})
        self.now += 1
        state = wire.State(online=True, at=self.now, epochs=[holding])
        self.reports.append(wire.encode(state))
        while self.random.random() < 0.6 and self.reports:
            await self.deliver_report()

    async def deliver_report(self) -> None:
        """Store one of the reports that are on their way."""
        report = self.reports.pop(self.random.randrange(len(self.reports)))
        await self.random.choice(self.stores).store([site.incoming("state", report)])


async def test_closed_under_concurrent_ingest(database: Database) -> None:
    """Two ingests at work, and two who look all the time: always closed, and stored is what is."""
    home = await site.add_home(database)
    scope, done = Scope(home.company_id), asyncio.Event()
    stores = [Store(database, TestClock()) for _ in range(2)]
    await stores[0].store([site.inv(site.dictionary(1))])
    edge, looks = Edge(stores, 7), 0

    async def watch() -> None:
        nonlocal looks
        while not done.is_set():
            async with as_owner(database).read() as session:
                books = await account(session, scope, GATEWAY)
                stored = await session.scalar(select(func.count()).select_from(SampleRow))
            assert books is not None
            assert books.balanced, explain(books.epochs, NOW)
            assert books.difference == 0
            assert books.stored == stored
            assert books.in_flight <= books.on_edge
            looks += 1

    async def work() -> None:
        try:
            await edge.live(80)
            await edge.report()
            while edge.reports:
                await edge.deliver_report()
        finally:
            done.set()

    await asyncio.gather(work(), watch(), watch())
    async with as_owner(database).read() as session:
        books = await account(session, scope, GATEWAY)
    assert books is not None
    assert looks >= 50
    assert books.accepted == edge.accepted
    assert books.on_edge == count(edge.held)
    assert min(books.stored, books.gaps, books.quarantined) > 0


spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=6).map(
    lambda found: merge((lo, lo + more) for lo, more in found)
)


@settings(max_examples=200, deadline=None)
@given(ranges=spans, held=spans, told=st.integers(0, 80), lost=spans)
def test_difference_is_exactly_what_is_nowhere(
    ranges: Ranges, held: Ranges, told: int, lost: Ranges
) -> None:
    """Rows that neither arrived nor are reported make the difference, and are named."""
    ranges = subtract(ranges, lost)
    highest = max([told, *(hi for _, hi in (*ranges, *held))])
    total = StreamTotal(
        gateway_id=GATEWAY,
        epoch=EPOCH,
        stream="tel",
        stored=count(ranges),
        duplicates=0,
        accepted=told,
        held=str([list(span) for span in held]),
        reported_us=NOW,
    )
    one = _epoch(total, ranges, 0, (0, 0))
    nowhere = subtract([(1, told)], [*ranges, *held]) if told else []
    assert one.accepted == highest
    assert one.difference == count(nowhere)
    assert list(one.unknown) == nowhere[:10]
    said = explain([one], NOW + 5_000_000)
    assert (said == "") == one.balanced
    if nowhere:
        assert f"{count(nowhere)} rows are neither here" in said
        assert "5 s old" in said


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"accepted": 5, "stored": 3}, "2 order numbers are dealt with"),
        ({"accepted": 5, "stored": 9}, "4 rows are booked more than once"),
        ({"accepted": 5, "unknown": ((4, 4), (6, 9))}, "it never reported); first of them: 4, 6-9"),
    ],
)
def test_a_difference_is_explained(numbers: dict[str, object], said: str) -> None:
    """Each kind of difference has its own sentence, with the epoch."""
    one = EpochAccount(epoch=EPOCH, **numbers)  # type: ignore[arg-type] # of the parameters above
    assert said in explain([one], NOW)
    assert EPOCH in explain([one], NOW)
