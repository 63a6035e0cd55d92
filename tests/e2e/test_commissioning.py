"""An installer's way: from an empty folder to the first acknowledged sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.commission import Transcript, commission, start
from plantroom_edge.config import load

LIMIT = 180.0
"""Seconds that a person would wait."""


@pytest.mark.e2e
def test_from_an_empty_folder_to_an_acknowledged_sample(tmp_path: Path) -> None:
    """init, run, scan, preview, apply: the cloud has samples of the whole site in three minutes."""
    desk = tmp_path / "gateway"
    desk.mkdir()
    stack, manifest = start(tmp_path)
    try:
        transcript = Transcript(desk, quiet=True)
        status = commission(stack, manifest, transcript)
    finally:
        stack.stop()
    assert dict(transcript.steps)["acknowledged"] < LIMIT
    assert status["agent"]["connected"]
    assert status["lost"] == {}
    bacnet, *modbus = load(desk / "plantroom-edge.yaml").model_dump()["buses"]
    assert {one["address"] for one in manifest["bacnet"]} <= set(bacnet["who_is"])
    assert _profiles(modbus) == {
        # Whatever has SunSpec needs no profile.
        place: "sunspec" if "sunspec" in profile else profile
        for place, profile in _profiles(manifest["modbus"]).items()
    }
    assert set(status["agent"]["buses"]) == {bus["name"] for bus in (bacnet, *modbus)}


def _profiles(buses: list[dict[str, Any]]) -> dict[tuple[int, int], str]:
    """Return the profile of each unit, by port and unit."""
    return {(bus["port"], one["unit"]): one["profile"] for bus in buses for one in bus["devices"]}
