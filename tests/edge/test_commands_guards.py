"""What stands between an order and a device: each guard by itself, so that none can go unnoticed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from plantroom_edge.commands import journal as journals
from plantroom_edge.commands.entries import Event, Heard, Hold
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.moments import Lease, LocalWindow, Now, Window
from plantroom_edge.commands.spool import Spool
from plantroom_edge.commands.switch import Position
from plantroom_edge.drivers import Written
from plantroom_edge.turns import Turn
from plantroom_shared.errors import Unavailable
from plantroom_shared.wire import read_order
from support.command_site import GATEWAY, Bus, Running, at_work, body, signed
from support.waiting import eventually

P0, P1, P2 = "scripted:0:p0", "scripted:0:p1", "scripted:1:p0"
NOW = Now(1_790_000_000_000_000, 1_000_000_000, boot="a")
LIMIT = 30.0


def writes(point: str, value: float) -> list[dict[str, Any]]:
    return [{"point": point, "value": value}]


def journal_of(site: Running) -> Journal:
    book = site.commands._book
    assert book is not None
    opened: Journal = book.journal
    return opened


# ---------------------------------------------------------------- before the device


async def test_while_writes_are_off_no_device_is_asked(tmp_path: Path) -> None:
    """What is refused anyhow costs nobody a request."""
    asked: list[int] = []
    bus = Bus(on_held=lambda: asked.append(1))
    async with at_work(tmp_path, bus) as site:
        site.commands.switch.set(Position(off=True))
        assert await site.ended(site.send()) == ["refused"]
    assert asked == []


async def test_a_release_out_of_its_time_releases_nothing(tmp_path: Path) -> None:
    """An order to take back expires like any other."""
    async with at_work(tmp_path) as site:
        standing = site.send()
        await site.ended(standing)
        now = site.commands.now()
        spool = Spool(tmp_path / "writes" / "spool")
        late = Now(now.wall_us, now.mono_us, boot="another")
        ident = spool.put(GATEWAY, late, kind="release", release=standing)
        assert await site.ended(ident) == ["expired"]
        assert site.bus.written() == [21.0]


async def test_a_device_is_asked_by_one_at_a_time(tmp_path: Path) -> None:
    """A command waits for whoever has the device's turn, before the polls that wait."""
    asked: list[int] = []
    bus = Bus(on_held=lambda: asked.append(1))
    turn = bus.turns.setdefault("scripted:0", Turn())
    async with at_work(tmp_path, bus) as site, asyncio.timeout(LIMIT):
        async with turn:
            ident = site.send()
            await eventually(lambda: turn._hurried)
            assert asked == []
        assert (await site.ended(ident))[-1] == "executed"


async def test_what_goes_off_while_a_device_is_asked_is_not_begun(tmp_path: Path) -> None:
    """The switch counts once more after the device has answered, before the intent."""
    async with at_work(tmp_path) as site:
        site.bus.on_held = lambda: site.commands.switch.set(Position(off=True))
        ident = site.send()
        assert await site.ended(ident) == ["refused"]
        assert (site.reason(ident), site.bus.writes) == ("switched-off", [])


