"""A desired configuration from the API to the agent and back, through real processes and a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from demo.processes import Child, free_port, python, wait_for
from demo.stack import COMPANY, GATEWAY, Stack
from plantroom_cloud.cli import app
from support import command_device

pytestmark = pytest.mark.e2e

ENDS = {"applied", "refused", "rolled_back", "set_aside", "superseded", "cancelled"}


@dataclass
class Whole:
    """Cloud, broker, agent and device as processes; `client` speaks to the API."""

    stack: Stack
    client: httpx.Client
    agent: Child
    bus: dict[str, Any]

    @property
    def here(self) -> str:
        return f"/v1/gateways/{GATEWAY}/configuration"

    def get(self, path: str = "", **params: Any) -> dict[str, Any]:
        answer = self.client.get(f"{self.here}{path}", params=params)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def version(self, **body: Any) -> int:
        answer = self.client.post(f"{self.here}/versions", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["number"])

    def stage(self, version: int, **body: Any) -> str:
        answer = self.client.post(f"{self.here}/assignments", json={"version": version, **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def ended(self, ident: str) -> dict[str, Any]:
        """Return an assignment once it has ended."""
        shown: dict[str, Any] = {}

        def over() -> bool:
            shown.update(self.client.get(f"/v1/configuration-assignments/{ident}").json())
            return shown["state"] in ENDS

        wait_for(over, what=f"the end of {ident}", seconds=60)
        return shown

    def runs(self, version: int) -> dict[str, Any]:
        """Return what the gateway says that it runs, once that is `version`."""
        shown: dict[str, Any] = {}

        def told() -> bool:
            shown.update(self.get()["running"] or {})
            return shown.get("version") == version

        wait_for(told, what=f"version {version} running", seconds=60)
        return shown

    def document(self, *devices: str, interval: float = 0.5, **bus: Any) -> dict[str, Any]:
        profile = self.bus["devices"][0]["profile"]
        entries = [
            {"name": name, "unit": 1, "profile": profile, "interval": interval} for name in devices
        ]
        kept = {k: v for k, v in self.bus.items() if k != "devices"}
        return {"buses": [{**kept, **bus, "devices": entries}]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("configured")
    stack = Stack(folder)
    port, ledger = free_port(), folder / "ledger.jsonl"
    try:
        stack.write_cloud_config()
        stack.provision(companies=(COMPANY,))
        options = ["--config", str(stack.cloud_config)]
        run = CliRunner().invoke
        key = run(app, [*options, "key", "add", COMPANY, "--write"]).output.strip()
        kid = run(app, [*options, "command", "key", "--out", str(folder / "k.pem")]).output
        stack.start_broker()
        stack.child("serve", *stack.cloud("serve"))
        device = python(command_device.__file__, str(port), str(ledger), "4", "1")
        ready = ledger.with_suffix(".ready")
        stack.children["device"] = Child("device", device, folder, ready=ready).start()
        profiles = command_device.write_profile(folder / "profiles", 4)
        bus = command_device.bus("bus", port, profiles, {"device": 1}, 0.5)
        keys = {kid.split()[0]: str(folder / "k.pem")}
        stack.write_agent_config([bus], [], desired={"keys": keys, "grace": 2.5})
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
            site_only = {
                "devices": [{k: v for k, v in bus["devices"][0].items() if k != "profile_dir"}]
            }
            yield Whole(stack, client, agent, {**bus, **site_only})
    finally:
        stack.stop()


def test_a_version_is_applied_and_told(whole: Whole) -> None:
    """What was kept and staged is checked, tried, applied, and told back; the diff is in words."""
    running = whole.runs(0)
    assert "profile_dir" not in running["document"]["buses"][0]["devices"][0]
    first = whole.version(running=True, why="as it is")
    second = whole.version(document=whole.document("device", interval=0.25), parent=first)
    (change,) = whole.get("/diff", old=str(first), new=str(second))["items"]
    assert (change["kind"], change["name"]) == ("device", "bus/device")
    assert change["words"] == "interval: 0.5 → 0.25"
    shown = whole.ended(whole.stage(second, why="faster"))
    assert (shown["state"], shown["errors"]) == ("applied", [])
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds == ["desired.staged", "desired.pending", "desired.applied"]
    assert whole.runs(second)["document"]["buses"][0]["devices"][0]["interval"] == 0.25
    assert whole.get()["in_step"] is True
    assert "0.25" not in whole.stack.agent_config.read_text()


def test_what_is_wrong_is_refused_with_the_words_of_the_file_check(whole: Whole) -> None:
    """The gateway names key and fix, and what runs goes on."""
    wrong = whole.version(document=whole.document("device", timeout="soon", colour="red"))
    shown = whole.ended(whole.stage(wrong))
    assert (shown["state"], shown["reason"]) == ("refused", "configuration")
    assert any("buses[0].timeout" in line and "a number" in line for line in shown["errors"])
    assert any("buses[0].colour" in line and "no known key" in line for line in shown["errors"])
    assert whole.get()["running"]["version"] == 2


def test_what_does_no_good_is_taken_back(whole: Whole) -> None:
    """A bus that gives nothing after the change is put back by the gateway itself."""
    dead = whole.version(document=whole.document("device", port=free_port(), timeout=0.2))
    shown = whole.ended(whole.stage(dead))
    assert (shown["state"], shown["reason"], shown["errors"]) == (
        "rolled_back", "no-samples", ["bus"],
    )  # fmt: skip
    assert whole.runs(2)


def test_a_gateway_that_was_away_gets_the_newest_only(whole: Whole) -> None:
    """What was staged meanwhile and is not the last never reaches it; a former version may be the last."""
    whole.agent.kill()
    wait_for(lambda: not whole.get()["online"], what="the will")
    never = whole.stage(whole.version(document=whole.document("device", interval=0.3)))
    former = whole.stage(1)
    whole.agent.start().wait_ready()
    assert whole.ended(former)["state"] == "applied"
    assert whole.ended(never)["state"] == "superseded"
    assert whole.runs(1)["document"]["buses"][0]["devices"][0]["interval"] == 0.5


def test_who_works_on_site_has_the_last_word(whole: Whole) -> None:
    """A file that says something else counts as soon as it is applied, and the cloud is told."""
    from plantroom_edge.cli import app as edge

    said = yaml.safe_load(whole.stack.agent_config.read_text())
    said["site"] = "annex"
    whole.stack.agent_config.write_text(yaml.safe_dump(said))
    done = CliRunner().invoke(edge, ["apply", str(whole.stack.agent_config), "--yes"])
    assert done.exit_code == 0, done.output
    running = whole.runs(0)
    assert running["document"]["site"] == "annex"
    wait_for(lambda: whole.get()["desired"]["state"] == "set_aside", what="the word of the site")
