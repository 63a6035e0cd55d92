"""Faults 25 and 26: commands under kills, copies, other orders and clock steps; a device keeps the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import yaml

from demo.processes import Child, free_port, python
from plantroom_shared import topics, wire
from plantroom_shared.wire import Record
from support import command_child, command_device
from support.command_site import OTHER, body, public_pem, signed
from support.edge_broker import GATEWAY, BrokerProcess, cloud_behind, running
from support.edge_cloud import ModelCloud
from support.fault_case import Setting, case
from support.fault_report import Figure, percentile

FIRST, DEVICES, POINTS = command_device.FIRST, 4, 10
PACE = 0.05
"""Seconds between two commands, on average."""
AFTER = 10.0
"""Seconds after the end of its lease by which a value must have been taken back."""
SKEW = 2.0
"""Seconds by which a gateway's clock may be wrong before the cloud's is believed more."""
STEPS = (0.0, 3600.0, -3600.0, 30.0, -30.0, 3.2e8, -3.2e8, 1.0, -1.0)


@dataclass(frozen=True, slots=True)
class Sent:
    """A command as it was sent."""

    id: str
    word: int
    lease: float
    expires: float
    """By this machine's monotonic clock."""
    hostile: str = ""


@dataclass
class Site:
    """The device, the agent that is killed, and what was sent to it."""

    folder: Path
    broker: BrokerProcess
    dice: random.Random
    sent: dict[int, Sent] = field(default_factory=dict)
    payloads: list[bytes] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    sending: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.step = self.folder / "step"
        self.step.write_text("0")
        self.ledger = self.folder / "ledger.jsonl"
        self.port = free_port()
        counts = (str(POINTS), str(DEVICES))
        arguments = python(command_device.__file__, str(self.port), str(self.ledger), *counts)
        ready = self.ledger.with_suffix(".ready")
        self.device = Child("device", arguments, self.folder, ready=ready)
        (self.folder / "k1.pem").write_bytes(public_pem())
        config = self.folder / "edge.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        self.data = self.folder / "data"
        self.agent = Child(
            "agent",
            python(command_child.__file__, "run", str(config)),
            self.folder,
            env={"PLANTROOM_TEST_STEP": str(self.step)},
            ready=self.data / "status.json",
        )

    def _config(self) -> dict[str, Any]:
        cloud = self.broker.cloud_config().model_dump(mode="json")
        profiles = command_device.write_profile(self.folder / "profiles", POINTS)
        return {
            "gateway": GATEWAY,
            "site": "commands",
            "data": "./data",
            "buffer": {"commit_ms": 20},
            "cloud": cloud,
            "buses": [
                command_device.bus(f"bus{one}", self.port, profiles, {f"d{one}": one, f"d{one + 1}": one + 1}, 1.0)
                for one in range(1, DEVICES + 1, 2)
            ],
            "writes": {
                "enabled": True,
                "keys": {"k1": "k1.pem"},
                "per_minute": 6000,
                "device_interval": 0,
                "allow": [{"point": "modbus:*", "min": 0, "max": 65535, "min_interval": 0,
                           "lease": 5}],
            },
        }  # fmt: skip

    def start(self) -> None:
        (self.data / "starts.json").unlink(missing_ok=True)  # kills are no failed starts here
        self.starts.append(time.monotonic())
        self.agent.start()

    def up_from(self, moment: float) -> float:
        """Return `moment` if the agent was up then, else when it was started next."""
        began = sum(start <= moment for start in self.starts)
        down = sum(kill <= moment for kill in self.kills) == began
        return self.starts[began] if down and began < len(self.starts) else moment

    def holds(self) -> int:
        """Return how many values stand, as the agent says; 1 where it says nothing."""
        return len(self._said().get("writes", {}).get("holds", [None]))

    # ------------------------------------------------------------ sending

    async def issue(self, client: aiomqtt.Client, number: int) -> None:
        """Send one command in one of many ways, some of them hostile."""
        dice, word = self.dice, 2000 + number
        register = dice.randrange(DEVICES * POINTS)
        lease, valid = dice.choice((1.0, 2.0, 4.0)), dice.choice((1.0, 4.0, 10.0))
        point = f"modbus:d{register // POINTS + 1}:r{register % POINTS}"
        order = body(gateway=GATEWAY, writes=[{"point": point, "value": word}], lease_s=lease)
        order["expires"] = order["issued"] + round(valid * 1e6)
        hostile = dice.choice(HOSTILE) if dice.random() < 0.06 else ""
        payload = HOW[hostile](order)
        expires = time.monotonic() + valid
        self.sent[word] = Sent(order["id"], word, lease, expires, hostile)
        self.payloads.append(payload)
        delays = [0.0 if dice.random() < 0.7 else dice.uniform(0, 3)]
        if dice.random() < 0.2:
            delays += [dice.uniform(0, 12) for _ in range(dice.randint(1, 3))]
        for delay in delays:
            self._later(client, payload, delay)
        if dice.random() < 0.05:  # something that was sent long ago
            self._later(client, dice.choice(self.payloads), dice.uniform(0, 1))

    def _later(self, client: aiomqtt.Client, payload: bytes, delay: float) -> None:
        async def send() -> None:
            await asyncio.sleep(delay)
            await client.publish(topics.down(GATEWAY, "cmd"), payload, qos=1, timeout=30)

        task = asyncio.create_task(send())
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def torment(self, kills: int, over: asyncio.Event) -> None:
        """Kill the agent at random moments and step its clock until `over`."""
        done, early = 0, False
        while not over.is_set() or done < kills:
            await asyncio.sleep(self.dice.uniform(0.2, 3.0))
            self.step.write_text(str(self.dice.choice(STEPS)))
            if self.dice.random() < 0.5:
                self.agent.kill()
                self.kills.append(time.monotonic())
                done += 1
                self.start()
                # One start in five is killed before it is over; the others get to serve.
                early = not early and self.dice.random() < 0.2
                while not early and not self._serves():
                    await asyncio.sleep(0.05)

    def _serves(self) -> bool:
        assert self.agent.running, self.agent.log_end()
        said = self._said()
        return bool(said.get("pid") == self.agent.pid and said.get("connected"))

    def _said(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads((self.data / "status.json").read_text())
            return said
        return {}


def _altered(order: dict[str, Any]) -> bytes:
    command = wire.decode(wire.Command, signed(order))
    return wire.encode(command.model_copy(update={"body": f"{command.body} "}))


HOW: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "": signed,
    "forged": lambda order: signed(order, OTHER),
    "other key": lambda order: signed(order, OTHER, kid="k2"),
    "altered": _altered,
    "other gateway": lambda order: signed(order | {"gateway": "gw-other-0001"}),
    "expired": lambda order: signed(
        order | {"issued": order["issued"] - 60_000_000, "expires": order["issued"] - 30_000_000}
    ),
    "valid for days": lambda order: signed(order | {"expires": order["issued"] + 10**12}),
    "future": lambda order: signed(
        order | {"issued": order["issued"] + 10**9, "expires": order["issued"] + 10**9 + 10**6}
    ),
    "beyond": lambda order: signed(
        order | {"writes": [order["writes"][0] | {"value": 70_000 + order["writes"][0]["value"]}]}
    ),
}
HOSTILE = tuple(name for name in HOW if name)


