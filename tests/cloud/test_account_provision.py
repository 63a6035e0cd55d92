"""Companies, keys, sites and gateways come into being; the account of one that never reported."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.account import account
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import add_gateway, find_site
from plantroom_cloud.gateways.repository import GatewayRepository
from plantroom_cloud.identity import keys
from plantroom_cloud.identity.setup import (
    DEFAULT,
    add_company,
    add_key,
    add_site,
    find_company,
    first_start,
)
from plantroom_cloud.tables import ApiKey, Company, Gateway
from plantroom_shared.errors import ConfigError
from support.cloud_site import GATEWAY, NOW, TestClock, add_home
from support.servers import as_owner

CLOCK = TestClock()


def test_keys_are_random_and_only_their_digest_is_kept() -> None:
    """256 bits in a shape that a log scan can find."""
    one, two = keys.new_key(), keys.new_key()
    assert re.fullmatch(r"pk_[A-Za-z0-9_-]{43}", one.plain)
    assert one.plain != two.plain
    assert one.plain.startswith(one.prefix)
    assert one.digest == keys.digest(one.plain) == hashlib.sha256(one.plain.encode()).hexdigest()


async def test_first_start_happens_once(database: Database) -> None:
    """However many processes start together, there is one company and one first key."""
    made = await asyncio.gather(*(first_start(database, CLOCK) for _ in range(4)))
    shown = [key for key in made if key is not None]
    assert len(shown) == 1
    async with as_owner(database).read() as session:
        (company,) = (await session.execute(select(Company))).scalars().all()
        (key,) = (await session.execute(select(ApiKey))).scalars().all()
    assert company.slug == DEFAULT
    assert (key.company_id, key.digest, key.prefix) == (
        company.id,
        shown[0].digest,
        shown[0].prefix,
    )
    assert await first_start(database, CLOCK) is None


async def test_slugs_are_checked(sqlite_database: Database) -> None:
    """They stand in addresses and file names."""
    async with as_owner(sqlite_database).write() as session:
        for slug in ("", "A", "a b", "a/b", "-a", "a-", "é", "a" * 65):
            with pytest.raises(ConfigError, match="slug"):
                await add_company(session, CLOCK, slug)
        await add_company(session, CLOCK, "acme")
        with pytest.raises(ConfigError, match="already"):
            await add_company(session, CLOCK, "acme")
        with pytest.raises(ConfigError, match="choose one of: acme"):
            await find_company(session, "nobody")
        scope = await find_company(session, "acme")
        with pytest.raises(ConfigError, match="Europe/Berlin"):
            await add_site(session, CLOCK, scope, "tower", timezone="Mars/Olympus")
        with pytest.raises(ConfigError, match="time zone"):
            await add_site(session, CLOCK, scope, "tower", timezone="../../etc/passwd")
        first = await add_site(session, CLOCK, scope, "tower", timezone="Europe/Berlin")
        assert await add_site(session, CLOCK, scope, "tower") == first
        key = await add_key(session, CLOCK, scope, "n" * 500)
        assert key.plain.startswith("pk_")


async def test_site_is_found_by_its_slug(sqlite_database: Database) -> None:
    """A slug that two companies use needs the company's beside it."""
    await add_home(sqlite_database, "one", "tower", "gw-one-0001")
    await add_home(sqlite_database, "two", "tower", "gw-two-0002")
    home = await add_home(sqlite_database, "three", "plant", "gw-three-03")
    async with as_owner(sqlite_database).read() as session:
        assert await find_site(session, "plant") == (Scope(home.company_id), home.site_id)
        assert (await find_site(session, "tower", "two"))[1] != home.site_id
        with pytest.raises(ConfigError, match="one, two"):
            await find_site(session, "tower")
        with pytest.raises(ConfigError, match="site add"):
            await find_site(session, "nowhere")
        with pytest.raises(ConfigError, match="of company 'one'"):
            await find_site(session, "plant", "one")


async def test_gateway_is_provisioned(database: Database, tmp_path: Path) -> None:
    """It becomes known at its site and gets what it needs to connect; again means renewal."""
    home = await add_home(database, "acme", "tower", "gw-other-01")
    authority, out = Authority(tmp_path / "pki"), tmp_path / "out"
    scope = Scope(home.company_id)
    serials = []
    for _ in range(2):
        async with as_owner(database).write() as session:
            serials.append(
                await add_gateway(
                    session, CLOCK, authority, GATEWAY, scope=scope, site_id=home.site_id, out=out
                )
            )
    assert serials[0] != serials[1]
    assert sorted(path.name for path in out.iterdir()) == ["ca.pem", "gateway.key", "gateway.pem"]
    assert (out / "gateway.key").stat().st_mode & 0o777 == 0o600
    async with as_owner(database).read() as session:
        gateway = await GatewayRepository(session, scope).get(GATEWAY)
        assert gateway is not None
        assert (gateway.site_id, gateway.certificate_serial, gateway.created_us) == (
            home.site_id,
            serials[1],
            NOW,
        )
        assert await GatewayRepository(session, Scope(99)).get(GATEWAY) is None


async def test_id_of_another_companys_gateway_is_taken(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """It gets no certificate, and who has the id is not said."""
    await add_home(sqlite_database, "one", "tower", GATEWAY)
    thief = await add_home(sqlite_database, "two", "tower", "gw-two-0002")
    authority = Authority(tmp_path / "pki")
    async with as_owner(sqlite_database).write() as session:
        with pytest.raises(ConfigError, match="is taken") as caught:
            await add_gateway(
                session,
                CLOCK,
                authority,
                GATEWAY,
                scope=Scope(thief.company_id),
                site_id=thief.site_id,
                out=tmp_path / "out",
            )
    assert "one" not in str(caught.value).replace("one of", "")
    assert not (tmp_path / "out").exists()


async def test_credentials_that_cannot_be_written_make_no_gateway(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """The folder is named, and the database is as before."""
    home = await add_home(sqlite_database, "acme", "tower", "gw-other-01")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        async with as_owner(sqlite_database).write() as session:
            await add_gateway(
                session,
                CLOCK,
                Authority(tmp_path / "pki"),
                GATEWAY,
                scope=Scope(home.company_id),
                site_id=home.site_id,
                out=tmp_path / "file" / "out",
            )
    async with as_owner(sqlite_database).read() as session:
        assert await session.scalar(select(Gateway.id).where(Gateway.id == GATEWAY)) is None


async def test_account_of_a_gateway_that_never_spoke(database: Database) -> None:
    """All is nought, and that balances."""
    home = await add_home(database)
    async with as_owner(database).read() as session:
        books = await account(session, Scope(home.company_id), GATEWAY)
    assert books is not None
    assert (books.accepted, books.stored, books.on_edge, books.epochs) == (0, 0, 0, ())
    assert books.balanced
    assert books.as_of_us is None
