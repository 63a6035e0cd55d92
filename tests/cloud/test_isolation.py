"""PostgreSQL itself holds companies apart: roles, policies, transactions, and what errors tell."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import CloudSettings, IsolationSettings
from plantroom_cloud.db import Database, Scope, act_for, as_login
from plantroom_cloud.identity.setup import add_company, find_company, first_start
from plantroom_cloud.isolation import lookups, wall
from plantroom_cloud.isolation.check import check_wall
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import ApiKey, Base, Company, Counter, Gateway, Point, SampleRow, Site
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from support.api_world import Tenant, seed
from support.servers import Postgres, as_owner, opened

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database that nobody listens to: here statements forget the company on purpose."""
    async with opened(database_url) as unheard:
        yield unheard


TENANTS = sorted(
    name
    for name, table in Base.metadata.tables.items()
    if "company_id" in table.c or name in wall.KEYS
)


def _key(name: str) -> str:
    return wall.KEYS.get(name, "company_id")


async def _gaps(database: Database) -> list[str]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(wall.gaps)


async def _as_owner(database: Database, *statements: str) -> None:
    async with as_owner(database).engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


# ---------------------------------------------------------------- the catalog


async def test_every_table_of_companies_has_a_forced_policy(database: Database) -> None:
    """The database's own catalog says so of all tables, and names those that belong to nobody."""
    async with database.engine.connect() as connection:
        found = await connection.run_sync(wall.found_tables)
    assert {table.name for table in found} == {*Base.metadata.tables, "alembic_version"}
    assert [table.name for table in found if table.key and not (table.forced and table.own)] == []
    unnamed = {table.name for table in found if not table.key} - wall.SHARED.keys()
    assert unnamed == set(), "say in wall.SHARED why these belong to no company"
    assert {table.name for table in found if table.key} == set(TENANTS)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("stray", "CREATE TABLE stray (id bigint, company_id bigint)"),
        ("point", "ALTER TABLE point NO FORCE ROW LEVEL SECURITY"),
        ("sample", "ALTER TABLE sample DISABLE ROW LEVEL SECURITY"),
        ("api_key", "DROP POLICY own ON api_key"),
        ("company", "ALTER POLICY own ON company USING (true)"),
        ("latest", "ALTER POLICY own ON latest WITH CHECK (true)"),
        ("outbox", "CREATE POLICY more ON outbox USING (true)"),
    ],
)
async def test_a_hole_is_found_by_its_name_and_mended(
    database: Database, table: str, change: str
) -> None:
    """A table without its policy is named, nobody serves over it, and `migrate` puts it right."""
    await _as_owner(database, change)
    assert await _gaps(database) == [table]
    with pytest.raises(ConfigError, match=f"forced policy: {table};"):
        await check_wall(database, CloudSettings())
    if table == "outbox":  # whose that is we cannot know: it is named, and stays
        await _as_owner(database, "DROP POLICY more ON outbox")
    await migrate(database)
    assert await _gaps(database) == []
    await check_wall(database, CloudSettings())


async def test_the_service_owns_nothing_and_can_make_nothing(database: Database) -> None:
    """Its role is no superuser, skips no policy, and has no right but to rows."""
    query = (
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin,"
        " (SELECT count(*) FROM pg_class WHERE relowner = r.oid)"
        " FROM pg_roles r WHERE rolname = current_user"
    )
    async with database.engine.connect() as connection:
        row = (await connection.exec_driver_sql(query)).one()
    assert tuple(row) == (False, False, False, False, False, 0)
    for statement in (
        "CREATE TABLE mine (id int)",
        "TRUNCATE sample",
        "ALTER TABLE point DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own ON point",
        "SELECT * FROM sample_default",  # a partition has no policy of its own, nor a right
        "DELETE FROM alembic_version",
        "COPY sample FROM STDIN",
    ):
        async with database.engine.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.exec_driver_sql(statement)


# ---------------------------------------------------------------- rows


@pytest.fixture
async def both(database: Database) -> tuple[Tenant, Tenant]:
    """Two companies with one of everything."""
    return await seed(database, "acme"), await seed(database, "rival")


async def test_nothing_set_is_nothing_seen(database: Database, both: Any) -> None:
    """A transaction that acts for nobody sees no row of any table of companies, and changes none."""
    seen, there = dict[str, int](), dict[str, int]()
    for name in TENANTS:
        count = select(func.count()).select_from(Base.metadata.tables[name])
        async with database.engine.connect() as connection:
            seen[name] = (await connection.execute(count)).scalar_one()
            if "DELETE" in wall.RIGHTS.get(name, "DELETE"):
                gone = await connection.exec_driver_sql(f'DELETE FROM "{name}"')
                assert gone.rowcount == 0
        async with as_owner(database).read() as session:
            there[name] = (await session.execute(count)).scalar_one()
    assert set(seen.values()) == {0}
    assert sum(there.values()) > 50
    assert both


