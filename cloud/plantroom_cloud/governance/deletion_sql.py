"""SQL of deletions: what would go, what goes, whether anything is left.

Conditions are made from `holdings.HOLDINGS` for whatever tables there are, and each names the
company: of a site, of a company as a whole, or of the tables that repeat a person's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    TableClause,
    delete,
    false,
    func,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy import column as plain_column
from sqlalchemy import table as plain_table
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.governance.holdings import HOLDINGS, NOBODYS, order
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.tables import Base, Gateway, JobRow, Membership, Point, User, UserSession

SITE, PERSON, COMPANY = "site", "person", "company"
ANCHORS: Final = ("point", "device", "gateway", "site", "membership")
"""Tables that the others hang on: they go in the last transaction, when those are empty."""
_PARTITION: Final = re.compile(r"sample_(?:default|\d{4}_\d{2})\Z")
"""Rows of a partition are rows of its table."""
BY_POINT: Final = ("sample", "rollup")
"""Tables whose rows are found by point alone."""


@dataclass(frozen=True, slots=True)
class What:
    """What is to go."""

    kind: str
    subject: int
    """Id of the site, the person or the company."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the company."""

    id: int
    name: str
    email: str
    elsewhere: bool
    """Whether another company has it as a member, too."""


class DeletionRepository(Repository):
    """Rows of one company that are to go."""

    def __init__(self, session: AsyncSession, scope: Scope, what: What) -> None:
        super().__init__(session, scope)
        self._what = what
        self._jobs: list[str] | None = None

    def tables(self) -> list[Table]:
        """Return the tables whose rows go, children first."""
        names = order(Base.metadata.sorted_tables)
        return [Base.metadata.tables[name] for name in names if self._goes(name)]

    def _goes(self, name: str) -> bool:
        holding = HOLDINGS[name]
        if self._what.kind == COMPANY:
            return not holding.kept
        return self._what.kind == SITE and holding.at != "company"

    # ------------------------------------------------------------ which rows

    async def condition(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row goes."""
        mine: ColumnElement[bool] = table.c.company_id == self._scope.company_id
        if self._what.kind == COMPANY:
            return mine
        return mine & await self._at_site(table)

    async def _at_site(self, table: Table) -> ColumnElement[bool]:
        site, at = self._what.subject, HOLDINGS[table.name].at
        if at in {"site", "itself"}:
            return table.c["id" if at == "itself" else "site_id"] == site
        if at in {"gateway", "point"}:
            owner: Any = Gateway if at == "gateway" else Point
            here = select(owner.id).where(self._own(owner), owner.site_id == site)
            return table.c[f"{at}_id"].in_(here)
        if at == "job":
            return table.c.id.in_(await self._jobs_about(site))
        if at == "parent":
            column, name = HOLDINGS[table.name].parent
            parent = Base.metadata.tables[name]
            (key,) = parent.primary_key.columns
            return table.c[column].in_(select(key).where(await self.condition(parent)))
        return false()

    async def _jobs_about(self, site: int) -> list[str]:
        """Return the jobs that are about a site, among others or alone."""
        if self._jobs is None:
            query = select(JobRow.id, JobRow.buildings).where(self._own(JobRow))
            rows = (await self._session.execute(query)).all()
            self._jobs = [r.id for r in rows if any(b.get("site") == site for b in r.buildings)]
        return self._jobs

    async def points(self) -> list[int]:
        """Return the ids of the points that go."""
        query = select(Point.id).where(await self.condition(cast("Table", Point.__table__)))
        return list(await self._session.scalars(query.order_by(Point.id)))

    # ------------------------------------------------------------ counting and deleting

    async def counts(self) -> dict[str, int]:
        """Return table → rows that would go, of those that have any."""
        found = {str(table.name): await self.count(table) for table in self.tables()}
        return {name: rows for name, rows in sorted(found.items()) if rows}

    async def count(self, table: Table) -> int:
        """Return how many rows of a table would go."""
        query = select(func.count()).select_from(table).where(await self.condition(table))
        return (await self._session.execute(query)).scalar_one()

    async def drop(self, table: Table, most: int, point: int | None = None) -> int:
        """Delete up to `most` rows of a table, of one point where it is said; return how many."""
        where = await self.condition(table)
        if point is not None:
            where &= table.c.point_id == point
        return await self._drop(table, where, most)

    async def _drop(self, table: Table, where: ColumnElement[bool], most: int) -> int:
        keys = list(table.primary_key.columns)
        some = select(*keys).where(where).limit(most)
        mine: ColumnElement[bool] = table.c.company_id == self._scope.company_id
        which = tuple_(*keys).in_(some) if len(keys) > 1 else keys[0].in_(some)
        result: Any = await self._session.execute(delete(table).where(mine, which))
        return int(result.rowcount)

    async def lock_gateways(self) -> None:
        """Let nothing come in from the gateways that go until the transaction has ended."""
        where = await self.condition(cast("Table", Gateway.__table__))
        query = select(Gateway.id).where(where).order_by(Gateway.id).with_for_update()
        await self._session.execute(query)

    async def left(self) -> dict[str, int]:
        """Return table → rows that are left, looked for in every table that the database has.

        Not by the registry but by the columns that there are: what is forgotten there is found here.
        """
        connection = await self._session.connection()
        found: dict[str, int] = {}
        for name, columns in await connection.run_sync(_catalogue):
            if name in NOBODYS or (name in HOLDINGS and HOLDINGS[name].kept):
                continue
            if "company_id" not in columns or _PARTITION.match(name):
                continue
            known = Base.metadata.tables.get(name)
            table = known if known is not None else _unknown(name, columns)
            where: ColumnElement[bool] = table.c.company_id == self._scope.company_id
            if self._what.kind == SITE:
                if "site_id" not in columns and name != "site":
                    continue
                where &= table.c["id" if name == "site" else "site_id"] == self._what.subject
            query = select(func.count()).select_from(table).where(where)
            found[name] = (await self._session.execute(query)).scalar_one()
        return dict(sorted(found.items()))

    # ------------------------------------------------------------ persons

    async def person(self) -> Person | None:
        """Return the member whose data is to go; `elsewhere` is for who may look there to say."""
        query = select(User.id, User.name, User.email).join(
            Membership, Membership.user_id == User.id
        )
        query = query.where(self._own(Membership), User.id == self._what.subject)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else Person(row.id, row.name, row.email, elsewhere=False)

    def named(self) -> Iterator[tuple[Table, Column[Any]]]:
        """Yield every column that repeats names of persons."""
        for name in order(Base.metadata.sorted_tables):
            table = Base.metadata.tables[name]
            for column in HOLDINGS[name].names:
                yield table, table.c[column]

    async def mentions(self, name: str) -> dict[str, int]:
        """Return column → rows that name a person."""
        found = {}
        for table, column in self.named():
            query = select(func.count()).select_from(table).where(self._mine(table), column == name)
            found[f"{table.name}.{column.name}"] = (await self._session.execute(query)).scalar_one()
        return {column: rows for column, rows in sorted(found.items()) if rows}

    async def rename(
        self, table: Table, column: Column[Any], name: str, pseudonym: str, most: int
    ) -> int:
        """Put a pseudonym in place of a name in up to `most` rows; return how many."""
        keys = list(table.primary_key.columns)
        some = select(*keys).where(self._mine(table), column == name).limit(most)
        which = tuple_(*keys).in_(some) if len(keys) > 1 else keys[0].in_(some)
        change = update(table).where(self._mine(table), which).values({column.name: pseudonym})
        result: Any = await self._session.execute(change)
        return int(result.rowcount)

    async def own_rows(self, person: Person) -> dict[str, tuple[Table, ColumnElement[bool]]]:
        """Return the rows that are about a person and nothing else: its membership, its log-ins."""
        t = Base.metadata.tables
        sessions = select(UserSession.id).where(
            self._own(UserSession), UserSession.user_id == person.id
        )
        return {
            "refresh_token": (t["refresh_token"], t["refresh_token"].c.session_id.in_(sessions)),
            "user_session": (t["user_session"], t["user_session"].c.user_id == person.id),
            "invitation": (t["invitation"], t["invitation"].c.email == person.email),
            "membership": (t["membership"], t["membership"].c.user_id == person.id),
        }

    async def count_own(self, person: Person) -> dict[str, int]:
        """Return table → rows that are about a person and nothing else."""
        found = {}
        for name, (table, where) in (await self.own_rows(person)).items():
            query = select(func.count()).select_from(table).where(self._mine(table), where)
            found[name] = (await self._session.execute(query)).scalar_one()
        return {name: rows for name, rows in sorted(found.items()) if rows}

    async def drop_own(self, person: Person) -> dict[str, int]:
        """Delete these; return table → rows."""
        gone = {}
        for name, (table, where) in (await self.own_rows(person)).items():
            statement = delete(table).where(self._mine(table), where)
            result: Any = await self._session.execute(statement)
            gone[name] = int(result.rowcount)
        return {name: rows for name, rows in sorted(gone.items()) if rows}

    async def members(self) -> list[int]:
        """Return the users that are members of the company."""
        query = select(Membership.user_id).where(self._own(Membership))
        return list(await self._session.scalars(query.order_by(Membership.user_id)))

    async def drop_users(self, users: Sequence[int]) -> int:
        """Delete accounts of persons, which no company has as members any more."""
        gone = 0
        for user in users:
            for table, column in _of_accounts():
                await self._session.execute(delete(table).where(column == user))
            result: Any = await self._session.execute(delete(User).where(User.id == user))
            gone += result.rowcount
        return gone

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return table.c.company_id == self._scope.company_id


def _of_accounts() -> Iterator[tuple[Table, Column[Any]]]:
    """Yield what hangs on an account and belongs to no company: how it logs in elsewhere."""
    for table in Base.metadata.sorted_tables:
        if "company_id" in table.c:
            continue
        for key in table.foreign_keys:
            if key.column.table.name == "user_account":
                yield table, key.parent


def _unknown(name: str, columns: frozenset[str]) -> TableClause:
    """Return a table that this version does not know, so that its rows can be counted."""
    return plain_table(name, *[plain_column(one) for one in sorted(columns)])


def _catalogue(connection: Any) -> list[tuple[str, frozenset[str]]]:
    """Return the tables that the database has, with their columns."""
    inspector = inspect(connection)
    return [
        (name, frozenset(column["name"] for column in inspector.get_columns(name)))
        for name in sorted(inspector.get_table_names())
    ]
