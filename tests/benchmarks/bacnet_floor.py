"""bacpypes3 as a client: present values of many objects once a second, 50 a request.

``bacnet_floor.py ADDRESS OBJECTS COUNT_FILE`` writes how many values it has read to the file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from bacpypes3.app import Application
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address

BATCH = 50


async def main(address: str, objects: int, count: Path) -> None:
    """Read for ever."""
    device = DeviceObject(
        objectIdentifier=("device", 7999), objectName="floor", vendorIdentifier=999
    )
    network = NetworkPortObject(
        "127.0.0.1:47899", objectIdentifier=("network-port", 1), objectName="port"
    )
    app = Application.from_object_list([device, network])
    peer, done = Address(address), 0
    while True:
        due = time.monotonic() + 1
        for start in range(1, objects + 1, BATCH):
            wanted: list[Any] = []
            for index in range(start, min(start + BATCH, objects + 1)):
                wanted += [f"analog-value,{index}", ["present-value", "status-flags"]]
            done += len(await app.read_property_multiple(peer, wanted)) // 2
        part = count.with_suffix(".part")
        part.write_text(str(done))
        part.replace(count)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
