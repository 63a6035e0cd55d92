"""What goes wrong: crashes, devices that are silent, journals and buffers that cannot be written."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.commands import releaser as releasing
from plantroom_edge.commands import service as serving
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.moments import AHEAD_US, LONGEST_US, Now
from plantroom_edge.commands.spool import Spool
from plantroom_shared.clock import SystemClock
from support.command_site import GATEWAY, Bus, Records, Time, at_work, body, signed
from support.waiting import eventually

P0, P1, P2 = "scripted:0:p0", "scripted:0:p1", "scripted:1:p0"


def writes(*points: str, **more: Any) -> list[dict[str, Any]]:
    return [{"point": point, "value": 20.0 + row} | more for row, point in enumerate(points)]


@pytest.mark.parametrize("shown", ["new", "old"])
async def test_a_crash_between_intent_and_outcome(tmp_path: Path, shown: str) -> None:
    """After it the device is looked at: what stands was executed, what does not was not; never again."""
    bus = Bus()
    async with at_work(tmp_path, bus) as site:
        hanging = asyncio.Event()

        async def write(point: str, value: Any, slot: int | None, *, back: bool) -> Any:
            if shown == "new":
                bus.writes.append((0.0, point, value, slot))
                bus.values[point, slot] = value
            hanging.set()
            await asyncio.Event().wait()

        bus.write = write  # type: ignore[method-assign, assignment] # a device that hangs
        ident = site.send(lease_s=2)
        async with asyncio.timeout(10):
            await hanging.wait()
    del bus.write
    async with at_work(tmp_path, bus, records=site.records) as site:
        wanted = "executed" if shown == "new" else "failed"
        await eventually(lambda: wanted in site.records.of(ident))
        row = next(one for one in site.records.rows["cmd"] if one.kind == f"command.{wanted}")
        assert row.doc["settled"] is True
        await site.ended(ident, "released")
        assert bus.written() == ([21.0, 5.0] if shown == "new" else [])


async def test_a_device_that_never_answers_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is told as unknown after a while; the value is taken back when the device answers."""
    monkeypatch.setattr(releasing, "UNKNOWN_AFTER", 0.3)
    bus = Bus(dead=set())
    bus.after_write = lambda: bus.dead.add(P0)
    async with at_work(tmp_path, bus) as site:
        ident = site.send(lease_s=1)
        await eventually(lambda: bus.writes)
        journal = sqlite3.connect(tmp_path / "writes" / "commands.db")
    journal.execute("UPDATE command SET state='intent'")
    journal.commit()
    journal.close()
    async with at_work(tmp_path, bus, records=Records()) as site:
        await eventually(lambda: "failed" in site.records.of(ident))
        assert any(row.doc.get("reason") == "unknown" for row in site.records.rows["cmd"])
        await eventually(lambda: "release_failed" in site.records.of(ident))
        bus.after_write = lambda: None
        bus.dead.clear()
        await site.ended(ident, "released")
        assert bus.written()[-1] == 5.0


