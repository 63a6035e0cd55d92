"""What a person hears of the certificate: when it ends, whether it is renewed, and why it was not."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from plantroom_cloud.gateways.pki import Authority
from plantroom_edge.certificate import describe
from plantroom_edge.claiming import files
from plantroom_edge.claiming.keys import life_of
from plantroom_edge.cli_show import print_status
from plantroom_edge.config import CloudConfig

GATEWAY = "gw-tower-0001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A certificate and its key."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.prepare()
    issued = authority.issue_gateway(GATEWAY)
    return issued.certificate, issued.key


@pytest.fixture
def cloud(made: tuple[bytes, bytes], tmp_path: Path) -> CloudConfig:
    """A gateway that has its certificate renewed."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    files.write(paths["cert"], made[0])
    files.write(paths["key"], made[1])
    return CloudConfig.model_validate({"host": "h", "provision": "http://127.0.0.1:9", **paths})


def at(cloud: CloudConfig, **before: float) -> int:
    """Return a moment so long before the certificate's end."""
    return int((life_of(cloud.cert.read_text()).until - timedelta(**before)).timestamp() * 1e6)


def printed(told: dict[str, Any] | None, fault: str = "") -> str:
    """Return what `plantroom-edge status` prints of it."""
    console = Console(width=300, record=True, file=io.StringIO())
    report = {"gateway": GATEWAY, "site": "tower", "running": False, "certificate": told}
    counts = {"accepted": 0, "on_edge": 0, "findings_accepted": 0, "findings_on_edge": 0}
    print_status(console, report | counts | {"agent": {"certificate": {"fault": fault}}})
    return console.export_text()


def test_its_end_is_told(cloud: CloudConfig) -> None:
    """With the days that are left, and whether anybody has to do something."""
    told = describe(cloud, at(cloud, days=7.5))
    assert told is not None
    until = f"{life_of(cloud.cert.read_text()).until:%Y-%m-%dT%H:%M:%SZ}"
    assert told == {"until": until, "days": 7.5, "renews": True, "waiting": False}
    assert f"ends in 7.5 days ({until}), and is renewed by itself" in printed(told)
    by_hand = describe(cloud.model_copy(update={"provision": ""}), at(cloud, days=7.5))
    assert "by itself" not in printed(by_hand)
    assert "has ended" in printed(describe(cloud, at(cloud, days=-1)))


def test_a_renewal_is_told(cloud: CloudConfig) -> None:
    """That a new pair waits, or why there is none."""
    for path in (cloud.cert, cloud.key):
        files.following(path).write_bytes(path.read_bytes())
    assert "about to be used" in printed(describe(cloud, at(cloud, days=29)))
    told = printed(describe(cloud, at(cloud, days=1)), "cloud.example.com does not answer")
    assert "it could not be renewed: cloud.example.com does not answer" in told


def test_what_is_no_certificate_is_told(cloud: CloudConfig) -> None:
    """With the file's name; a gateway without a cloud has nothing to tell."""
    cloud.cert.write_text("rubbish")
    assert f"{cloud.cert} is no certificate" in printed(describe(cloud, 0))
    assert describe(None, 0) is None
    assert "certificate" not in printed(None)
