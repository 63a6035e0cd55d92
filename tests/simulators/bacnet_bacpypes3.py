"""A BACnet/IP device made with bacpypes3, as a process: ``bacnet_bacpypes3.py '{"port": ...}'``.

Keys: port, instance, analog (how many analog inputs), segmentation, max_apdu, description (octets
of each one's description). It prints one line when it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from bacpypes3.app import Application
from bacpypes3.basetypes import IPMode
from bacpypes3.local.analog import AnalogInputObject, AnalogValueObject
from bacpypes3.local.binary import BinaryInputObject, BinaryOutputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.multistate import MultiStateValueObject
from bacpypes3.local.networkport import NetworkPortObject


def _points(spec: dict[str, Any]) -> list[Any]:
    note = "x" * spec.get("description", 20)
    analog = [
        AnalogInputObject(
            objectIdentifier=("analog-input", index),
            objectName=f"AHU-1/AI-{index:04d}",
            description=f"{note} {index}",
            presentValue=index + 0.5,
            units="degreesCelsius",
        )
        for index in range(spec.get("analog", 3))
    ]
    return [
        *analog,
        AnalogValueObject(
            objectIdentifier=("analog-value", 7),
            objectName="Sollwert Zulüft ℃",
            presentValue=-3.25,
            units="noUnits",
            outOfService=True,
        ),
        BinaryInputObject(
            objectIdentifier=("binary-input", 1),
            objectName="FanStatus",
            presentValue="active",
            activeText="Running",
            inactiveText="Stopped",
        ),
        BinaryOutputObject(
            objectIdentifier=("binary-output", 2), objectName="FanCommand", presentValue="inactive"
        ),
        MultiStateValueObject(
            objectIdentifier=("multi-state-value", 4),
            objectName="Mode",
            presentValue=2,
            numberOfStates=3,
            stateText=["Off", "Heating", "Cooling"],
        ),
    ]


async def main() -> None:
    """Serve until standard input ends."""
    spec = json.loads(sys.argv[1])
    device = DeviceObject(
        objectIdentifier=("device", spec["instance"]),
        objectName=f"Device-{spec['instance']}",
        vendorIdentifier=999,
        vendorName="Plantroom tests",
        modelName="bacpypes3",
        description="made of software",
        maxApduLengthAccepted=spec.get("max_apdu", 1476),
        segmentationSupported=("segmented-both" if spec.get("segmentation") else "no-segmentation"),
    )
    port = NetworkPortObject(
        f"127.0.0.1/8:{spec['port']}",
        objectIdentifier=("network-port", 1),
        objectName="Port",
        bacnetIPMode=IPMode.normal,
    )
    application = Application.from_object_list([device, port])
    for point in _points(spec):
        application.add_object(point)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    application.close()


if __name__ == "__main__":
    asyncio.run(main())
