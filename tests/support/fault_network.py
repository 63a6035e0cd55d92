"""Faults 13 to 16: the way between gateway and broker breaks, hangs, limps and flaps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.processes import wait_for
from support.fault_case import Setting, case
from support.fault_report import Figure, percentile
from support.fault_rig import Rig, judged, rigged
from support.proxy import Proxy


@contextmanager
def proxied(setting: Setting, **more: Any) -> Iterator[tuple[Rig, Proxy]]:
    """Yield a running rig whose agent reaches the broker through a proxy."""
    with rigged(setting, **more) as rig:
        port = rig.stack.broker_port
        with Proxy("127.0.0.1", port, seed=setting.seed).running() as proxy:
            rig.start(agent_port=proxy.port)
            wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
            yield rig, proxy


def connected(rig: Rig) -> bool:
    """Say whether the agent believes that it is connected."""
    said = rig.stack.agent_status()
    return bool(said.get("connected") or said.get("sync", {}).get("connected"))


def is_resumed(rig: Rig, connects: int) -> bool:
    """Say whether the cloud has answered the agent's hello on a connection after so many."""
    sync = rig.stack.agent_status().get("sync", {})
    return bool(sync.get("resumed")) and sync["connects"] > connects


def seconds_until(condition: Callable[[], bool], *, what: str, limit: float) -> float:
    """Return how long it took until `condition` held; the limit plus one if it did not."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if condition():
            return time.monotonic() - began
        time.sleep(0.05)
    print(f"{what}: not within {limit:.0f} s")
    return limit + 1


def oldest_latest(rig: Rig) -> int:
    """Return the oldest time among the latest values: what a dashboard shows for its worst point."""
    with rig.cloud_database() as db:
        ((count, oldest),) = db.execute("SELECT count(*), min(ts_us) FROM latest")
    return int(oldest) if count == len(rig.manifest["ledger"]) else 0


def cpu_seconds(pid: int) -> float:
    """Return the processor time that process `pid` has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@case("partition", faults="13", pr=20, full=600, alone=True)
def partition(setting: Setting) -> Sequence[Figure]:
    """The network is gone for `count` seconds; then the dashboard first, the backlog after."""
    name = "13 partition"
    with proxied(setting, interval=0.1) as (rig, proxy):
        before, began = rig.total(), time.monotonic()
        proxy.weather(held=True)
        time.sleep(setting.count)
        proxy.reset()
        backlog, outage = rig.total() - before, time.monotonic() - began
        healed, healed_us = time.monotonic(), time.time_ns() // 1000
        proxy.weather()
        stored = rig.stored()
        seconds_until(lambda: rig.stored() > stored, what="the first row", limit=60)
        first = time.monotonic()
        fresh = seconds_until(lambda: oldest_latest(rig) >= healed_us, what="dashboard", limit=60)
        fresh += first - healed
        rig.drain(60 + 2 * setting.count)
        speed = backlog / max(0.05, time.monotonic() - first)
        drained = time.monotonic() - healed
        figures, _ = judged(name, rig, setting.seed, runs=1)
        usual = backlog / outage
    return [
        *figures,
        Figure(name, "backlog", 1, backlog, None, unit="samples"),
        Figure(name, "all latest values right after healing", 1, fresh, 10, unit="s", timing=True),
        Figure(name, "backlog gone after", 1, drained, None, unit="s"),
        Figure(
            name,
            "speed of draining over real time",
            1,
            speed / usual,
            20 if setting.count >= 30 else None,
            least=True,
            unit="x",
            timing=True,
        ),
    ]


