"""An installer's way: from an empty folder to the first acknowledged sample."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demo.commission import Transcript, commission, start
from plantroom_edge.config import load
from support import edge_commission

LIMIT = 180.0
"""Seconds that a person would wait."""


@pytest.mark.e2e
def test_from_an_empty_folder_to_an_acknowledged_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init, run, scan, preview, apply: the cloud has samples of the whole site in three minutes."""
    monkeypatch.setenv("PLANTROOM_TEST_SITE", str(tmp_path / "site.json"))
    desk = tmp_path / "gateway"
    desk.mkdir()
    stack, manifest = start(tmp_path)
    try:
        edge = [sys.executable, edge_commission.__file__]
        transcript = Transcript(desk, edge, quiet=True)
        status = commission(stack, manifest, transcript)
    finally:
        stack.stop()
    assert dict(transcript.steps)["acknowledged"] < LIMIT
    assert status["agent"]["connected"]
    assert status["lost"] == {}
    bacnet, *modbus = load(desk / "plantroom-edge.yaml").model_dump()["buses"]
    assert {one["address"] for one in manifest["bacnet"]} <= set(bacnet["who_is"])
    assert {(bus["port"], one["unit"]) for bus in modbus for one in bus["devices"]} == {
        (bus["port"], one["unit"]) for bus in manifest["modbus"] for one in bus["devices"]
    }
    assert set(status["agent"]["buses"]) == {bus["name"] for bus in (bacnet, *modbus)}
