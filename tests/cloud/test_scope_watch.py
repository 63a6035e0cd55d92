"""What hears every statement of the tests' databases: it catches each way to forget the company."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import and_, delete, insert, or_, select, text, update
from sqlalchemy.orm import aliased

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation import lookups
from plantroom_cloud.tables import ApiKey, Company, Counter, Gateway, Latest, Point, SampleRow, Site
from support.cloud_site import add_home
from support.scope_watch import escapes, watching
from support.servers import opened

_OTHER = aliased(Point)
_ROW: dict[str, Any] = {"name": "x", "value": 1}


@pytest.mark.parametrize(
    "statement",
    [
        select(Point.id),
        select(Point.id).where(Point.company_id == 2),
        select(Point.id).where(or_(Point.company_id == 1, Point.id == 1)),
        select(Point.id).where(Point.company_id != 1),
        select(Point.id).join(Latest, Latest.point_id == Point.id).where(Point.company_id == 1),
        select(Point.id).join(_OTHER, _OTHER.id == Point.id).where(Point.company_id == 1),
        select(Point.id).where(
            Point.company_id == 1,
            Point.id.in_(select(SampleRow.point_id).where(SampleRow.ts_us > 0)),
        ),
        select(Company.slug),
        select(select(Site.name).subquery()),
        update(ApiKey).where(ApiKey.id == 1).values(name="x"),
        delete(Gateway).where(Gateway.id == "x"),
        insert(Counter).values(company_id=2, **_ROW),
        insert(Counter).values([{"company_id": 1, **_ROW}, {"company_id": 2, **_ROW}]),
        insert(Counter).from_select(["name", "value"], select(text("'x'"), text("1"))),
        text("SELECT id FROM point WHERE company_id = 1"),
        text("DELETE FROM sample"),
    ],
)
def test_statements_that_forget_the_company_escape(statement: Any) -> None:
    """So does one that only offers it, or names another, for one of its tables."""
    assert escapes(statement, 1)
    assert escapes(statement, None)


@pytest.mark.parametrize(
    "statement",
    [
        select(Point.id).where(and_(Point.company_id == 1, Point.id == 1)),
        select(_OTHER.id).where(_OTHER.company_id == 1),
        select(Company.slug).where(Company.id == 1),
        update(ApiKey).where(ApiKey.company_id == 1).values(name="x"),
        delete(Gateway).where(Gateway.company_id == 1),
        insert(Counter).values(company_id=1, **_ROW),
        insert(Counter).values([{"company_id": 1, **_ROW}, {"company_id": 1, **_ROW}]),
    ],
)
def test_statements_that_name_it_do_not(statement: Any) -> None:
    """They are confined to the company that the session acts for, and to no other."""
    assert escapes(statement, 1) == []
    assert escapes(statement, 2)
    assert escapes(statement, None)


def test_parameters_of_the_execution_count() -> None:
    """An insert of many rows is judged by all of them; a text by its parameter."""
    mine, theirs = {"company_id": 1, **_ROW}, {"company_id": 2, **_ROW}
    assert escapes(insert(Counter), 1, [mine, mine]) == []
    assert escapes(insert(Counter), 1, [mine, theirs])
    assert escapes(insert(Counter), 1, [_ROW])
    asked = text("SELECT id FROM point WHERE company_id = :company_id")
    assert escapes(asked, 1, [{"company_id": 1}]) == []
    assert escapes(asked, 1, [{"company_id": 2}])
    assert escapes(text("SELECT 1"), None) is None


def test_look_ups_are_held_to_their_columns() -> None:
    """On SQLite nothing but this does it."""
    across = lookups.Across()
    assert escapes(select(ApiKey.company_id).where(ApiKey.digest == "x"), across) == []
    assert escapes(select(ApiKey.name).where(ApiKey.digest == "x"), across)
    assert escapes(select(ApiKey.id).where(ApiKey.name == "x"), across)
    assert escapes(select(Counter.value), across)
    assert escapes(update(Gateway).values(site_id=1), across)


@pytest.fixture
async def unheard(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that the fixtures do not listen to."""
    path = shutil.copy(sqlite_template, tmp_path / "plantroom.db")
    async with opened(f"sqlite+aiosqlite:///{path}") as database:
        yield database


async def test_what_a_database_runs_is_heard(unheard: Database) -> None:
    """Whatever way it takes: by a statement, an object, a text, or a string for the driver."""
    home = await add_home(unheard, "acme", "tower", "gw-acme-0001")
    scope = Scope(home.company_id)
    with watching(unheard) as watch:
        async with unheard.read(scope) as session:
            connection = await session.connection()
            mine = Site.company_id == scope.company_id
            site = (await session.execute(select(Site).where(mine))).scalar_one()
            await connection.exec_driver_sql("SELECT 1")
            assert (watch.statements, watch.escaped) == (1, [])
            site.name = "changed"
            await session.flush()
            session.add(Counter(company_id=scope.company_id, name="x", value=1))
            await session.flush()
            assert await lookups.find_company(session, "acme") == scope
            assert (watch.statements, watch.escaped) == (4, [])
            await session.execute(select(Site.id))
            assert len(watch.escaped) == 1
            await session.execute(text("SELECT id FROM site"))
            assert len(watch.escaped) == 2
            await connection.exec_driver_sql("SELECT id FROM site")
            assert len(watch.escaped) == 3
            session.add(Counter(company_id=scope.company_id + 1, name="x", value=1))
            with pytest.raises(Exception, match="FOREIGN KEY"):
                await session.flush()
            assert len(watch.escaped) == 4
