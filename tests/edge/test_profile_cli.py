"""``plantroom-edge profile``: what it writes and prints, the codes it ends with, live devices."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from plantroom_edge import cli
from plantroom_shared.profiles import json_schema, list_profiles
from support import bacnet_peers
from support.modbus_bus import bus, groups_of, read

FOLDER = Path(__file__).parents[2] / "firmware_profiles"


def run(*arguments: object) -> int:
    sys.argv = ["plantroom-edge", "profile", *map(str, arguments)]
    return cli.main()


def test_new_then_check_then_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a register list to a profile that is good, without touching anything else."""
    table = tmp_path / "list.csv"
    table.write_text("address,name,type,unit,scale\n1,Power,u32,W,1\n3,State,u16,,1\n")
    made = ("new", "meter/acme-m1", "--vendor", "Acme", "--model", "M 1", "--dir", tmp_path)
    assert run(*made, "--from-csv", table, "--base", 1, "--source", "Map, revision 2") == 0
    file = tmp_path / "meter" / "acme-m1.yaml"
    assert f"wrote {file}" in capsys.readouterr().out
    assert run("check", file) == 0
    out = capsys.readouterr().out
    assert ": good" in out
    assert "every 5 s: 2 points, 1 requests, 3 registers, 27 bytes" in out
    assert run("show", "meter/acme-m1", "--dir", tmp_path) == 0
    assert "Map, revision 2" in capsys.readouterr().out
    assert run("show", file, "--json") == 0
    assert json.loads(capsys.readouterr().out)["registers"][0]["address"] == 0
    assert run(*made) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(*made, "--bacnet", "--force") == 0
    assert run("check", "meter/acme-m1", "--dir", tmp_path) == 0
    assert "a round: 1 points, 1 requests" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("new", "Meter/X", "--vendor", "A", "--model", "B"), "is no name of a profile"),
        (("new", "a/b", "--vendor", "A", "--model", "B", "--from-csv", "no.csv"), "no.csv: it can"),
        (
            ("new", "a/b", "--vendor", "A", "--model", "B", "--dir", "/dev/null"),
            "cannot be written",
        ),
        (("check", "no.yaml"), "no.yaml: it cannot be read"),
        (("check", "meter/none"), "no profile 'meter/none'"),
        (("simulate", "meter/eastron-sdm630", "--unit", "300"), "300 is no unit id"),
        (("simulate", "meter/eastron-sdm630", "--host", "192.0.2.1"), "cannot be had"),
    ],
)
def test_a_wrong_command_ends_with_2(
    arguments: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what to do."""
    assert run(*arguments) == 2
    assert what in capsys.readouterr().err


def test_check_tells_errors_and_doubts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is checked whole; one wrong file makes it end with 2, doubts do not."""
    head = {"profile": 1, "vendor": "V", "model": "M", "source": "S"}
    register = {"id": "a", "name": "A", "address": 40001}
    folder = tmp_path / "meter"
    folder.mkdir()
    (folder / "a-doubt.yaml").write_text(yaml.safe_dump(head | {"registers": [register]}))
    assert run("check", tmp_path) == 0
    out = capsys.readouterr().out
    assert "doubtful: " in out
    assert "registers[0] (a).address: all holding registers are at 40001 and above" in out
    (folder / "b-wrong.yaml").write_text(yaml.safe_dump(head | {"registers": [{"id": "a"}]}))
    assert run("check", tmp_path) == 2
    assert "error: " in capsys.readouterr().out
    assert run("check", tmp_path, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert [len(one["errors"]) for one in told.values()] == [0, 2]
    assert [len(one["warnings"]) for one in told.values()] == [2, 0]
    (tmp_path / "empty").mkdir()
    assert run("check", tmp_path / "empty") == 2


def test_list_and_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Every profile is listed; the schema is the one of the repository."""
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["profiles"]
    assert [one["name"] for one in listed] == list_profiles()
    assert run("list") == 0
    assert "protocol" in capsys.readouterr().out
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
    assert run("show", "gateway/lg-acp-bacnet") == 0
    assert "LG Electronics" in capsys.readouterr().out


@asynccontextmanager
async def _simulated(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    """Run `profile simulate` and yield the bus that it says to configure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", "plantroom_edge", "profile", "simulate", *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        text = b""
        async with asyncio.timeout(30):
            while b"profile_dir" not in text and b"who_is" not in text:
                line = await process.stdout.readline()
                assert line
                text += line
        (found,) = yaml.safe_load(text)["buses"]
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_a_simulated_meter_is_read() -> None:
    """What is printed is the configuration to read it with; its values are good and move."""
    async with _simulated("meter/eastron-sdm630", "--unit", "9", "--seed", "4") as found:
        (settings,) = found["devices"]
        assert (settings["unit"], settings["profile"]) == (9, "meter/eastron-sdm630")
        async with asyncio.timeout(30), bus(found["port"], settings) as driver:
            groups = await groups_of(driver, "simulated")
            first = await read(driver, groups)
            while (later := await read(driver, groups)).values == first.values:
                await asyncio.sleep(0.05)
    assert first.reasons == later.reasons == {}
    assert first.values["l1-voltage"] == pytest.approx(230, abs=10)


async def test_a_simulated_chiller_is_read() -> None:
    """The same for a BACnet device, from a file."""
    file = FOLDER / "chiller" / "carrier-19xr.yaml"
    async with _simulated(str(file), "--unit", "77") as found:
        (target,) = found["who_is"]
        async with asyncio.timeout(30), bacnet_peers.driver(target) as driver:
            inventory = await driver.discover()
            poll = await driver.read(inventory.groups[0])
    (device,) = inventory.devices
    assert (device.key, device.vendor) == ("bacnet:77", "Carrier")
    assert poll.quality == {}
