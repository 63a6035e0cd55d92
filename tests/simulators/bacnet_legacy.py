"""A BACnet/IP device made with the legacy bacpypes, a stack of its own code base, as a process.

``bacnet_legacy.py '{"port": ..., "instance": ..., "multiple": true}'``; `multiple` says whether it
has read-property-multiple. It prints one line when it listens, and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from bacpypes.app import BIPSimpleApplication
from bacpypes.constructeddata import ArrayOf
from bacpypes.core import run, stop
from bacpypes.local.device import LocalDeviceObject
from bacpypes.object import (
    AccumulatorObject,
    AnalogInputObject,
    AnalogValueObject,
    BinaryInputObject,
    LargeAnalogValueObject,
    MultiStateInputObject,
    PositiveIntegerValueObject,
    ScheduleObject,
)
from bacpypes.primitivedata import CharacterString
from bacpypes.service.object import ReadWritePropertyMultipleServices

_NORMAL = [0, 0, 0, 0]


def _points() -> list[Any]:
    return [
        AnalogInputObject(
            objectIdentifier=("analogInput", 1),
            objectName="CHW-Supply-T",
            description="Chilled water supply",
            presentValue=6.75,
            statusFlags=_NORMAL,
            units="degreesCelsius",
        ),
        AnalogInputObject(
            objectIdentifier=("analogInput", 2),
            objectName="Broken",
            presentValue=-1.5,
            statusFlags=[1, 1, 0, 0],
            units="kilowatts",
        ),
        AnalogValueObject(
            objectIdentifier=("analogValue", 3),
            objectName="Forced",
            presentValue=float("nan"),
            statusFlags=[0, 0, 1, 0],
            units="percent",
        ),
        BinaryInputObject(
            objectIdentifier=("binaryInput", 4),
            objectName="Pump status",
            presentValue="active",
            statusFlags=[1, 0, 0, 0],
            activeText="On",
            inactiveText="Off",
        ),
        MultiStateInputObject(
            objectIdentifier=("multiStateInput", 5),
            objectName="Mode",
            presentValue=2,
            statusFlags=[0, 0, 0, 1],
            numberOfStates=2,
            stateText=ArrayOf(CharacterString)(["Summer", "Winter"]),
        ),
        AccumulatorObject(
            objectIdentifier=("accumulator", 6),
            objectName="Energy",
            presentValue=123456789,
            statusFlags=_NORMAL,
            units="kilowattHours",
        ),
        LargeAnalogValueObject(
            objectIdentifier=("largeAnalogValue", 7),
            objectName="Volume",
            presentValue=1234567.125,
            statusFlags=_NORMAL,
            units="cubicMeters",
        ),
        PositiveIntegerValueObject(
            objectIdentifier=("positiveIntegerValue", 8),
            objectName="Starts",
            presentValue=17,
            statusFlags=_NORMAL,
            units="noUnits",
        ),
        ScheduleObject(objectIdentifier=("schedule", 9), objectName="Occupancy"),
    ]


class _Application(
    BIPSimpleApplication,  # type: ignore[misc] # bacpypes has no types
    ReadWritePropertyMultipleServices,  # type: ignore[misc] # bacpypes has no types
):
    """A device with read-property-multiple."""


def main() -> None:
    """Serve until standard input ends."""
    spec = json.loads(sys.argv[1])
    device = LocalDeviceObject(
        objectIdentifier=("device", spec["instance"]),
        objectName="Legacy plant",
        vendorIdentifier=999,
        vendorName="Plantroom tests",
        modelName="bacpypes",
        description="another stack",
        maxApduLengthAccepted=1024,
        segmentationSupported="noSegmentation",
    )
    kind = _Application if spec["multiple"] else BIPSimpleApplication
    application = kind(device, f"127.0.0.1:{spec['port']}")
    for point in _points():
        application.add_object(point)
    sys.stdout.write("ready\n")
    sys.stdout.flush()

    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()
    run(spin=0.1, sigterm=None, sigusr1=None)


if __name__ == "__main__":
    main()
