"""Both ends of a claim and of a renewal, the device killed at every step: it always goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.gateways.claim.issuing import Wanted, issued_row
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.identity.setup import add_company, add_key, add_site
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import Gateway
from plantroom_edge.claiming import files, flow, renewal
from plantroom_edge.claiming.cloud import ProvisionClient
from plantroom_edge.claiming.files import Folder
from plantroom_edge.claiming.keys import DeviceKey
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import load
from plantroom_shared.clock import SystemClock
from support.claim_kills import forked

GATEWAY = "gw-renews-0001"
STEPS = 40
"""More than any of the ways has; the last of these runs are not killed."""


@dataclass
class Cloud:
    """The real API in a thread, with one site, and an engineer who claims whatever shows a code."""

    url: str
    key: str
    settings: CloudSettings
    company: int = 0
    site: int = 0

    def claim(self, folder: Folder) -> bool:
        """Claim the device of `folder`, if it shows a code by now; say whether it is claimed."""
        try:
            code = json.loads(folder.claim.read_bytes())["code"]
            fingerprint = DeviceKey(folder.key.read_bytes()).fingerprint
        except (OSError, ValueError):
            return False
        body = {"code": code, "fingerprint": fingerprint, "site": "tower"}
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.url}/v1/gateways/claim", json=body, headers=headers, timeout=30)
        return answer.status_code == 200


async def _provision(cloud: Cloud, database: Database) -> None:
    await migrate(database)
    clock = SystemClock()
    async with database.write(None) as session:
        cloud.company = await add_company(session, clock, "acme")
        scope = Scope(cloud.company)
        cloud.site = await add_site(session, clock, scope, "tower")
        cloud.key = (await add_key(session, clock, scope, "engineer", scopes=("engineer",))).plain


@contextmanager
def running(folder: Path) -> Iterator[Cloud]:
    """Yield a cloud that serves."""
    claiming = {"begins_per_hour": 100_000}
    settings = load_settings(data=folder, claim=claiming)
    cloud = Cloud("", "", settings)
    started = threading.Event()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        database = open_database(settings)
        await _provision(cloud, database)
        app = create_app(settings, database)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
        server = uvicorn.Server(config)
        servers.append(server)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        cloud.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        started.set()
        await task
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    yield cloud
    servers[0].should_exit = True
    thread.join(60)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud that serves."""
    with running(tmp_path_factory.mktemp("cloud")) as serving:
        yield serving


def client_of(cloud: Cloud) -> ProvisionClient:
    """Return what asks the cloud."""
    return ProvisionClient(cloud.url, None, EdgeClock(SystemClock()))


def device(cloud: Cloud, folder: Path) -> tuple[flow.Asked, Callable[[], Any]]:
    """Return a device, and what claims it: whoever shows a code is claimed at once."""
    asked = flow.Asked(folder / "edge.yaml", Folder(folder / "certs"), cloud.url, None, "", {})

    def run() -> Any:
        def show(*_: str) -> None:
            cloud.claim(asked.folder)

        return flow.Claim(asked, client_of(cloud), show, lambda _: time.sleep(0.01)).run()

    return asked, run


def test_a_claim_killed_at_every_step(cloud: Cloud, tmp_path: Path) -> None:
    """Started again it is claimed, once, with a key and a certificate that belong together."""
    names, killed = set(), 0
    for at in range(1, STEPS):
        folder = tmp_path / str(at)
        folder.mkdir()
        asked, run = device(cloud, folder)
        outcome = forked(at, run)
        killed += outcome == -signal.SIGKILL
        assert outcome in {0, -signal.SIGKILL}
        if outcome == 0:
            assert flow.claimed_as(asked.folder)
            continue
        # Whatever was left behind is gone on from; what was finished says so.
        if not flow.claimed_as(asked.folder):
            run()
        told = flow.claimed_as(asked.folder)
        config = load(asked.config)
        assert config.gateway == told
        assert config.cloud is not None
        assert files.fits(config.cloud.cert, config.cloud.key)
        names.add(told)
    assert killed > 15
    assert len(names) == killed, "each device is a gateway of its own"


def due(cloud: Cloud, folder: Path, name: str) -> renewal.Renewal:
    """Return a gateway with a certificate of which two thirds are over."""
    authority = Authority(cloud.settings.data / "pki")
    made = authority._issue("issuing", name, life=timedelta(minutes=20))
    asyncio.run(_enter(cloud, name, made))
    paths = Folder(folder)
    files.write(paths.ca, authority.ca_pem)
    files.write(paths.cert, made.certificate)
    files.write(paths.key, made.key)
    now = SystemClock().now_us()
    return renewal.Renewal(name, paths.ca, paths.cert, paths.key, cloud.url, None, now)


async def _enter(cloud: Cloud, name: str, made: Any) -> None:
    database = open_database(cloud.settings)
    try:
        async with database.write(Scope(cloud.company)) as session:
            row = {"id": name, "site_id": cloud.site, "name": name, "created_us": 1, "report": {}}
            session.add(Gateway(company_id=cloud.company, **row))
            await session.flush()
            wanted = Wanted(Scope(cloud.company), cloud.site, "hand")
            session.add(issued_row(made, wanted, name, "", now_us=SystemClock().now_us()))
    finally:
        await database.close()


def usable(asked: renewal.Renewal) -> bool:
    """Say whether the gateway has a pair to connect with, as the agent looks for it."""
    files.recover(asked.cert, asked.key)
    return files.fits(asked.cert, asked.key) or files.is_waiting(asked.cert, asked.key)


def test_a_renewal_killed_at_every_step(cloud: Cloud, tmp_path: Path) -> None:
    """There is a pair that fits at any moment, and at last it is the new one."""
    killed = 0
    for at in range(1, STEPS):
        asked = due(cloud, tmp_path / str(at), f"gw-renews-{at:04}")
        old = asked.cert.read_bytes()

        def run(asked: renewal.Renewal = asked) -> None:
            assert renewal.renew(asked, client_of(cloud))["staged"]
            files.promote(asked.cert, asked.key)

        outcome = forked(at, run)
        killed += outcome == -signal.SIGKILL
        assert outcome in {0, -signal.SIGKILL}
        assert usable(asked)
        if asked.cert.read_bytes() == old:
            run()
        assert files.fits(asked.cert, asked.key)
        assert asked.cert.read_bytes() != old
        assert not files.following(asked.key).exists()
        assert not files.following(asked.cert).exists()
    assert killed > 10


def test_what_is_not_due_is_left_alone(cloud: Cloud, tmp_path: Path) -> None:
    """It says when to look again, and asks nobody."""
    asked = due(cloud, tmp_path / "x", "gw-renews-9999")
    assert asked.now_us is not None
    early = renewal.Renewal(
        asked.gateway,
        asked.ca,
        asked.cert,
        asked.key,
        "http://127.0.0.1:9",
        None,
        asked.now_us - 3_600_000_000,
    )
    said = renewal.renew(early)
    assert not said["staged"]
    assert said["again"] > 0
