"""The simulated site as a process, for tests."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.site.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
"""How long anything may take before a test gives up."""


class SiteProcess:
    """One running site: its manifest, its standard input, its end."""

    def __init__(self, process: subprocess.Popen[str], manifest: dict[str, Any]) -> None:
        self.process, self.manifest = process, manifest

    def tell(self, line: str) -> None:
        """Write one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def bacnet(self, instance: int) -> tuple[str, int]:
        """Return the address of a BACnet device."""
        devices = self.manifest["bacnet"]
        address = next(one["address"] for one in devices if one["instance"] == instance)
        host, _, port = address.rpartition(":")
        return host, int(port)

    def modbus(self, device: str) -> tuple[int, int]:
        """Return the TCP port and the unit id of a Modbus device."""
        for bus in self.manifest["modbus"]:
            for one in bus["devices"]:
                if one["name"] == device:
                    return bus["port"], one["unit"]
        raise KeyError(device)


@contextmanager
def running_site(folder: Path, *arguments: str) -> Iterator[SiteProcess]:
    """Start a site with its manifest in `folder`, and end it afterwards."""
    path = folder / "manifest.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.site", "--manifest", str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "deploy"), *sys.path))},
    )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], SECONDS)
        assert readable, "the site said nothing"
        assert process.stdout.readline() == "ready\n"
        yield SiteProcess(process, read_manifest(path))
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
