"""The agent as a process with a section ``sampling:``: what it keeps, and what it says."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from support import edge_agent

SAMPLING = """\
sampling:
  report: by-exception
  counters: [{point: "*:p0"}]
  derived:
    - {id: twice, name: Twice, expression: "2 * 'scripted:0:p1'"}
    - {id: lost, name: Lost, expression: "1 + 'nobody:x'"}
"""


def _run(config: Path, polls: int) -> dict[str, Any]:
    """Run the agent until it has polled so often; return its last words."""
    child = edge_agent.start(config)
    file = config.parent / "data" / "status.json"
    said: dict[str, Any] = {}
    deadline = time.monotonic() + 60
    try:
        while said.get("pid") != child.pid or said["counters"].get("polls", 0) < polls:
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
            said = json.loads(file.read_bytes()) if file.exists() else {}
        child.send_signal(signal.SIGTERM)
    finally:
        try:
            child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0
    last: dict[str, Any] = json.loads(file.read_bytes())
    return last


def test_totals_outlive_the_process_and_the_status_tells_what_is_suppressed(tmp_path: Path) -> None:
    """A device that began anew while the agent was away is a reset; its total only grows."""
    config = edge_agent.write_config(tmp_path, devices=1, points=3, interval=0.05)
    config.write_text(config.read_text() + SAMPLING)
    kept = tmp_path / "data" / "counters.json"
    first = _run(config, 60)
    assert first["sampling"]["problems"] == {"lost": "no bus has nobody:x"}
    assert first["counters"]["derived"] > 0
    bus = first["buses"]["bus"]
    assert bus["devices"]["scripted:0"]["overruns"] >= 0
    assert 0 <= bus["suppressed_percent"] < 100
    before = json.loads(kept.read_bytes())["counters"]["scripted:0:p0"]
    assert before["total"] == before["last"] >= 60
    second = _run(config, 10)
    after = json.loads(kept.read_bytes())["counters"]["scripted:0:p0"]
    assert second["sampling"]["resets"] == 1
    assert after["total"] == before["total"] + after["last"]
