"""Commands as a part of the agent: what is heeded, what is refused, what is taken back, what is told."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.commands import releaser as releasing
from plantroom_edge.commands import service as serving
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.moments import Now
from plantroom_edge.commands.spool import Spool
from plantroom_edge.commands.switch import Position
from plantroom_shared import wire
from plantroom_shared.clock import SystemClock
from support.command_site import (
    GATEWAY,
    OTHER,
    Bus,
    Records,
    Time,
    at_work,
    body,
    signed,
    until,
)

P0, P1, P2 = "scripted:0:p0", "scripted:0:p1", "scripted:1:p0"


def writes(*points: str, **more: Any) -> list[dict[str, Any]]:
    return [{"point": point, "value": 20.0 + row} | more for row, point in enumerate(points)]


async def test_a_value_is_written_once_and_taken_back(tmp_path: Path) -> None:
    """Three copies of a command are one write; at the end of its lease the former value is back."""
    async with at_work(tmp_path) as site:
        order = body(lease_s=1)
        for _ in range(3):
            site.commands.offer(signed(order))
        assert await site.ended(order["id"], "released") == ["accepted", "executed", "released"]
        assert site.bus.written() == [21.0, 5.0]
        assert site.commands.status()["holds"] == []


async def test_all_or_nothing(tmp_path: Path) -> None:
    """A group of which one point refuses is taken back as a whole, and told as failed."""
    bus = Bus(refuses={P2})
    async with at_work(tmp_path, bus) as site:
        ident = site.send(writes=writes(P0, P1, P2))
        await until(lambda: bus.written(P0) == [20.0, 5.0] and bus.written(P1) == [21.0, 5.0])
        assert "failed" in site.records.of(ident)
        assert bus.written(P2) == []


async def test_a_group_over_two_devices(tmp_path: Path) -> None:
    """All points of a group are written where all take part."""
    async with at_work(tmp_path) as site:
        ident = site.send(writes=writes(P0, P2))
        assert (await site.ended(ident))[-1] == "executed"
        assert (site.bus.written(P0), site.bus.written(P2)) == ([20.0], [21.0])


async def test_the_second_of_two_takes_over(tmp_path: Path) -> None:
    """A later command for the same point takes the place over; what comes back is what was first."""
    async with at_work(tmp_path) as site:
        first = site.send(lease_s=1)
        await site.ended(first)
        second = site.send(writes=writes(P0, value=30.0), lease_s=2)
        await site.ended(second, "released")
        assert site.bus.written() == [21.0, 30.0, 5.0]
        assert site.records.of(first) == ["accepted", "executed"]


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "out of range": ({"writes": writes(P0, value=101)}, "out-of-range: scripted:0:p0"),
    "no number": ({"writes": writes(P0, value="x")}, "not-a-number: scripted:0:p0"),
    "a switch": ({"writes": writes(P0, value=True)}, "not-a-number: scripted:0:p0"),
    "a priority": ({"writes": writes(P0, priority=13)}, "no-priorities-here: scripted:0:p0"),
    "unknown": ({"writes": writes("elsewhere")}, "unknown-point: elsewhere"),
    "long lease": ({"lease_s": 4000}, "lease-too-long: scripted:0:p0"),
    "changed": (
        {"writes": writes(P0, expect={"value": 6})},
        "changed: scripted:0:p0",
    ),
    "nothing to release": ({"kind": "release", "release": "c-1", "writes": []}, "nothing-held"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_is_not_allowed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Nothing is written, and the reason says which rule it was."""
    order, reason = REFUSALS[name]
    async with at_work(tmp_path) as site:
        ident = site.send(**order)
        assert await site.ended(ident) == ["refused"]
        assert (site.reason(ident), site.bus.writes) == (reason, [])


async def test_expected_and_as_expected(tmp_path: Path) -> None:
    """A write that names what it replaces is carried out where just that is there."""
    async with at_work(tmp_path) as site:
        ident = site.send(writes=writes(P0, expect={"value": 5}))
        assert (await site.ended(ident))[-1] == "executed"


@pytest.mark.parametrize(
    ("how", "wall"),
    [
        ("expired", -60.0),
        ("valid-too-long", 0.0),
        ("from-the-future", 3600.0),
        ("clock-unset", 0.0),
    ],
)
async def test_out_of_its_time(tmp_path: Path, how: str, wall: float) -> None:
    """Expired, too long valid, from the future, or a clock that nobody has set: told once, not done."""
    clock = Time(wall_us=SystemClock().now_us())
    clock.state = "unset" if how == "clock-unset" else "sync"
    long = {"expires": clock.wall_us + 10**9} if how == "valid-too-long" else {}
    order = body(**long)
    order |= {key: order[key] + round(wall * 1e6) for key in ("issued", "expires")}
    async with at_work(tmp_path, clock=clock) as site:
        for _ in range(3):
            site.commands.offer(signed(order))
        kind = "expired" if how == "expired" else "refused"
        assert await site.ended(order["id"]) == [kind]
        await until(lambda: site.commands.status()["counters"][how] == 3)
        assert (site.reason(order["id"]), site.bus.writes) == (how, [])
        assert site.records.of(order["id"]) == [kind]