async def test_a_company_sees_its_own_rows_alone(
    database: Database, both: tuple[Tenant, Tenant]
) -> None:
    """Statements that forget the company show the rows of one, in every table."""
    for name in TENANTS:
        table = Base.metadata.tables[name]
        query = select(table.c[_key(name)], func.count()).group_by(table.c[_key(name)])
        async with as_owner(database).read() as session:
            there = {row[0]: row[1] for row in await session.execute(query)}
        for tenant in both:
            async with database.engine.connect() as connection:
                await _set(connection, str(tenant.company))
                seen = {row[0]: row[1] for row in await connection.execute(query)}
            assert seen == {c: n for c, n in there.items() if c == tenant.company}, name


async def _set(connection: Any, company: str) -> None:
    await connection.exec_driver_sql("SELECT set_config('plantroom.company', %s, true)", (company,))


@pytest.mark.parametrize("company", ["", " ", "0", "-1", "999999"])
async def test_a_setting_that_is_no_company_shows_nothing(
    database: Database, both: Any, company: str
) -> None:
    """Empty, unknown or nonsense: no rows; what is no number is an error."""
    async with database.engine.connect() as connection:
        await _set(connection, company)
        if company == " ":
            with pytest.raises(DBAPIError, match="bigint"):
                await connection.execute(select(Point.id))
            return
        assert (await connection.execute(select(Point.id))).all() == []
    assert both


async def test_foreign_writes_are_errors(database: Database, both: tuple[Tenant, Tenant]) -> None:
    """A row of another company can be neither made, taken over, given away, changed nor deleted."""
    acme, rival = both
    counter = {"name": "x", "value": 1}
    for statement in (
        insert(Counter).values(company_id=rival.company, **counter),
        update(Counter).values(company_id=rival.company),
        update(Gateway).values(company_id=rival.company),
        update(Company).values(id=rival.company + 100),
        insert(SampleRow).values(
            company_id=rival.company, point_id=1, ts_us=1, tie=1, value=1.0, quality=0
        ),
    ):
        async with database.engine.connect() as connection:
            await _set(connection, str(acme.company))
            with pytest.raises(ProgrammingError, match="row-level security"):
                await connection.execute(statement)
    async with database.engine.begin() as connection:
        await _set(connection, str(acme.company))
        for table, key in ((Gateway, rival.gateway), (Site, rival.site), (ApiKey, rival.key_id)):
            theirs = table.__table__.c.id == key
            changed = await connection.execute(update(table).where(theirs).values(name="x"))
            deleted = await connection.execute(delete(table).where(theirs))
            assert (changed.rowcount, deleted.rowcount) == (0, 0)


async def test_who_acts_for_whom_ends_with_the_transaction(database: Database, both: Any) -> None:
    """Ten thousand transactions take turns on one pool; none sees what another was about.

    They act for either company or for nobody, commit, roll back, fail half-way, look across and
    change whom they act for; each checks what it sees before, between and after.
    """
    theirs = {tenant.company: tenant.slug for tenant in both}
    dice, done = random.Random(6), 0
    jobs = iter([(dice.choice([None, *theirs]), dice.randrange(20)) for _ in range(10_000)])

    async def worker() -> None:
        nonlocal done
        for company, kind in jobs:
            with suppress(ZeroDivisionError, DataError):
                await _take_a_turn(database, theirs, company, kind)
            done += 1

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(worker())
    assert done == 10_000


async def _take_a_turn(
    database: Database, theirs: dict[int, str], company: int | None, kind: int
) -> None:
    """Do a transaction for `company`; `kind` says what else happens in it."""
    scope = None if company is None else Scope(company)
    expected = set() if company is None else {theirs[company]}
    async with (database.read if kind % 2 else database.write)(scope) as session:
        assert await _seen(session) == expected
        if kind == 2:
            assert len(await lookups.companies(session)) == len(theirs)
            assert await _seen(session) == expected
        if kind == 4:
            other = next(one for one in theirs if one != company)
            await act_for(session, Scope(other))
            assert await _seen(session) == {theirs[other]}
        if kind == 6:
            raise ZeroDivisionError
        if kind == 8:
            await session.execute(text("SELECT 1 / 0"))


async def _seen(session: AsyncSession) -> set[str]:
    """Return whose sites a query shows that forgets to ask."""
    connection = await session.connection()
    names = (await connection.exec_driver_sql(_FORGETFUL)).scalars()
    return {name.split()[0] for name in names}


_FORGETFUL = "SELECT name FROM site"


# ---------------------------------------------------------------- side channels


