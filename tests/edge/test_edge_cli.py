"""The command line: what it prints, and the codes it ends with."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from plantroom_edge import agent, cli
from plantroom_edge.buffer_store import Store
from plantroom_shared.errors import Unavailable
from support import edge_agent, edge_driver
from support.edge_driver import ScriptedDriver
from support.edge_rows import METER, counting, finding, points
from support.edge_time import VirtualTime


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


@pytest.fixture(autouse=True)
def logs_restored() -> Iterator[None]:
    """The command line configures logging for the process: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return edge_agent.write_config(tmp_path, devices=2, points=3)


@pytest.fixture
def filled(config: Path) -> Path:
    """A configuration whose buffer holds two epochs' rows."""
    (config.parent / "data").mkdir()
    for ep in ("1" * 16, "2" * 16):
        store = Store(config.parent / "data" / "buffer.db", 1 << 30, ep, VirtualTime())
        store.run(lambda: store.add_points(points(1), [METER]))  # noqa: B023 -- run at once
        for i in range(5):
            store.run(lambda: store.append([counting(i * 10, 10)], [finding("f")]))  # noqa: B023 -- run at once
        store.run(lambda: store.confirm(store.ep, "tel", [(1, 20)]))  # noqa: B023 -- run at once
        store.close()
    return config


def run(*arguments: object) -> int:
    sys.argv = ["plantroom-edge", *map(str, arguments)]
    return cli.main()


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what each command does and names every exit code."""
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert "Exit codes" in out
    commands = {
        "init": "--force",
        "scan": "--modbus",
        "add": "--profile",
        "preview": "--filter",
        "apply": "--yes",
        "doctor": "--json",
        "discover": "--map",
        "run": "--verbose",
        "status": "--json",
        "buffer": "check",
    }
    for command, option in commands.items():
        assert command in out
        assert run(command, "--help") == 0
        assert option in capsys.readouterr().out


def test_init_writes_a_file_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The starter file is written once; overwriting it takes --force."""
    file = tmp_path / "new" / "edge.yaml"
    assert run("init", file, "--gateway", "gw-mine-0001") == 0
    assert "plantroom-edge scan" in capsys.readouterr().err
    assert "gw-mine-0001" in file.read_text()
    assert run("discover", file) == 0
    assert "no buses" in capsys.readouterr().out
    assert run("init", file) == 2
    assert "--force" in capsys.readouterr().err
    assert run("init", file, "--force") == 0
    assert run("init", tmp_path / "new" / "edge.yaml" / "below.yaml") == 2


