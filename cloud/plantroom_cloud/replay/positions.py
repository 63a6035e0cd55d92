"""Where a consumer stands: what its sink has confirmed, and what is on its way to it.

A page is written down before it is delivered. Whatever happens in between, the same bytes under the
same numbers go out again: what came in late meanwhile cannot slip in under a number already used.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, ReadSession, Scope
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.replay.rows import Key
from plantroom_cloud.tables import ReplayPosition, Site
from plantroom_shared.errors import ConfigError, Unavailable

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_SHOWN: Final = (
    ReplayPosition.consumer,
    ReplayPosition.site_id,
    ReplayPosition.sink,
    ReplayPosition.replay,
    ReplayPosition.from_us,
    ReplayPosition.to_us,
    ReplayPosition.after,
    ReplayPosition.count,
    ReplayPosition.late,
    ReplayPosition.done,
    ReplayPosition.created_us,
    ReplayPosition.changed_us,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a consumer asks for; it may only be widened at the end."""

    site_id: int
    sink: str
    from_us: int
    to_us: int


@dataclass(slots=True)
class Position:
    """Where a consumer stands, see `tables.ReplayPosition`."""

    replay: str
    from_us: int
    to_us: int
    after: Key | None = None
    count: int = 0
    file_size: int = 0
    pending: bytes = b""
    """Lines on their way, each with its newline."""
    pending_after: Key | None = None
    pending_count: int = 0
    late: int = 0
    done: bool = False

    def plan(self, lines: Sequence[bytes], after: Key) -> None:
        """Note that `lines` are about to be delivered, the last of them the row `after`."""
        self.pending = b"".join(line + b"\n" for line in lines)
        self.pending_after, self.pending_count = after, len(lines)

    def confirm(self, file_size: int) -> None:
        """Note that the sink has them."""
        self.after, self.count = self.pending_after, self.count + self.pending_count
        self.pending, self.pending_after, self.pending_count = b"", None, 0
        self.file_size = file_size


class Book:
    """Keeps the position of a consumer without a name: not beyond this run."""

    async def save(self, position: Position, now_us: int) -> None:
        """Do nothing: what is not named is not resumed."""


