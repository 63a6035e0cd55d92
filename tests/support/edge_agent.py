"""Agents as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support import edge_child
from support.edge_broker import GATEWAY, BrokerProcess


def write_config(folder: Path, broker: BrokerProcess | None = None, **bus: object) -> Path:
    """Write a configuration with one scripted bus; return its path."""
    lines = [
        f"gateway: {GATEWAY}",
        "site: test site",
        "data: ./data",
        "buffer: {commit_ms: 5}",
        "buses:",
        "  - name: bus",
        "    driver: scripted",
        *(f"    {key}: {json.dumps(value)}" for key, value in bus.items()),
    ]
    if broker is not None:
        certs = broker.certificates.folder
        lines += [
            "cloud:",
            "  host: 127.0.0.1",
            f"  port: {broker.port}",
            f"  ca: {certs / 'ca.pem'}",
            f"  cert: {certs / 'gateway.pem'}",
            f"  key: {certs / 'gateway.key'}",
            "  connects_per_minute: 6000",
        ]
    file = folder / "edge.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def start(config: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, edge_child.__file__, "run", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def status_of(config: Path) -> dict[str, Any]:
    out = subprocess.run(
        [sys.executable, edge_child.__file__, "status", str(config), "--json"],
        capture_output=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(out.stdout)
    return document


def wait_for_samples(
    child: subprocess.Popen[bytes], config: Path, samples: int, within: float = 60.0
) -> None:
    """Return when `child` says in its status file that it has accepted so many samples."""
    deadline = time.monotonic() + within
    file = config.parent / "data" / "status.json"
    while True:
        try:
            said = json.loads(file.read_bytes())
        except (OSError, ValueError):
            said = {}
        accepted = said.get("counters", {}).get("accepted", 0)
        if said.get("pid") == child.pid and accepted >= samples:
            return
        assert time.monotonic() < deadline, f"no {samples} samples in time: {said}"
        time.sleep(0.05)
