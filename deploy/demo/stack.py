"""The whole of Plantroom on one machine, as separate processes in one folder.

The demo, the fault tests and the benchmarks run the same stack; they differ in which parts they
start and what they do to them.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from demo.processes import Child, free_port, python
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import add_gateway
from plantroom_cloud.identity.setup import add_company, add_key, add_site, find_company
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock

GATEWAY = "gw-demo-0001"
COMPANY, SITE = "demo", "tower"


@dataclass
class Stack:
    """Where everything is and how it is started.

    Args:
        folder: all files go here.
        database: URL of the cloud's database; empty means SQLite in `folder`.
        engine: of the broker: auto, mosquitto or embedded.
        settings: what else the cloud is told.
    """

    folder: Path
    database: str = ""
    engine: str = "auto"
    settings: dict[str, Any] = field(default_factory=dict)
    broker_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    children: dict[str, Child] = field(default_factory=dict)

    def child(self, name: str, *command: str, ready: bool = True, seconds: float = 60) -> Child:
        """Start a process that is stopped with the stack; wait until it serves."""
        file = self.folder / f"{name}.ready" if ready else None
        arguments = [*command, "--ready-file", str(file)] if file else [*command]
        child = Child(name, arguments, self.folder, ready=file)
        self.children[name] = child.start()
        return child.wait_ready(seconds)

    # ------------------------------------------------------------ the cloud

    @property
    def cloud_config(self) -> Path:
        """The cloud's settings file."""
        return self.folder / "cloud.yaml"

    @property
    def certificates(self) -> Path:
        """The gateway's certificate, key and trust anchor."""
        return self.folder / "certificates"

    def cloud(self, *arguments: str) -> list[str]:
        """Return a plantroom-cloud command on this stack's settings."""
        return python("-m", "plantroom_cloud", "--config", str(self.cloud_config), *arguments)

    def write_cloud_config(self, enos: dict[str, Any] | None = None) -> None:
        """Write the settings: embedded defaults, private ports, EnOS where one is given."""
        settings: dict[str, Any] = {
            "data": str(self.folder / "cloud"),
            "database": self.database,
            "api_port": self.api_port,
            "mqtt": {"host": "127.0.0.1", "port": self.broker_port},
            **self.settings,
        }
        if enos is not None:
            known = ("apigw", "integration", "org_id", "app_key", "app_secret")
            settings["enos"] = [{"company": COMPANY, **{key: enos[key] for key in known}}]
        self.cloud_config.touch(mode=0o600)
        self.cloud_config.write_text(yaml.safe_dump(settings))

    def provision(self, companies: tuple[str, ...]) -> list[str]:
        """Make companies, the first one's site and gateway, and a key each; return the keys."""
        return asyncio.run(self._provision(companies))

    async def _provision(self, companies: tuple[str, ...]) -> list[str]:
        settings = load_settings(self.cloud_config)
        clock, keys = SystemClock(), []
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.write(None) as session:
                for slug in companies:
                    await add_company(session, clock, slug, slug.title())
                    scope = await find_company(session, slug)
                    keys.append((await add_key(session, clock, scope, "demo")).plain)
                owner, site = await find_company(session, companies[0]), SITE
                site_id = await add_site(session, clock, owner, site, name="Tower", timezone="UTC")
                await add_gateway(
                    session,
                    clock,
                    Authority(settings.data / "pki"),
                    GATEWAY,
                    scope=owner,
                    site_id=site_id,
                    out=self.certificates,
                )
        finally:
            await database.close()
        return keys

    def start_broker(self) -> Child:
        """Start the broker on this stack's port."""
        return self.child("broker", *self.cloud("broker", "--engine", self.engine))

    @property
    def broker_engine(self) -> str:
        """Which broker runs: mosquitto or embedded."""
        facts: dict[str, Any] = json.loads((self.folder / "broker.ready").read_text())
        return str(facts.get("engine", "?"))

    @property
    def database_file(self) -> Path:
        """The cloud's database (SQLite only)."""
        return self.folder / "cloud" / "plantroom.db"

    # ------------------------------------------------------------ the site and its agent

    def start_site(self, *arguments: str) -> dict[str, Any]:
        """Start the simulated site and return its manifest."""
        manifest = self.folder / "site.json"
        child = Child(
            "site",
            python("-m", "demo.site", "--manifest", str(manifest), *arguments),
            self.folder,
            ready=manifest,
        )
        self.children["site"] = child.start()
        child.wait_ready()
        facts: dict[str, Any] = json.loads(manifest.read_text())
        return facts

    @property
    def agent_config(self) -> Path:
        """The agent's configuration file."""
        return self.folder / "agent.yaml"

    def write_agent_config(
        self, buses: list[dict[str, Any]], detectors: list[dict[str, Any]], **more: Any
    ) -> None:
        """Write the agent's configuration: this broker, these buses."""
        where = self.certificates
        config = {
            "gateway": GATEWAY,
            "site": SITE,
            "data": str(self.folder / "agent"),
            "cloud": {
                "host": "127.0.0.1",
                "port": self.broker_port,
                "ca": str(where / "ca.pem"),
                "cert": str(where / "gateway.pem"),
                "key": str(where / "gateway.key"),
            },
            "buses": buses,
            "detectors": detectors,
            **more,
        }
        self.agent_config.write_text(yaml.safe_dump(config, sort_keys=False))

    def start_agent(self, seconds: float = 60) -> Child:
        """Start the agent; it is ready when it has written its first status."""
        child = Child(
            "agent",
            python("-m", "plantroom_edge", "run", str(self.agent_config)),
            self.folder,
            ready=self.folder / "agent" / "status.json",
        )
        self.children["agent"] = child.start()
        return child.wait_ready(seconds)

    def agent_status(self) -> dict[str, Any]:
        """Return what the running agent last wrote of itself; empty before its first word."""
        try:
            status: dict[str, Any] = json.loads((self.folder / "agent" / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return status

    def stop(self, *names: str) -> None:
        """Stop the named processes, or all, the last started first."""
        for name in names or tuple(reversed(self.children)):
            if (child := self.children.get(name)) is not None:
                child.stop()
