"""``plantroom-cloud device``: known at a site, with a certificate, for one protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from sqlalchemy import select
from typer.testing import CliRunner

from plantroom_cloud.cli import app
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.streaming.provision import add_device
from plantroom_cloud.streaming.schema import json_schema
from plantroom_cloud.tables import Gateway, StreamingDevice
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from support.cloud_site import GATEWAY, Home, add_home
from support.servers import as_owner
from support.streaming import GROUP, METER, NODE


@pytest.fixture
async def home(sqlite_database: Database) -> Home:
    """A site with a gateway."""
    return await add_home(sqlite_database)


async def add(database: Database, home: Home, out: Path, device: str, group: str = "") -> str:
    """Add a device and return the serial of its certificate."""
    async with as_owner(database).write() as session:
        return await add_device(
            session,
            SystemClock(),
            Authority(out / "pki"),
            device,
            scope=_scope(home),
            site_id=home.site_id,
            out=out / device,
            group=group,
        )


def _scope(home: Home) -> Scope:

    return Scope(home.company_id)


async def devices(database: Database) -> dict[str, tuple[str, str]]:
    """Return device → protocol and group."""
    async with as_owner(database).read() as session:
        rows = (await session.execute(select(StreamingDevice))).scalars()
        return {row.gateway_id: (row.protocol, row.sparkplug_group) for row in rows}


async def test_a_device_and_a_node(sqlite_database: Database, home: Home, tmp_path: Path) -> None:
    """Both are gateways of the site, each with a certificate in its own name."""
    serial = await add(sqlite_database, home, tmp_path, METER)
    await add(sqlite_database, home, tmp_path, NODE, GROUP)
    assert await devices(sqlite_database) == {METER: ("json", ""), NODE: ("sparkplug", GROUP)}
    certificate = x509.load_pem_x509_certificate((tmp_path / METER / "gateway.pem").read_bytes())
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (name.value, f"{certificate.serial_number:x}") == (METER, serial)
    async with as_owner(sqlite_database).read() as session:
        row = await session.get(Gateway, METER)
    assert row is not None
    assert (row.site_id, row.certificate_serial) == (home.site_id, serial)


async def test_renewal(sqlite_database: Database, home: Home, tmp_path: Path) -> None:
    """Another certificate, the same device; a node may change its group."""
    first = await add(sqlite_database, home, tmp_path, NODE, GROUP)
    assert await add(sqlite_database, home, tmp_path, NODE, "Plant 8") != first
    assert await devices(sqlite_database) == {NODE: ("sparkplug", "Plant 8")}


@pytest.mark.parametrize(
    ("device", "group", "said"),
    [
        (GATEWAY, "", "taken"),
        (METER, GROUP, "speaks json"),
        ("UP", "", "cannot be a gateway's id"),
        ("node-pump-0001", "a/b", "cannot be a Sparkplug group"),
        ("node-pump-0001", "x" * 129, "cannot be a Sparkplug group"),
    ],
)
async def test_what_cannot_be(
    sqlite_database: Database, home: Home, tmp_path: Path, *, device: str, group: str, said: str
) -> None:
    """An edge agent's id, another protocol, an id or group that is none."""
    await add(sqlite_database, home, tmp_path, METER)
    with pytest.raises(ConfigError, match=said):
        await add(sqlite_database, home, tmp_path, device, group)
    assert await devices(sqlite_database) == {METER: ("json", "")}


async def test_anothers_device_is_taken(
    sqlite_database: Database, home: Home, tmp_path: Path
) -> None:
    """Whose it is stays unsaid, and its protocol, too."""
    await add(sqlite_database, home, tmp_path, METER)
    rival = await add_home(sqlite_database, "rival", "mill", "gw-mill-0001")
    for group in ("", GROUP):
        with pytest.raises(ConfigError, match="is taken"):
            await add(sqlite_database, rival, tmp_path / "other", METER, group)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new service, a site, a device and a node by hand; the schema as it is published."""
    monkeypatch.setenv("PLANTROOM_DATA", str(tmp_path / "data"))
    run = _runner()
    run("company", "add", "acme")
    run("site", "add", "tower", "--company", "acme")
    said = run("device", "add", "tower", METER, "--out", str(tmp_path / "out"))
    assert f"dev1/{METER}/up/data" in said
    assert (tmp_path / "out" / "gateway.key").stat().st_mode & 0o777 == 0o600
    said = run(
        "device", "add", "tower", NODE, "--out", str(tmp_path / "n"), "--sparkplug-group", GROUP
    )
    assert f"spBv1.0/{GROUP}/" in said
    assert json.loads(run("device", "schema")) == json_schema()


def _runner() -> Callable[..., str]:
    runner = CliRunner()

    def run(*arguments: str) -> str:
        result = runner.invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run
