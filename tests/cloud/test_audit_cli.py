"""``plantroom-cloud audit``, and that a third party can verify what it gets."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from plantroom_cloud.audit.heads import heads_file
from plantroom_cloud.cli import app
from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_shared.errors import ConfigError
from support.servers import as_owner, opened

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"
OLD = Path(__file__).parents[1] / "data" / "audit"

Command = Callable[..., str]


@pytest.fixture
def settings(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> CloudSettings:
    """Of an installation with two companies that have done something."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "plantroom.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("PLANTROOM_DATA", str(data))
    return load_settings()


@pytest.fixture
def command(settings: CloudSettings) -> Command:
    """Runs a command and returns what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=code == 0)
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result.output

    for company in ("acme", "rival"):
        run("company", "add", company)
        run("key", "add", company)
        run("site", "add", f"{company}-tower", "--company", company)
    return run


async def _sql(settings: CloudSettings, *statements: str) -> None:
    async with opened(settings.database_url) as database, as_owner(database).write() as session:
        for statement in statements:
            await session.execute(text(statement))


def test_commands_are_recorded(command: Command, tmp_path: Path) -> None:
    """Companies, keys, sites, gateways, devices and retention leave a row each, and no key."""
    here = ("--company", "acme")
    key = command("key", "add", "acme", "--name", "second").strip()
    command("gateway", "add", "acme-tower", "gw-roof-1", "--out", str(tmp_path / "gw"), *here)
    command("gateway", "add", "acme-tower", "gw-roof-1", "--out", str(tmp_path / "gw"), *here)
    command("device", "add", "acme-tower", "meter-0001", "--out", str(tmp_path / "dev"), *here)
    command("command", "allow", "gw-roof-1", *here)
    command("retention", "set", "--raw-days", "30", *here)
    out = tmp_path / "audit.ndjson"
    assert "10 rows" in command("audit", "export", str(out), *here)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    rows = [json.loads(line["row"]) for line in lines if "row" in line]
    assert [row["action"] for row in rows] == [
        "company.add", "key.add", "site.add", "key.add", "gateway.add", "gateway.renew",
        "gateway.renew" if rows[6]["action"] == "gateway.renew" else "gateway.add",
        "device.add", "gateway.writes", "retention.set",
    ]  # fmt: skip
    assert all(row["actor"].startswith("cli:") for row in rows)
    assert rows[-1]["after"] == {"raw_days": 30}
    assert key not in out.read_text()


def test_a_third_party_verifies_an_export(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ten lines of the document accept an export, and refuse it with any line changed."""
    command("audit", "sign")
    command("audit", "export", str(tmp_path / "audit.ndjson"), "--company", "acme")
    command("audit", "key", "--out", str(tmp_path / "audit.pem"))
    code = _code()
    assert len(code.splitlines()) - len(re.findall("^(?:from|import)", code, re.MULTILINE)) <= 12
    _assert_third_party(tmp_path, code, ok=True)
    lines = (tmp_path / "audit.ndjson").read_text().splitlines(keepends=True)
    kinds = [next(iter(json.loads(line))) for line in lines]
    assert kinds == ["start", "hash", "hash", "hash", "head", "end"]
    for number in range(1, 6):
        (tmp_path / "audit.ndjson").write_text("".join(lines[:number] + lines[number + 1 :]))
        # Without a signed head, or the end, the rest is still whole.
        _assert_third_party(tmp_path, code, ok=number >= 4)
    forged = [line.replace("cli:", "cLi:") for line in lines]
    (tmp_path / "audit.ndjson").write_text("".join(forged))
    _assert_third_party(tmp_path, code, ok=False)


def _code() -> str:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def _assert_third_party(folder: Path, code: str, *, ok: bool) -> None:
    """Run the code by itself, without anything of ours."""
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode == 0) is ok, ended.stderr.decode()


