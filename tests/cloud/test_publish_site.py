"""A whole site of 2,000 points, an hour without EnOS, and a ledger that the test keeps itself."""

from __future__ import annotations

from plantroom_cloud.db import Database
from plantroom_cloud.publishing.enos.models import published_point, thing_models
from support.enos_plans import MINUTE, SECOND, PlanWay, ids, opened
from support.enos_site import AHU

POINTS = 2000
LATER = 100
"""Of them approved only while EnOS is away."""
FCU, CHILLER = "EnOS_HVAC_FCU", "EnOS_HVAC_CH"
Planned = tuple[str, str, tuple[str, str]]


def a_site(count: int) -> list[Planned]:
    """Return (name, equipment, thing-model point) of a building with `count` points."""
    wanted = (AHU, FCU, FCU, CHILLER)
    points: list[Planned] = []
    number = 0
    while len(points) < count:
        model_id = wanted[number % len(wanted)]
        number += 1
        equipment = f"{model_id.rsplit('_', 1)[1]} {number:03d}"
        points += (
            (f"{equipment}.{name}", equipment, (model_id, name))
            for name in sorted(thing_models()[model_id])
            if published_point(model_id, name) is not None
        )
    return points[:count]


async def say(way: PlanWay, points: list[Planned], *, late: int = 0) -> None:
    """Have every point say something now, or `late` µs ago; keep what EnOS must hold of it."""
    ts_us = way.clock.us - late
    rows = []
    for number, (name, equipment, (_, model_point)) in enumerate(points):
        value = float((ts_us // MINUTE + number) % 2)  # a measurement, and a state too
        rows.append((name, ts_us, value))
        way.ledger[equipment, model_point, ts_us // 1000] = value
    await way.site.put(rows, created_us=way.clock.us)


def check(way: PlanWay) -> None:
    """Every approved value is there exactly once, and nothing else is."""
    held = way.enos.values()
    assert len(held) == len(way.ledger)
    assert held == way.ledger


async def test_an_hour_without_enos(sqlite_database: Database) -> None:
    """2,000 points are created and published, EnOS is away for an hour: all arrive, each once.

    Meanwhile 100 of them are approved only while it is away, and a gateway delivers values late.
    """
    points = a_site(POINTS)
    first, later = points[:-LATER], points[-LATER:]
    async with opened(sqlite_database, mapping_wait=0) as way:
        await way.site.add_many(first)
        await way.site.add_many(later, mapped=False)
        for _ in range(2):
            way.clock.us += 5 * MINUTE
            await say(way, points)
            await way.drain()
        await way.plans.serve()  # the tree, which nobody need approve: it was never there
        await way.enos.off()
        for at in range(6):
            way.clock.us += 10 * MINUTE
            await say(way, points)
            assert not await way.try_round()
            if at == 2:
                await way.site.map_many(later)
        await way.enos.on()
        way.clock.us += 5 * MINUTE
        await say(way, points)
        await say(way, points[:300], late=40 * MINUTE + 7 * SECOND)
        counted = await way.drain()
        check(way)
        assert len(way.ledger) == 9 * POINTS + 300
        assert counted["published"] == len(way.ledger)
        assert set(way.enos.kept.values()) == {1}
        assert await way.site.waiting() == 0
        under = way.enos.under()
        assert under == dict.fromkeys({equipment for _, equipment, _ in first}, "")
        # What the other side has done meanwhile, and what was renamed here.
        await the_drift(way, points)


async def the_drift(way: PlanWay, points: list[Planned]) -> None:
    """EnOS and we part in five ways; a plan says so, changes nothing, and is applied on a word."""
    world = way.enos.world
    renamed, deleted, moved, ours = "AHU 001", "FCU 002", "FCU 003", "CH 004"
    world.devices[way.enos.device(renamed)].name = {"defaultValue": "Lüftung", "i18nValue": {}}
    gone = way.enos.device(deleted)
    del world.devices[gone]
    (tree,) = world.trees.values()
    tree.parents.pop(gone)
    tree.parents[way.enos.device(moved)] = way.enos.device("AHU 005")
    after = [(name, "Chiller 4", to) for name, where, to in points if where == ours]
    await way.site.map_many(after)
    await _value_after(way, points, after, ours)

    seen = {asset: dict(device.name) for asset, device in world.devices.items()}
    plan = await way.ask()
    assert plan["state"] == "made"
    linked = [name for name in ids(plan) if name.startswith("link_device")]
    assert set(ids(plan)) - set(linked) == {
        f"rename_device {renamed}",
        f"create_device {deleted}",
        f"move_device {moved}",
        "rename_equipment Chiller 4",
        "rename_device Chiller 4",
    }
    assert f"link_device {deleted}" in linked
    assert {asset: dict(device.name) for asset, device in world.devices.items()} == seen

    done = await way.give_word(plan)
    assert done["state"] == "done"
    assert set(done["result"].values()) == {"done"}
    await way.drain()
    renamed_here = {
        (("Chiller 4" if device == ours else device), point, ms): value
        for (device, point, ms), value in way.ledger.items()
    }
    way.ledger = renamed_here
    check(way)
    assert way.enos.under()[moved] == ""
    again = await way.ask()
    assert ids(again) == []
    twice = await way.give_word(done)
    assert twice == done


async def _value_after(way: PlanWay, points: list[Planned], after: list[Planned], was: str) -> None:
    """Have all points say something more: of a lost device it waits, of a renamed one it goes on."""
    way.clock.us += 5 * MINUTE
    others = [point for point in points if point[1] != was]
    await say(way, others)
    before = dict(way.ledger)
    await say(way, after)
    new = {key: value for key, value in way.ledger.items() if key not in before}
    way.ledger = before | {(was, point, ms): value for (_, point, ms), value in new.items()}
    await way.drain()
