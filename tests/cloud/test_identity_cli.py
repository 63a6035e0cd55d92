"""``plantroom-cloud user`` and ``key``; the keys that were there before."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import select, text

from plantroom_cloud.config import IdentitySettings
from plantroom_cloud.db import Database
from plantroom_cloud.identity import signing
from plantroom_cloud.identity.setup import add_key, find_company, first_start
from plantroom_cloud.identity.signing import SigningKeys
from plantroom_cloud.migrations import history, migrate
from plantroom_cloud.tables import ApiKey, SigningKey
from plantroom_shared.errors import ConfigError
from support.api_world import NOW, Stopped
from support.cloud_command import Run, cloud_in, runner
from support.servers import as_owner, opened

YEAR = 365 * 24 * 3_600_000_000


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a cloud in a folder of its own; return code, output and errors."""
    return runner(cloud_in(tmp_path), monkeypatch, capsys)


def test_people_by_hand(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first administrator, and all that can be done with users at the command line."""
    run("company", "add", "acme")
    run("company", "add", "other")
    options = ("--company", "acme", "--role", "company_admin")
    code, out, _ = run("user", "add", "Ann@Acme.example", *options)
    assert (code, out.splitlines()[0]) == (
        0,
        "user ann@acme.example: company_admin of company acme",
    )
    assert "password, shown only now: " in out
    assert run("user", "list", "--company", "acme")[1].split() == [
        "ann@acme.example",
        "company_admin",
    ]
    # A member of a second company keeps its password.
    assert "password" not in run("user", "add", "ann@acme.example", "--company", "other")[1]
    assert run("user", "role", "ann@acme.example", "engineer", "--company", "other")[0] == 0
    assert run("user", "disable", "ann@acme.example")[1] == "user ann@acme.example: disabled\n"
    assert "disabled" in run("user", "list", "--company", "other")[1]
    assert run("user", "disable", "ann@acme.example", "--off")[0] == 0
    assert "shown only now" in run("user", "password", "ann@acme.example")[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("staple battery horse\n"))
    out = run("user", "password", "ann@acme.example", "--password-stdin")[1]
    assert "shown" not in out
    monkeypatch.setattr("sys.stdin", io.StringIO("staple battery horse\n"))
    out = run("user", "add", "bob@acme.example", "--company", "acme", "--password-stdin")[1]
    assert "shown" not in out
    code, out, _ = run("user", "invite", "zoe@acme.example", "--company", "acme")
    assert (code, out[:4]) == (0, "inv_")
    assert run("user", "new-signing-key")[0] == 0
    with sqlite3.connect(tmp_path / "data" / "plantroom.db") as database:
        kept = database.execute("SELECT password FROM user_account").fetchall()
        (private,) = database.execute("SELECT private FROM signing_key").fetchone()
    assert all(row[0].startswith("$argon2id$") for row in kept)
    assert "ENCRYPTED" in private
    assert (tmp_path / "data" / "identity.secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("user", "add", "nobody"), "ann@example.org"),
        (("user", "add", "a@b.example", "--company", "none"), "no company"),
        (("user", "add", "a@b.example", "--company", "acme", "--role", "x"), "company_admin"),
        (("user", "add", "ann@acme.example", "--company", "acme"), "user role"),
        (("user", "role", "ann@acme.example", "viewer", "--company", "other"), "user add"),
        (("user", "role", "ann@acme.example", "emperor", "--company", "acme"), "no role"),
        (("user", "disable", "a@b.example"), "no user"),
        (("user", "add", "a@b.example", "--company", "acme", "--password-stdin"), "12 to 256"),
        (("key", "add", "acme", "--scope", "emperor"), "no scope"),
    ],
)
def test_mistakes_with_users(
    run: Run, arguments: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what is wrong and what to do."""
    run("company", "add", "acme")
    run("company", "add", "other")
    run("user", "add", "ann@acme.example", "--company", "acme")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    code, _, err = run(*arguments)
    assert code == 2
    assert part in err
    assert len(err.splitlines()) == 1


async def test_keys_by_hand_end_after_a_year(sqlite_database: Database) -> None:
    """They hold what is said, a viewer's rights unless more is said; the first key too."""
    clock = Stopped()
    assert await first_start(sqlite_database, clock) is not None
    async with as_owner(sqlite_database).write() as session:
        scope = await find_company(session, "default")
        await add_key(session, clock, scope, "two", scopes=["engineer", "user:read"], by="me")
        with pytest.raises(ConfigError, match="no scope"):
            await add_key(session, clock, scope, "bad", scopes=["emperor"])
    async with as_owner(sqlite_database).read() as session:
        rows = (await session.execute(select(ApiKey).order_by(ApiKey.id))).scalars().all()
    assert [(row.scopes, row.expires_us) for row in rows] == [
        (["viewer"], NOW + YEAR),
        (["engineer", "user:read"], NOW + YEAR),
    ]


async def test_keys_from_before_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A key that could write may what an engineer may, another one what a viewer may; for ever."""
    urls = [f"sqlite+aiosqlite:///{tmp_path / 'old.db'}", request.getfixturevalue("postgres_url")]
    for url in urls:
        async with opened(url) as database:
            await _as_before(database, monkeypatch)
            await migrate(database)
            async with as_owner(database).read() as session:
                rows = (await session.execute(select(ApiKey).order_by(ApiKey.id))).scalars().all()
            kept = [(row.scopes, row.expires_us, row.sites, row.created_by) for row in rows]
            assert kept == [(["viewer"], None, None, ""), (["engineer"], None, None, "")]


async def _as_before(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring the schema to what was there before users, with two keys."""
    from plantroom_cloud import migrations
    from plantroom_cloud.isolation import wall

    revisions = history()

    class Older:
        def _upgrade_revs(self, _head: str, present: object) -> object:
            return revisions._upgrade_revs("0012", present)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(revisions, name)

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "history", Older)
        patch.setattr(wall, "confine", lambda _connection: None)  # came later
        await migrate(database)
    added = "INSERT INTO api_key (id, company_id, name, prefix, digest, created_us, may_write)"
    async with as_owner(database).write() as session:
        company = "INSERT INTO company (id, slug, name, created_us) VALUES (1, 'acme', 'A', 1)"
        await session.execute(text(company))
        for number, writes in ((1, False), (2, True)):
            values = {"n": number, "d": str(number), "w": writes}
            await session.execute(text(f"{added} VALUES (:n, 1, 'x', 'pk_', :d, 1, :w)"), values)


