"""A BACnet device of bacpypes3 with many analog values: ``bacnet_device.py OBJECTS READY_FILE``."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from bacpypes3.app import Application
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject


async def main(objects: int, ready: Path) -> None:
    """Serve until standard input closes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    device = DeviceObject(
        objectIdentifier=("device", 7001), objectName="bench", vendorIdentifier=999
    )
    network = NetworkPortObject(
        f"127.0.0.1:{port}", objectIdentifier=("network-port", 1), objectName="port"
    )
    app = Application.from_object_list([device, network])
    for index in range(1, objects + 1):
        app.add_object(
            AnalogValueObject(
                objectIdentifier=("analog-value", index),
                objectName=f"AV {index}",
                presentValue=float(index),
                statusFlags=[0, 0, 0, 0],
                covIncrement=1.0,
            )
        )
    await asyncio.sleep(0.5)  # bacpypes3 binds its socket in a task that cannot be awaited
    ready.write_text(f"127.0.0.1:{port}")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    app.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
