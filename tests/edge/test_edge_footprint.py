"""What an agent that runs for years does not carry along."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import free_port
from plantroom_edge import agent, running, start
from plantroom_edge.buffer_latest import Latest
from plantroom_edge.buffer_points import Points, doc
from plantroom_edge.drivers.modbus.config import ModbusBus
from plantroom_edge.drivers.modbus.driver import ModbusDriver
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Batch, Point
from plantroom_shared.profile_yaml import read_yaml
from plantroom_shared.registry import Registry
from support.edge_broker import GATEWAY, Certificates

CHILD = """
import asyncio, sys
from plantroom_edge import agent, start
from plantroom_edge.sampler import Sampler
run, poll = agent.run, Sampler._poll
async def ends(*given, **more):
    stop = asyncio.Event()
    async def polled(*given):
        change = await poll(*given)
        stop.set()
        return change
    Sampler._poll = polled
    async with asyncio.timeout(50):
        await run(*given, **more, stop=stop)
agent.run = ends
code = start.main()
print(*sorted(set(NEVER) & set(sys.modules)))
sys.exit(code)
"""
NEVER = (
    "typer",
    "rich.console",
    "cryptography",  # eleven megabytes; of a gateway that writes nothing and has lost nothing
    "jsonschema",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "bacpypes3",
    "pymodbus",
    "sunspec2",
    "plantroom_shared.mapping",
    "plantroom_edge.cli",
    "plantroom_edge.cli_common",
    "plantroom_edge.commands.service",
    "plantroom_edge.config_edit",
    "plantroom_edge.control_client",
    "plantroom_edge.doctor",
    "plantroom_edge.drivers.bacnet.client",
    "plantroom_edge.drivers.modbus.guess",
    "plantroom_edge.drivers.modbus.scan_line",
    "plantroom_edge.exposition",
    "plantroom_edge.metrics",
    "plantroom_edge.preview_source",
    "plantroom_edge.profile_check",
    "plantroom_edge.profile_new",
    "plantroom_edge.scanning",
    "plantroom_edge.simulation",
    "plantroom_edge.sinks.sparkplug",
)
"""What an agent that polls meters over Modbus and sends to a cloud has no use for."""


def _config(folder: Path) -> Path:
    """Write a configuration of a meter and a cloud, neither of which is there."""
    file, certificates = folder / "edge.yaml", Certificates(folder / "certs")
    device = {"name": "meter", "profile": "meter/eastron-sdm630"}
    bus = {"name": "m", "driver": "modbus", "host": "127.0.0.1", "port": free_port()}
    names = {"ca": "ca.pem", "cert": "gateway.pem", "key": "gateway.key"}
    files = {key: str(certificates.folder / name) for key, name in names.items()}
    content = {
        "gateway": GATEWAY,
        "site": "tower",
        "data": str(folder / "data"),
        "cloud": {"host": "127.0.0.1", "port": free_port(), **files},
        "buses": [{**bus, "devices": [device]}],
    }
    file.write_text(json.dumps(content))
    return file


def test_a_running_agent_carries_only_what_it_uses(tmp_path: Path) -> None:
    """After a poll of a Modbus site nothing is imported that other commands and other sites need."""
    done = subprocess.run(
        [sys.executable, "-c", f"NEVER = {NEVER}\n{CHILD}", "run", str(_config(tmp_path)), "-v"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_what_it_must_not_carry_is_there_to_be_carried() -> None:
    """The names in the list are right: a renamed module would no longer be looked for."""
    ours = [name for name in NEVER if name.startswith("plantroom")]
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []


def test_run_without_the_terminal_behaves_as_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It hands on file and option, and a wrong file is told in the same words, with exit code 2."""
    called: list[tuple[Path, bool]] = []
    monkeypatch.setattr(running, "run", lambda file, *, verbose: called.append((file, verbose)))
    monkeypatch.setattr(sys, "argv", ["plantroom-edge", "run", "--verbose", "a.yaml"])
    assert start.main() == 0
    assert called == [(Path("a.yaml"), True)]
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["plantroom-edge", "run", str(tmp_path / "none.yaml")])
    assert start.main() == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "--help"], ["--help"], ["run", "a", "b"], ["run"]])
