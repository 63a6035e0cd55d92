"""The gateway as a device: what the agent says of itself becomes points."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.drivers import Poll
from plantroom_edge.drivers.agent import AgentBus, AgentDriver
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Quality, Value
from plantroom_shared.units import parse_unit

SAID: dict[str, Any] = {
    "stopped": False,
    "gateway": "gw-tower-0001",
    "safe_mode": False,
    "connected": True,
    "samples_per_second": 12.5,
    "autonomy_hours": 200.5,
    "machine": {
        "cpu_percent": 3.25,
        "cpu_seconds": 99.0,
        "resident_bytes": 64_000_000,
        "written_bytes": 2_500_000,
        "temperature_c": 51.5,
    },
    "counters": {"restarts": 4},
    "tasks": {"bus field": {"failing": True}, "sync": {"failing": False}},
    "buffer": {"disk_bytes": 8_000_000, "held": {"tel": 40, "evt": 2}, "oldest_us": None},
    "sync": {"clock_skew_us": -1500},
    "buses": {
        "field": {
            "counters": {"polls": 700, "overruns": 3, "bad": 9},
            "suppressed_percent": 87.5,
            "poll_ms": {"p50": 4.5, "p95": 20.25},
            "devices": {"a": {"alive": True}, "b": {"alive": False}, "c": {"alive": True}},
        }
    },
}
SHOWN: dict[str, Value] = {
    "cpu": 3.25,
    "memory": 64.0,
    "disk-writes": 2.5,
    "temperature": 51.5,
    "samples-per-second": 12.5,
    "restarts": 4,
    "tasks-failing": 1,
    "safe-mode": False,
    "buffer-size": 8.0,
    "buffer-rows": 42,
    "buffer-autonomy": 200.5,
    "sync-connected": True,
    "sync-oldest": 0.0,
    "clock-offset": -1.5,
    "field:polls": 700,
    "field:overruns": 3,
    "field:bad": 9,
    "field:suppressed": 87.5,
    "field:latency-p50": 4.5,
    "field:latency-p95": 20.25,
    "field:devices": 3,
    "field:devices-dead": 1,
}


def say(file: Path, **more: Any) -> None:
    """Write a status as an agent of this process does now."""
    now = {"pid": os.getpid(), "at_us": SystemClock().now_us()}
    file.write_text(json.dumps(SAID | now | more))


@asynccontextmanager
async def far_end() -> AsyncIterator[tuple[dict[str, Any], dict[str, Value]]]:
    """Yield a bus that reads an agent's status, and what its points show."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "status.json"
        say(file)
        shown = {f"agent:self:{one}": value for one, value in SHOWN.items()}
        # The bus of the contract suite is called field, too, and no bus reports on itself.
        yield {"name": "self", "driver": "agent", "file": str(file)}, shown


def opened(file: Path, name: str = "self") -> AgentDriver:
    config = AgentBus.model_validate({"name": name, "driver": "agent", "file": file})
    return AgentDriver(config, SystemClock())


async def read_all(driver: AgentDriver) -> list[Poll]:
    return [await driver.read(group) for group in (await driver.discover()).groups]


async def test_the_bus_of_the_figures_is_not_among_them(tmp_path: Path) -> None:
    """The driver does not report on its own bus: that would be figures of figures."""
    say(tmp_path / "s")
    found = await opened(tmp_path / "s", "field").discover()
    assert all(":field:" not in point.key for point in found.points)
    assert len(found.groups) == 1


async def test_a_new_bus_is_found_later(tmp_path: Path) -> None:
    """The driver asks to be looked at again, and keeps the groups that it had."""
    say(tmp_path / "s")
    driver = opened(tmp_path / "s")
    before = await driver.discover()
    say(tmp_path / "s", buses=SAID["buses"] | {"roof": {"counters": {}}})
    after = await driver.discover()
    assert before.again > 0
    assert after.groups[:2] == before.groups
    assert {point.key for point in after.points} > {point.key for point in before.points}
    poll = await driver.read(after.groups[2])
    roof = dict(zip(after.groups[2].points, poll.values, strict=True))
    assert roof["agent:self:roof:polls"] == 0
    assert roof["agent:self:roof:latency-p50"] is None


async def test_what_is_not_known_is_bad_and_not_nothing(tmp_path: Path) -> None:
    """A gateway without a thermometer has no such point; what is not known yet is bad, with a reason."""
    machine = {"cpu_seconds": 1.0}
    more = {"autonomy_hours": None, "machine": machine, "buffer": {"problem": "gone"}, "sync": {}}
    say(tmp_path / "s", **more)
    driver = opened(tmp_path / "s")
    group = (await driver.discover()).groups[0]
    poll = await driver.read(group)
    unknown = {group.points[row].rpartition(":")[2] for row in poll.quality}
    assert "agent:self:temperature" not in group.points
    assert unknown == {
        *("cpu", "memory", "disk-writes", "buffer-size", "buffer-rows", "buffer-autonomy"),
        *("sync-oldest", "clock-offset"),
    }
    assert set(poll.quality.values()) == {(int(Quality.BAD), "unknown")}
    assert poll.alive


async def test_the_age_of_the_oldest_row_is_what_the_cloud_lags(tmp_path: Path) -> None:
    """Rows that are not confirmed have an age, in seconds."""
    now = SystemClock().now_us()
    say(tmp_path / "s", at_us=now, buffer=SAID["buffer"] | {"oldest_us": now - 90_000_000})
    driver = opened(tmp_path / "s")
    (group, _) = (await driver.discover()).groups
    poll = await driver.read(group)
    assert poll.values[group.points.index("agent:self:sync-oldest")] == 90.0


@pytest.mark.parametrize(
    "more",
    [
        {"stopped": True},
        {"pid": 0},
        {"at_us": 1},
        {"at_us": None},
        {"buses": None},
    ],
    ids=["stopped", "nobody", "old", "undated", "half"],
)
async def test_words_of_the_past_are_no_figures(tmp_path: Path, more: dict[str, Any]) -> None:
    """What no running agent has said a moment ago is neither discovered nor read as good."""
    say(tmp_path / "s")
    driver = opened(tmp_path / "s")
    groups = (await driver.discover()).groups
    say(tmp_path / "s", **more)
    poll = await driver.read(groups[0])
    assert not poll.alive
    assert set(poll.quality.values()) == {(int(Quality.BAD), "stale")}
    assert (await driver.discover()).missing == (f"{tmp_path / 's'}: no running agent writes it",)


async def test_its_file_is_found_from_the_configuration() -> None:
    """Without `file` it is the status in the usual data folder beside the configuration."""
    context = {"folder": Path("/etc/plantroom")}
    config = AgentBus.model_validate({"name": "self", "driver": "agent"}, context=context)
    assert config.file == Path("/etc/plantroom/data/status.json")
    assert config.interval == 60


async def test_units_are_known(tmp_path: Path) -> None:
    """Every unit but that of memory converts, so that a rule of sampling can use it."""
    say(tmp_path / "s")
    points = (await opened(tmp_path / "s").discover()).points
    assert {point.unit for point in points if point.unit and parse_unit(point.unit) is None} == {
        "MB"
    }
    assert not any(point.writable for point in points)
