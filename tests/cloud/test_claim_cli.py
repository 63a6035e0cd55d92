"""``plantroom-cloud gateway token|expect|expected|certificates|revoke|release``: identities by hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.claim.begin import Beginnings
from plantroom_cloud.gateways.claim.schemas import BeginIn
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import SystemClock
from support.claim_device import Device
from support.cloud_command import Run, cloud_in, runner


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands of a cloud with a site."""
    run = runner(cloud_in(tmp_path), monkeypatch, capsys)
    assert run("company", "add", "acme")[0] == 0
    assert run("site", "add", "tower", "--company", "acme")[0] == 0
    return run


def begun(folder: Path, device: Device, token: str = "") -> str:
    """Let a device begin; return the id of the gateway that it is then, or the code of the refusal."""
    return asyncio.run(_begin(load_settings(folder / "cloud.yaml"), device, token))


async def _begin(settings: CloudSettings, device: Device, token: str) -> str:
    database, authority = open_database(settings), Authority(settings.data / "pki")
    authority.prepare()
    try:
        async with database.write(None) as session:
            now_us = SystemClock().now_us()
            beginnings = Beginnings(session, authority, settings.claim, now_us)
            asked = BeginIn.model_validate(device.begin(token=token, code=False))
            return (await beginnings.begin(asked, "10.0.0.1")).gateway_id
    except ApiError as error:
        return error.problem_code
    finally:
        await database.close()


def test_a_token_by_hand_and_an_end_by_hand(run: Run, tmp_path: Path) -> None:
    """The token alone is printed, is good for one device; what came of it is shown, and ended."""
    code, token, aside = run("gateway", "token", "tower", "--id", "gw-tower-0001", "--hours", "2")
    assert code == 0
    assert "good once" in aside
    device = Device()
    assert begun(tmp_path, device, token.strip()) == "gw-tower-0001"
    assert begun(tmp_path, Device(), token.strip()) == "token"
    said = run("gateway", "certificates", "gw-tower-0001")[1]
    assert "\ttoken\t" in said
    assert "not used yet" in said
    assert run("gateway", "revoke", "gw-tower-0001", "--reason", " ", "--yes")[0] == 2
    assert run("gateway", "revoke", "gw-tower-0001", "--reason", "stolen", "--yes")[0] == 0
    told = json.loads(run("gateway", "certificates", "gw-tower-0001", "--json")[1])
    assert told["why"] == "stolen"
    assert [one["reason"] for one in told["certificates"]] == ["stolen"]
    assert "revoked since" in run("gateway", "certificates", "gw-tower-0001")[1]
    code, _, error = run("gateway", "release", "gw-tower-0001", "--yes")
    assert code == 2
    assert "was revoked" in error
    assert begun(tmp_path, device, token.strip()) == "revoked"
    audit = tmp_path / "audit.jsonl"
    assert run("audit", "export", str(audit), "--company", "acme")[0] == 0
    text = audit.read_text()
    for action in ("enrolment-token.add", "gateway.claim", "gateway.revoke"):
        assert action in text


def test_a_list_by_hand(run: Run, tmp_path: Path) -> None:
    """Its devices need nobody; who has come is told; a list that is wrong is taken not at all."""
    device, file = Device(serial="SN-7"), tmp_path / "list.csv"
    file.write_text(f"serial,fingerprint,gateway\nSN-7,{device.fingerprint},gw-listed-0001\n")
    code, said, _ = run("gateway", "expect", "tower", str(file), "--company", "acme")
    assert (code, said) == (0, "1 devices are expected at tower, 0 were already\n")
    assert "0 devices are expected" in run("gateway", "expect", "tower", str(file))[1]
    assert "is awaited" in run("gateway", "expected", "--company", "acme")[1]
    assert begun(tmp_path, device) == "gw-listed-0001"
    (row,) = json.loads(run("gateway", "expected", "--company", "acme", "--json")[1])
    assert row["used"] is not None
    assert "came 2" in run("gateway", "expected", "--company", "acme")[1]
    assert run("gateway", "release", "gw-listed-0001", "--yes")[0] == 0
    file.write_text("serial,fingerprint\nSN-8,rubbish\n")
    assert run("gateway", "expect", "tower", str(file))[0] == 1
    assert run("gateway", "expect", "tower", str(tmp_path / "none.csv"))[0] == 2
    for arguments, word in (
        (("token", "nowhere"), "there is no site"),
        (("certificates", "gw-nobody-0001"), "there is no gateway"),
        (("revoke", "gw-nobody-0001", "--reason", "x", "--yes"), "there is no gateway"),
        (("expected", "--company", "nobody"), "nobody"),
    ):
        code, _, error = run("gateway", *arguments)
        assert code == 2
        assert word in error
