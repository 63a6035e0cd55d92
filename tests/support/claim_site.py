"""A whole cloud as a process, and a device that is claimed at it by command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from demo.processes import dying_with_parent, free_port
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.identity.setup import add_company, add_key, add_site, find_company
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from support.waiting import wait_until


def provisioned(config: Path, *companies: str) -> dict[str, str]:
    """Make companies with a site `tower` each; return the key of an engineer of each."""
    return asyncio.run(_provision(config, companies))


async def _provision(config: Path, companies: tuple[str, ...]) -> dict[str, str]:
    database, clock, keys = open_database(load_settings(config)), SystemClock(), dict[str, str]()
    try:
        await migrate(database)
        for company in companies:
            async with database.write(None) as session:
                await add_company(session, clock, company)
                scope = await find_company(session, company)
                await add_site(session, clock, scope, "tower")
                key = await add_key(session, clock, scope, "engineer", scopes=("engineer",))
                keys[company] = key.plain
    finally:
        await database.close()
    return keys


@dataclass
class ClaimSite:
    """API, ingest, worker and broker in one process tree, the API with TLS of the own authority."""

    folder: Path
    engine: str
    url: str = ""
    key: str = ""
    mqtt_port: int = 0

    @property
    def ca(self) -> Path:
        """Whom everybody here trusts."""
        return self.folder / "cloud" / "pki" / "ca.pem"

    @property
    def config(self) -> Path:
        """The cloud's settings."""
        return self.folder / "cloud.yaml"

    @contextlib.contextmanager
    def running(self) -> Iterator[ClaimSite]:
        """Yield it while it runs."""
        self.mqtt_port = free_port()
        settings = {
            "data": str(self.folder / "cloud"),
            "api_port": 0,
            "mqtt": {"host": "127.0.0.1", "port": self.mqtt_port},
            "claim": {"tls": True, "begins_per_hour": 100_000},
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.key = provisioned(self.config, "acme")["acme"]
        ready = self.folder / "ready"
        command = [sys.executable, "-m", "plantroom_cloud", "--config", str(self.config), "serve"]
        command += ["--with-broker", "--engine", self.engine, "--ready-file", str(ready)]
        process = subprocess.Popen(command, preexec_fn=dying_with_parent())  # noqa: PLW1509 -- it only asks the kernel
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, "the cloud's start")
            self.url = json.loads(ready.read_text())["api"]
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def client(self) -> httpx.Client:
        """Return a client with the engineer's key."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.key}"},
            verify=ssl.create_default_context(cafile=str(self.ca)),
            timeout=30,
        )

    def edge(self, config: Path, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start `plantroom-edge` with a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "plantroom_edge", command, str(config), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- it only asks the kernel
        )

    def claiming(self, config: Path, *more: str) -> subprocess.Popen[str]:
        """Start `plantroom-edge claim`."""
        return self.edge(
            config, "claim", "--cloud", self.url, "--ca", str(self.ca), "--json", *more
        )


def shown(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next JSON document that a command prints."""
    text = ""
    assert process.stdout is not None
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            document: dict[str, Any] = json.loads(text)
            return document
    msg = f"it has ended, and said: {text}"
    raise AssertionError(msg)
