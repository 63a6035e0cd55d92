"""The whole path, as a user starts it: from a register to EnOS, and a finding on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo" / "run.py"
PATIENCE = 240.0
"""Seconds until the planted fault must have been found, on a busy machine."""


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of living processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder:
                found.append((process / "cmdline").read_text())
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.e2e
@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_demo_from_register_to_enos(broker: str, tmp_path: Path) -> None:
    """Everything accepted is stored, mapped and published; the fault is found; nothing is left."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, DEMO, "--json", "--broker", broker, "--folder", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        deadline = time.monotonic() + PATIENCE
        for line in demo.stderr:
            lines.append(line)
            if "findings 1" in line or time.monotonic() > deadline:
                break
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=120)
    assert out, "".join(lines) + err
    summary = json.loads(out)
    assert summary["error_details"] == []
    assert summary["broker"] == broker
    assert summary["devices"] >= 10
    assert summary["points"] >= 550
    assert summary["gaps"] == 0
    assert summary["accepted"] == summary["stored"] + summary["gaps"] + summary["on_edge"] > 0
    assert summary["mapped_right"] >= 0.95 * summary["mappable"]
    assert summary["enos_received"] == summary["published"] > 0
    assert summary["findings"] >= 1
    assert summary["findings_before_fault"] == 0
    assert summary["foreign_rows"] == 0
    assert summary["errors"] == 0
    assert demo.returncode == 0, err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """Even kill -9 of the demo ends everything it has started."""
    with subprocess.Popen(
        [sys.executable, DEMO, "--folder", tmp_path, "--broker", "embedded"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        next(line for line in demo.stderr if "accepted" in line)
        (folder,) = tmp_path.iterdir()
        assert len(processes_of(folder)) >= 4
        os.kill(demo.pid, signal.SIGKILL)
        demo.wait(60)
        deadline = time.monotonic() + 30
        while processes_of(folder) and time.monotonic() < deadline:
            os.sched_yield()
        assert processes_of(folder) == []
