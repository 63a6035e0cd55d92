"""The kit over a real broker: our own agent passes it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from support import conformance_agent
from support.cloud_broker import open_to_others
from support.modbus_bus import independent, write_profile

REGISTERS = [{"id": f"r{address}", "address": address} for address in range(20)]
IMAGE = {"holding": {address: 5 * address for address in range(20)}}


async def kit(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and report."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "plantroom_cloud", "conformance", "gateway", "--json"),
        *("--folder", str(folder), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    report: dict[str, Any] = json.loads(out)
    assert process.returncode is not None
    return process.returncode, report


def outcomes(report: dict[str, Any], outcome: str) -> dict[str, list[str]]:
    return {row["id"]: row["failures"] for row in report["assertions"] if row["outcome"] == outcome}


@pytest.mark.e2e
async def test_our_own_agent_passes(tmp_path: Path) -> None:
    """Our agent fails no assertion; those it gives no occasion for are known by name."""
    async with independent(IMAGE) as port:
        device = write_profile(tmp_path, REGISTERS)
        meter = {**device, "profile_dir": str(tmp_path), "interval": 0.1}
        bus = {"name": "field", "driver": "modbus", "host": "127.0.0.1", "port": port}
        (tmp_path / "buses.json").write_text(json.dumps([{**bus, "devices": [meter]}]))
        command = f"{sys.executable} {conformance_agent.__file__} {{folder}}"
        code, report = await kit(open_to_others(tmp_path), "--exec", command)
    assert outcomes(report, "fails") == {}
    silent = {"SV1-M-04", "SV1-M-06", "SV1-G-01"}  # no findings and no gaps: nothing was lost
    assert outcomes(report, "not exercised").keys() <= silent
    assert report["ended"] == ""
    assert code == 0
