"""The loss account: accepted = stored + quarantined + declared gaps + still on the edge.

Every term has a source of its own, so that the sum is a check and not a definition: accepted is
the gateway's word (or the highest order number seen, if that is more); stored was counted row by
row as the database took them; quarantined and declared are what lies in their tables; on the edge
is what the gateway says it holds and we have not dealt with. All of it is read at one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.gateways.books import Books, gateways_of
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.tables import StreamTotal
from plantroom_shared.ranges import Range, count, merge, subtract

_MOST_UNKNOWN = 10


@dataclass(frozen=True, slots=True)
class Rows:
    """Numbers of rows: of one epoch, one gateway or one site."""

    accepted: int = 0
    stored: int = 0
    quarantined: int = 0
    """Refused and kept for a person, and not released."""
    discarded: int = 0
    """Those of them that a person has discarded."""
    gaps: int = 0
    on_edge: int = 0
    in_flight: int = 0
    """Those of them that are newer than the last report: a later row is here already."""
    duplicates: int = 0
    """Rows that came again; they are in none of the others."""

    @property
    def difference(self) -> int:
        """Accepted rows that no other term holds."""
        return self.accepted - self.stored - self.quarantined - self.gaps - self.on_edge

    @classmethod
    def total(cls, parts: Iterable[Rows]) -> dict[str, int]:
        """Return the sums over `parts`, by name."""
        every = list(parts)
        return {name: sum(getattr(part, name) for part in every) for name in NUMBERS}


NUMBERS = tuple(Rows.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class EpochAccount(Rows):
    """The account of one start of the agent."""

    epoch: str = ""
    reported_us: int | None = None
    """When the gateway last said what it holds of this epoch."""
    unknown: tuple[Range, ...] = ()
    """Where there is a difference: rows that are neither here nor in the gateway's last report."""

    @property
    def balanced(self) -> bool:
        """Say whether every accepted row is accounted for."""
        return self.difference == 0


@dataclass(frozen=True, slots=True)
class LossAccount(Rows):
    """The account of a gateway's stream."""

    gateway: str = ""
    stream: str = "tel"
    epochs: tuple[EpochAccount, ...] = ()
    as_of_us: int | None = None
    """When the gateway last reported; None if it never has."""

    @property
    def balanced(self) -> bool:
        """Say whether every epoch's account balances."""
        return all(epoch.balanced for epoch in self.epochs)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a gateway's delivery stands, beside the numbers of rows."""

    newest_us: int | None = None
    """Time of its newest stored sample."""
    oldest_us: int | None = None
    """When the oldest row that it still holds was accepted."""
    online: bool = False
    seen_us: int | None = None
    clock_state: str = ""
    clock_skew_us: int | None = None
    clock_seen_us: int | None = None
    causes: dict[str, int] = field(default_factory=dict)
    """Cause → rows declared lost by it."""
    alarms: tuple[AnyRow, ...] = ()
    """Forks, a second gateway under the same name, a clock that is off: what stands."""


async def account(
    session: AsyncSession | ReadSession, scope: Scope, gateway: str, stream: str = "tel"
) -> LossAccount | None:
    """Return the account of `gateway`, or None where the company has none of that id.

    Args:
        session: best on one consistent snapshot, as `Database.read` gives it.
        scope: the company that asks.
        gateway: the gateway's id.
        stream: ``tel`` for samples, ``evt`` findings, ``aud`` audit, ``cmd`` command results.
    """
    if not await gateways_of(session, scope, gateway=gateway):
        return None
    return (await accounts(session, scope, [gateway], stream))[0]


async def accounts(
    session: AsyncSession | ReadSession,
    scope: Scope,
    gateways: Sequence[str],
    stream: str = "tel",
) -> list[LossAccount]:
    """Return the accounts of `gateways`, in their order; foreign ids have nothing in theirs."""
    books = Books(session, scope, gateways, stream)
    ranges, gaps, refused = await books.ranges(), await books.gaps(), await books.quarantined()
    epochs: dict[str, list[EpochAccount]] = {gateway: [] for gateway in gateways}
    for total in await books.totals():
        key = (total.gateway_id, total.epoch)
        one = _epoch(total, ranges.get(key, []), gaps.get(key, 0), refused.get(key, (0, 0)))
        epochs[total.gateway_id].append(one)
    return [_gateway(gateway, stream, epochs[gateway]) for gateway in gateways]


