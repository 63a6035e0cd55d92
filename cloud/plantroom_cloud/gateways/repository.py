"""Gateways in the database: who one belongs to, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope, insert_into, is_sqlite
from plantroom_cloud.tables import Gateway, StreamTotal
from plantroom_shared import wire
from plantroom_shared.ranges import Range, merge

STREAMS: tuple[wire.Stream, ...] = ("tel", "evt")
_MOST_COUNTERS = 200


@dataclass(frozen=True, slots=True)
class Owned:
    """A known gateway: the one step from a certificate's name to a company."""

    id: str
    company_id: int
    site_id: int

    @property
    def scope(self) -> Scope:
        """Whose rows this gateway's messages may touch."""
        return Scope(self.company_id)


async def find_owners(session: AsyncSession, ids: Iterable[str]) -> dict[str, Owned]:
    """Return the known ones of `ids`.

    The only query without a scope: a gateway is known by its certificate, and what it belongs to
    is what is asked here.
    """
    query = select(Gateway.id, Gateway.company_id, Gateway.site_id).where(Gateway.id.in_(ids))
    return {row.id: Owned(*row) for row in await session.execute(query)}


class GatewayRepository:
    """What one company's gateways say of themselves."""

    def __init__(self, session: AsyncSession | ReadSession, scope: Scope) -> None:
        self._session, self._scope = session, scope

    async def get(self, gateway: str) -> Gateway | None:
        """Return the gateway, or None where this company has none of that id."""
        query = select(Gateway).where(
            Gateway.id == gateway, Gateway.company_id == self._scope.company_id
        )
        return (await self._session.execute(query)).scalar_one_or_none()

    async def greet(self, gateway: str, hello: wire.Hello, now_us: int) -> None:
        """Record that `gateway` has connected and what it holds."""
        version = hello.agent.replace("\x00", "")
        await self._update(gateway, online=True, seen_us=now_us, agent_version=version)
        await self._report(gateway, hello.epochs, now_us)

    async def note_state(self, gateway: str, state: wire.State, now_us: int) -> None:
        """Record a state message; the will, which says offline, says nothing else."""
        values: dict[str, Any] = {"online": state.online}
        if state.online:
            kept = sorted(state.counters.items())[:_MOST_COUNTERS]
            report = {key[:64].replace("\x00", ""): value for key, value in kept}
            values |= {"seen_us": now_us, "report": report}
        await self._update(gateway, **values)
        await self._report(gateway, state.epochs, now_us)

    async def _update(self, gateway: str, **values: Any) -> None:
        await self._session.execute(
            update(Gateway)
            .where(Gateway.id == gateway, Gateway.company_id == self._scope.company_id)
            .values(**values)
        )

    async def _report(self, gateway: str, epochs: list[wire.Holding], now_us: int) -> None:
        """Keep the gateway's own account; what it has ever accepted never grows less."""
        rows = [
            {
                "company_id": self._scope.company_id,
                "gateway_id": gateway,
                "epoch": epoch.ep,
                "stream": stream,
                "stored": 0,
                "quarantined": 0,
                "declared": 0,
                "duplicates": 0,
                "accepted": epoch.accepted.get(stream, 0),
                "held": orjson.dumps(held_ranges(epoch, stream)).decode(),
                "reported_us": now_us,
            }
            for epoch in {epoch.ep: epoch for epoch in epochs}.values()
            for stream in STREAMS
            if epoch.accepted.get(stream) or epoch.held.get(stream)
        ]
        if not rows:
            return
        insert = insert_into(self._session, StreamTotal)
        # The larger of two numbers is max() in SQLite and greatest() in PostgreSQL.
        larger = func.max if is_sqlite(self._session) else func.greatest
        upsert = insert.on_conflict_do_update(
            index_elements=["gateway_id", "epoch", "stream"],
            set_={
                "accepted": larger(StreamTotal.accepted, insert.excluded.accepted),
                "held": insert.excluded.held,
                "reported_us": insert.excluded.reported_us,
            },
        )
        await self._session.execute(upsert, rows)


def held_ranges(epoch: wire.Holding, stream: wire.Stream) -> list[Range]:
    """Return what a gateway says it holds, merged; ranges that run backwards are nothing."""
    return merge((lo, hi) for lo, hi in epoch.held.get(stream, []) if 1 <= lo <= hi)
