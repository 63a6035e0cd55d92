"""The way of a new gateway, all of it real: begin, claim, certificate, first sample, and its end."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from plantroom_cloud.gateways.pki import Authority
from plantroom_edge.status import books
from support.claim_site import ClaimSite, shown
from support.cloud_broker import reachable_folder
from support.waiting import wait_until

CONFIG = """\
gateway: gw-site-0001   # comes from the cloud
site: somewhere
data: ./data
buses:
  - name: self
    driver: agent
    interval: 1
"""


@pytest.fixture
def site(mosquitto: Path) -> Iterator[ClaimSite]:
    """A cloud that runs, with Mosquitto."""
    with reachable_folder() as folder, ClaimSite(folder, "mosquitto").running() as running:
        yield running


def _samples(client: httpx.Client, gateway: str) -> int:
    return int(client.get(f"/v1/gateways/{gateway}/account").json()["stored"])


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    process.wait(60)


def test_from_a_bare_machine_to_the_first_sample_and_to_revocation(
    site: ClaimSite, tmp_path: Path
) -> None:
    """A code is typed, a certificate comes, samples flow, it renews itself; revoked, it is out."""
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG)
    claiming = site.claiming(config)
    told = shown(claiming)
    with site.client() as client:
        seen = client.post("/v1/gateways/claim/look", json={"code": told["code"].lower()}).json()
        assert seen["fingerprint"] == told["fingerprint"]
        assert seen["facts"]["hostname"]
        body = {"code": told["code"], "fingerprint": told["fingerprint"], "site": "tower"}
        gateway = client.post("/v1/gateways/claim", json=body).json()["gateway"]
        done = shown(claiming)
        assert claiming.wait(60) == 0
        assert (done["gateway"], done["site"]) == (gateway, "tower")
        assert stat.S_IMODE((tmp_path / "certs" / "gateway.key").stat().st_mode) == 0o600
        text = config.read_text()
        assert f"gateway: {gateway}   # comes from the cloud" in text
        agent = site.edge(config, "run")
        try:
            wait_until(lambda: _samples(client, gateway) > 0, "the first sample")
            certificates = client.get(f"/v1/gateways/{gateway}/certificates").json()
            assert certificates["bound"] is not None
            assert certificates["certificates"][0]["confirmed"] is not None
        finally:
            _end(agent)
        _age(site, gateway, tmp_path / "certs")
        agent = site.edge(config, "run")
        try:
            wait_until(lambda: _renewed(client, gateway), "the renewal")
            before = _samples(client, gateway)
            wait_until(lambda: _samples(client, gateway) > before, "samples after the renewal")
            account = client.get(f"/v1/gateways/{gateway}/account").json()
            assert account["balanced"]
            assert account["gaps"] == 0
            assert not (tmp_path / "certs" / "gateway.key.next").exists()
            answer = client.post(f"/v1/gateways/{gateway}/revoke", json={"reason": "stolen"})
            assert answer.json()["certificates"][0]["reason"] == "stolen"
            wait_until(lambda: _is_out(config), "the end of the connection")
            before = _samples(client, gateway)
            wait_until(lambda: _held(config) > 3, "samples that stay here")
            assert _samples(client, gateway) == before
        finally:
            _end(agent)
        again = site.claiming(config)
        assert again.wait(60) == 0
        assert "claimed" in (again.stdout.read() if again.stdout else "")


def _age(site: ClaimSite, gateway: str, folder: Path) -> None:
    """Give the gateway a certificate of which two thirds are over, as if it had run for long."""
    authority = Authority(site.folder / "cloud" / "pki")
    made = authority._issue("issuing", gateway, life=timedelta(minutes=20))
    (folder / "gateway.pem").write_bytes(made.certificate)
    (folder / "gateway.key").write_bytes(made.key)


def _renewed(client: httpx.Client, gateway: str) -> bool:
    listed = client.get(f"/v1/gateways/{gateway}/certificates").json()["certificates"]
    return bool(listed[0]["how"] == "renewal" and listed[0]["confirmed"])


def _status(config: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((config.parent / "data/status.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document


def _held(config: Path) -> int:
    return int(books(config.parent / "data" / "buffer.db")["on_edge"])


def _is_out(config: Path) -> bool:
    return _status(config).get("sync", {}).get("connected") is False