def _gateway(gateway: str, stream: str, epochs: list[EpochAccount]) -> LossAccount:
    reported = [epoch.reported_us for epoch in epochs if epoch.reported_us is not None]
    return LossAccount(
        **Rows.total(epochs),
        gateway=gateway,
        stream=stream,
        epochs=tuple(epochs),
        as_of_us=max(reported, default=None),
    )


def _epoch(
    total: StreamTotal, ranges: list[Range], gaps: int, refused: tuple[int, int]
) -> EpochAccount:
    held = merge((lo, hi) for lo, hi in orjson.loads(total.held))
    highest = max((hi for _, hi in (*ranges, *held)), default=0)
    accepted = max(total.accepted, highest)
    # Rows accepted after the last report are not in it: those below the highest we have seen are
    # on their way.
    since = [(total.accepted + 1, highest)] if highest > total.accepted else []
    on_edge = subtract(merge([*held, *since]), ranges)
    numbers: dict[str, Any] = {
        "accepted": accepted,
        "stored": total.stored,
        "quarantined": refused[0],
        "discarded": refused[1],
        "gaps": gaps,
        "on_edge": count(on_edge),
        "in_flight": count(subtract(since, [*held, *ranges])),
        "duplicates": total.duplicates,
    }
    one = EpochAccount(**numbers, epoch=total.epoch, reported_us=total.reported_us)
    if one.balanced:
        return one
    unknown = subtract([(1, accepted)], [*ranges, *on_edge])[:_MOST_UNKNOWN]
    return EpochAccount(
        **numbers, epoch=total.epoch, reported_us=total.reported_us, unknown=tuple(unknown)
    )


async def deliveries(
    session: AsyncSession | ReadSession,
    scope: Scope,
    gateways: Sequence[str],
    stream: str = "tel",
) -> list[Delivery]:
    """Return how the delivery of `gateways` stands, in their order."""
    books = Books(session, scope, gateways, stream)
    newest, causes = await books.newest(), await books.causes()
    alarms, clocks = await books.alarms(), await books.clocks()
    return [
        Delivery(
            newest_us=newest.get(gateway),
            oldest_us=clocks[gateway].oldest_us,
            online=clocks[gateway].online,
            seen_us=clocks[gateway].seen_us,
            clock_state=clocks[gateway].clock_state,
            clock_skew_us=clocks[gateway].clock_skew_us,
            clock_seen_us=clocks[gateway].clock_seen_us,
            causes=causes.get(gateway, {}),
            alarms=tuple(alarms.get(gateway, ())),
        )
        for gateway in gateways
    ]


def explain(epochs: Iterable[EpochAccount], now_us: int) -> str:
    """Say what a difference comes from, epoch by epoch; the empty text where there is none."""
    return " ".join(_explain(epoch, now_us) for epoch in epochs if not epoch.balanced)


def _explain(epoch: EpochAccount, now_us: int) -> str:
    missing = count(epoch.unknown)
    ranges = ", ".join(f"{lo}-{hi}" if hi > lo else f"{lo}" for lo, hi in epoch.unknown)
    if missing == 0 or epoch.difference < 0:
        where = "order numbers are dealt with of which no row was stored, refused or declared lost"
        if epoch.difference < 0:
            where = "rows are booked more than once, or were never told as accepted"
        return f"Epoch {epoch.epoch}: {abs(epoch.difference)} {where}."
    age = "it never reported"
    if epoch.reported_us is not None:
        age = f"its last report is {max(0, now_us - epoch.reported_us) // 1_000_000} s old"
    return (
        f"Epoch {epoch.epoch}: {epoch.difference} rows are neither here nor held by the gateway "
        f"({age}); first of them: {ranges}."
    )
