"""Any order, any overlap, any repetition: what ends up stored is exactly the set of rows sent."""

from __future__ import annotations

import itertools
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import account
from plantroom_cloud.ingest.store import Item, Store
from plantroom_cloud.tables import Gateway, Point, SampleRow
from plantroom_shared import wire
from plantroom_shared.ranges import merge
from support import cloud_site as site
from support.servers import as_owner

EPOCHS = ("00000000000000a1", "00000000000000b2", "00000000000000c3")
AWAY = 100_000_000
"""Microseconds between the rows of two epochs."""

pieces = st.tuples(st.sampled_from(EPOCHS), st.integers(1, 60), st.integers(1, 25), st.booleans())
"""Epoch, first row, number of rows, and whether they come as a gap."""
numbers = itertools.count()


def message(gateway: str, piece: tuple[str, int, int, bool]) -> Item:
    """Return a piece as the store takes it; a row's value and time say which row it is."""
    epoch, s0, n, lost = piece
    if lost:
        return site.incoming(
            "tel", wire.encode(wire.Gap(ep=epoch, st="tel", s0=s0, n=n, gap="quota")), gateway
        )
    at = site.NOW - 3_600_000_000 + EPOCHS.index(epoch) * AWAY
    return site.tel(s0, n, gateway=gateway, epoch=epoch, at=at)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sent=st.lists(pieces, min_size=1, max_size=25), group=st.integers(1, 8), data=st.data())
async def test_exactly_the_rows_sent(
    sqlite_database: Database,
    sent: list[tuple[str, int, int, bool]],
    group: int,
    data: st.DataObject,
) -> None:
    """Rows are stored once, gaps cover only what never came, ranges are exact, accounts balance."""
    gateway = f"gw-any-{next(numbers):06d}"
    home = await site.add_home(sqlite_database, gateway, "s", gateway)
    store = Store(sqlite_database, site.TestClock())
    await store.store([site.inv(site.dictionary(1, epoch=epoch), gateway) for epoch in EPOCHS])
    order = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent)))))
    kept: dict[str, set[int]] = defaultdict(set)
    lost: dict[str, set[int]] = defaultdict(set)
    acked: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for start in range(0, len(order), group):
        batch = order[start : start + group]
        answers = await store.store([message(gateway, piece) for piece in batch])
        for (_, epoch, _), ranges in answers.acks.items():
            acked[epoch] = merge([*acked[epoch], *ranges])
        for epoch, s0, n, gap in batch:
            new = set(range(s0, s0 + n)) - kept[epoch] - lost[epoch]
            (lost if gap else kept)[epoch] |= new
    async with as_owner(sqlite_database).read() as session:
        query = (
            select(SampleRow.value, SampleRow.ts_us)
            .join(Point, Point.id == SampleRow.point_id)
            .join(Gateway, Gateway.id == Point.gateway_id)
            .where(Gateway.id == gateway)
        )
        found = [(value, ts) for value, ts in await session.execute(query)]
        books = await account(session, Scope(home.company_id), gateway)
    begin = site.NOW - 3_600_000_000
    assert sorted(found) == sorted(
        (float(seq), begin + EPOCHS.index(epoch) * AWAY + seq * 1000)
        for epoch, seqs in kept.items()
        for seq in seqs
    )
    for epoch in {piece[0] for piece in sent}:
        assert acked[epoch] == merge((seq, seq) for seq in kept[epoch] | lost[epoch])
    assert books is not None
    assert books.stored == len(found)
    assert books.gaps == sum(map(len, lost.values()))
    assert books.balanced