async def test_who_is_not_to_be_trusted(tmp_path: Path) -> None:
    """Forged, altered, unknown keys, other gateways and rubbish are counted, and the audit says so once."""
    good = wire.decode(wire.Command, signed(body()))
    altered = good.model_copy(update={"body": good.body.replace("21.0", "22.0")})
    broken = good.model_copy(update={"sig": "%%%"})
    payloads = [
        signed(body(), OTHER),
        signed(body(), OTHER, kid="k9"),
        wire.encode(altered),
        wire.encode(broken),
        signed(body(gateway="gw-other-0001")),
        signed(body(later="?")),
        b"rubbish",
    ]
    async with at_work(tmp_path) as site:
        for payload in payloads:
            site.commands.offer(payload)
        ident = site.send()
        assert (await site.ended(ident))[-1] == "executed"
        counters = site.commands.status()["counters"]
        assert (counters["bad-signature"], counters["unknown-key"]) == (3, 1)
        assert (counters["other-gateway"], counters["schema"], counters["malformed"]) == (1, 1, 1)
        assert len(site.bus.writes) == 1
        assert [kind for kind, _ in site.records.audits] == ["command.distrusted"]


async def test_a_nonce_counts_once(tmp_path: Path) -> None:
    """A second command with the nonce of a first is no command."""
    async with at_work(tmp_path) as site:
        order = body()
        site.commands.offer(signed(order))
        await site.ended(order["id"])
        site.commands.offer(signed(order | {"id": "c-other"}))
        await until(lambda: site.commands.status()["counters"].get("replay"))
        assert len(site.bus.writes) == 1


async def test_rates(tmp_path: Path) -> None:
    """Points, devices and the whole gateway are not written more often than they may be."""
    grant = {"point": "*", "min": 0, "max": 100}
    for point, more, reason in (
        (P0, {"allow": [grant | {"min_interval": 60}]}, "rate-point"),
        (P1, {"allow": [grant | {"min_interval": 0}], "device_interval": 60}, "rate-device"),
        (P2, {"allow": [grant | {"min_interval": 0}], "per_minute": 1}, "rate-gateway"),
    ):
        folder = tmp_path / reason
        folder.mkdir()
        async with at_work(folder, **more) as site:
            assert (await site.ended(site.send()))[-1] == "executed"
            again = site.send(writes=writes(point))
            assert await site.ended(again) == ["refused"]
            assert site.reason(again) == reason
        async with at_work(folder, site.bus, **more) as site:  # a restart forgets nothing of it
            again = site.send(writes=writes(point))
            await site.ended(again)
            assert site.reason(again) == reason


async def test_priorities(tmp_path: Path) -> None:
    """On a bus with priorities a slot is written and relinquished; never 1 or 2, 3 to 8 by grant only."""
    bus = Bus(protocol="bacnet")
    async with at_work(tmp_path, bus) as site:
        for priority, reason in ((2, "priority-of-life-safety"), (8, "priority-not-allowed")):
            ident = site.send(writes=writes(P0, priority=priority))
            await site.ended(ident)
            assert site.reason(ident) == f"{reason}: {P0}"
        ident = site.send(lease_s=1)
        await site.ended(ident, "released")
        assert [(value, slot) for _, _, value, slot in bus.writes] == [(21.0, 13), (None, 13)]


async def test_the_step_is_bounded_by_the_present_value(tmp_path: Path) -> None:
    """With `max_change` a command may only move so far: from what a point says, not from its slot."""
    grant = {"point": "*", "min": 0, "max": 100, "max_change": 3, "min_interval": 0}
    bus = Bus(protocol="bacnet")
    async with at_work(tmp_path, bus, allow=[grant]) as site:
        far, near = site.send(writes=writes(P0, value=9)), ""
        await site.ended(far)
        assert site.reason(far) == f"change-too-big: {P0}"
        near = site.send(writes=writes(P0, value=8))
        assert (await site.ended(near))[-1] == "executed"


