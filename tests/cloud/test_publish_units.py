"""A value is converted by the unit that its point had when it was read, and as the company says."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.publishing.outbox import unpacked
from plantroom_cloud.publishing.plan import Mapped, Plan
from plantroom_cloud.publishing.publishers import MappedValue, Receipt
from plantroom_cloud.publishing.repository import PublishingRepository
from plantroom_cloud.publishing.steps import Step
from plantroom_cloud.publishing.units import StoredUnits, UnitsTold
from plantroom_cloud.publishing.worker import OutboxWorker
from plantroom_cloud.tables import (
    DictionaryEntry,
    Mapping,
    MappingOverride,
    Outbox,
    Point,
    SampleRow,
    Target,
    ThingModelRow,
)
from plantroom_shared import wire
from plantroom_shared.mapping.conversion import conversion_of
from support import cloud_site as site
from support.cloud_site import EPOCH, NOW, Home, TestClock, inv, tel
from support.servers import as_owner

OTHER = "00000000000000bb"
CLOCK = TestClock()


class Converting:
    """A publisher that converts what it takes, and keeps it."""

    def __init__(self) -> None:
        self.taken: dict[tuple[int, int], Any] = {}

    async def prepare(self, plan: Plan) -> None:
        """Nothing to prepare."""

    def accepts(self, mapped: Mapped) -> bool:
        return True

    async def survey(self, plan: Plan, site_id: int) -> list[Step]:
        return []

    async def carry_out(self, step: Step) -> None:
        """Nothing to do."""

    async def publish(self, values: Any) -> Receipt:
        for value in values:
            assert value.mapped.target is not None
            convert = conversion_of(
                value.mapped.source, value.mapped.target, value.mapped.adjustment
            )
            self.taken[value.mapped.point_id, value.ts_us] = convert(value.value)
        return Receipt(len(values))

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
async def home(database: Database) -> Home:
    """A company that publishes, with one gateway."""
    made = await site.add_home(database)
    async with as_owner(database).write() as session:
        session.add(Target(company_id=made.company_id, kind="enos"))
    return made


@pytest.fixture
def store(database: Database) -> Store:
    """A store whose clock stands still."""
    return Store(database, CLOCK)


def told(unit: str, *, a0: int = 0, epoch: str = EPOCH) -> Any:
    """Return a dictionary that enters point 0 with `unit`."""
    message = site.dictionary(1, a0=a0, epoch=epoch, first=0)
    return inv(message.model_copy(update={"points": [site.point(0, unit=unit)]}))


def by_alias(s0: int, n: int, alias: int, *, epoch: str = EPOCH) -> Any:
    """Return rows of one alias whose values are all 50."""
    at = NOW - 3_600_000_000 + (1_000_000 if epoch == OTHER else 0)
    batch = site.batch(s0, n, at=at, values=[50.0] * n)
    batch.points = [alias] * n
    return site.incoming("tel", wire.encode_samples(epoch, s0, batch))


async def map_point(database: Database, home: Home, **more: Any) -> int:
    """Map the one point to a temperature in °C; return its id."""
    async with as_owner(database).write() as session:
        point = (await session.execute(select(Point.id))).scalar_one()
        values: dict[str, Any] = {
            "point_id": point,
            "company_id": home.company_id,
            "site_id": home.site_id,
            "template": "AI #",
            "equipment": "AHU-1",
            "model_id": "EnOS_HVAC_AHU",
            "model_point": "AHU_raw_supply_air_temp",
            "confidence": 0.9,
            "source": "offline",
            "state": "accepted",
            "mapped_us": NOW,
        }
        session.add(Mapping(**(values | more)))
        return int(point)


async def published(database: Database, home: Home, *, history: float = 0.0) -> list[Any]:
    """Publish everything in the outbox; return the values by time."""
    taker = Converting()
    worker = OutboxWorker(
        database, Scope(home.company_id), "enos", taker, CLOCK, mapping_wait=600.0, history=history
    )
    while await worker.round():
        pass
    return [value for _, value in sorted(taker.taken.items(), key=lambda item: item[0][1])]


async def test_a_sample_keeps_the_unit_it_was_read_in(
    database: Database, store: Store, home: Home
) -> None:
    """Rows that wait while their point changes, within a start and by the next one, mean what they meant."""
    await store.store([told("degrees-celsius"), by_alias(1, 2, 0)])
    await store.store([told("degrees-fahrenheit", a0=1), by_alias(3, 2, 1), by_alias(5, 1, 0)])
    await map_point(database, home)
    await store.store([told("degrees-kelvin", epoch=OTHER), by_alias(1, 1, 0, epoch=OTHER)])
    assert (await published(database, home)) == pytest.approx([50, 50, 10, 10, 50, 50 - 273.15])


async def test_history_from_the_store_keeps_its_units_too(
    database: Database, store: Store, home: Home
) -> None:
    """What a point that is published for the first time has said before is converted like that."""
    await store.store([told("degrees-celsius"), by_alias(1, 2, 0)])
    await store.store([told("degrees-fahrenheit", a0=1), by_alias(3, 3, 1)])
    await store.store([told("degrees-kelvin", epoch=OTHER), by_alias(1, 1, 0, epoch=OTHER)])
    await map_point(database, home)
    found = await published(database, home, history=86_400.0)
    assert sorted(found) == pytest.approx(sorted([50, 50, 10, 10, 10, 50 - 273.15]))


async def test_rows_of_a_former_start_that_come_late_are_of_their_unit(
    database: Database, store: Store, home: Home
) -> None:
    """A gateway that was away sends what it had under the old start after the new one is known."""
    hello = wire.Hello(
        session=OTHER, agent="1", epochs=[wire.Holding(ep=EPOCH), wire.Holding(ep=OTHER)]
    )
    await store.store([told("degrees-celsius")])
    await store.store([site.incoming("hello", wire.encode(hello))])
    await store.store([told("degrees-fahrenheit", epoch=OTHER)])
    await store.store([by_alias(1, 2, 0), by_alias(1, 2, 0, epoch=OTHER)])
    await map_point(database, home)
    assert (await published(database, home)) == pytest.approx([50, 50, 10, 10])


async def test_rows_of_an_older_version_go_by_the_point(
    database: Database, store: Store, home: Home
) -> None:
    """What an older version has left in the outbox names no dictionary, or one without units."""
    await store.store([told("degrees-fahrenheit"), by_alias(1, 1, 0)])
    await map_point(database, home)
    async with as_owner(database).write() as session:
        await session.execute(update(DictionaryEntry).values(unit=None))
    assert (await published(database, home)) == pytest.approx([10])
    await store.store([by_alias(2, 1, 0)])
    async with as_owner(database).write() as session:
        row = (await session.execute(select(Outbox))).scalar_one()
        row.samples = row.samples.replace(b',"e":"' + EPOCH.encode() + b'"', b"")
    waiting = await published(database, home)
    assert waiting == pytest.approx([10])


async def test_stored_samples_know_their_unit_too(
    database: Database, store: Store, home: Home
) -> None:
    """A stored sample has no alias: epoch and order number tell which one it came by."""
    await store.store([told("degrees-celsius"), by_alias(1, 2, 0)])
    await store.store([told("degrees-fahrenheit", a0=1)])
    await store.store([by_alias(6, 1, 1)])  # the backlog of the alias comes last
    await store.store([by_alias(3, 3, 1)])
    await store.store([told("degrees-fahrenheit", epoch=OTHER), by_alias(1, 1, 0, epoch=OTHER)])
    point = await map_point(database, home)
    units = StoredUnits(database, Scope(home.company_id))
    mapped = Mapped(point, home.site_id, "tower", "UTC", "A", "m", "p", unit="degrees-fahrenheit")
    await units.learn([mapped])
    async with as_owner(database).read() as session:
        query = select(SampleRow.tie).order_by(SampleRow.ts_us)
        ties = list((await session.execute(query)).scalars())
    found = [units.unit(point, tie) for tie in ties]
    assert found == ["degrees-celsius"] * 2 + ["degrees-fahrenheit"] * 5
    assert units.unit(point, 12345) is None
    assert units.unit(point + 1, ties[0]) is None


async def test_a_point_that_never_changed_has_no_history(
    database: Database, store: Store, home: Home
) -> None:
    """Then its unit is the one it has; when it changes, its history is read."""
    await store.store([told("degrees-celsius"), by_alias(1, 1, 0)])
    point = await map_point(database, home)
    async with as_owner(database).read() as session:
        tie = (await session.execute(select(SampleRow.tie))).scalar_one()
    units = StoredUnits(database, Scope(home.company_id))
    head = (point, home.site_id, "tower", "UTC", "A", "m", "p")
    await units.learn([Mapped(*head, unit="degrees-celsius")])
    assert units.unit(point, tie) is None
    await store.store([told("percent", a0=1)])
    await units.learn([Mapped(*head, unit="percent")])
    assert units.unit(point, tie) == "degrees-celsius"
    foreign = StoredUnits(database, Scope(home.company_id + 1))
    await foreign.learn([Mapped(*head, unit="percent")])
    assert foreign.unit(point, tie) is None


async def test_dictionaries_are_read_once(database: Database, store: Store, home: Home) -> None:
    """Only a row that names what is not at hand makes them be read again."""
    await store.store([told("degrees-celsius"), by_alias(1, 1, 0)])
    async with as_owner(database).read() as session:
        row = (await session.execute(select(Outbox))).scalar_one()
    units = UnitsTold(database, Scope(home.company_id))
    waiting = unpacked(row.samples)
    assert waiting is not None
    assert units.unit(row.gateway_id, waiting, 0) is None
    for _ in range(2):
        await units.learn([(row.gateway_id, row.samples), (row.gateway_id, b"rubbish")])
        assert units.unit(row.gateway_id, waiting, 0) == "degrees-celsius"
        async with as_owner(database).write() as session:  # at hand: it is not asked for again
            await session.execute(update(DictionaryEntry).values(unit="changed"))


# ---------------------------------------------------------------- what the company says


async def test_overrides_and_own_models_are_published(
    database: Database, store: Store, home: Home
) -> None:
    """Another model, another point of it, a sign, a multiplier and a unit, all from rows."""
    await store.store([told(""), by_alias(1, 1, 0)])
    await map_point(database, home)
    document = {
        "model_id": "Own",
        "points": {"power": {"type": "DOUBLE", "unit": "W", "scale": 10}},
    }
    about = {"company_id": home.company_id, "created_us": NOW}
    async with as_owner(database).write() as session:
        session.add(ThingModelRow(model_id="Own", version=1, digest="", document=document, **about))
        for columns in (
            {"model_id": "EnOS_HVAC_AHU", "to_model": "Own", "to_point": "power"},
            {"equipment": "AHU-1", "unit": "kW", "sign": -1, "multiplier": 0.01},
            {"equipment": "AHU-2", "unit": "MW"},
        ):
            session.add(MappingOverride(**columns, **about))
    assert await published(database, home) == pytest.approx([-50.0])
    async with as_owner(database).read() as session:
        (row,) = await PublishingRepository(session, Scope(home.company_id)).mappings()
    assert (row.mapped.model_id, row.mapped.model_point) == ("Own", "power")


async def test_an_ended_override_says_nothing(database: Database, store: Store, home: Home) -> None:
    """Only what holds is published by; another company's rows never."""
    rival = await site.add_home(database, "rival", "tower", "gw-rival-0001")
    await store.store([told("degrees-celsius"), by_alias(1, 1, 0)])
    await map_point(database, home)
    says = {"model_id": "EnOS_HVAC_AHU", "sign": -1, "created_us": NOW}
    async with as_owner(database).write() as session:
        session.add(MappingOverride(company_id=home.company_id, ended_us=NOW, **says))
        session.add(MappingOverride(company_id=rival.company_id, **says))
    assert await published(database, home) == pytest.approx([50.0])


