"""All SQL of publishing; every repository sees one company."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.publishing.plan import Mapped, MappingRow
from plantroom_cloud.tables import Counter, EnosDevice, Outbox, Point, Site, Target
from plantroom_cloud.tables import Mapping as MappingTable
from plantroom_cloud.thingmodels.repository import OverrideRepository, ThingModelRepository
from plantroom_shared.mapping.overrides import Overrides
from plantroom_shared.mapping.targets import catalog
from plantroom_shared.mapping.things import Catalog


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One row of the outbox, as ingest wrote it."""

    id: int
    gateway_id: str
    samples: bytes
    rows: int
    created_us: int


class PublishingRepository(Repository):
    """Targets, outbox, counters and mapping of one company."""

    async def set_target(self, kind: str, *, enabled: bool) -> None:
        """Let ingest fill the outbox for `kind`, or stop it."""
        # Processes that start at the same moment make it at the same moment.
        row = {"company_id": self._scope.company_id, "kind": kind, "enabled": enabled}
        made = insert_into(self._session, Target).values(row)
        same = [Target.company_id, Target.kind]
        await self._session.execute(
            made.on_conflict_do_update(
                index_elements=same,
                set_={"enabled": enabled},
                where=Target.enabled.is_not(enabled),
            )
        )

    async def note(self, kind: str, now_us: int, failure: str = "") -> None:
        """Write down how a round of publishing went."""
        mine = (self._own(Target), Target.kind == kind)
        if failure:
            since = func.coalesce(Target.failing_us, now_us)
            values: dict[str, Any] = {"failure": failure[:60], "failing_us": since}
        else:
            values = {"ok_us": now_us, "failure": "", "failing_us": None}
        await self._session.execute(update(Target).where(*mine).values(values))

    async def oldest(
        self, kind: str, limit: int, held: Collection[str] = (), *, after: int = 0
    ) -> list[OutboxRow]:
        """Return the oldest rows with an id above `after` whose gateways are not in `held`."""
        rows = await self._session.execute(
            select(Outbox.id, Outbox.gateway_id, Outbox.samples, Outbox.rows, Outbox.created_us)
            .where(
                self._own(Outbox),
                Outbox.kind == kind,
                Outbox.id > after,
                Outbox.gateway_id.not_in(sorted(held)),
            )
            .order_by(Outbox.id)
            .limit(limit)
        )
        return [OutboxRow(*row) for row in rows.all()]

    async def take(self, kind: str, ids: Sequence[int]) -> bool:
        """Delete rows; False if any of them was gone already, so somebody else has counted it."""
        result = await self._session.execute(
            delete(Outbox)
            .where(self._own(Outbox), Outbox.kind == kind, Outbox.id.in_(list(ids)))
            .returning(Outbox.id)
        )
        return len(result.all()) == len(ids)

    async def count(self, counts: Mapping[str, int]) -> None:
        """Add to the company's counters."""
        bind = self._session.get_bind()
        insert = sqlite.insert if bind.dialect.name == "sqlite" else postgresql.insert
        # In one order everywhere, so that two transactions never wait for each other.
        for name, value in sorted(counts.items()):
            new = insert(Counter).values(company_id=self._scope.company_id, name=name, value=value)
            await self._session.execute(
                new.on_conflict_do_update(
                    index_elements=[Counter.company_id, Counter.name],
                    set_={"value": Counter.value + new.excluded.value},
                )
            )

    async def counters(self, prefix: str) -> dict[str, int]:
        """Return the company's counters whose names begin with `prefix`."""
        rows = await self._session.execute(
            select(Counter.name, Counter.value).where(
                self._own(Counter), Counter.name.startswith(prefix)
            )
        )
        return dict(rows.all())

    async def backlog(self, kind: str) -> tuple[int, int | None]:
        """Return how many samples wait in the outbox, and since when (µs), None if none does."""
        row = (
            await self._session.execute(
                select(func.coalesce(func.sum(Outbox.rows), 0), func.min(Outbox.created_us)).where(
                    self._own(Outbox), Outbox.kind == kind
                )
            )
        ).one()
        return int(row[0]), row[1]

    async def mappings(self) -> list[MappingRow]:
        """Return every mapping of the company with its point and site."""
        rows = await self._session.execute(
            select(
                MappingTable.point_id,
                MappingTable.site_id,
                Site.slug,
                Site.timezone,
                MappingTable.equipment,
                MappingTable.model_id,
                MappingTable.model_point,
                Point.unit,
                Point.states,
                Point.object_type,
                Site.name.label("site_name"),
                MappingTable.parent,
                MappingTable.confidence,
                MappingTable.source,
                MappingTable.state,
            )
            .join(Point, Point.id == MappingTable.point_id)
            .join(Site, Site.id == MappingTable.site_id)
            .where(self._own(MappingTable, Point, Site))
        )
        overrides = await OverrideRepository(self._session, self._scope).current()
        models = catalog(await ThingModelRepository(self._session, self._scope).current())
        found: list[MappingRow] = []
        for row in rows.all():
            mapped = Mapped(
                *row[:8],
                states=tuple(row.states or ()),
                object_type=row.object_type,
                site_name=row.site_name,
                parent=row.parent,
            )
            mapped = _meant(mapped, overrides, models)
            found.append(MappingRow(mapped, row.confidence, row.source, row.state))
        return found


def _meant(mapped: Mapped, overrides: Overrides, models: Catalog) -> Mapped:
    """Return a mapping as the company's overrides and models have it."""
    meaning = overrides.apply(
        mapped.point_id, mapped.site_id, mapped.equipment, mapped.model_id, mapped.model_point
    )
    return replace(
        mapped,
        model_id=meaning.model_id,
        model_point=meaning.model_point,
        adjustment=meaning.adjustment,
        target=models.point(meaning.model_id, meaning.model_point),
    )


class EnosDeviceRepository(Repository):
    """Equipment of one company → devices in EnOS."""

    async def all(self) -> dict[tuple[int, str], EnosDevice]:
        """Return (site id, equipment) → device."""
        rows = await self._session.scalars(select(EnosDevice).where(self._own(EnosDevice)))
        return {(row.site_id, row.equipment): row for row in rows}

    async def put(self, devices: Iterable[EnosDevice]) -> None:
        """Insert or update devices; they are known by site and equipment."""
        known = await self.all()
        for device in devices:
            row = known.get((device.site_id, device.equipment))
            if row is None:
                device.company_id = self._scope.company_id
                self._session.add(device)
                continue
            row.model_id, row.product_key = device.model_id, device.product_key
            row.device_key, row.asset_id = device.device_key, device.asset_id
            row.name, row.gone_us = device.name, device.gone_us

    async def note_gone(self, asset_id: str, now_us: int) -> None:
        """Note that EnOS no longer knows the device."""
        await self._session.execute(
            update(EnosDevice)
            .where(self._own(EnosDevice), EnosDevice.asset_id == asset_id)
            .values(gone_us=now_us)
        )

    async def rename(self, site_id: int, before: str, after: str) -> None:
        """Call the equipment of a device otherwise; another of that name publishes nothing any more."""
        await self._session.execute(
            delete(EnosDevice).where(
                self._own(EnosDevice),
                EnosDevice.site_id == site_id,
                EnosDevice.equipment == after,
            )
        )
        await self._session.execute(
            update(EnosDevice)
            .where(
                self._own(EnosDevice),
                EnosDevice.site_id == site_id,
                EnosDevice.equipment == before,
            )
            .values(equipment=after)
        )