async def test_what_goes_off_while_the_intent_is_entered_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit may take long: the switch counts a last time before the bus."""
    begin = Journal.begin
    async with at_work(tmp_path) as site:

        def entered(*arguments: Any) -> None:
            begin(*arguments)
            site.commands.switch.set(Position(off=True))

        monkeypatch.setattr(Journal, "begin", entered)
        ident = site.send()
        await eventually(lambda: "failed" in site.records.of(ident))
        assert (site.reason(ident), site.bus.writes) == ("switched-off", [])
        assert site.commands.status()["holds"] == []


async def test_after_the_first_failure_no_other_point_is_written(tmp_path: Path) -> None:
    """A group that cannot be done as a whole is not gone on with."""
    async with at_work(tmp_path, Bus(refuses={P2})) as site:
        order = [*writes(P2, 20), *writes(P0, 21)]
        ident = site.send(writes=order)
        await eventually(lambda: "failed" in site.records.of(ident))
        assert site.bus.writes == []


async def test_one_slot_is_not_written_twice_by_one_order(tmp_path: Path) -> None:
    """A priority that is named and one that is left to the gateway may be the same."""
    async with at_work(tmp_path, Bus(protocol="bacnet")) as site:
        named = {"point": P0, "value": 22, "priority": 13}
        ident = site.send(writes=[*writes(P0, 21), named])
        assert await site.ended(ident) == ["refused"]
        assert site.reason(ident) == "written-twice"


async def test_what_nobody_has_allowed_or_the_bus_cannot(tmp_path: Path) -> None:
    """Points that no entry names, that are not writable, or whose driver cannot write: by name."""
    grant = {"point": P0, "min": 0, "max": 100, "min_interval": 0}
    bus = Bus()
    async with at_work(tmp_path, bus, allow=[grant]) as site:

        async def reason(point: str) -> str:
            ident = site.send(writes=writes(point, 20))
            assert await site.ended(ident) == ["refused"]
            return site.reason(ident)

        assert await reason(P1) == f"not-allowed: {P1}"
        bus.writable = False
        assert await reason(P0) == f"not-writable: {P0}"
        reach = bus.find(P0)
        assert reach is not None
        reads_only: Any = object()
        site.commands._executor.find = lambda _: dataclasses.replace(reach, driver=reads_only)
        assert await reason(P0) == f"bus-cannot-write: {P0}"
    assert bus.writes == []


async def test_a_place_that_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    """A slot of which nothing is known is not taken for a free one."""
    bus = Bus(protocol="bacnet", dead={P0})
    async with at_work(tmp_path, bus) as site:
        ident = site.send()
        assert await site.ended(ident) == ["refused"]
        assert site.reason(ident) == f"cannot-read timeout: {P0}"


async def test_what_a_crash_has_left_open_is_not_written_over(tmp_path: Path) -> None:
    """While one point of a command was not looked at again, none of its points takes another value."""
    bus = Bus()
    async with at_work(tmp_path, bus) as site:
        await site.ended(site.send(writes=[*writes(P0, 20), *writes(P2, 21)]))
    with contextlib.closing(sqlite3.connect(tmp_path / "writes" / "commands.db")) as db, db:
        db.execute("UPDATE command SET state='intent'")
    bus.dead.add(P2)
    async with at_work(tmp_path, bus) as site:
        ident = site.send(writes=writes(P0, 30))
        await site.ended(ident)
        assert (site.reason(ident), bus.written(P0)) == (f"unsettled: {P0}", [20])


# ---------------------------------------------------------------- at the device


async def test_intent_and_earlier_lease_are_on_the_disk_before_the_bus(tmp_path: Path) -> None:
    """When a value is written its hold is in the journal and at hand, and ends with the earlier lease."""
    async with at_work(tmp_path) as site:
        await site.ended(site.send(lease_s=5))
        seen: list[tuple[str, float, float]] = []

        def look(value: Any) -> None:
            if value != 30:
                return
            (hold,), now = journal_of(site).holds(), site.commands.now()
            at_hand = site.commands._book.holds[hold.place]
            seen.append((
                hold.command, hold.lease.left_us(now) / 1e6, at_hand.lease.left_us(now) / 1e6,
            ))  # fmt: skip

        site.bus.judge = look
        ident = site.send(writes=writes(P0, 30), lease_s=600)
        assert (await site.ended(ident))[-1] == "executed"
        [(command, entered, at_hand)] = seen
        assert command == ident
        assert max(entered, at_hand) <= 5
        assert journal_of(site).holds()[0].lease.length_us == 600_000_000


async def test_a_device_that_hangs_is_given_up_when_the_order_expires(tmp_path: Path) -> None:
    """Nobody waits for a write any longer than the order is valid."""
    bus = Bus()

    async def write(*_: Any, **__: Any) -> Written:
        await asyncio.Event().wait()
        return Written(ok=False)

    bus.write = write  # type: ignore[method-assign] # a device that hangs
    async with at_work(tmp_path, bus) as site, asyncio.timeout(15):
        order = body()
        order["expires"] = order["issued"] + 1_500_000
        site.commands.offer(signed(order))
        await eventually(lambda: "failed" in site.records.of(order["id"]))
        assert site.reason(order["id"]) == "timeout"


async def test_a_second_command_that_reaches_nobody_changes_nothing(tmp_path: Path) -> None:
    """What the device has not seen leaves the earlier value its lease and its command."""
    bus = Bus()
    async with at_work(tmp_path, bus) as site:
        first = site.send(lease_s=60)
        await site.ended(first)

        async def write(*_: Any, **__: Any) -> Written:
            return Written(ok=False, reason="unreachable", reached=False)

        bus.write = write  # type: ignore[method-assign] # nobody there
        second = site.send(writes=writes(P0, 30), lease_s=1)
        await eventually(lambda: "failed" in site.records.of(second))
        del bus.write
        (hold,) = journal_of(site).holds()
        assert (hold.command, hold.written, hold.lease.length_us) == (first, (21.0,), 60_000_000)


async def test_what_a_device_has_rounded_is_known_as_ours(tmp_path: Path) -> None:
    """A value that shows otherwise than it was written is taken back all the same."""
    bus, plain = Bus(), Bus.write
    for ok in (True, False):

        async def write(point: str, value: Any, slot: Any, *, back: bool, ok: bool = ok) -> Written:
            written = await plain(bus, point, value, slot, back=back)
            if back:
                return written
            bus.values[point, slot] = 21.25
            return Written(ok=ok, reason="" if ok else "read-back", shows=21.25)

        bus.write = write  # type: ignore[method-assign, assignment] # a device that rounds
        folder = tmp_path / str(ok)
        folder.mkdir()
        async with at_work(folder, bus) as site:
            ident = site.send(lease_s=1, writes=writes(P0, 21.3))
            await site.ended(ident, "released")
            assert bus.values[P0, None] == 5.0


async def test_an_outcome_that_cannot_be_entered_is_entered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has happened, so it is told; until then nothing new is written."""

    def broken(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError

    async with at_work(tmp_path) as site:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", broken)
            ident = site.send()
            await eventually(lambda: site.commands.status()["journal_failing"])
            refused = site.send(writes=writes(P1, 20))
            await eventually(lambda: site.commands.status()["counters"].get("refused"))
        assert (await site.ended(refused))[-1] == "refused"
        assert site.reason(refused) == "journal-failing"
        assert (await site.ended(ident))[-1] == "executed"
        assert site.bus.written() == [21.0]


async def test_ended_by_hand_while_it_is_written(tmp_path: Path) -> None:
    """A `release-all` that comes between intent and outcome counts: the value does not stay."""
    async with at_work(tmp_path) as site:
        over = asyncio.Event()

        def end() -> None:
            book = site.commands._book
            task = asyncio.ensure_future(book.end(lambda _: True))
            task.add_done_callback(lambda _: over.set())

        plain = site.bus.write

        async def write(point: str, value: Any, slot: Any, *, back: bool) -> Written:
            written = await plain(point, value, slot, back=back)
            if not back:
                end()
                async with asyncio.timeout(LIMIT):
                    await over.wait()
            return written

        site.bus.write = write  # type: ignore[method-assign, assignment] # somebody is quicker
        ident = site.send(lease_s=600)
        await site.ended(ident, "released")
        assert site.bus.written() == [21.0, 5.0]


async def test_what_came_back_is_not_refused_by_limits_that_are_new(tmp_path: Path) -> None:
    """Limits that have become narrower under an override do not keep the former value away."""
    bus = Bus()
    async with at_work(tmp_path, bus) as site:
        ident = site.send(lease_s=1)
        await site.ended(ident)
        bus.limits = (10, 50)
        await site.ended(ident, "released")
        assert bus.written() == [21.0, 5.0]


async def test_a_safe_value_that_the_point_does_not_take(tmp_path: Path) -> None:
    """It could never be written at the end of a lease, in a slot neither: the command is refused."""
    grant = {"point": "*", "min": 0, "max": 100, "min_interval": 0, "safe_value": 8}
    for protocol in ("scripted", "bacnet"):
        folder = tmp_path / protocol
        folder.mkdir()
        async with at_work(folder, Bus(protocol, limits=(10, 50)), allow=[grant]) as site:
            ident = site.send()
            assert await site.ended(ident) == ["refused"]
            assert site.reason(ident) == f"cannot-be-restored beyond: {P0}"


# ---------------------------------------------------------------- copies


async def test_copies_that_come_at_once(tmp_path: Path) -> None:
    """While a command is under way its id and its nonce are taken, though no journal knows them yet."""
    bus = Bus()
    turn = bus.turns.setdefault("scripted:0", Turn())
    async with at_work(tmp_path, bus) as site, asyncio.timeout(LIMIT):
        async with turn:
            order = body()
            for one in (order, order, order | {"id": "c-other"}):
                site.commands.offer(signed(one))
            counters = site.commands._book.counters
            await eventually(lambda: counters["again"] + counters["replay"] == 2)
            assert (counters["again"], counters["replay"]) == (1, 1)
        await site.ended(order["id"])
        late = order | {"issued": order["issued"] - 10**8, "expires": order["issued"] - 9 * 10**7}
        site.commands.offer(signed(late))  # a copy outside of its time is no second story
        await eventually(lambda: counters["expired"] == 1)
        await site.ended(site.send(writes=writes(P1, 20)))
        assert site.records.of(order["id"]) == ["accepted", "executed"]
        assert bus.written() == [21.0]


def _busy(site: Running) -> bool:
    return bool(site.commands.status()["counters"].get("busy"))


async def test_a_full_journal_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than forget commands whose copies could come, or events, nothing is taken."""
    for name in ("MOST", "EVENTS"):
        folder = tmp_path / name
        folder.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(journals, name, 0)
            async with at_work(folder) as site:
                site.send()
                await eventually(partial(_busy, site))
                assert site.bus.writes == []


# ---------------------------------------------------------------- the journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "c.db", NOW)


def heard(source: str = "cloud", issued: int = NOW.wall_us, **more: Any) -> Heard:
    order = body(issued=issued, expires=issued + 30_000_000, **more)
    window = LocalWindow(0, "a") if source == "local" else Window(0, 0)
    return Heard(read_order(orjson.dumps(order).decode()), "{}", source, window)  # type: ignore[arg-type] # a Source


def hold(point: str, command: str) -> Hold:
    return Hold(point, None, command, 5.0, 5.0, (21.0,), Lease.begin(60, NOW))


def test_only_the_cloud_moves_the_floor(journal: Journal) -> None:
    """It never goes back, and an order of this machine's own clock says nothing of the true time."""
    event = Event("command.refused", {})
    for source, issued in (("cloud", 2000), ("cloud", 1000), ("local", 3000)):
        one = heard(source, NOW.wall_us + issued)
        journal.decide(one, "refused", "", NOW, event)
        assert journal.floor_us == NOW.wall_us + 2000


def test_intent_and_hold_are_one_transaction(journal: Journal) -> None:
    """A command that cannot be entered leaves nothing of it, and the next one can be."""
    one, event = heard(), Event("command.accepted", {})
    journal.begin(one, [hold(P0, one.order.id)], {P0: "d"}, NOW, event)
    with pytest.raises(Unavailable):
        journal.begin(one, [hold(P1, one.order.id)], {}, NOW, event)
    assert [each.point for each in journal.holds()] == [P0]
    assert len(journal.events(10)) == 1
    journal.finish(one.order.id, "failed", "", event, gone=[hold(P0, one.order.id)])
    assert (journal.holds(), journal.intents()) == ([], [])


def test_a_journal_that_is_damaged_inside_is_found_out(tmp_path: Path) -> None:
    """It opens like a good one; what it holds is not believed."""
    file = tmp_path / "c.db"
    journal = Journal(file, NOW)
    for number in range(200):
        journal.tell(Event("command.refused", {"number": number, "text": "x" * 100}))
    journal.close()
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    again = Journal(file, NOW)
    assert again.lost
    assert again.floor_us > NOW.wall_us
    assert file.with_name("c.db.bad").exists()
    again.close()


def test_rates_are_of_this_start_of_the_machine(journal: Journal) -> None:
    """The monotonic clock of another start says nothing."""
    one = heard()
    journal.begin(one, [], {P0: "d"}, NOW, Event("command.accepted", {}))
    assert journal.carried_out(NOW) == [(NOW.mono_us, {P0: "d"})]
    assert journal.carried_out(Now(NOW.wall_us, NOW.mono_us, boot="b")) == []


def test_what_is_open_or_stands_is_not_forgotten(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an intent without an outcome nor the command of a value that stands is pruned."""
    monkeypatch.setattr(journals, "KEPT", 2)
    row = "INSERT INTO command VALUES (?,?,'write','cloud','a','{}',0,?,'',?,0,'','{}')"
    states = {0: "intent", 1: "executed", 2: "executed"}
    rows = [(f"c{n}", f"n{n}", states.get(n, "failed"), n) for n in range(5)]
    journal._db.executemany(row, rows)
    journal.update([hold(P0, "c1")])
    journal.set_note("floor_us", "1")
    assert journal.prune() == 1
    assert [journal.seen(f"c{n}", "") for n in range(4)] == ["again", "again", "", "again"]