def test_all_else_is_the_business_of_the_command_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help, wrong arguments and other commands never start an agent."""
    monkeypatch.setattr(agent, "run", None)
    monkeypatch.setattr(sys, "argv", ["plantroom-edge", *arguments])
    assert start.main() == (0 if "--help" in arguments else 2)


def test_the_dictionary_gives_back_what_it_was_given() -> None:
    """Points kept as JSON come out as they went in, one by one and in slices."""
    given = [
        Point(key="a", device="d", name="A", unit="kW", writable=True),
        Point(key="b", device="d", name="B", states=("off", "on")),
        Point(key="c", device="d", name="C", writable=False),
    ]
    points = Points()
    points.extend(doc(point) for point in given)
    assert list(points) == given
    assert points[1:] == given[1:]
    assert len(points) == 3
    assert b"description" not in points.docs[0]


def test_devices_of_a_model_share_what_follows_from_their_profile() -> None:
    """Requests and conversions are compiled once for ten meters; one that refuses has its own."""
    devices = [
        {"name": f"m{unit}", "unit": unit, "profile": "meter/eastron-sdm630"} for unit in (1, 2, 3)
    ]
    bus = ModbusBus.model_validate(
        {"name": "m", "driver": "modbus", "host": "127.0.0.1", "devices": devices}
    )
    driver = ModbusDriver(bus, SystemClock())
    plans = [unit.groups[0].plan.group for unit in driver._units]
    assert plans[0].layout is plans[1].layout
    assert plans[0].planned() is plans[1].planned()
    driver._units[2].lessons.cut("input", 2, 0.0)
    assert plans[2].planned() is not plans[0].planned()
    assert len(plans[2].planned()) == len(plans[0].planned()) + 1
    driver._connection.close()


def test_a_plug_in_is_found_by_its_name_alone() -> None:
    """The module of a name is imported if it is there; a name that is none imports nothing."""
    registry: Registry[object] = Registry("sink", "plantroom_edge.sinks")
    assert not registry._import("no such name")
    assert not registry._import("nowhere")
    assert not registry._import("sparkplug")  # it has registered with the agent's own registry


def test_lists_are_built_item_by_item_and_nothing_is_lost() -> None:
    """Nested lists, mappings, nulls and numbers are what they are when read whole."""
    text = b"a: [1, [2, {b: null, c: [x, {d: 0x10}]}], 2.5]\ne:\n  - {f: 1}\n  - {f: 1}\n"
    assert read_yaml(text, "x") == {
        "a": [1, [2, {"b": None, "c": ["x", {"d": 16}]}], 2.5],
        "e": [{"f": 1}, {"f": 1}],
    }


def test_the_newest_row_of_a_point_stays_whatever_batch_it_came_in() -> None:
    """Whole batches, repeated points, bad rows and partly newer batches fold to the last word."""
    latest = Latest()
    latest.note(1, Batch([1, 2, 3], [10, 10, 10], [1.0, 2.0, 3.0], {1: (2, "timeout")}))
    latest.note(4, Batch([3, 3, 4], [11, 12, 12], [None, 5.0, 6.0], {0: (2, "x"), 2: (1, "y")}))
    latest.note(7, Batch([5, 5], [13, 14], [7.0, None], {1: (2, "stale")}))
    batch, order = latest.snapshot()
    rows = zip(batch.points, batch.times, batch.values, order, strict=True)
    assert sorted(rows) == [
        (1, 10, 1.0, 1), (2, 10, 2.0, 2), (3, 12, 5.0, 5), (4, 12, 6.0, 6), (5, 14, None, 8),
    ]  # fmt: skip
    told = {batch.points[row]: flaw for row, flaw in batch.quality.items()}
    assert told == {2: (2, "timeout"), 4: (1, "y"), 5: (2, "stale")}