def test_a_secret_is_long_or_none() -> None:
    """A short one is refused where it is set."""
    with pytest.raises(ValidationError, match="32 characters"):
        IdentitySettings(secret=SecretStr("short"))
    assert IdentitySettings().secret.get_secret_value() == ""


def test_the_secret_of_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once, for its owner only; two installations share none; a broken one is named."""
    one, two = tmp_path / "one", tmp_path / "two"
    made = signing._own_secret(one)
    assert signing._own_secret(one) == made
    assert signing._own_secret(two) != made
    assert sorted(path.name for path in one.iterdir()) == ["identity.secret"]
    # Two processes that start together: the first one's holds.
    signing._make_secret(one / "identity.secret")
    assert signing._own_secret(one) == made
    (two / "identity.secret").write_text("short")
    with pytest.raises(ConfigError, match="delete it"):
        signing._own_secret(two)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data folder"):
        signing._own_secret(tmp_path / "file")


async def test_hosts_with_different_secrets_sign_each_for_itself(
    sqlite_database: Database,
) -> None:
    """Neither can sign with the other's key, and each knows the other's tokens."""
    clock = Stopped()
    found = []
    for letter in "ab":
        settings = IdentitySettings(secret=SecretStr(letter * 32))
        found.append(SigningKeys(sqlite_database, clock, settings, Path("/nowhere")))
    (one, _), (two, _) = [await keys.signer() for keys in found]
    assert one != two
    clock.now += 5_000_000
    assert await found[0].public(two) is not None
    assert await found[1].public(one) is not None
    assert (await found[0].signer())[0] == one
    async with as_owner(sqlite_database).read() as session:
        assert len((await session.execute(select(SigningKey))).scalars().all()) == 2


async def test_processes_that_start_together_make_one_key(database: Database) -> None:
    """Whoever comes second takes the key of the first."""
    import asyncio

    settings = IdentitySettings(secret=SecretStr("s" * 32))
    all_keys = [SigningKeys(database, Stopped(), settings, Path("/nowhere")) for _ in range(3)]
    made = await asyncio.gather(*(keys.signer() for keys in all_keys))
    assert len({kid for kid, _ in made}) == 1
