"""``plantroom-edge`` for the demo site: where a driver has no scan, it finds what the site tells.

The manifest is named by ``PLANTROOM_TEST_SITE``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from plantroom_edge.cli import main
from plantroom_edge.drivers import Candidate, Progress, ScanRequest, drivers
from plantroom_shared.clock import Clock
from plantroom_shared.model import Device


def _candidates(manifest: dict[str, Any], driver: str) -> list[Candidate]:
    if driver == "bacnet":
        who_is = [one["address"] for one in manifest["bacnet"]]
        device = Device(key="bacnet:1001", name="B1", protocol="bacnet")
        return [Candidate({"driver": "bacnet", "who_is": who_is}, None, device)]
    return [
        Candidate(
            {"driver": "modbus", "host": bus["host"], "port": bus["port"]},
            one,
            Device(key=f"modbus:{one['name']}", name=one["name"], protocol="modbus"),
            profile=one["profile"],
        )
        for bus in manifest["modbus"]
        for one in bus["devices"]
    ]


async def _scan(
    driver: str, _request: ScanRequest, _clock: Clock
) -> AsyncIterator[Candidate | Progress]:
    manifest = json.loads(Path(os.environ["PLANTROOM_TEST_SITE"]).read_text())
    for one in _candidates(manifest, driver):
        yield one
    yield Progress(1, 1, "")


if __name__ == "__main__":
    for name in ("bacnet", "modbus"):
        if drivers.get(name).scan is None:
            spec = dataclasses.replace(drivers.get(name), scan=partial(_scan, name))
            drivers._items[name] = spec
    sys.exit(main())
