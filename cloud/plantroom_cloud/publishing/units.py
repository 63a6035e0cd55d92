"""The unit that a sample's point had when it was read.

A point that changes has a further alias in its epoch's dictionary, and every alias keeps the unit it
was told with. So a row that waited while its point changed is converted by what it meant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import func, select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.rows import tie_base
from plantroom_cloud.publishing.outbox import Waiting, unpacked
from plantroom_cloud.publishing.plan import Mapped
from plantroom_cloud.tables import DictionaryEntry

_MOST: Final = 64
"""Dictionaries kept at hand."""
_CHUNK: Final = 500
_History = dict[int, list[tuple[int, str | None]]]
"""Upper bits of a tie, which tell the epoch → (first order number, unit), in order of the aliases."""
Key = tuple[str, str]
"""Gateway id and epoch."""


@dataclass(slots=True)
class _Told:
    by_alias: dict[int, str | None] = field(default_factory=dict)
    first: dict[int, str | None] = field(default_factory=dict)
    """Point id → unit of its first alias."""


class UnitsTold:
    """Units of one company's points, alias by alias.

    Args:
        database: keeps the dictionaries.
        scope: the company.
    """

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database, self._scope = database, scope
        self._told: OrderedDict[Key, _Told] = OrderedDict()

    async def learn(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Read the dictionaries that outbox rows (gateway, samples) go by, unless at hand."""
        wanted: set[Key] = set()
        for gateway, samples in rows:
            waiting = unpacked(samples)
            if waiting and waiting.epoch and not self._knows((gateway, waiting.epoch), waiting):
                wanted.add((gateway, waiting.epoch))
        for key in sorted(wanted):
            self._told[key] = await self._read(*key)
            self._told.move_to_end(key)
        while len(self._told) > max(_MOST, len(wanted)):
            self._told.popitem(last=False)

    def _knows(self, key: Key, waiting: Waiting) -> bool:
        told = self._told.get(key)
        if told is None:
            return False
        aliases = (waiting.aliases or {}).values()
        return told.first.keys() >= set(waiting.points) and told.by_alias.keys() >= set(aliases)

    async def _read(self, gateway: str, epoch: str) -> _Told:
        entry, told = DictionaryEntry, _Told()
        query = (
            select(entry.alias, entry.point_id, entry.unit)
            .where(
                entry.company_id == self._scope.company_id,
                entry.gateway_id == gateway,
                entry.epoch == epoch,
            )
            .order_by(entry.alias)
        )
        async with self._database.read(self._scope) as session:
            for alias, point, unit in (await session.execute(query)).all():
                told.by_alias[alias] = unit
                told.first.setdefault(point, unit)
        return told

    def unit(self, gateway: str, waiting: Waiting, row: int) -> str | None:
        """Return the unit that one of the samples was read in; None where nobody has told.

        A row without an alias was left here while its point had one only: the first.
        """
        told = self._told.get((gateway, waiting.epoch))
        if told is None:
            return None
        alias = (waiting.aliases or {}).get(row)
        if alias is None:
            return told.first.get(waiting.points[row])
        return told.by_alias.get(alias)


class StoredUnits:
    """Units that stored samples of one company's points were read in.

    A stored sample has no alias. Its tie tells the epoch and the order number, and an alias of a
    point with several keeps the first order number that came by it.

    Args:
        database: keeps the dictionaries.
        scope: the company.
    """

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database, self._scope = database, scope
        self._units: dict[int, tuple[str, _History]] = {}

    async def learn(self, mapped: Iterable[Mapped]) -> None:
        """Read the history of points, where it is not at hand or their unit has changed since."""
        wanted = {m.point_id: m.unit for m in mapped if self._known(m.point_id) != m.unit}
        points = sorted(wanted)
        for start in range(0, len(points), _CHUNK):
            part = points[start : start + _CHUNK]
            histories = await self._read(part)
            self._units |= {point: (wanted[point], histories.get(point, {})) for point in part}

    def _known(self, point: int) -> str | None:
        known = self._units.get(point)
        return known[0] if known else None

    async def _read(self, points: list[int]) -> dict[int, _History]:
        """Return the histories of those of `points` that were ever told with two units."""
        entry = DictionaryEntry
        mine = (entry.company_id == self._scope.company_id, entry.point_id.in_(points))
        told_otherwise = (
            select(entry.point_id)
            .where(*mine)
            .group_by(entry.point_id)
            .having(func.min(entry.unit) != func.max(entry.unit))
        )
        columns = (entry.point_id, entry.epoch, entry.alias, entry.unit, entry.first_seq)
        found: dict[int, _History] = {}
        async with self._database.read(self._scope) as session:
            changed = list((await session.execute(told_otherwise)).scalars())
            query = select(*columns).where(entry.company_id == self._scope.company_id)
            query = query.where(entry.point_id.in_(changed)).order_by(entry.alias)
            for point, epoch, _, unit, first in (await session.execute(query)).all():
                history = found.setdefault(point, {}).setdefault(tie_base(epoch) >> 32, [])
                if not history:
                    history.append((0, unit))
                elif first is not None:
                    history.append((first, unit))
        return found

    def unit(self, point: int, tie: int) -> str | None:
        """Return the unit of a stored sample; None where it never changed or nobody has told."""
        _, histories = self._units.get(point, ("", {}))
        seq, unit = tie & 0xFFFF_FFFF, None
        for first, told in histories.get(tie >> 32, ()):
            if first <= seq:
                unit = told
        return unit


def as_read(mapped: Mapped, unit: str | None) -> Mapped:
    """Return what a point is published as, with the unit that a sample of it was read in."""
    return mapped if unit is None or unit == mapped.unit else replace(mapped, unit=unit)