async def test_a_write_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed, and is looked after until it cannot come any more."""
    monkeypatch.setattr("plantroom_edge.commands.executor.DOUBT", 0.5)
    bus = Bus(deaf={P0})
    async with at_work(tmp_path, bus) as site:
        ident = site.send()
        await eventually(lambda: "failed" in site.records.of(ident))
        assert site.reason(ident) == "timeout"
        bus.deaf.clear()
        await site.ended(ident, "released")
        assert bus.written() == [21.0, 5.0]


async def test_a_device_that_keeps_its_value(tmp_path: Path) -> None:
    """Confirmed and not shown is failed: `read-back`."""
    async with at_work(tmp_path, Bus(stuck={P0})) as site:
        ident = site.send()
        await eventually(lambda: "failed" in site.records.of(ident))
        assert site.reason(ident) == "read-back" or "released" in site.records.of(ident)


async def test_what_somebody_else_has_set_stays(tmp_path: Path) -> None:
    """At the end of a lease a value that is not ours any more is left alone."""
    async with at_work(tmp_path) as site:
        ident = site.send(lease_s=1)
        await site.ended(ident)
        site.bus.values[P0, None] = 18.0
        await site.ended(ident, "released")
        assert site.bus.written() == [21.0]


async def test_what_could_not_be_put_back_is_not_replaced(tmp_path: Path) -> None:
    """A former value that the device would not take again refuses the command, but for a safe value."""
    grant = {"point": "*", "min": 0, "max": 100, "min_interval": 0}
    bus = Bus(limits=(10, 50))
    async with at_work(tmp_path, bus, allow=[grant]) as site:
        ident, far = site.send(), site.send(writes=writes(P1, value=60))
        await site.ended(ident)
        await site.ended(far)
        assert site.reason(ident) == f"cannot-be-restored beyond: {P0}"
        assert site.reason(far) == f"beyond: {P1}"
    async with at_work(tmp_path, bus, allow=[grant | {"safe_value": 12}]) as site:
        ident = site.send(lease_s=1)
        await site.ended(ident, "released")
        assert bus.written() == [21.0, 12]


async def test_somebody_on_the_gateway(tmp_path: Path) -> None:
    """An order in the spool goes the same way; one of another start of the machine is too late."""
    async with at_work(tmp_path) as site:
        spool, now = Spool(tmp_path / "writes" / "spool"), site.commands.now()
        point = [{"point": P0, "value": 33.0}]
        ident = spool.put(GATEWAY, now, kind="write", writes=point, lease_s=30)
        await site.ended(ident)
        late = Now(now.wall_us, now.mono_us, boot="another")
        old = spool.put(GATEWAY, late, kind="write", writes=point, lease_s=30)
        (tmp_path / "writes" / "spool" / "odd.json").write_text("{}")
        assert await site.ended(old) == ["expired"]
        await eventually(lambda: site.commands.status()["counters"].get("local"))
        assert site.bus.written() == [33.0]
        assert site.records.rows["aud"][0].doc["actor"].startswith("local:")


async def test_an_orderly_stop_takes_everything_back(tmp_path: Path) -> None:
    """Nobody would do so when the agent is gone; what comes meanwhile is refused."""
    async with at_work(tmp_path) as site:
        ident = site.send()
        await site.ended(ident)
        await site.commands.stop(5)
        assert site.bus.written() == [21.0, 5.0]
        assert "released" in site.records.of(ident)
        late = site.send()
        await site.ended(late)
        assert site.reason(late) == "stopping"


async def test_results_wait_for_the_buffer(tmp_path: Path) -> None:
    """What cannot be handed over stays in the journal, over a restart, and comes later."""
    records = Records()
    records.broken = True
    async with at_work(tmp_path, records=records) as site:
        ident = site.send()
        await eventually(lambda: site.bus.writes)
    records.broken = False
    async with at_work(tmp_path, site.bus, records=records) as site:
        await eventually(lambda: site.records.of(ident)[:1] == ["accepted"])
        assert [row.kind for row in records.rows["aud"]][:1] == ["command.accepted"]


async def test_a_journal_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the intent on the disk nothing is written; what stands is taken back all the same."""
    async with at_work(tmp_path) as site:
        standing = site.send(lease_s=1)
        await site.ended(standing)

        def broken(*_: Any, **__: Any) -> None:
            msg = "disk I/O error"
            raise sqlite3.OperationalError(msg)

        with monkeypatch.context() as patch:
            for name in ("begin", "released", "seen", "note"):
                patch.setattr(Journal, name, broken)
            site.send(writes=writes(P1))
            await eventually(lambda: site.bus.written() == [21.0, 5.0])
            await eventually(
                lambda: site.commands.status()["counters"].get("journal_unavailable", 0) > 1
            )
            await eventually(lambda: site.commands.status()["journal_failing"])
            assert site.bus.written(P1) == []
        await site.ended(standing, "released")
        await eventually(lambda: not site.commands.status()["journal_failing"])


async def test_too_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what may wait or be under way, commands are dropped and counted."""
    monkeypatch.setattr(serving, "FLYING", 0)
    async with at_work(tmp_path) as site:
        site.send()
        await eventually(lambda: site.commands.status()["counters"].get("busy"))
        for _ in range(serving.WAITING + 1):
            site.commands.offer(b"")
        assert site.commands.status()["counters"]["dropped"] >= 1
        assert site.bus.writes == []


async def test_a_damaged_journal_begins_anew(tmp_path: Path) -> None:
    """It is moved aside and told; a copy of what it has forgotten is not carried out once more."""
    clock = Time(wall_us=SystemClock().now_us())
    order = body()
    async with at_work(tmp_path, clock=clock) as site:
        site.commands.offer(signed(order))
        assert (await site.ended(order["id"]))[-1] == "executed"
    for file in (tmp_path / "writes").glob("commands.db-*"):
        file.unlink()
    (tmp_path / "writes" / "commands.db").write_bytes(b"rubbish" * 1000)
    clock.go(2)
    async with at_work(tmp_path, site.bus, clock=clock) as site:
        await eventually(
            lambda: any(r.kind == "command.journal_lost" for r in site.records.rows["cmd"])
        )
        assert (tmp_path / "writes" / "commands.db.bad").exists()
        site.commands.offer(signed(order))
        assert await site.ended(order["id"]) == ["expired"]
        assert site.bus.written() == [21.0]
        clock.go((LONGEST_US + AHEAD_US) / 1e6)
        now = {"issued": clock.wall_us, "expires": clock.wall_us + 30_000_000}
        assert (await site.ended(site.send(writes=writes(P1), **now)))[-1] == "executed"