@case("commands", faults="25, 26", pr=150, full=10_000)
def commands(setting: Setting) -> Sequence[Figure]:
    """Commands under kills, copies, other orders and clock steps."""
    with running("mosquitto", setting.folder) as broker:
        site = Site(setting.folder, broker, setting.dice())
        try:
            model = asyncio.run(_run(setting, site))
        finally:
            site.agent.kill()
            site.device.kill()
    return judge(setting, site, model)


async def _run(setting: Setting, site: Site) -> ModelCloud:
    site.device.start().wait_ready()
    kills = max(3, setting.count // 100)
    async with (
        cloud_behind(site.broker) as model,
        aiomqtt.Client(
            "127.0.0.1",
            site.broker.port,
            identifier="cloud-0002",
            tls_context=site.broker.certificates.client("cloud"),
        ) as client,
    ):
        site.start()
        site.agent.wait_ready()
        over = asyncio.Event()
        nemesis = asyncio.create_task(site.torment(kills, over))
        for number in range(setting.count):
            await site.issue(client, number)
            await asyncio.sleep(site.dice.expovariate(1 / PACE))
            if number % 1000 == 999:
                setting.say(f"{number + 1} commands, {len(site.starts) - 1} kills")
        over.set()
        await nemesis
        site.step.write_text("0")
        await asyncio.gather(*site.sending)
        await _settled(site, model)
    return model


async def _settled(site: Site, model: ModelCloud) -> None:
    """Wait until no value stands any more and all is told."""
    deadline, quiet, before = time.monotonic() + 120, 0, (-1, -1)
    while quiet < 8:
        assert time.monotonic() < deadline, f"it does not come to rest: {site.agent.log_end()}"
        await asyncio.sleep(0.5)
        told = sum(key[1] in {"cmd", "aud"} for key in model.rows)
        now = (len(site.ledger.read_bytes()), told)
        quiet = quiet + 1 if now == before and site.holds() == 0 else 0
        before = now


# ---------------------------------------------------------------- judgement


def judge(setting: Setting, site: Site, model: ModelCloud) -> list[Figure]:
    """Compare what the device saw with what was sent, and with what the agent told."""
    lines = [json.loads(line) for line in site.ledger.read_text().splitlines()]
    told = {stream: _told(model, stream) for stream in ("cmd", "aud")}
    seen: dict[int, list[float]] = defaultdict(list)
    for at, _, word in lines:
        if word != FIRST:
            seen[word].append(at / 1e6)
    late = [w for w, at in seen.items() if w in site.sent and max(at) > site.sent[w].expires + SKEW]
    hostile = [w for w in seen if w not in site.sent or site.sent[w].hostile]
    by_word = {w: {s: told[s].get(sent.id, []) for s in told} for w, sent in site.sent.items()}
    unaudited = [
        w for w in seen if any("accepted" not in by_word.get(w, {}).get(s, ()) for s in told)
    ]
    ends = {w: [k for k in said["cmd"] if k in ENDS] for w, said in by_word.items()}
    runs, name = setting.count, "commands"
    released, standing = _releases(site, lines)
    wrong = [
        w for w, kinds in ends.items()
        if ("executed" in kinds and len(seen.get(w, ())) != 1)
        or ({"refused", "expired", "checked"} & {*kinds} and w in seen)
    ]  # fmt: skip
    figures = {
        "carried out twice": sum(len(at) > 1 for at in seen.values()),
        "carried out late": len(late),
        "hostile or unknown carried out": len(hostile),
        "written and not audited": len(unaudited),
        "written without an outcome": sum(not ends.get(w) for w in seen),
        "with two outcomes": sum(len(set(kinds)) > 1 for kinds in ends.values()),
        "told otherwise than it was": len(wrong),
        "values that still stand": standing,
    }
    told_only = {
        "kills of the agent": len(site.starts) - 1,
        "written": len(seen),
        "told executed": sum("executed" in kinds for kinds in ends.values()),
        "told refused or expired": sum(bool({"refused", "expired"} & {*k}) for k in ends.values()),
        "found out after a crash": sum(
            one.doc.get("settled", False) for one in _records(model, "cmd")
        ),
    }
    return [
        *(Figure(name, what, runs, value, 0, seed=setting.seed) for what, value in figures.items()),
        Figure(
            name, LATE, runs, sum(late > AFTER for late in released), 0,
            seed=setting.seed, timing=True,
        ),
        Figure(name, "written", runs, len(seen), setting.count // 4, least=True, seed=setting.seed),
        *(Figure(name, what, runs, value, None) for what, value in told_only.items()),
        Figure(name, "from the end of a lease, or the start after it, to the release: p99", len(released), percentile(released, 0.99), None, unit="s"),
        Figure(name, "the same: the longest", len(released), max(released, default=0.0), None, unit="s"),
    ]  # fmt: skip


LATE = "taken back > 10 s after the end of the lease, or the start if the agent was down then"
ENDS = ("executed", "failed", "refused", "expired", "checked")


def _records(model: ModelCloud, stream: str) -> list[Record]:
    return [row for key, row in model.rows.items() if key[1] == stream and isinstance(row, Record)]


def _told(model: ModelCloud, stream: str) -> dict[str, list[str]]:
    """Return command id → what was told of it, each event once."""
    events: dict[tuple[str, int], Record] = {}
    for row in _records(model, stream):
        if "journal" in row.doc:
            events[row.doc["journal"], row.doc["n"]] = row
    out: dict[str, list[str]] = defaultdict(list)
    for key in sorted(events):
        row = events[key]
        out[row.doc.get("id", "")].append(row.kind.removeprefix("command."))
    return out


def _releases(site: Site, lines: list[list[int]]) -> tuple[list[float], int]:
    """Return how late each value was taken back, or replaced, and how many still stand.

    It counts from the end of its lease; where the agent was down at that moment, from its start.
    """
    standing: dict[int, tuple[float, int]] = {}
    released: list[float] = []
    for at, address, word in lines:
        if address in standing:
            since, former = standing.pop(address)
            if former in site.sent:
                due = since + site.sent[former].lease
                released.append(at / 1e6 - site.up_from(due))
        if word != FIRST:
            standing[address] = (at / 1e6, word)
    return released, len(standing)
