"""A small site on the whole way: device, agent, broker, cloud, EnOS, under one choice of settings."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from demo.processes import python, wait_for
from demo.site.manifest import agent_config
from demo.stack import COMPANY, GATEWAY, SITE, Stack
from plantroom_cloud.cli import app

ENOUGH = 30
"""Samples that a run waits for before it ends."""
PATIENCE = 120.0
"""Seconds that each step may take on a busy machine."""


def small(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a site's manifest with the one BACnet device and Modbus bus that mean the most to EnOS."""
    mappable = [one["key"] for one in manifest["mappable"]]

    def worth(prefixes: list[str]) -> int:
        return sum(key.startswith(prefix) for key in mappable for prefix in prefixes)

    bacnet = max(manifest["bacnet"], key=lambda one: worth([f"bacnet:{one['instance']}:"]))
    modbus = max(
        manifest["modbus"],
        key=lambda bus: worth([f"modbus:{one['name']}" for one in bus["devices"]]),
    )
    return {**manifest, "bacnet": [bacnet], "modbus": [modbus], "watch": {}}


@dataclass
class SmallSite:
    """One run.

    Args:
        folder: all files go here.
        manifest: of a site that runs already, see `small`.
        settings: of the cloud.
    """

    folder: Path
    manifest: dict[str, Any]
    settings: dict[str, Any]
    stack: Stack = field(init=False)
    _api: httpx.Client = field(init=False)
    _enos: str = ""

    def __post_init__(self) -> None:
        self.stack = Stack(self.folder, settings=self.settings)

    def start(self) -> None:
        """Start every part, each when what it needs is there."""
        stack = self.stack
        stack.child("enos", *python("-m", "demo.enos_sim"))
        enos = json.loads((self.folder / "enos.ready").read_text())
        self._enos = str(enos["apigw"])
        stack.write_cloud_config(enos)
        (key,) = stack.provision(companies=(COMPANY,))
        headers = {"Authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{stack.api_port}"
        self._api = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)
        stack.start_broker()
        # Over a shared bus the parts may be apart: what one stores, another tells.
        apart = self.settings.get("live", {}).get("bus") == "redis"
        for part in ("api", "ingest", "worker") if apart else ("serve",):
            stack.child(part, *stack.cloud(part), seconds=PATIENCE)
        if self.settings.get("jobs") == "celery":
            stack.child("jobs", *stack.cloud("job", "worker", "--processes", "1"), seconds=PATIENCE)
        stack.write_agent_config(agent_config(small(self.manifest))["buses"], [])
        stack.start_agent()

    def by_hand(self, *arguments: str) -> str:
        """Run a plantroom-cloud command, in this process, that ends well; return what it says."""
        told = CliRunner().invoke(app, ["--config", str(self.stack.cloud_config), *arguments])
        assert told.exit_code == 0, f"{arguments}: {told.output}\n{told.exception!r}"
        return told.stdout

    def get(self, path: str, **parameters: Any) -> Any:
        """Return what the API answers."""
        answer = self._api.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def hear(self) -> dict[str, Any]:
        """Follow the site until a sample comes; return what is told of it."""
        site = self.get("/v1/sites")["items"][0]["id"]
        asked = {"topics": f"samples/{site}"}
        deadline = time.monotonic() + PATIENCE
        with self._api.stream("GET", "/v1/live/events", params=asked) as answer:
            for line in answer.iter_lines():
                told = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if told.get("topic") == asked["topics"]:
                    return dict(told["data"])
                assert time.monotonic() < deadline, "nothing is told"
        msg = "the stream of events ended"
        raise AssertionError(msg)

    def account(self) -> dict[str, Any]:
        """Return the gateway's account."""
        found: dict[str, Any] = self.get(f"/v1/gateways/{GATEWAY}/account")
        return found

    def published(self) -> int:
        """Return how many values the cloud has counted as published."""
        items = self.get("/v1/counters")["items"]
        return sum(int(one["value"]) for one in items if one["name"] == "enos.published")

    def received(self) -> int:
        """Return how many values EnOS has."""
        told = httpx.get(f"{self._enos}/__sim__/stats", timeout=30, trust_env=False).json()
        return int(told["received"])

    def wait_until_published(self) -> None:
        """Wait for some samples in the store, and in EnOS."""
        wait_for(
            lambda: self.account()["stored"] >= ENOUGH and self.published() > 0,
            what="samples on their way to EnOS",
            seconds=PATIENCE,
        )

    def stop_agent(self) -> dict[str, Any]:
        """Let the agent end in order; return its own account."""
        assert self.stack.children["agent"].stop(60) == 0
        command = python("-m", "plantroom_edge", "status", str(self.stack.agent_config), "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    def export(self, out: Path) -> None:
        """Export all samples to the blobs and get them from there, whole."""
        told = self.by_hand(
            "export", "--site", SITE, "--company", COMPANY, "--from", "0", "--to", "4000000000", "--out", "blobs:"
        )  # fmt: skip
        key, sha256 = told.split("blobs:")[1].strip().split(", SHA-256 ")
        self.by_hand("blobs", "get", key, "--out", str(out), "--sha256", sha256)

    def stop(self) -> None:
        """End every process."""
        self.stack.stop()