@case("one-way", faults="14", pr=1, full=10)
def one_way(setting: Setting) -> Sequence[Figure]:
    """One direction is a black hole, or the peer vanishes without a word (half open)."""
    name = "14 one-way, half open"
    found: list[float] = []
    with proxied(setting) as (rig, proxy):
        dice = setting.dice("ways")
        for number in range(setting.count):
            way = "half" if setting.count == 1 else ("up", "down", "half")[number % 3]
            seen = len(proxy.connects)
            if way == "half":
                proxy.forget()
            else:
                getattr(proxy, way).held = True
            took = seconds_until(
                lambda: len(proxy.connects) > seen,  # noqa: B023 -- called at once
                what=f"noticing a {way} connection",
                limit=90,
            )
            found.append(took)
            proxy.weather()
            stored = rig.stored()
            wait_for(lambda: rig.stored() > stored, what="going on", seconds=90)  # noqa: B023 -- as above
            time.sleep(dice.uniform(0, 2))
        figures, _ = judged(name, rig, setting.seed, runs=setting.count)
    worst = max(found)
    return [
        *figures,
        Figure(name, "noticed within", len(found), worst, 45, unit="s", timing=True),
    ]


@case("loss", faults="14", pr=20, full=300)
def loss(setting: Setting) -> Sequence[Figure]:
    """A fifth of what is sent has to be sent again, and now and then a bit is flipped."""
    name = "14 loss, corruption"
    with proxied(setting) as (rig, proxy):
        proxy.weather(loss=0.2, jitter=0.05, slice=700)
        time.sleep(setting.count / 2)
        proxy.weather(corrupt=0.02)
        time.sleep(setting.count / 2)
        proxy.weather()
        figures, _ = judged(name, rig, setting.seed, runs=1)
    return figures


@case("slow-link", faults="15", pr=40, full=300, alone=True)
def slow_link(setting: Setting) -> Sequence[Figure]:
    """Latency of 2 s ± 1 s and 64 kbit/s while a backlog drains: what is live comes first."""
    name = "15 slow link"
    ages: list[float] = []
    with proxied(setting) as (rig, proxy):
        wait_for(lambda: oldest_latest(rig) > 0, what="a first value of every point", seconds=60)
        wait_for(lambda: is_resumed(rig, 0), what="the agent saying that it is connected")
        connects = rig.stack.agent_status()["sync"]["connects"]
        proxy.weather(held=True)
        time.sleep(setting.count / 2)
        proxy.reset()
        proxy.weather(latency=2.0, jitter=1.0, rate=8_000.0)
        # TCP, TLS, MQTT and hello: so many ways there and back that no rows can go before.
        resumed = seconds_until(
            lambda: is_resumed(rig, connects), what="the answer to hello", limit=90
        )
        # Until the first of them is there, the age is that of the outage.
        first = seconds_until(lambda: newest_age(rig) < 15, what="a new value", limit=60)
        end = time.monotonic() + setting.count
        while time.monotonic() < end:
            ages.append(newest_age(rig))
            time.sleep(0.5)
        setting.say(f"ages: {[round(age) for age in ages]}")
        proxy.weather()
        figures, _ = judged(name, rig, setting.seed, runs=1)
    worst = percentile(ages, 0.95)
    return [
        *figures,
        Figure(name, "resumed after", 1, resumed, None, unit="s"),
        Figure(name, "new values of all points, after that", 1, first, 30, unit="s", timing=True),
        Figure(name, "live age while the backlog drains, p95", len(ages), worst, 30, unit="s", timing=True),
    ]  # fmt: skip


def newest_age(rig: Rig) -> float:
    """Return how old the newest value of the worst point is, seconds."""
    return time.time() - oldest_latest(rig) / 1e6


@case("flapping", faults="16", pr=6, full=120)
def flapping(setting: Setting) -> Sequence[Figure]:
    """The link breaks every 5 s, `count` times: no storm of connections, and nothing lost."""
    name = "16 flapping link"
    with proxied(setting) as (rig, proxy):
        seen, began = len(proxy.connects), time.monotonic()
        pid = rig.stack.children["agent"].pid
        used = cpu_seconds(pid)
        for _ in range(setting.count):
            proxy.reset()
            time.sleep(5)
        minutes = (time.monotonic() - began) / 60
        share = 100 * (cpu_seconds(pid) - used) / (60 * minutes)
        connects = (len(proxy.connects) - seen) / minutes
        figures, _ = judged(name, rig, setting.seed, runs=setting.count)
    return [
        *figures,
        Figure(name, "connects a minute", setting.count, connects, 12, unit="1/min", timing=True),
        Figure(
            name, "processor time of the agent", setting.count, share, 20, unit="%", timing=True
        ),
    ]