class NamedBook(Book):
    """Keeps the position of consumer `name` in the database."""

    def __init__(self, database: Database, scope: Scope, name: str) -> None:
        self._database, self._scope, self._name = database, scope, name
        self._confirmed = 0
        self._saved: tuple[int, int, int, bool] | None = None

    async def open(self, asked: Asked, now_us: int, *, restart: bool = False) -> Position:
        """Return where the consumer stands, a new one at the start of what is asked.

        Raises:
            ConfigError: the name is none, or the consumer is known with another span or sink.
        """
        check_name(self._name)
        async with self._database.write(self._scope) as session:
            positions = Positions(session, self._scope)
            if restart:
                await positions.delete(self._name)
            row = await positions.find(self._name)
            if row is None:
                await positions.add(self._name, asked, now_us)
                row = await positions.find(self._name)
            position = _position(_checked(cast("ReplayPosition", row), asked))
        position.to_us, position.done = asked.to_us, False
        self._confirmed = position.count
        return position

    async def save(self, position: Position, now_us: int) -> None:
        """Write the position down, confirmed and planned in one transaction.

        Raises:
            Unavailable: somebody else has moved or deleted the consumer meanwhile.
        """
        now = (position.count, position.pending_count, position.file_size, position.done)
        if now == self._saved:
            return
        async with self._database.write(self._scope) as session:
            moved = await Positions(session, self._scope).move(
                self._name, self._confirmed, position, now_us
            )
        if not moved:
            msg = f"consumer {self._name!r} was moved or deleted by somebody else"
            raise Unavailable(msg)
        self._confirmed, self._saved = position.count, now


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` may be a consumer's."""
    if not _NAME.match(name):
        what = f"{name[:80]!r} cannot be a consumer's name"
        fix = "use 1 to 64 of a-z, 0-9, '.', '_' and '-'"
        raise ConfigError(what, key="--consumer", fix=fix)


def new_replay() -> str:
    """Return a random id for the objects of a replay."""
    return secrets.token_hex(8)


def _checked(row: ReplayPosition, asked: Asked) -> ReplayPosition:
    same = (row.site_id, row.sink, row.from_us) == (asked.site_id, asked.sink, asked.from_us)
    if same and row.to_us <= asked.to_us:
        return row
    what = f"consumer {row.consumer!r} has begun with another site, sink or span"
    fix = "give the same site, sink and --from, and --to not before; or --restart; or another name"
    raise ConfigError(what, key="--consumer", fix=fix)


def _position(row: ReplayPosition) -> Position:
    return Position(
        replay=row.replay,
        from_us=row.from_us,
        to_us=row.to_us,
        after=cast("Key", tuple(row.after)) if row.after else None,
        count=row.count,
        file_size=row.file_size,
        pending=zlib.decompress(row.pending) if row.pending else b"",
        pending_after=cast("Key", tuple(row.pending_after)) if row.pending_after else None,
        pending_count=row.pending_count,
        late=row.late,
        done=row.done,
    )


def _columns(position: Position) -> dict[str, Any]:
    packed = zlib.compress(position.pending, 1) if position.pending else None
    keys = {
        "after": list(position.after or ()),
        "pending_after": list(position.pending_after or ()),
        "pending": packed,
    }
    return asdict(position) | keys


class Positions(Repository):
    """A company's consumers."""

    def __init__(self, session: AsyncSession | ReadSession, scope: Scope) -> None:
        super().__init__(session, scope)

    async def find(self, consumer: str) -> ReplayPosition | None:
        """Return the whole row of a consumer, locked where that can be, or None."""
        query = select(ReplayPosition).where(self._named(consumer)).with_for_update()
        return (await self._session.execute(query)).scalar_one_or_none()

    def _named(self, consumer: str) -> Any:
        return self._own(ReplayPosition) & (ReplayPosition.consumer == consumer)

    async def add(self, consumer: str, asked: Asked, now_us: int) -> None:
        """Add a consumer at the start of what it asks for."""
        fresh = _columns(Position(new_replay(), asked.from_us, asked.to_us))
        about = {"consumer": consumer, "site_id": asked.site_id, "sink": asked.sink}
        times = {"created_us": now_us, "changed_us": now_us}
        own = {"company_id": self._scope.company_id}
        await self._session.execute(insert(ReplayPosition), [fresh | about | times | own])

    async def move(self, consumer: str, before: int, position: Position, now_us: int) -> bool:
        """Write `position` if the consumer still stands at `before`; say whether it did."""
        statement = (
            update(ReplayPosition)
            .where(self._own(ReplayPosition), ReplayPosition.consumer == consumer)
            .where(ReplayPosition.replay == position.replay, ReplayPosition.count == before)
            .values(changed_us=now_us, **_columns(position))
        )
        result = await self._session.execute(statement)
        return cast("CursorResult[Any]", result).rowcount == 1

    async def delete(self, consumer: str) -> bool:
        """Forget a consumer; say whether there was one."""
        result = await self._session.execute(delete(ReplayPosition).where(self._named(consumer)))
        return cast("CursorResult[Any]", result).rowcount == 1

    async def page(self, site: int, after: str, most: int) -> Sequence[AnyRow]:
        """Return at most `most` consumers of a site by name, behind `after`."""
        query = (
            select(*_SHOWN)
            .join(Site, Site.id == ReplayPosition.site_id)
            .where(self._own(ReplayPosition, Site), ReplayPosition.site_id == site)
            .where(ReplayPosition.consumer > after)
            .order_by(ReplayPosition.consumer)
        )
        return (await self._session.execute(query.limit(most))).all()
