"""One open connection, whatever it speaks: who may have it, what it is told, when it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Final

from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config import LiveSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.identity.standing import Holder, standing
from plantroom_cloud.kit.problems import ApiError, Forbidden, NotFound, NotReady, invalid
from plantroom_cloud.live import topics
from plantroom_cloud.live.bus import Bus, Subscription
from plantroom_cloud.live.events import Event, Resync
from plantroom_cloud.sites.repository import SiteRepository
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

_BLIND: Final = 3
"""So often in a row rights may be looked up in vain; then connections end."""
_SEAT_LIFE: Final = 120.0
"""Seconds for which a seat is kept; renewed in a third of it."""
_DRAIN: Final = 3.0


class TooManyConnections(ApiError):
    """Whoever asks has as many connections open as it may have."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "too_many_connections"
    title: ClassVar[str] = "Too many live connections are open"


@dataclass(frozen=True, slots=True)
class Ready:
    """What comes first: from here on nothing is missing unless that is said."""

    id: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life; a client that comes back may say this id."""

    id: str


@dataclass(frozen=True, slots=True)
class Bye:
    """What comes last."""

    why: str
    """``restart``: come back soon. ``revoked``: do not. ``unchecked``: your rights could not be looked
    up."""


Told = Ready | Event | Resync | Beat | Bye


class Live:
    """Everything that is open in this process.

    Args:
        database: knows rights and sites.
        bus: brings events.
        settings: limits and pauses.
        clock: says how late it is.
        origins: of pages that may follow.
        lonely: whether what stores samples is another process that this bus does not reach.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        settings: LiveSettings,
        clock: Clock,
        *,
        origins: Collection[str] = (),
        lonely: bool = False,
    ) -> None:
        self.database, self.bus, self.settings, self.clock = database, bus, settings, clock
        self.origins = frozenset(origins)
        self._lonely = lonely and not bus.shared
        self._companies: dict[int, _Company] = {}
        self._empty = asyncio.Event()
        self._count = 0
        self.draining = False

    @property
    def connections(self) -> list[Connection]:
        """Everything that is open."""
        return [one for company in self._companies.values() for one in company.open]

    async def open(self, holder: Holder, wanted: Sequence[str], after: str | None) -> Connection:
        """Open a connection.

        Raises:
            InvalidRequest: there are no such topics, or too many.
            Forbidden, NotFound: they are not for this holder.
            TooManyConnections: it has enough.
            NotReady: there can be no live events now.
        """
        if self._lonely or self.draining:
            why = "live events need `live: {bus: redis}` where api and ingest are processes"
            raise NotReady("the service is about to stop" if self.draining else why)
        which = tuple(dict.fromkeys(wanted))
        _check_topics(which)
        scope = Scope(holder.company)
        who = (await self.look_up(scope, [holder])).get(holder)
        if who is None:
            msg = "who asks may do nothing any more"
            raise Forbidden(msg)
        await self._check_rights(who, which)
        seat, most = secrets.token_hex(8), self.settings.sockets
        if not await self.bus.take_seat(holder.name, seat, most, _SEAT_LIFE):
            msg = f"{most} live connections are the most; close one"
            raise TooManyConnections(msg, headers={"Retry-After": "60"})
        try:
            subscription = await self.bus.subscribe(
                scope, {*which, topics.ACCESS}, room=self.settings.room, after=after
            )
        except BaseException as error:
            await self.bus.leave_seat(holder.name, seat)
            if isinstance(error, Unavailable):
                raise NotReady(str(error)) from error
            raise
        company = self._companies.setdefault(holder.company, _Company(_now()))
        connection = Connection(self, company, (holder, who), (subscription, seat), which)
        company.open.add(connection)
        return connection

    async def look_up(
        self, scope: Scope, holders: Collection[Holder]
    ) -> Mapping[Holder, Principal]:
        """Return what holders of one company may do by now; those are missing who may nothing."""
        async with self.database.read(scope) as session:
            return await standing(session, scope, holders, self.clock.now_us())

    async def _check_rights(self, who: Principal, which: Collection[str]) -> None:
        for topic in which:
            if not may_follow_site(who, topic):
                raise _no_site(topic)
            if not topics.may_follow(who, topic):
                msg = f"{topic} needs the permission {topics.permission_of(topic)}"
                raise Forbidden(msg)
        known = await self._sites(Scope(who.company_id), which)
        for topic in which:
            if (site := topics.site_of(topic)) is not None and site not in known:
                raise _no_site(topic)

    async def _sites(self, scope: Scope, which: Collection[str]) -> set[int]:
        wanted = {site for topic in which if (site := topics.site_of(topic)) is not None}
        if not wanted:
            return set()
        async with self.database.read(scope) as session:
            return await SiteRepository(session, scope).known(wanted)

    async def check(self, company: _Company, number: int, *, anew: bool) -> None:
        """Look whether the connections of a company may still be open: all at once, for all.

        Args:
            company: of what is open.
            number: its id.
            anew: whether rights have changed just now; else it is time for a look.
        """
        self._count += 1
        asked = self._count
        async with company.looking:
            # Another may have looked while this one waited: one look is enough for all.
            if company.looked > asked or (not anew and _now() < company.looked_at + self._recheck):
                return
            self._count += 1
            company.looked, company.looked_at = self._count, _now()
            await self._look(company, number)

    @property
    def _recheck(self) -> float:
        return self.settings.recheck

    async def _look(self, company: _Company, number: int) -> None:
        connections = list(company.open)
        holders = {connection.holder for connection in connections}
        try:
            found = await self.look_up(Scope(number), holders)
        except (SQLAlchemyError, OSError) as error:
            log.warning("rights not looked up", extra={"error": str(error)[:200]})
            company.blind += 1
            if company.blind > _BLIND:
                for connection in connections:
                    connection.end("unchecked")
            return
        company.blind = 0
        for connection in connections:
            connection.take(found.get(connection.holder))

    async def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        number = connection.holder.company
        company = self._companies.get(number)
        if company is not None:
            company.open.discard(connection)
            if not company.open:
                del self._companies[number]
        if not self._companies:
            self._empty.set()
        await self.bus.leave_seat(connection.holder.name, connection.seat)

    async def drain(self) -> None:
        """Say goodbye to everybody, and wait until they have heard it, or three seconds."""
        self.draining = True
        for connection in self.connections:
            connection.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                while self._companies:
                    self._empty.clear()
                    await self._empty.wait()


