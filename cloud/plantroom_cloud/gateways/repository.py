"""Gateways in the database: who one belongs to, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope, insert_into, is_sqlite
from plantroom_cloud.gateways.reports import Report, is_late
from plantroom_cloud.isolation.lookups import find_gateways
from plantroom_cloud.tables import Gateway, GatewayCertificate, GatewayEpoch, StreamTotal
from plantroom_shared import wire
from plantroom_shared.ranges import Range, merge

SKEW_US = 2_000_000
"""A gateway's clock that is further off than this is an alarm."""
_MOST_COUNTERS = 200
_MOST_CERTIFICATES = 4  # of those that a gateway has shown; older ones it does not use any more


@dataclass(frozen=True, slots=True)
class Owned:
    """A known gateway: the one step from a certificate's name to a company."""

    id: str
    company_id: int
    site_id: int
    dictionary_stamp: str = ""
    """Of the dictionaries in the database."""
    clock_skew_us: int | None = None
    """As it was last measured."""
    online: bool = False
    """As it was last said."""

    @property
    def scope(self) -> Scope:
        """Whose rows this gateway's messages may touch."""
        return Scope(self.company_id)


async def find_owners(
    session: AsyncSession, ids: Iterable[str], *, lock: bool = False
) -> dict[str, Owned]:
    """Return the known ones of `ids` that are not revoked.

    A gateway is known by its certificate, and what it belongs to is what is asked here.

    Args:
        session: any.
        ids: gateways.
        lock: keep every other writer of these gateways' deliveries out until the transaction ends.
            Rows are locked in the order of their ids, so two writers cannot wait for each other in
            a circle. SQLite has one writer at a time anyway.
    """
    found = await find_gateways(session, ids, lock=lock)
    # Of one that is revoked nothing is taken, though its connection may last a moment longer.
    return {
        row.id: Owned(
            row.id,
            row.company_id,
            row.site_id,
            row.dictionary_stamp,
            row.clock_skew_us,
            row.online,
        )
        for row in found
        if row.revoked_us is None
    }


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

    async def greet(self, gateway: str, hello: wire.Hello, now_us: int) -> bool:
        """Record that `gateway` has connected and what it holds; say whether that is news.

        To be called with the gateway's lock held, when `HelloRepository` knows of the hello.
        """
        version = hello.agent.replace("\x00", "")
        values: dict[str, Any] = {"online": True, "seen_us": now_us, "agent_version": version}
        values["clock_state"] = hello.clock
        values["takes"] = " ".join(one for one in wire.DOWN if one in hello.takes)
        return await self._report(gateway, hello, values, now_us)

    async def note_state(self, gateway: str, state: wire.State, now_us: int) -> bool:
        """Record a state message; say whether it is news. The will says offline and nothing else.

        To be called with the gateway's lock held.
        """
        values: dict[str, Any] = {"online": state.online}
        if state.online:
            kept = [item for item in sorted(state.counters.items()) if isfinite(item[1])]
            report = {key[:64].replace("\x00", ""): value for key, value in kept[:_MOST_COUNTERS]}
            values |= {"seen_us": now_us, "report": report, "oldest_us": state.oldest_us}
            values["clock_state"] = state.clock
        return await self._report(gateway, state, values, now_us)

    async def note_skew(self, gateway: str, skew_us: int, now_us: int) -> None:
        """Record how far the gateway's clock is ahead of ours."""
        await self._update(gateway, clock_skew_us=skew_us, clock_seen_us=now_us)

    async def stamp_dictionary(self, gateway: str, stamp: str) -> None:
        """Say that a dictionary has changed: nobody may rely on what he remembers of it."""
        await self._update(gateway, dictionary_stamp=stamp)

    async def keep_certificate(self, gateway: str, serial: str, pem: str, now_us: int) -> None:
        """Keep a checked certificate that `gateway` has shown."""
        insert = insert_into(self._session, GatewayCertificate)
        upsert = insert.on_conflict_do_update(
            index_elements=["gateway_id", "serial"], set_={"seen_us": insert.excluded.seen_us}
        )
        row = {"company_id": self._scope.company_id, "gateway_id": gateway, "serial": serial}
        await self._session.execute(upsert, [row | {"pem": pem, "seen_us": now_us}])

    async def certificates(self, gateway: str) -> list[tuple[str, str]]:
        """Return serial and PEM of the certificates that `gateway` showed last."""
        query = (
            select(GatewayCertificate.serial, GatewayCertificate.pem)
            .where(GatewayCertificate.company_id == self._scope.company_id)
            .where(GatewayCertificate.gateway_id == gateway)
            .order_by(GatewayCertificate.seen_us.desc(), GatewayCertificate.serial)
            .limit(_MOST_CERTIFICATES)
        )
        return [(serial, pem) for serial, pem in await self._session.execute(query)]

    async def _update(self, gateway: str, **values: Any) -> None:
        await self._session.execute(
            update(Gateway)
            .where(Gateway.id == gateway, Gateway.company_id == self._scope.company_id)
            .values(**values)
        )

    async def _report(
        self, gateway: str, told: wire.Hello | wire.State, values: dict[str, Any], now_us: int
    ) -> bool:
        """Write `values` and keep the gateway's own account, unless a later report came before.

        Returns:
            Whether it was the newest.
        """
        new = Report.of(told.epochs, told.at)
        late = await self._is_late(gateway, new, now_us)
        if not late:
            if new.epoch:
                values |= {"told_epoch": new.epoch, "told_rows": new.rows}
                values |= {"told_at_us": new.at, "told_us": now_us}
            await self._update(gateway, **values)
        await self._keep_account(gateway, told.epochs, now_us, late=late)
        return not late

    async def _is_late(self, gateway: str, new: Report, now_us: int) -> bool:
        company = self._scope.company_id
        columns = (Gateway.told_epoch, Gateway.told_rows, Gateway.told_at_us)
        query = select(*columns, Gateway.told_us)
        query = query.where(Gateway.id == gateway, Gateway.company_id == company)
        row = (await self._session.execute(query)).one()
        last, former = Report(*row[:3]), dict[str, bool]()
        if new.epoch != last.epoch:
            hellos = select(GatewayEpoch.epoch, GatewayEpoch.superseded_us.is_not(None)).where(
                GatewayEpoch.company_id == company,
                GatewayEpoch.gateway_id == gateway,
                GatewayEpoch.epoch.in_((new.epoch, last.epoch)),
            )
            former = {epoch: bool(gone) for epoch, gone in await self._session.execute(hellos)}
        return is_late(new, last, now_us - row.told_us, former)

    async def _keep_account(
        self, gateway: str, epochs: list[wire.Holding], now_us: int, *, late: bool
    ) -> None:
        """Keep the gateway's own account; what it has ever accepted never grows less.

        What is held goes with what is accepted: an account that knows of fewer rows is older. Only
        of a former epoch a later report may know less: its disk was damaged, or set back.
        """
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
            for stream in wire.STREAMS
            if epoch.accepted.get(stream) or epoch.held.get(stream)
        ]
        if not rows:
            return
        insert = insert_into(self._session, StreamTotal)
        # The larger of two numbers is max() in SQLite and greatest() in PostgreSQL.
        larger = func.max if is_sqlite(self._session) else func.greatest
        news = insert.excluded.accepted > StreamTotal.accepted
        if not late:
            own = StreamTotal.epoch == epochs[-1].ep
            news = or_(insert.excluded.accepted >= StreamTotal.accepted, ~own)
        upsert = insert.on_conflict_do_update(
            index_elements=["gateway_id", "epoch", "stream"],
            where=news,
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
