"""Commands as a part of the agent: what is heeded, what is refused, what is taken back, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.commands.switch import Position
from plantroom_shared import wire
from plantroom_shared.clock import SystemClock
from support.command_site import OTHER, Bus, Time, at_work, body, signed
from support.waiting import eventually

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
        await eventually(lambda: bus.written(P0) == [20.0, 5.0] and bus.written(P1) == [21.0, 5.0])
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
        await eventually(lambda: site.commands.status()["counters"][how] == 3)
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
        await eventually(lambda: site.commands.status()["counters"].get("replay"))
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
        await eventually(lambda: "me" in [row.doc.get("by") for row in rows])
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