class _Company:
    """What is open of one company.

    Args:
        now: when its first connection was opened, and its rights were looked up.
    """

    def __init__(self, now: float) -> None:
        self.open: set[Connection] = set()
        self.looking = asyncio.Lock()
        self.looked = 0
        """Number of the last look at rights."""
        self.looked_at = now
        self.blind = 0
        """Looks in a row that were in vain."""


class Connection:
    """One client that follows some topics."""

    def __init__(
        self,
        live: Live,
        company: _Company,
        who: tuple[Holder, Principal],
        place: tuple[Subscription, str],
        which: tuple[str, ...],
    ) -> None:
        self._live, self._company, self.topics = live, company, which
        (self.holder, self._who), (self._subscription, self.seat) = who, place
        self._ended = ""

    async def told(self) -> AsyncIterator[Told]:
        """Yield what the client is to be told; ends behind a `Bye`."""
        settings, subscription = self._live.settings, self._subscription
        yield Ready(subscription.at, self.topics)
        said = seated = _now()
        while not self._live.draining:
            check = self._company.looked_at + settings.recheck
            wait = max(0.0, min(said + settings.beat, check) - _now())
            news = await subscription.next(wait)
            changed = isinstance(news, Event) and news.topic == topics.ACCESS
            if changed or _now() >= check:
                await self._live.check(self._company, self.holder.company, anew=changed)
            if self._ended:
                yield Bye(self._ended)
                return
            if _now() >= seated + _SEAT_LIFE / 3:
                seated = _now()
                await self._keep_seat()
            shown = self._shown(news, beat=_now() - said >= settings.beat)
            if shown is not None:
                said = _now()
                yield shown
        yield Bye("restart")

    def _shown(self, news: Event | Resync | None, *, beat: bool) -> Told | None:
        if isinstance(news, Event):
            hidden = news.topic == topics.ACCESS or not topics.may_see(self._who, news.sites)
            return None if hidden else news
        if news is None and beat:
            return Beat(self._subscription.at)
        return news

    async def _keep_seat(self) -> None:
        seats = self._live.settings.sockets
        await self._live.bus.take_seat(self.holder.name, self.seat, seats, _SEAT_LIFE)

    def take(self, who: Principal | None) -> None:
        """Go on as `who`, or end where that may not follow all that is followed."""
        if who is None or not all(topics.may_follow(who, one) for one in self.topics):
            self.end("revoked")
            return
        self._who = who

    def end(self, why: str) -> None:
        """Let `told` say goodbye."""
        self._ended = why
        self.wake()

    def wake(self) -> None:
        """Let `told` look around."""
        self._subscription.wake()

    async def close(self) -> None:
        """End; again is no matter."""
        self._subscription.close()
        await self._live.leave(self)


def may_follow_site(who: Principal, topic: str) -> bool:
    """Tell whether the site of `topic`, if it has one, is one that `who` may see."""
    site = topics.site_of(topic)
    return site is None or who.sites is None or site in who.sites


def _check_topics(which: Sequence[str]) -> None:
    known = "samples/{site}, alarms, jobs, gateways"
    if not 1 <= len(which) <= topics.MOST:
        detail = f"name 1 to {topics.MOST} of {known}"
        raise invalid(detail, parameter="topics")
    for topic in which:
        if topics.permission_of(topic) is None:
            detail = f"there is no topic {topic[:80]!r}; there are {known}"
            raise invalid(detail, parameter="topics")


def _no_site(topic: str) -> NotFound:
    return NotFound(f"there is no site {topics.site_of(topic)}; GET /v1/sites lists yours")


def _now() -> float:
    return asyncio.get_running_loop().time()
