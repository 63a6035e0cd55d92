"""A command from the API to a device and back, through real processes and sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from demo.processes import Child, free_port, python, wait_for
from demo.stack import COMPANY, GATEWAY, Stack
from plantroom_cloud.cli import app
from support import command_device

pytestmark = pytest.mark.e2e


@dataclass
class Whole:
    """Cloud, broker, agent and device as processes; `client` speaks to the API."""

    stack: Stack
    client: httpx.Client
    ledger: Path
    agent: Child

    def command(self, *arguments: str) -> str:
        """Run ``plantroom-cloud command`` and return what it prints."""
        options = ["--config", str(self.stack.cloud_config), "command", *arguments]
        done = CliRunner().invoke(app, options, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def writes(self, *arguments: str) -> str:
        """Run ``plantroom-edge writes`` on the gateway, as its owner would."""
        from plantroom_edge.cli import app as edge

        done = CliRunner().invoke(edge, [*arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def point(self) -> int:
        """Return the id of the first point, once the cloud knows it."""
        found: list[Any] = []

        def known() -> bool:
            found[:] = self.client.get("/v1/points", params={"q": "modbus:device:r0"}).json()[
                "items"
            ]
            return bool(found)

        wait_for(known, what="the point being known")
        return int(found[0]["id"])

    def give(self, **body: Any) -> dict[str, Any]:
        """Give a command for the first point."""
        answer = self.client.post(f"/v1/points/{self.point()}/commands", json=body)
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json()
        return given

    def ended(self, command: str, *, released: bool = False) -> dict[str, Any]:
        """Return a command once it has ended, and its value has been taken back if that is asked."""
        shown: dict[str, Any] = {}

        def over() -> bool:
            shown.update(self.client.get(f"/v1/commands/{command}").json())
            done = shown["state"] not in {"pending", "sent", "accepted"}
            return done and (not released or shown["released"] is not None)

        wait_for(over, what=f"the end of {command}", seconds=40)
        return shown

    def words(self) -> list[int]:
        """Return what was written to the device, in order."""
        return [json.loads(line)[2] for line in self.ledger.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    stack = Stack(folder, engine="embedded")
    port, ledger = free_port(), folder / "ledger.jsonl"
    try:
        stack.write_cloud_config()
        stack.provision(companies=(COMPANY,))
        options = ["--config", str(stack.cloud_config)]
        run = CliRunner().invoke
        key = run(app, [*options, "key", "add", COMPANY, "--write"]).output.strip()
        kid = run(app, [*options, "command", "key", "--out", str(folder / "k.pem")]).output
        run(app, [*options, "command", "allow", GATEWAY, "--company", COMPANY])
        stack.start_broker()
        stack.child("serve", *stack.cloud("serve"))
        device = python(command_device.__file__, str(port), str(ledger), "4", "1")
        ready = ledger.with_suffix(".ready")
        stack.children["device"] = Child("device", device, folder, ready=ready).start()
        profiles = command_device.write_profile(folder / "profiles", 4)
        bus = command_device.bus("bus", port, profiles, {"device": 1}, 0.5)
        grant = {"point": "modbus:device:*", "min": 0, "max": 3000, "min_interval": 0}
        writes = {"enabled": True, "keys": {kid.split()[0]: str(folder / "k.pem")}}
        stack.write_agent_config(
            [bus], [], writes=writes | {"allow": [grant], "device_interval": 0}
        )
        agent = Child(
            "agent",
            python("-m", "plantroom_edge", "run", str(stack.agent_config)),
            folder,
            ready=folder / "agent" / "status.json",
        )
        stack.children["agent"] = agent.start()
        agent.wait_ready()
        base, headers = f"http://127.0.0.1:{stack.api_port}", {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=base, headers=headers, timeout=20) as client:
            yield Whole(stack, client, ledger, agent)
    finally:
        stack.stop()


def test_a_command_reaches_the_device_and_its_result_the_api(whole: Whole) -> None:
    """What the API was asked for is written once, read back, and taken back when its lease ends."""
    given = whole.give(value=1234, lease_s=1)
    assert given["state"] == "pending"
    shown = whole.ended(given["id"], released=True)
    assert (shown["state"], whole.words()[-2:]) == ("executed", [1234, 1000])
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds == ["command.given", "command.accepted", "command.executed", "command.released"]
    executed = shown["events"][2]["doc"]["results"][0]
    assert (executed["before"], executed["after"]) == (1000, 1234)


def test_what_the_gateway_does_not_allow_is_refused_there(whole: Whole) -> None:
    """A value beyond the gateway's own limits ends as refused, and the device never sees it."""
    shown = whole.ended(whole.give(value=3001)["id"])
    assert (shown["state"], shown["reason"]) == ("refused", "out-of-range: modbus:device:r0")
    assert 3001 not in whole.words()