async def test_errors_tell_nothing_of_foreign_rows(
    database: Database, both: tuple[Tenant, Tenant]
) -> None:
    """A value that another company has is refused without being shown, and so is its row."""
    acme, rival = both
    async with as_owner(database).read() as session:
        digest = await session.scalar(select(ApiKey.digest).where(ApiKey.id == rival.key_id))
    key = {"name": "x", "prefix": "x", "created_us": 1, "scopes": [], "digest": digest}
    gateway = {"id": rival.gateway, "site_id": acme.site, "name": "x", "created_us": 1}
    made = Gateway(company_id=acme.company, report={}, **gateway)
    for row in (ApiKey(company_id=acme.company, **key), made):
        with pytest.raises(IntegrityError) as caught:
            async with database.write(Scope(acme.company)) as session:
                session.add(row)
        error: Any = caught.value.orig
        told = f"{error} {error.diag.message_detail}"
        assert "rival" not in told
        assert str(digest) not in told


async def test_unique_across_companies_is_only_what_must_be(database: Database) -> None:
    """Two companies can have the same of everything but ids, and what has to be one in the world.

    Whatever else were unique would tell a company, by being refused, what another has.
    """
    query = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    GROUP BY c.relname, i.indexrelid"""
    # Ids that the database numbers, that are random, or that lead to a parent with one of these.
    ours = {
        "id",
        "alarm_id",
        "company_id",
        "gateway_id",
        "point_id",
        "site_id",
        "job_id",
        "command_id",
        "assignment_id",
        "quarantine_id",
        "receiver_id",
        "rule_id",
    }
    must = {
        ("alembic_version", "version_num"): "no company's",
        ("invitation", "digest"): "of 256 random bits",
        ("enrolment_token", "digest"): "of 256 random bits",
        ("expected_gateway", "fingerprint"): "of a key that a device has made",
        ("issued_certificate", "serial"): "random, and ours to give",
        ("oidc_flow", "state"): "random",
        ("oidc_identity", "issuer,subject"): "one person at a provider is one user",
        ("pending_gateway", "fingerprint"): "of a key that a device has made",
        ("process_report", "process"): "no company's",
        ("live_ticket", "digest"): "of 256 random bits",
        ("login_backoff", "key"): "a digest; no route shows one",
        ("refresh_token", "digest"): "of 256 random bits",
        ("service_account", "client_id"): "random",
        ("signing_key", "kid"): "random",
        (
            "user_account",
            "email",
        ): "one person for all its companies; who invites does not learn it",
        ("api_key", "digest"): "of 256 random bits: nobody can ask for one he has not got",
        ("company", "slug"): "an operator's to give; no route takes one",
    }
    async with database.engine.connect() as connection:
        found = [(str(row[0]), list(row[1])) for row in await connection.execute(text(query))]
    odd = {(name, ",".join(columns)) for name, columns in found if not ours & set(columns)}
    assert odd == must.keys()


# ---------------------------------------------------------------- the ways across


async def test_the_role_of_look_ups_reads_its_columns_and_nothing_else(
    database: Database, both: Any
) -> None:
    """It can change no row, and of every column that is not listed it is refused even the count."""
    for name in TENANTS:
        columns = set(lookups.COLUMNS.get(name, ()))
        for column in [one.name for one in Base.metadata.tables[name].columns]:
            async with database.engine.connect() as connection:
                await connection.exec_driver_sql(f"SET LOCAL ROLE {lookups.ROLE}")
                query = f'SELECT "{column}" FROM "{name}"'
                if column in columns:
                    await connection.exec_driver_sql(query)
                else:
                    with pytest.raises(ProgrammingError, match="permission denied"):
                        await connection.exec_driver_sql(query)
    for statement, why in (
        ("UPDATE gateway SET id = 'x'", "row-level security"),
        ("UPDATE gateway SET company_id = 1", "permission denied"),
        ("DELETE FROM gateway", "permission denied"),
        ("INSERT INTO company (id, slug) VALUES (9, 'x')", "permission denied"),
        ("SELECT plantroom_drop_month(2026, 1)", "permission denied"),
    ):
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql(f"SET LOCAL ROLE {lookups.ROLE}")
            with pytest.raises(ProgrammingError, match=why):
                await connection.exec_driver_sql(statement)
    assert both


async def test_what_fails_while_looking_across_can_do_nothing_more(
    database: Database, both: tuple[Tenant, Tenant]
) -> None:
    """A transaction that is thrown out of a look-up keeps that role to its end; the next has none."""
    scope = Scope(both[0].company)
    async with database.read(scope) as session:
        with pytest.raises(DBAPIError):
            await lookups.find_key(session, "\0")  # the driver refuses it, the server never sees it
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(
                text("SELECT name FROM site WHERE company_id = :company_id"),
                {"company_id": scope.company_id},
            )
    async with database.read(scope) as session:
        mine = select(Site.name).where(Site.company_id == scope.company_id)
        assert (await session.execute(mine)).all()


# ---------------------------------------------------------------- who serves


@contextmanager
def _roles(postgres: Postgres) -> Iterator[tuple[str, str]]:
    """Yield an owner that is no superuser, and a login that is a member of the service's role."""
    owner, login = "t_owner", "t_login"
    postgres.run("CREATE ROLE {} LOGIN", owner)
    postgres.run("CREATE ROLE {} LOGIN IN ROLE {}", login, wall.APP)
    try:
        yield owner, login
    finally:
        for role in (login, owner):
            postgres.run("DROP ROLE {}", role)


