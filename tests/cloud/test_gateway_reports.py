"""Reports that several processes store out of order: a late one never overwrites a later one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import EpochAccount, account
from plantroom_cloud.gateways.reports import PATIENCE_US, Report, is_late
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.tables import Counter, DeliveryAlarm, Gateway
from plantroom_shared import wire
from support import cloud_site as site
from support.cloud_site import GATEWAY, NOW, Home, TestClock, incoming, inv, tel
from support.servers import as_owner

FIRST, SECOND, THIRD = "00000000000000a1", "00000000000000b2", "00000000000000c3"
S = 1_000_000


@pytest.fixture
async def home(database: Database) -> Home:
    """One company with one gateway."""
    return await site.add_home(database)


@pytest.fixture
def clock() -> TestClock:
    """The cloud's clock."""
    return TestClock()


@pytest.fixture
def store(database: Database, clock: TestClock) -> Store:
    """One ingest; what another one has stored before makes no difference."""
    return Store(database, clock)


def holding(accepted: int, *held: tuple[int, int], ep: str = FIRST) -> wire.Holding:
    """Return what a gateway says of an epoch."""
    return wire.Holding(ep=ep, accepted={"tel": accepted}, held={"tel": list(held)})


def state(at: int, *epochs: wire.Holding, online: bool = True, **counters: float) -> Any:
    """Return a state message drawn up at `at`."""
    message = wire.State(online=online, at=at, epochs=list(epochs), counters=counters)
    return incoming("state", wire.encode(message))


def hello(at: int, *epochs: wire.Holding, session: str = "1" * 16, boot: int = 1) -> Any:
    """Return a hello sent at `at`."""
    message = wire.Hello(session=session, agent="1", at=at, boot=boot, epochs=list(epochs))
    return incoming("hello", wire.encode(message))


async def gateway(database: Database) -> Gateway:
    """Return the gateway's row."""
    async with as_owner(database).read() as session:
        return (await session.execute(select(Gateway))).scalar_one()


async def books(database: Database, home: Home, epoch: str = FIRST) -> EpochAccount:
    """Return the account of an epoch."""
    async with as_owner(database).read() as session:
        found = await account(session, Scope(home.company_id), GATEWAY)
    assert found is not None
    return {one.epoch: one for one in found.epochs}[epoch]


async def late(database: Database) -> int:
    """Return how many reports were counted as late."""
    async with as_owner(database).read() as session:
        query = select(Counter.value).where(Counter.name == f"ingest.report_late/{GATEWAY}")
        return await session.scalar(query) or 0


