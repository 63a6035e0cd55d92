"""The demo's parts: started in order, looked at, ended in order, accounted for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.account import Account
from demo.delivery import differences, unpublished
from demo.processes import ProcessFailedError, python, wait_for
from demo.site.manifest import agent_config, detector_config
from demo.stack import COMPANY, GATEWAY, Stack

DRAIN_SECONDS = 30.0
_STOPS = 3
"""How often the agent is stopped until nothing is left that it has not heard of."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything that runs."""

    status: dict[str, Any]
    """The agent's own."""
    account: dict[str, Any]
    mapping: dict[str, Any]
    published: int
    enos: int
    findings: int

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Yield what a person wants to see, in order."""
        detectors = self.status.get("detectors", {})
        state = next((one.get("state") for one in detectors.values()), "starting")
        yield "samples/s", f"{self.status.get('samples_per_second', 0):.0f}"
        buffer = self.status.get("buffer", {})
        yield "accepted", buffer.get("accepted", {}).get("tel", 0)
        yield "in buffer", buffer.get("held", {}).get("tel", 0)
        yield "last ack", f"{self.status.get('sync', {}).get('last_ack_age') or 0:.1f} s ago"
        yield "stored", self.account.get("stored", 0)
        yield (
            "mapped",
            f"{self.mapping.get('with_counterpart', 0)} of {self.mapping.get('points', 0)}",
        )
        yield "published", self.published
        yield "EnOS has", self.enos
        yield "detector", state
        yield "findings", self.findings


@dataclass
class Demo:
    """The parts and what they said.

    Args:
        folder: all files go here.
        seed: of the simulated site.
        engine: of the broker.
    """

    folder: Path
    seed: int
    engine: str
    fault_us: int | None = None
    enos_url: str = ""
    _stack: Stack = field(init=False)
    _api: httpx.Client = field(init=False)
    _foreign: httpx.Client = field(init=False)
    _manifest: dict[str, Any] = field(init=False, default_factory=dict)
    _errors: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._stack = Stack(self.folder, engine=self.engine)

    # ------------------------------------------------------------ start

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self._stack.api_port}"

    @property
    def key_file(self) -> Path:
        """Where the demo's API key is."""
        return self.folder / "api-key"

    def start(self) -> None:
        """Start every part, each when what it needs is there."""
        stack = self._stack
        self._manifest = stack.start_site("--seed", str(self.seed), "--speed", "600")
        enos = self._start_enos()
        stack.write_cloud_config(enos)
        own, foreign = stack.provision(companies=(COMPANY, "stranger"))
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(own)
        self._api = self._client(own)
        self._foreign = self._client(foreign)
        stack.start_broker()
        stack.child("cloud", *stack.cloud("serve"))
        config = agent_config(self._manifest)
        stack.write_agent_config(config["buses"], [detector_config(self._manifest)])
        stack.start_agent()

    def _start_enos(self) -> dict[str, Any]:
        self._stack.child("enos", *python("-m", "demo.enos_sim"))
        facts: dict[str, Any] = json.loads((self.folder / "enos.ready").read_text())
        self.enos_url = str(facts["apigw"])
        return facts

    def _client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.api_url, headers=headers, timeout=10, trust_env=False)

    # ------------------------------------------------------------ look

    def look(self) -> Look:
        """Ask every part how it is."""
        counters = self._get("/v1/counters")["items"]
        published = [one["value"] for one in counters if one["name"] == "enos.published"]
        return Look(
            status=self._stack.agent_status(),
            account=self._get(f"/v1/gateways/{GATEWAY}/account"),
            mapping=self._get("/v1/mappings/summary"),
            published=sum(published),
            enos=self._enos_received(),
            findings=len(self._all("/v1/findings")),
        )

    def check_processes(self) -> None:
        """Raise if a part has ended by itself."""
        for name, child in self._stack.children.items():
            if not child.running:
                msg = f"{name} ended with code {child.returncode}:\n{child.log_end()}"
                raise ProcessFailedError(msg)

    def detector_watches(self, look: Look) -> bool:
        """Say whether the gateway's detector has learned its lesson."""
        states = [one.get("state") for one in look.status.get("detectors", {}).values()]
        return bool(states) and all(state in ("watching", "alarm") for state in states)

    def plant_fault(self) -> None:
        """Let a chiller of the site go wrong."""
        self.fault_us = time.time_ns() // 1000
        self._stack.children["site"].tell("fault on")

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        reply = self._api.get(path, params=parameters)
        reply.raise_for_status()
        document: dict[str, Any] = reply.json()
        return document

    def _all(self, path: str, client: httpx.Client | None = None) -> list[dict[str, Any]]:
        """Return every item of a listing, page after page."""
        items: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            parameters: dict[str, str | int] = {
                "limit": _PAGE,
                **({"after": after} if after else {}),
            }
            reply = (client or self._api).get(path, params=parameters)
            reply.raise_for_status()
            page = reply.json()
            items += page["items"]
            after = page.get("next")
            if not after:
                return items

    def _enos_received(self) -> int:
        return int(self._enos_says("stats")["received"])

    def _enos_says(self, what: str) -> Any:
        return httpx.get(f"{self.enos_url}/__sim__/{what}", timeout=30, trust_env=False).json()

    # ------------------------------------------------------------ end

    def stop_agent(self) -> None:
        """Let the agent end in order: what it has read is committed, sent and confirmed.

        Where a slow machine's confirmations come too late, it runs once more to hear them: a sample that
        the cloud has stored would be counted on the edge, too.
        """
        agent = self._stack.children["agent"]
        for attempt in range(_STOPS):
            if attempt:
                agent.start()
                wait_for(self._heard, what="the agent's connection", seconds=DRAIN_SECONDS)
            code = agent.stop()
            if code != 0:
                self._errors.append(f"the agent ended with code {code}")
            if code != 0 or not self._edge_account()["on_edge"]:
                return

    def _heard(self) -> bool:
        return bool(self._edge_account()["agent"]["connected"])

    def drain(self) -> None:
        """Wait until all that was stored is published."""
        wait_for(self._settled, what="publishing what was stored", seconds=DRAIN_SECONDS)

    def _settled(self) -> bool:
        return unpublished(self._stack.database_file) == 0

    def account(self) -> Account:
        """Count everything where it happened."""
        look = self.look()
        edge = self._edge_account()
        mappings = self._all("/v1/mappings")
        points = self._all("/v1/points")
        counterparts = {
            one["point"]: f"{one['model']}/{one['model_point']}"
            for one in mappings
            if one["model_point"]
        }
        truth = {one["key"]: one["enos"] for one in self._manifest["mappable"]}
        right = sum(truth.get(one["key"]) == counterparts.get(one["id"], "") for one in points)
        sure = [one["confidence"] for one in mappings if one["confidence"] is not None]
        findings = self._all("/v1/findings")
        errors = (*self._errors, *self._complaints(look))
        return Account(
            devices=len(self._all("/v1/devices")),
            points=len(points),
            accepted=edge["accepted"],
            stored=look.account["stored"],
            gaps=look.account["gaps"],
            on_edge=edge["on_edge"],
            mappable=len(truth),
            mapped=len(counterparts),
            mapped_right=right,
            mean_confidence=round(sum(sure) / len(sure), 4) if sure else 0.0,
            findings=len(findings),
            findings_before_fault=sum(
                self.fault_us is None or micros(one["started"]) < self.fault_us for one in findings
            ),
            published=look.published,
            enos_received=look.enos,
            foreign_rows=sum(len(self._all(path, self._foreign)) for path in _LISTINGS),
            broker=self._stack.broker_engine,
            errors=len(errors),
            error_details=errors,
        )

    def _edge_account(self) -> dict[str, Any]:
        """Ask the stopped agent's buffer itself."""
        command = python("-m", "plantroom_edge", "status", str(self._stack.agent_config), "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"plantroom-edge status failed: {done.stderr}"
            raise ProcessFailedError(msg)
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    def _complaints(self, look: Look) -> Iterator[str]:
        for name in ("quarantined",):
            if look.account.get(name):
                yield f"{look.account[name]} rows {name}"
        if not look.account.get("balanced", False):
            yield "the cloud's account does not balance"
        received, repeated = self._enos_says("values"), self._enos_says("repeated")
        yield from differences(self._stack.database_file, received, repeated)

    def stop(self) -> None:
        """End every process that still runs."""
        self._stack.stop()


_LISTINGS = (
    "/v1/sites",
    "/v1/gateways",
    "/v1/devices",
    "/v1/points",
    "/v1/findings",
    "/v1/mappings",
)


def micros(stamp: str) -> int:
    """Return an RFC 3339 time as microseconds since 1970."""
    from datetime import datetime  # noqa: PLC0415

    return round(datetime.fromisoformat(stamp).timestamp() * 1e6)