def test_a_mapped_value_is_hashable() -> None:
    """The same mapping and unit are one conversion, however many values there are."""
    mapped = Mapped(1, 1, "s", "UTC", "e", "m", "p", states=("a",))
    assert len({MappedValue(mapped, 1, 1.0, 0), MappedValue(mapped, 1, 1.0, 0)}) == 1


def test_aliases_of_the_outbox_are_checked() -> None:
    """A row of the outbox that cannot be read is told apart, whatever stands in it."""
    head = b'{"p": [1], "t": [1], "v": [1], "q": [0]'
    assert unpacked(head + b"}") is not None
    assert unpacked(head + b', "e": "x", "a": {"0": 5}}') is not None
    for tail in (b', "e": 7}', b', "a": 7}', b', "a": {"x": 1}}', b', "e": null}'):
        assert unpacked(head + tail) is None


async def test_a_tel_message_fills_the_outbox_with_its_epoch(
    database: Database, store: Store, home: Home
) -> None:
    """Each epoch has rows of its own; a point with one alias needs no more than that."""
    await store.store([inv(site.dictionary(2)), tel(1, 4, points=2)])
    async with as_owner(database).read() as session:
        row = (await session.execute(select(Outbox))).scalar_one()
    waiting = unpacked(row.samples)
    assert waiting is not None
    assert (waiting.epoch, waiting.aliases, len(waiting)) == (EPOCH, None, 4)
    assert home.company_id == row.company_id