async def test_two_logins_one_that_owns_and_one_that_serves(
    postgres: Postgres, database_url: str
) -> None:
    """The owner need be no superuser, and finds all rows when it migrates; the login serves."""
    del database_url
    with _roles(postgres) as (owner, login), postgres.database() as url:
        name = make_url(url).database
        postgres.run("ALTER DATABASE {} OWNER TO {}", str(name), owner)
        urls = [
            make_url(url).set(username=who).difference_update_query(["options"])
            for who in (login, owner)
        ]
        plain, owners = (one.render_as_string(hide_password=False) for one in urls)
        async with opened(plain) as database:
            with pytest.raises(ConfigError, match=r"isolation\.owner"):
                await _version_of_others(owners, database)
        served = Database(plain, owners)
        try:
            await migrate(served)
            await check_wall(served, CloudSettings())
            assert await first_start(served, SystemClock())
            async with served.write(None) as session:
                await add_company(session, SystemClock(), "second")
            async with served.read(None) as session:
                scope = await find_company(session, "default")
                assert (await session.execute(select(Company.slug))).scalars().all() == ["default"]
                assert await session.scalar(select(ApiKey.company_id)) == scope.company_id
            # A login without the owner's URL only looks whether there is something to do.
            async with opened(plain) as database:
                await migrate(database)
            await _relaxed(owners)
            async with opened(owners) as database:
                with pytest.raises(ConfigError, match="owns the tables"):
                    await check_wall(database, CloudSettings())
        finally:
            await served.close()


async def _version_of_others(owners: str, database: Database) -> None:
    """Let the owner make a first table, then let the login find a database that is too old."""
    async with opened(owners) as owned, owned.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32))")
        await connection.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {wall.APP}")
    try:
        await migrate(database)
    finally:
        async with opened(owners) as owned, owned.engine.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE alembic_version")


async def _relaxed(owners: str) -> None:
    """The owner sees nothing while policies are forced on him, and everything while he migrates."""
    async with opened(owners) as owned:
        async with owned.engine.connect() as connection:
            count = select(func.count()).select_from(Company)
            assert (await connection.execute(count)).scalar_one() == 0
            await connection.run_sync(wall.relax)
            assert (await connection.execute(count)).scalar_one() == 2
            await connection.rollback()
        async with owned.engine.connect() as connection:
            assert await connection.run_sync(wall.gaps) == []


async def test_nobody_serves_as_a_superuser_unless_told(database: Database) -> None:
    """The error says what to do; told so, the service goes on, and looks and works as before."""
    login = as_login(database.url).render_as_string(hide_password=False)
    async with opened(login) as plain:
        with pytest.raises(ConfigError, match="superuser") as caught:
            await check_wall(plain, CloudSettings())
        assert "plantroom_app" in str(caught.value)
        told = CloudSettings(isolation=IsolationSettings(unconfined=True))
        await check_wall(plain, told)
        async with plain.write(None) as session:
            company = await add_company(session, SystemClock(), "acme")
            assert await lookups.companies(session) == [Scope(company)]
    await check_wall(database, CloudSettings())


def test_a_url_says_who_logs_in(database_url: str) -> None:
    """Without the role that it steps down to, and with all other options."""
    for options, left in (
        ("-c role=x", None),
        ("-crole=x", None),
        ("--role=x", None),
        ("-c role=x -c geqo=off", "-c geqo=off"),
        ("-c geqo=off -c role=x", "-c geqo=off"),
        ("-c myrole=x", "-c myrole=x"),
    ):
        url = make_url("postgresql+psycopg://u@h/d").update_query_dict({"options": options})
        assert as_login(url).query.get("options") == left
    assert as_login(make_url(database_url)).username == "postgres"


async def test_the_first_company_is_made_by_the_service(database: Database) -> None:
    """Without any right beyond its own company's: the id comes first, and then the row."""
    key = await first_start(database, SystemClock())
    assert key is not None
    assert await first_start(database, SystemClock()) is None
    async with database.read(None) as session:
        found = await lookups.find_key(session, key.digest)
        assert found is not None
        assert (await session.execute(select(Company.id))).all() == []
        await act_for(session, Scope(found.company_id))
        assert (await session.execute(select(Company.slug))).scalars().all() == ["default"]