def test_rows_of_every_format_verify(tmp_path: Path) -> None:
    """An export of each format that there ever was is accepted by the ten lines."""
    kept = sorted(OLD.glob("format-*"))
    assert [folder.name for folder in kept] == ["format-1"]
    for folder in kept:
        _assert_third_party(folder, _code(), ok=True)


async def test_verify_names_what_was_changed(settings: CloudSettings, tmp_path: Path) -> None:
    """Exit code 1 and the row; with the exported heads also what a clever owner has done."""

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result.output

    async def do(*arguments: str, code: int = 0) -> str:
        return await asyncio.to_thread(run, *arguments, code=code)

    for company in ("acme", "rival"):
        await do("company", "add", company)
        await do("key", "add", company)
    assert (await do("audit", "verify")).count("as it was written") == 2
    assert "2 heads signed" in await do("audit", "sign")
    assert "0 heads signed" in await do("audit", "sign")
    told = await do("audit", "verify", "--company", "acme")
    assert "company acme: 2 rows, 1 signed heads: as it was written" in told
    kept = heads_file(settings)
    triggers = ["audit_row_no_update", "audit_row_no_delete"]
    triggers += ["audit_signature_no_delete"]
    await _sql(settings, *(f"DROP TRIGGER {name}" for name in triggers))
    change = "UPDATE audit_row SET actor = 'cli:nobody' WHERE company_id = 1 AND n = 2"
    await _sql(settings, change)
    told = await do("audit", "verify", code=1)
    assert "row 2: edited: actor: the body says otherwise" in told
    assert told.count("as it was written") == 1
    await _sql(
        settings,
        "DELETE FROM audit_row WHERE company_id = 1",
        "DELETE FROM audit_head WHERE company_id = 1",
        "DELETE FROM audit_signature",
    )
    assert (await do("audit", "verify")).count("as it was written") == 2
    told = await do("audit", "verify", "--heads", str(kept), code=1)
    assert "rows 1-2: missing" in told


def test_a_company_that_is_gone_is_told(command: Command, settings: CloudSettings) -> None:
    """Heads of a company that the database does not know any more are a finding."""
    command("audit", "sign")
    file = heads_file(settings)
    other = [json.loads(line) for line in file.read_text().splitlines()]
    head = json.loads(other[0]["head"]) | {"company": 99, "slug": "gone"}
    file.write_text(json.dumps(other[0] | {"head": json.dumps(head)}) + "\n")
    told = command("audit", "verify", "--heads", str(file), code=1)
    assert "company gone" in told
    assert "company 99 is gone with its chain" in told


def test_the_key_is_made_once(command: Command, settings: CloudSettings, tmp_path: Path) -> None:
    """It is shown again as it was, and only its owner may read it."""
    first = command("audit", "key")
    assert first == command("audit", "key", "--out", str(tmp_path / "audit.pem"))
    assert first.endswith((tmp_path / "audit.pem").read_text())
    assert "PRIVATE" not in first
    assert (settings.data / "audit" / "heads.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "line 1"),
        ("[]", "no JSON object"),
        ('{"head": "{}"}', "no signed head"),
        ("\xff", "read"),
    ],
)
def test_files_that_are_none_are_refused(
    command: Command, tmp_path: Path, content: str, why: str
) -> None:
    """Heads and keys that cannot be read are named with what to do."""
    file = tmp_path / "heads"
    file.write_bytes(content.encode("latin-1"))
    for option, reason in (("--heads", why), ("--key", "audit key")):
        result = CliRunner().invoke(app, ["audit", "verify", option, str(file)])
        assert isinstance(result.exception, ConfigError)
        assert reason in str(result.exception)


def test_places_that_cannot_be_written_are_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of heads, of an export and of the public key."""
    none = str(tmp_path / "none" / "file")
    monkeypatch.setenv("PLANTROOM_AUDIT__HEADS", str(tmp_path))
    for arguments in (("sign",), ("export", none, "--company", "acme"), ("key", "--out", none)):
        result = CliRunner().invoke(app, ["audit", *arguments])
        assert isinstance(result.exception, ConfigError), arguments