async def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It says what is there and what would be, and leaves no lease behind."""
    async with at_work(tmp_path) as site:
        ident = site.send(kind="dry_run")
        assert await site.ended(ident) == ["checked"]
        (row,) = [row for row in site.records.rows["cmd"] if row.doc["id"] == ident]
        assert row.doc["results"][0]["before"] == 5.0
        assert (site.bus.writes, site.commands.status()["holds"]) == ([], [])


async def test_a_release_ends_a_lease(tmp_path: Path) -> None:
    """Who signs may end a lease before its time."""
    async with at_work(tmp_path) as site:
        ident = site.send()
        await site.ended(ident)
        release = site.send(kind="release", release=ident, writes=[])
        assert await site.ended(release) == ["executed"]
        await site.ended(ident, "released")
        assert site.bus.written() == [21.0, 5.0]


async def test_the_switch(tmp_path: Path) -> None:
    """Off takes back and refuses, over a restart too; a switch that cannot be read is off."""
    async with at_work(tmp_path) as site:
        ident = site.send()
        await site.ended(ident)
        site.commands.switch.set(Position(off=True, by="me"))
        await site.ended(ident, "released")
        rows = site.records.rows["aud"]
        await until(lambda: "me" in [row.doc.get("by") for row in rows])
    async with at_work(tmp_path, site.bus) as site:
        refused = site.send()
        await site.ended(refused)
        assert site.reason(refused) == "switched-off"
        site.commands.switch.set(Position(off=False, by="me", release=1))
        again = site.send()
        assert (await site.ended(again))[-1] in {"executed", "released"}
        site.commands.switch.file.write_text("{")
        broken = site.send()
        await site.ended(broken)
        assert site.reason(broken) == "switched-off"


@pytest.mark.parametrize("how", ["safe-mode", "writes-not-enabled"])
async def test_nothing_is_written_where_writes_are_off(tmp_path: Path, how: str) -> None:
    """In safe mode, and where the configuration does not enable writes, values only come back."""
    async with at_work(tmp_path) as site:
        ident = site.send(lease_s=1)
        await site.ended(ident)
    safe = how == "safe-mode"
    async with at_work(
        tmp_path, site.bus, safe_mode=safe, records=site.records, enabled=safe
    ) as later:
        await later.ended(ident, "released")
        refused = later.send()
        await later.ended(refused)
        assert later.reason(refused) == how
        assert later.bus.written() == [21.0, 5.0]
        assert later.commands.takes == (["cmd"] if safe else [])


@pytest.mark.parametrize("shown", ["new", "old"])
async def test_a_crash_between_intent_and_outcome(tmp_path: Path, shown: str) -> None:
    """After it the device is looked at: what stands was executed, what does not was not; never again."""
    bus = Bus()
    async with at_work(tmp_path, bus) as site:
        hanging = asyncio.Event()

        async def write(point: str, value: Any, slot: int | None) -> Any:
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
        await until(lambda: wanted in site.records.of(ident))
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
        await until(lambda: bus.writes)
        journal = sqlite3.connect(tmp_path / "writes" / "commands.db")
    journal.execute("UPDATE command SET state='intent'")
    journal.commit()
    journal.close()
    async with at_work(tmp_path, bus, records=Records()) as site:
        await until(lambda: "failed" in site.records.of(ident))
        assert any(row.doc.get("reason") == "unknown" for row in site.records.rows["cmd"])
        await until(lambda: "release_failed" in site.records.of(ident))
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
        await until(lambda: "failed" in site.records.of(ident))
        assert site.reason(ident) == "timeout"
        bus.deaf.clear()
        await site.ended(ident, "released")
        assert bus.written() == [21.0, 5.0]


async def test_a_device_that_keeps_its_value(tmp_path: Path) -> None:
    """Confirmed and not shown is failed: `read-back`."""
    async with at_work(tmp_path, Bus(stuck={P0})) as site:
        ident = site.send()
        await until(lambda: "failed" in site.records.of(ident))
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
        await until(lambda: site.commands.status()["counters"].get("local"))
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
        await until(lambda: site.bus.writes)
    records.broken = False
    async with at_work(tmp_path, site.bus, records=records) as site:
        await until(lambda: site.records.of(ident)[:1] == ["accepted"])
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
            await until(lambda: site.bus.written() == [21.0, 5.0])
            await until(
                lambda: site.commands.status()["counters"].get("journal_unavailable", 0) > 1
            )
            assert site.bus.written(P1) == []
            assert site.commands.status()["journal_failing"]
        await site.ended(standing, "released")
        await until(lambda: not site.commands.status()["journal_failing"])


async def test_too_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what may wait or be under way, commands are dropped and counted."""
    monkeypatch.setattr(serving, "FLYING", 0)
    async with at_work(tmp_path) as site:
        site.send()
        await until(lambda: site.commands.status()["counters"].get("busy"))
        for _ in range(serving.WAITING + 1):
            site.commands.offer(b"")
        assert site.commands.status()["counters"]["dropped"] >= 1
        assert site.bus.writes == []


async def test_a_damaged_journal_begins_anew(tmp_path: Path) -> None:
    """It is moved aside and told; what was issued before is not believed any more."""
    (tmp_path / "writes").mkdir()
    (tmp_path / "writes" / "commands.db").write_bytes(b"rubbish" * 1000)
    earlier = body()
    earlier["expires"] = earlier["issued"] + 1
    async with at_work(tmp_path) as site:
        await until(lambda: any(r.kind == "command.journal_lost" for r in site.records.rows["cmd"]))
        assert (tmp_path / "writes" / "commands.db.bad").exists()
        ident = site.send()
        assert (await site.ended(ident))[-1] == "executed"
