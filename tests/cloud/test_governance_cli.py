"""``plantroom-cloud governance``: checks, waivers, deletions and exports by hand, on both engines."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from plantroom_cloud.governance.rules import builtin
from plantroom_cloud.tables import Base, Deletion
from support import servers
from support.api_world import Tenant, seed
from support.cloud_command import Run, cloud_in, runner


@pytest.fixture
def acme(database_url: str) -> Tenant:
    """A company with a site that wants something."""

    async def make() -> Tenant:
        async with servers.opened(database_url) as database:
            return await seed(database, "acme")

    return asyncio.run(make())


@pytest.fixture
def run(
    acme: Tenant,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs ``governance`` for that company."""
    monkeypatch.setenv("PLANTROOM_DATABASE", database_url)
    command = runner(cloud_in(tmp_path), monkeypatch, capsys)
    return lambda *words: command("governance", *words, "--company", "acme")


def told(run: Run, *words: str) -> str:
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    return out


def refused(run: Run, *words: str) -> str:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    return err


def planned(run: Run, *words: str) -> list[str]:
    """Plan a deletion and return the words of the command that carries it out."""
    command = told(run, "plan", *words).splitlines()[-1].split()
    assert command[:3] == ["plantroom-cloud", "governance", "delete"]
    assert command[-2:] == ["--company", "acme"]
    return command[3:5]


def gone(run: Run, deletion: str, word: str) -> str:
    """Carry a deletion out and return what that printed; its log is for the service's owner."""
    code, out, _ = run("delete", deletion, word)
    assert code == 0
    assert "\ndone\n" in out
    return out


def proof_in(text: str) -> Any:
    return json.loads(text[text.index("{") :])


def test_rules_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every rule that comes along stands there, with how grave it is and what it asks."""
    code, out, _ = runner(cloud_in(tmp_path), monkeypatch, capsys)("governance", "rules")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 2 * len(builtin())
    for rule in builtin().values():
        at = lines.index(f"{rule.severity:8} {rule.about:13} {rule.id}")
        assert lines[at + 1] == f"  {rule.when}"


def test_a_check_tells_what_is_found_and_how_to_mend_it(run: Run) -> None:
    """Text and JSON say the same; what is waived is put up with."""
    code, text, _ = run("check", "tower")
    again, out, _ = run("check", "tower", "--json")
    found = json.loads(out)
    blockers = [one for one in found["findings"] if one["severity"] == "blocker"]
    assert code == again == (1 if blockers else 0)
    assert text.startswith(f"score {found['score']}: ")
    assert found["opened"] == 0  # the first check found it all
    first = found["findings"][0]
    line = f"{first['severity']:8} {first['rule']} {first['subject']}: {first['text']}"
    assert text.splitlines()[1:3] == [line, f"         {first['fix']}"]

    given = ("--reason", "it is being rebuilt", "--days", "3")
    assert told(run, "waive", "tower", first["rule"], "*", *given).endswith(", for 3 days\n")
    _, out, _ = run("check", "tower", "--json")
    assert first["rule"] not in {one["rule"] for one in json.loads(out)["findings"]}


def test_a_blocker_makes_a_check_fail(run: Run) -> None:
    """A pipeline stops at a site that a blocker stands at, and only there."""
    _, out, _ = run("check", "tower", "--json")
    for one in json.loads(out)["findings"]:
        if one["severity"] == "blocker":
            told(run, "waive", "tower", one["rule"], "*", "--reason", "known to everybody")
    code, out, _ = run("check", "tower", "--json")
    assert code == 0
    assert all(one["severity"] != "blocker" for one in json.loads(out)["findings"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("check", "none"), "site: the company has no site 'none'; `plantroom-cloud site add`"),
        (("waive", "tower", "no-rule", "*", "--reason", "it is known"), "there is no rule 'no-rule'"),
        (("waive", "tower", "site-without-location", "*", "--reason", "no"), "reason: "),
        (("waive", "tower", "site-without-location", "", "--reason", "it is known"), "subject: "),
        (("waive", "tower", "site-without-location", "*", "--reason", "it is known", "--days", "0"), "days: "),
        (("plan", "planet"), "say site, person or company"),
        (("plan", "site", "none"), "site: the company has no site 'none'"),
        (("plan", "person", "none@example.org"), "person: the company has no member 'none@example.org'"),
        (("delete", "d-none", "word"), "there is no deletion 'd-none'"),
        (("certificate", "d-none"), "deletion: the company has no deletion 'd-none'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(run: Run, words: tuple[str, ...], text: str) -> None:
    """Bad input names what is wrong with it."""
    assert text in refused(run, *words)


def test_a_site_goes_with_proof(run: Run, acme: Tenant, database_url: str) -> None:
    """A plan counts and deletes nothing; with its word all goes, and the proof can be checked."""
    deletion, word = planned(run, "site", "tower")
    assert "is not at its end" in refused(run, "certificate", deletion)
    assert "it is not that of this plan" in refused(run, "delete", deletion, "wrong")
    assert run("check", "tower")[0] in {0, 1}

    said = gone(run, deletion, word)
    proof = proof_in(said)
    assert json.loads(told(run, "certificate", deletion)) == proof
    assert "no site 'tower'" in refused(run, "check", "tower")

    async def forge() -> None:
        async with servers.opened(database_url) as database:
            forged = update(Deletion).where(Deletion.id == deletion)
            body = proof["body"].replace(deletion, "d-other")
            async with servers.as_owner(database).write() as session:
                await session.execute(forged.values(certificate=body))

    asyncio.run(forge())
    code, out, err = run("certificate", deletion)
    assert code == 1
    assert "d-other" in out
    assert err == "it is not signed with our key, or was changed\n"


def test_a_person_and_a_company_go(run: Run, acme: Tenant) -> None:
    """A person goes by e-mail, in whatever case; the company as a whole by no name."""
    gone(run, *planned(run, "person", "BOB@acme.example"))
    assert "no member" in refused(run, "plan", "person", "bob@acme.example")
    gone(run, *planned(run, "company"))


def test_an_export_is_written_once(run: Run, tmp_path: Path) -> None:
    """All of a company comes into a new folder; nothing that is there is touched."""
    out = tmp_path / "acme"
    said = told(run, "export", str(out))
    manifest = json.loads((out / "manifest.json").read_text())
    rows = sum(file["rows"] for file in manifest["files"].values())
    assert said == f"{rows} rows of {len(manifest['files'])} tables in {out}\n"
    assert set(manifest["files"]) <= set(Base.metadata.tables)
    (site,) = gzip.decompress((out / "site.ndjson.gz").read_bytes()).splitlines()
    assert json.loads(site)["slug"] == "tower"

    again = refused(run, "export", str(out))
    assert again == f"plantroom-cloud: {out}: is not empty; name a folder that is new\n"
    file = tmp_path / "file"
    file.write_text("mine")
    error = refused(run, "export", str(file))
    assert error == f"plantroom-cloud: {file}: is no folder; name a folder that is new\n"
    assert file.read_text() == "mine"
    assert f"{file / 'in'}: cannot be written" in refused(run, "export", str(file / "in"))