def test_a_wrong_file_ends_with_two_and_says_everything(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Configuration errors come one to a line, before anything starts."""
    config.write_text(config.read_text().replace("points", "pionts").replace("site", "sote"))
    assert run("run", config) == 2
    err = capsys.readouterr().err
    assert "did you mean `points`?" in err
    assert "did you mean `site`?" in err
    assert err.count("error:") == 3
    assert not (config.parent / "data").exists()
    assert run("nonsense") == 2
    assert run("status") == 2


def test_discover_lists_devices_and_points(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Devices and points come as tables, or as JSON with every field."""
    assert run("discover", config) == 0
    out = capsys.readouterr().out
    assert "2 devices" in out
    assert "scripted:1:p2" in out
    assert run("discover", config, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["devices"], document["points"]) == (2, 6)
    assert document["buses"]["bus"]["points"][0]["key"] == "scripted:0:p0"


def test_a_bus_that_fails_does_not_hide_the_others(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bus that cannot be opened is listed as giving no answer."""

    async def broken(_self: ScriptedDriver) -> None:
        msg = "the port [bold] is taken"
        raise Unavailable(msg)

    monkeypatch.setattr(ScriptedDriver, "discover", broken)
    assert run("discover", config) == 0
    out = capsys.readouterr().out
    assert "no answer: the port [bold] is taken" in out


def test_discover_can_say_what_the_points_are(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --map each point shows its equipment, its classes and how sure that is."""

    def map_points(found: list[object], devices: list[object]) -> list[SimpleNamespace]:
        assert len(found) == 6
        assert len(devices) == 2
        return [
            SimpleNamespace(
                point="scripted:0:p0",
                equipment="AHU-1",
                equip_class="AHU",
                point_class="Supply_Air_Temperature_Sensor",
                model_id="EnOS_HVAC_AHU",
                model_point="SupplyAirTemp",
                confidence=0.93,
            )
        ]

    monkeypatch.setitem(
        sys.modules, "plantroom_shared.mapping", SimpleNamespace(map_points=map_points)
    )
    assert run("discover", config, "--map", "--json") == 0
    first, second, *_ = json.loads(capsys.readouterr().out)["buses"]["bus"]["points"]
    assert first["mapping"]["confidence"] == 0.93
    assert "mapping" not in second
    monkeypatch.setenv("COLUMNS", "300")
    assert run("discover", config, "--map") == 0
    assert "EnOS_HVAC_AHU/SupplyAirTemp" in capsys.readouterr().out


def test_discover_can_say_what_of_the_points_is_stored(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --sampling points come as they are stored, each with its deadband and who says so."""
    rules = "bands: [{point: 'scripted:0:*', deadband: 2}], counters: [{point: '*:1:p0', modulus: 2^16}]"
    config.write_text(config.read_text() + f"sampling: {{{rules}}}\n")
    assert run("discover", config, "--sampling", "--json") == 0
    points = json.loads(capsys.readouterr().out)["buses"]["bus"]["points"]
    told = {one["key"]: one.get("sampling") for one in points}
    band = {"absolute": 2.0, "percent": 0.0, "heartbeat": 900.0, "by": "rule"}
    assert told["scripted:0:p0"] == {"deadband": band, "counter": None}
    counter = {"by": "rule", "modulus": 65536, "rollover": None}
    assert told["scripted:1:p0"] == {"deadband": None, "counter": counter}
    assert told["scripted:1:p0:total"] is None
    monkeypatch.setenv("COLUMNS", "300")
    assert run("discover", config, "--sampling", "--map") == 0
    out = capsys.readouterr().out
    assert "2 (by rule), or 900 s" in out
    assert "0 again at 65536 raw (by rule)" in out


def test_status_without_an_agent(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The account is read from the buffer: totals, and by epoch, for a reckoning after a crash."""
    assert run("status", filled, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["accepted"], document["on_edge"]) == (100, 60)
    assert (document["findings_accepted"], document["findings_on_edge"]) == (10, 10)
    assert not document["running"]
    first = document["epochs"][0]
    assert first["accepted"] == {"cmd": 0, "evt": 5, "aud": 0, "tel": 50}
    assert first["held"] == {"tel": [[21, 50]], "evt": [[1, 5]]}
    assert run("status", filled) == 0
    out = capsys.readouterr().out
    assert "not running" in out
    assert "100" in out


def test_status_before_the_first_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that never ran has an empty account and a hint."""
    assert run("status", config) == 0
    assert "first run" in capsys.readouterr().out.replace("\n", " ")


def test_status_of_a_running_agent(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Devices, link and rates of a running agent are shown."""
    import os

    said = {
        "pid": os.getpid(),
        "connected": True,
        "sync": {"protocol": "5", "last_ack_age": 0.4},
        "samples_per_second": 12.5,
        "autonomy_hours": 99.5,
        "buses": {
            "bus": {
                "devices": {
                    "scripted:0": {"alive": True, "failures": 0, "polls": 9, "points": 3},
                    "scripted:1": {"alive": False, "failures": 7, "polls": 9, "points": 3},
                }
            }
        },
    }
    (filled.parent / "data" / "status.json").write_text(json.dumps(said))
    assert run("status", filled) == 0
    out = capsys.readouterr().out
    assert "connected, MQTT 5" in out
    assert "12.5 samples/s" in out
    assert "no (7 times)" in out


def test_lost_rows_are_never_passed_over(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that were declared lost stand in status and in the buffer's figures."""
    db = sqlite3.connect(filled.parent / "data" / "buffer.db")
    db.execute("INSERT INTO counter VALUES ('lost_quota_tel', 1234)")
    db.commit()
    db.close()
    assert run("status", filled) == 0
    assert "1,234" in capsys.readouterr().out
    assert run("buffer", "stats", filled) == 0
    assert "1,234" in capsys.readouterr().out


def test_buffer_commands(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures, messages and soundness of the buffer, as tables and as JSON."""
    assert run("buffer", "stats", filled) == 0
    assert "1" * 16 in capsys.readouterr().out
    assert run("buffer", "stats", filled, "--json") == 0
    assert json.loads(capsys.readouterr().out)["on_edge"] == 60
    assert run("buffer", "list", filled, "--limit", 3, "--json") == 0
    messages = json.loads(capsys.readouterr().out)["messages"]
    assert [(m["stream"], m["s0"], m["n"]) for m in messages] == [("evt", i, 1) for i in (1, 2, 3)]
    assert run("buffer", "list", filled) == 0
    assert "21..30" in capsys.readouterr().out
    assert run("buffer", "check", filled) == 0
    assert "sound" in capsys.readouterr().out
    assert run("buffer", "check", filled, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "problems": []}


def test_check_finds_what_breaks_the_rule(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, surplus and doubled rows and damaged messages are each named; the code is 1."""
    db = sqlite3.connect(filled.parent / "data" / "buffer.db")
    db.execute("DELETE FROM retained WHERE epoch=1")
    db.execute("DELETE FROM frame WHERE stream='tel' AND epoch=1 AND s0=21")
    db.execute("UPDATE frame SET s0=s0+1000 WHERE stream='tel' AND epoch=2 AND s0=41")
    db.execute("UPDATE frame SET s0=1 WHERE stream='tel' AND epoch=2 AND s0=31")
    db.execute("UPDATE frame SET crc=0 WHERE stream='evt' AND s0=1")
    db.commit()
    assert run("buffer", "check", filled) == 1
    out = capsys.readouterr().out
    for text in (
        "neither held nor confirmed",
        "never accepted",
        "both held and confirmed",
        "in more than one message",
        "CRC",
    ):
        assert text in out
    assert run("buffer", "check", filled, "--json") == 1
    assert not json.loads(capsys.readouterr().out)["ok"]


def test_a_buffer_that_cannot_be_read_ends_with_one(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No buffer, or a broken one, is said plainly."""
    assert run("buffer", "stats", config) == 1
    assert "first run" in capsys.readouterr().err.replace("\n", " ")
    (config.parent / "data").mkdir()
    (config.parent / "data" / "buffer.db").write_bytes(b"rubbish" * 1000)
    assert run("buffer", "check", config) == 1
    assert "repairs it" in capsys.readouterr().err


def test_run_ends_with_the_agents_end(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orderly stop is 0, a fault of the machine is 1."""

    async def ends(*_: object, file: Path) -> None:
        assert file.is_absolute()

    monkeypatch.setattr(agent, "run", ends)
    assert run("run", config, "--verbose") == 0

    async def fails(*_: object, file: Path) -> None:
        msg = "the machine is on fire"
        raise Unavailable(msg)

    monkeypatch.setattr(agent, "run", fails)
    assert run("run", config) == 1
    assert "on fire" in capsys.readouterr().err
