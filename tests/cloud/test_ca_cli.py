"""``plantroom-cloud ca``: the root's key goes away, comes back to renew, and is nowhere else."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import httpx
import pytest

from plantroom_cloud.config import load_settings
from plantroom_cloud.gateways import certificates as parts
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.serve import Plan, serve
from plantroom_shared.clock import SystemClock
from support.cloud_command import Run, cloud_in, runner
from support.waiting import eventually

SECRET = "twelve-and-more"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands of a cloud."""
    return runner(cloud_in(tmp_path), monkeypatch, capsys)


def test_the_root_goes_offline_and_renews(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted in one file and nowhere else; with it, and the passphrase, the rest is renewed."""
    pki, out = tmp_path / "data" / "pki", tmp_path / "root.key"
    code, said, _ = run("ca", "show")
    assert code == 0
    assert "root key: HERE" in said
    monkeypatch.setenv("PLANTROOM_CA_PASSPHRASE", "short")
    assert run("ca", "offline", str(out))[0] == 2
    monkeypatch.setenv("PLANTROOM_CA_PASSPHRASE", SECRET)
    assert run("ca", "offline", str(tmp_path / "no" / "folder"))[0] == 2
    assert (pki / "ca.key").exists()
    assert run("ca", "offline", str(out))[0] == 0
    assert not (pki / "ca.key").exists()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in out.read_bytes()
    assert "root key: offline" in run("ca", "show")[1]
    assert run("ca", "offline", str(out))[0] == 2, "it would be overwritten"
    before = (pki / "issuing.pem").read_bytes()
    assert run("ca", "renew", str(out))[0] == 0
    assert (pki / "issuing.pem").read_bytes() != before
    monkeypatch.setenv("PLANTROOM_CA_PASSPHRASE", "another one, wrong")
    assert run("ca", "renew", str(out))[0] == 2
    assert "BEGIN X509 CRL" in run("ca", "crl")[1]


def test_a_lost_root_is_never_made_anew(run: Run, tmp_path: Path) -> None:
    """With the authorities below it there, a new one would end every gateway."""
    pki = tmp_path / "data" / "pki"
    assert run("ca", "show")[0] == 0
    (pki / "ca.key").unlink()
    (pki / "ca.pem").unlink()
    code, _, error = run("ca", "show")
    assert code == 2
    assert "restore it from a backup" in error


def test_an_old_authority_stays_online(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its root signs every gateway: to take it away would stop that."""
    monkeypatch.setenv("PLANTROOM_CA_PASSPHRASE", SECRET)
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    pki = tmp_path / "data" / "pki"
    pki.mkdir()
    key = parts.new_key()
    name = parts.common_name("Plantroom private CA")
    made = (
        parts.builder(name, name, key.public_key(), dt.timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(parts.usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    (pki / "ca.key").write_bytes(parts.pem_of(key))
    (pki / "ca.pem").write_bytes(parts.pem_of(made))
    assert "older version" in run("ca", "show")[1]
    code, _, error = run("ca", "offline", str(tmp_path / "x"))
    assert code == 2
    assert "older version" in error


async def test_the_api_speaks_tls_itself(tmp_path: Path) -> None:
    """With the broker's certificate: whoever trusts the root gets an answer, nobody else."""
    settings = load_settings(data=tmp_path / "data", api_port=0, claim={"tls": True})
    stop, ready = asyncio.Event(), tmp_path / "ready"
    task = asyncio.create_task(
        serve(settings, Plan(("api",), ready), stop=stop, clock=SystemClock())
    )
    await eventually(lambda: ready.exists() or task.done(), "the start")
    import json

    url = json.loads(ready.read_text())["api"]
    ca = Authority(settings.data / "pki").folder / "ca.pem"
    context = ssl.create_default_context(cafile=str(ca))
    async with httpx.AsyncClient(verify=context) as client:
        assert (await client.get(f"{url}/livez")).status_code == 200
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/livez")
    stop.set()
    await task