class TestOneStart:
    """Reports of one process of the agent."""

    async def test_a_late_state_changes_nothing(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Not the account, which stays closed, nor what else the newest report has said."""
        await store.store([inv(site.dictionary(1, epoch=FIRST)), tel(1, 50, epoch=FIRST)])
        await store.store([state(NOW + 9, holding(100, (51, 100)), polls=9)])
        await store.store([state(NOW + 4, holding(60, (51, 60)), online=False, polls=4)])
        one = await books(database, home)
        assert (one.accepted, one.stored, one.on_edge, one.balanced) == (100, 50, 50, True)
        row = await gateway(database)
        assert (row.online, row.report, await late(database)) == (True, {"polls": 9}, 1)

    async def test_where_nothing_was_accepted_the_clock_tells(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """What was confirmed between the two is not held again; of equal times the later arrival counts."""
        await store.store([state(NOW + 9, holding(10, (5, 10)), polls=9)])
        await store.store([state(NOW + 8, holding(10, (1, 10)), polls=8)])
        assert (await books(database, home)).on_edge == 6
        await store.store([state(NOW + 9, holding(10, (6, 10)), polls=10)])
        assert (await books(database, home)).on_edge == 5
        assert (await gateway(database)).report == {"polls": 10}

    async def test_a_hello_said_again_brings_an_old_account(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """It is sent later than the state between, and was drawn up before it."""
        await store.store([hello(NOW, holding(60, (1, 60)))])
        await store.store([state(NOW + 1, holding(80, (1, 80)), polls=1)])
        answers = await store.store([hello(NOW + 2, holding(60, (1, 60)))])
        assert len(answers.resumes) == 1, "it is answered all the same"
        one = await books(database, home)
        assert (one.accepted, one.on_edge, one.balanced) == (80, 80, True)

    async def test_a_late_state_says_nothing_of_the_clock(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Otherwise a clock that is right would seem to be behind."""
        await store.store([state(NOW, holding(80))])
        await store.store([state(NOW - 9 * S, holding(60))])
        assert (await gateway(database)).clock_skew_us == 0
        async with as_owner(database).read() as session:
            assert (await session.execute(select(DeliveryAlarm))).all() == []

    async def test_a_clock_that_was_set_back_shuts_nobody_out(
        self, database: Database, store: Store, home: Home, clock: TestClock
    ) -> None:
        """The next accepted row shows that the report is new; where none comes, patience ends."""
        year = 365 * 86_400 * S
        await store.store([state(NOW, holding(10, (1, 10)), polls=1)])
        await store.store([state(NOW - year, holding(11, (1, 11)), polls=2)])
        assert (await books(database, home)).on_edge == 11
        await store.store([state(NOW - 2 * year, holding(11, (2, 11)), polls=3)])
        assert (await gateway(database)).report == {"polls": 2}
        clock.now += PATIENCE_US + 1
        await store.store([state(NOW - 2 * year + 1, holding(11, (3, 11)), polls=4)])
        await store.store([state(NOW - 2 * year + 2, holding(11, (4, 11)), polls=5)])
        assert (await gateway(database)).report == {"polls": 5}
        assert (await books(database, home)).on_edge == 8

    async def test_after_the_patience_too_the_account_stays_closed(
        self, database: Database, store: Store, home: Home, clock: TestClock
    ) -> None:
        """A process that was stopped for hours stores what it has: it knows of fewer rows."""
        await store.store([inv(site.dictionary(1, epoch=FIRST)), tel(1, 50, epoch=FIRST)])
        await store.store([state(NOW + 9, holding(100, (51, 100)))])
        clock.now += PATIENCE_US + 1
        await store.store([state(NOW + 4, holding(60, (51, 60)))])
        one = await books(database, home)
        assert (one.accepted, one.on_edge, one.balanced) == (100, 50, True)

    async def test_a_gateway_without_a_clock_is_believed(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Without times the order of arrival is all there is."""
        await store.store([state(NOW, holding(10, (1, 10)))])
        await store.store([state(0, holding(10, (6, 10)))])
        assert (await books(database, home)).on_edge == 5

    async def test_accounts_that_no_database_holds_do_no_harm(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """The sum of counts may be more than fits."""
        most = 2**63 - 1
        huge = wire.Holding(ep=FIRST, accepted={"tel": most, "evt": most})
        await store.store([state(NOW, huge, polls=1)])
        assert (await gateway(database)).report == {"polls": 1}


class TestRestarts:
    """Reports around a new start of the agent."""

    async def test_the_next_start_is_believed_whatever_its_clock_says(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """A machine without a battery for its clock starts in 1970."""
        await store.store([hello(NOW, holding(60, (1, 60))), state(NOW + 1, holding(80, (1, 80)))])
        former, running = holding(90, (1, 90)), holding(5, (1, 5), ep=SECOND)
        await store.store([hello(7 * S, former, running, session="2" * 16, boot=2)])
        await store.store([state(8 * S, former, running, polls=2)])
        assert (await books(database, home)).on_edge == 90
        assert (await books(database, home, SECOND)).on_edge == 5
        assert (await gateway(database)).report == {"polls": 2}

    @pytest.mark.parametrize("greeted", [True, False])
    async def test_the_last_words_of_the_start_before_come_late(
        self, database: Database, store: Store, home: Home, *, greeted: bool
    ) -> None:
        """Whether the hello of the new start or only its state is stored by then."""
        await store.store([hello(NOW, holding(60, (1, 60)))])
        new = [holding(90, (81, 90)), holding(5, (1, 5), ep=SECOND)]
        if greeted:
            await store.store([hello(NOW + 5, *new, session="2" * 16, boot=2)])
        await store.store([state(NOW + 6, *new, polls=2)])
        for at in (NOW + 1, NOW + 9):
            last = state(at, holding(90, (1, 90)), online=False, polls=1)
            await store.store([last])
        assert (await books(database, home)).on_edge == 10
        row = await gateway(database)
        assert (row.online, row.report, await late(database)) == (True, {"polls": 2}, 2)
        if not greeted:
            await store.store([hello(NOW + 5, *new, session="2" * 16, boot=2)])
            await store.store([state(NOW + 7, *new, polls=3)])
            assert (await gateway(database)).report == {"polls": 3}

    async def test_a_start_whose_hello_was_lost_is_followed_by_the_next(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Who names the newest start among those that ran before is newer."""
        await store.store([hello(NOW, holding(60))])
        await store.store([state(NOW + 1, holding(60), holding(5, ep=SECOND), polls=2)])
        all_three = [holding(60), holding(5, ep=SECOND), holding(2, ep=THIRD)]
        await store.store([hello(NOW + 2, *all_three, session="3" * 16, boot=3)])
        await store.store([state(NOW + 3, *all_three, polls=3)])
        assert ((await gateway(database)).report, await late(database)) == ({"polls": 3}, 0)

    async def test_a_start_that_knows_less_of_a_former_one_is_believed(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Its disk was set back: that rows are nowhere must show, not be hidden by an old report."""
        await store.store([hello(NOW, holding(100, (1, 100)))])
        restored = [holding(60, (1, 60)), holding(0, ep=SECOND)]
        await store.store([hello(NOW + 9, *restored, session="2" * 16, boot=2)])
        one = await books(database, home)
        assert (one.accepted, one.on_edge, one.difference) == (100, 60, 40)

    async def test_a_clone_is_heard_as_far_as_it_tells_of_more(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Two machines with one certificate: each keeps the account of its own epoch."""
        await store.store([hello(NOW, holding(60, (1, 60)))])
        copy = hello(NOW + 1, holding(7, (1, 7), ep=SECOND), session="2" * 16)
        await store.store([copy])
        await store.store([state(NOW + 2, holding(70, (1, 70)), polls=1)])
        assert (await books(database, home)).on_edge == 70
        assert (await gateway(database)).report == {}
        for n in (3, 4):  # the first may be late
            await store.store([hello(NOW + n, holding(70, (2, 70)), session=f"{n:016x}")])
        await store.store([state(NOW + 5, holding(70, (3, 70)), polls=5)])
        assert (await books(database, home)).on_edge == 68
        assert (await gateway(database)).report == {"polls": 5}

    async def test_a_report_without_epochs_overwrites_no_order(
        self, database: Database, store: Store, home: Home
    ) -> None:
        """Where not even one epoch fits into a message it says what it can."""
        await store.store([state(NOW + 9, holding(100, (51, 100)), polls=9)])
        await store.store([state(NOW + 10, polls=10)])
        assert (await gateway(database)).report == {"polls": 10}
        await store.store([state(NOW + 4, holding(60, (51, 60)), polls=4)])
        assert (await gateway(database)).report == {"polls": 10}


def test_the_first_report_is_news() -> None:
    """There is nothing that it could be later than."""
    assert not is_late(Report(FIRST, 0, 0), Report("", 0, 0), 0, {FIRST: False})


@given(
    reports=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_in_any_order_the_newest_report_is_kept(reports: list[tuple[int, int]], order: Any) -> None:
    """Reports of one start, each with more rows or a later time than the one before."""
    drawn, rows, at = [], 0, NOW
    for more, later in reports:
        rows, at = rows + more, at + later
        drawn.append(Report(FIRST, rows, at))
    shuffled = list(drawn)
    order.shuffle(shuffled)
    kept = Report("", 0, 0)
    for report in shuffled:
        kept = kept if is_late(report, kept, 0, {}) else report
    assert kept == drawn[-1]