def test_a_dry_run_and_a_release(whole: Whole) -> None:
    """A dry run says what would be; a release takes a value back before its lease ends."""
    checked = whole.ended(whole.give(kind="dry_run", value=1500)["id"])
    assert (checked["state"], 1500 in whole.words()) == ("checked", False)
    first = whole.ended(whole.give(value=1600, lease_s=600)["id"])
    release = whole.ended(whole.give(kind="release", release=first["id"])["id"])
    assert release["state"] == "executed"
    whole.ended(first["id"], released=True)
    assert whole.words()[-1] == 1000


def test_the_switch_on_site_wins(whole: Whole) -> None:
    """Off takes back what stands and refuses what comes; the cloud cannot change that."""
    config = str(whole.stack.agent_config)
    standing = whole.ended(whole.give(value=1700, lease_s=600)["id"])
    whole.writes("writes", "off", config)
    whole.ended(standing["id"], released=True)
    assert whole.words()[-1] == 1000
    refused = whole.ended(whole.give(value=1701)["id"])
    assert (refused["state"], refused["reason"]) == ("refused", "switched-off")
    whole.writes("writes", "on", config)
    assert whole.ended(whole.give(value=1702, lease_s=1)["id"])["state"] == "executed"
    assert json.loads(whole.writes("writes", "status", config, "--json"))["off"] is False


def test_an_installer_writes_by_hand(whole: Whole) -> None:
    """`plantroom-edge write` goes the same way: limits, journal, lease and audit."""
    config = str(whole.stack.agent_config)
    said = whole.writes("write", config, "modbus:device:r1", "1800", "--lease", "600")
    assert "executed" in said
    assert whole.words()[-1] == 1800
    status = json.loads(whole.writes("writes", "status", config, "--json"))
    (hold,) = [one for one in status["holds"] if one["point"] == "modbus:device:r1"]
    assert (hold["value"], hold["restore"]) == (1800, 1000)
    whole.writes("writes", "release-all", config)
    wait_for(lambda: whole.words()[-1] == 1000, what="the release of all")


def test_by_the_command_line(whole: Whole) -> None:
    """`command send` and `command show` do what the API does."""
    ident = whole.command("send", str(whole.point()), "1900", "--company", COMPANY, "--lease", "1")
    whole.ended(ident.strip())
    shown = json.loads(whole.command("show", ident.strip(), "--company", COMPANY))
    assert (shown["state"], shown["order"]["writes"][0]["value"]) == ("executed", 1900)


def test_a_gateway_that_is_away_gets_nothing_later(whole: Whole) -> None:
    """What was given while the gateway was down expires, and is never carried out afterwards."""
    point = whole.point()
    whole.agent.kill()
    gateway = f"/v1/gateways/{GATEWAY}"
    wait_for(lambda: not whole.client.get(gateway).json()["online"], what="the will")
    body = {"value": 1999, "valid_s": 2}
    given = whole.client.post(f"/v1/points/{point}/commands", json=body).json()
    shown = whole.ended(given["id"])
    assert (shown["state"], shown["reason"]) == ("expired", "not-sent")
    whole.agent.start().wait_ready()
    last = whole.ended(whole.give(value=2000, lease_s=1)["id"])
    assert last["state"] == "executed"
    assert 1999 not in whole.words()
