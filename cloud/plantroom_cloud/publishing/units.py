"""The unit that a sample's point had when it was read.

A point that changes has a further alias in its epoch's dictionary, and every alias keeps the unit it
was told with. So a row that waited while its point changed is converted by what it meant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.publishing.outbox import Waiting, unpacked
from plantroom_cloud.publishing.plan import Mapped
from plantroom_cloud.tables import DictionaryEntry

_MOST: Final = 64
"""Dictionaries kept at hand."""
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
        async with self._database.read() as session:
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


def as_read(mapped: Mapped, unit: str | None) -> Mapped:
    """Return what a point is published as, with the unit that a sample of it was read in."""
    return mapped if unit is None or unit == mapped.unit else replace(mapped, unit=unit)
