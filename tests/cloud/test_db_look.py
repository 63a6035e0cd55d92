"""A look: rows of one company on one snapshot, without a session; and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from plantroom_cloud.db import ACTING, Database, Scope
from plantroom_cloud.kit.repository import AnyRow, query
from plantroom_cloud.points.repository import heading
from plantroom_cloud.samples.schemas import show_sample, show_samples
from plantroom_cloud.tables import Counter, Gateway, Site
from support.cloud_site import GATEWAY, Home, add_home
from support.servers import opened

_ME = text("SELECT current_setting('plantroom.company', true)")
_SLEEP = text("SELECT pg_sleep(30)")


@pytest.fixture
async def unheard(database_url: str) -> AsyncIterator[Database]:
    """A database that nobody listens to: here statements forget the company on purpose."""
    async with opened(database_url) as database:
        yield database


@pytest.fixture
async def homes(unheard: Database) -> tuple[Home, Home]:
    """Two companies, each with a site and a gateway."""
    return await add_home(unheard), await add_home(unheard, "rival", "mill", "gw-mill")


def _sites(connection: Connection) -> list[str]:
    return list(connection.execute(select(Site.slug)).scalars())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_look_sees_its_company_alone(unheard: Database, homes: tuple[Home, Home]) -> None:
    """The database itself holds to that; and the connection's next user starts with nobody's rows."""
    for home, site in zip(homes, ("tower", "mill"), strict=True):
        assert await unheard.look(Scope(home.company_id), _sites) == [site]
    async with unheard.read(None) as session:
        assert list(await session.scalars(select(Site.slug))) == []
        assert not await session.scalar(_ME)


async def test_a_look_says_whom_it_acts_for(database: Database) -> None:
    """Whoever listens to statements is told, as with a session."""
    home = await add_home(database)
    scope = Scope(home.company_id)
    assert await database.look(scope, lambda it: it.info[ACTING]) == home.company_id


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_look_changes_nothing_and_sees_one_moment(
    unheard: Database, homes: tuple[Home, Home]
) -> None:
    """Its transaction is read only, and of one snapshot."""
    home = homes[0]
    scope = Scope(home.company_id)
    row = {"company_id": home.company_id, "name": "x", "value": 1}
    with pytest.raises(DBAPIError, match="read-only"):
        await unheard.look(scope, lambda it: it.execute(insert(Counter).values(**row)))
    how = text("SHOW transaction_isolation")
    assert await unheard.look(scope, lambda it: it.execute(how).scalar()) == "repeatable read"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("ended", ["well", "failed", "cancelled"])
async def test_a_look_leaves_nothing_behind(
    unheard: Database, homes: tuple[Home, Home], ended: str
) -> None:
    """However it ends, no connection stays out of the pool, and none within a transaction."""
    scope = Scope(homes[0].company_id)

    def fail(_: Connection) -> None:
        raise ZeroDivisionError

    if ended == "well":
        assert await unheard.look(scope, _sites) == ["tower"]
    elif ended == "failed":
        with pytest.raises(ZeroDivisionError):
            await unheard.look(scope, fail)
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await unheard.look(scope, lambda it: it.execute(_SLEEP))
    assert unheard.engine.pool.checkedout() == 0  # type: ignore[attr-defined] # a QueuePool
    idle = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )
    async with unheard.read(None) as session:
        assert await session.scalar(idle) == 0
    assert await unheard.look(scope, _sites) == ["tower"]


async def test_an_error_of_the_database_is_told_as_ever(database: Database) -> None:
    """Who handles errors of a session handles those of a look."""
    home = await add_home(database)
    with pytest.raises(DBAPIError):
        await database.look(Scope(home.company_id), lambda it: it.execute(text("SELECT nonsense")))


@pytest.mark.parametrize("whose", ["mine", "of my site", "of another site", "theirs"])
async def test_a_query_that_is_made_once_asks_for_its_own(database: Database, whose: str) -> None:
    """Its statement is shared by all companies, and its values are of one; sites are kept to."""
    mine, theirs = await add_home(database), await add_home(database, "rival", "mill", "gw-mill")
    scopes = {
        "mine": Scope(mine.company_id),
        "of my site": Scope(mine.company_id, frozenset({mine.site_id})),
        "of another site": Scope(mine.company_id, frozenset({theirs.site_id})),
        "theirs": Scope(theirs.company_id),
    }
    asked = {name: query(scope, _gateways) for name, scope in scopes.items()}
    assert asked["mine"].statement is asked["theirs"].statement
    found = await database.look(scopes[whose], asked[whose].all)
    expected = {"of another site": [], "theirs": ["gw-mill"]}
    assert [row.id for row in found] == expected.get(whose, [GATEWAY])


def _gateways(own: Callable[..., Any]) -> Any:
    return select(Gateway.id).where(own(Gateway))


async def test_a_heading_is_of_a_point_of_the_company(database: Database) -> None:
    """Nobody's point has none."""
    home = await add_home(database)
    scope = Scope(home.company_id)
    found: Sequence[AnyRow] = await database.look(scope, heading(scope, 7).all)
    assert list(found) == []


class _Row(tuple[Any, ...]):
    """A row as the database gives it: by place and by name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        names = ("ts_us", "tie", "value", "text", "quality", "reason")
        return self[names.index(name)]


def test_many_samples_are_shown_as_one_is() -> None:
    """Numbers, texts, nothing at all; every quality, and codes that nobody knows."""
    rows: list[Any] = [
        _Row((ts, 0, value, words, quality, reason))
        for ts in (-1, 0, 59_999_999, 60_000_000, 1_769_860_800_123_456, 10**18)
        for value, words in ((1.5, None), (None, "on"), (None, None), (0.0, ""))
        for quality, reason in ((0, ""), (1, "stale"), (2, "fault"), (3, "?"), (-1, "?"))
    ]
    assert show_samples(rows) == [show_sample(row) for row in rows]
