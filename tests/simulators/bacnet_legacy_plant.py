"""A plant of the legacy bacpypes: COV, priority arrays, segments, BBMD; as a process.

``bacnet_legacy_plant.py '{"port": ..., "instance": ...}'``. Keys: ``analog`` (how many analog
values), ``max_apdu``, ``segmentation``, ``cov``, ``bbmd``. It prints one line when it listens, takes
lines ``analogValue 1 21.5`` that set a present-value, answers each with ``set``, and ends with its
standard input. ``times`` answers with how often it was told the time, ``subscriptions`` with how
many there are, ``forget`` drops them as a restart does.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from bacpypes.app import BIPSimpleApplication
from bacpypes.bvllservice import BIPBBMD
from bacpypes.comm import bind
from bacpypes.core import deferred, run, stop
from bacpypes.local.device import LocalDeviceObject
from bacpypes.local.object import AnalogOutputCmdObject, BinaryOutputCmdObject
from bacpypes.object import (
    AnalogValueObject,
    BinaryValueObject,
    CharacterStringValueObject,
    LargeAnalogValueObject,
    MultiStateValueObject,
    WritableProperty,
    register_object_type,
)
from bacpypes.pdu import Address
from bacpypes.primitivedata import CharacterString, Double, Unsigned
from bacpypes.service.cov import ChangeOfValueServices
from bacpypes.service.object import ReadWritePropertyMultipleServices

_NORMAL = [0, 0, 0, 0]


class OpenModeObject(MultiStateValueObject):  # type: ignore[misc] # bacpypes has no types
    """Written without a priority."""

    objectType = "multiStateValue"  # noqa: N815 - bacpypes looks for it
    properties = (WritableProperty("presentValue", Unsigned),)


class OpenNoteObject(CharacterStringValueObject):  # type: ignore[misc] # bacpypes has no types
    """Written without a priority."""

    objectType = "characterstringValue"  # noqa: N815 - bacpypes looks for it
    properties = (WritableProperty("presentValue", CharacterString),)


class OpenVolumeObject(LargeAnalogValueObject):  # type: ignore[misc] # bacpypes has no types
    """Written without a priority."""

    objectType = "largeAnalogValue"  # noqa: N815 - bacpypes looks for it
    properties = (WritableProperty("presentValue", Double),)


for kind in (OpenModeObject, OpenNoteObject, OpenVolumeObject):
    register_object_type(kind, vendor_id=999)
register_object_type(AnalogOutputCmdObject, vendor_id=999)
register_object_type(BinaryOutputCmdObject, vendor_id=999)


class Plant(
    BIPSimpleApplication,  # type: ignore[misc] # bacpypes has no types
    ReadWritePropertyMultipleServices,  # type: ignore[misc] # bacpypes has no types
):
    """Without COV."""

    times = 0

    def do_TimeSynchronizationRequest(self, apdu: Any) -> None:  # noqa: N802 - bacpypes looks for it
        """Count; the device has no clock."""
        self.times += apdu.time.date[0] > 100

    do_UTCTimeSynchronizationRequest = do_TimeSynchronizationRequest  # noqa: N815 - as above


class TellingPlant(
    Plant,
    ChangeOfValueServices,  # type: ignore[misc] # bacpypes has no types
):
    """With COV."""


def points(analog: int) -> list[Any]:
    """Return the objects."""
    values = [
        AnalogValueObject(
            objectIdentifier=("analogValue", index),
            objectName=f"Zone {index} temperature",
            presentValue=20.0 + index,
            statusFlags=_NORMAL,
            units="degreesCelsius",
            covIncrement=0.5,
        )
        for index in range(1, analog + 1)
    ]
    return [
        *values,
        AnalogOutputCmdObject(
            objectIdentifier=("analogOutput", 1),
            objectName="Valve",
            presentValue=0.0,
            relinquishDefault=10.0,
            statusFlags=_NORMAL,
            units="percent",
            covIncrement=1.0,
        ),
        BinaryOutputCmdObject(
            objectIdentifier=("binaryOutput", 1),
            objectName="Pump",
            presentValue="inactive",
            relinquishDefault="inactive",
            minimumOnTime=0,
            minimumOffTime=0,
            statusFlags=_NORMAL,
        ),
        BinaryValueObject(
            objectIdentifier=("binaryValue", 1),
            objectName="Occupied",
            presentValue="inactive",
            statusFlags=_NORMAL,
        ),
        OpenModeObject(
            objectIdentifier=("multiStateValue", 1),
            objectName="Mode",
            presentValue=1,
            numberOfStates=4,
            statusFlags=_NORMAL,
        ),
        OpenNoteObject(
            objectIdentifier=("characterstringValue", 1),
            objectName="Note",
            presentValue=CharacterString("none"),
            statusFlags=_NORMAL,
        ),
        OpenVolumeObject(
            objectIdentifier=("largeAnalogValue", 1),
            objectName="Volume",
            presentValue=1.5,
            statusFlags=_NORMAL,
            units="cubicMeters",
            covIncrement=1,
        ),
    ]


def become_bbmd(application: Any, address: str) -> None:
    """Put a BBMD between the application and its socket."""
    bbmd = BIPBBMD(Address(address))
    bbmd.add_peer(Address(address))
    bind(bbmd, application.annexj)
    application.nsap.adapters[None].clientPeer = None
    application.nsap.adapters.clear()
    application.nsap.bind(bbmd, address=application.localAddress)
    application.bip = bbmd


def obey(application: Any, line: str) -> str:
    """Do what a line of standard input says; return the answer."""
    if line == "times":
        return str(application.times)
    if line == "subscriptions":
        return str(sum(len(one.cov_subscriptions) for one in application.cov_detections.values()))
    if line == "forget":
        for detection in list(application.cov_detections.values()):
            for subscription in list(detection.cov_subscriptions):
                subscription.cancel_subscription()
        return "set"
    kind, instance, value = line.split(maxsplit=2)
    subject = application.get_object_id((kind, int(instance)))
    subject.presentValue = type(subject.presentValue)(value)
    return "set"


def main() -> None:
    """Serve until standard input ends."""
    spec = json.loads(sys.argv[1])
    device = LocalDeviceObject(
        objectIdentifier=("device", spec["instance"]),
        objectName="Legacy plant",
        vendorIdentifier=999,
        vendorName="Plantroom tests",
        modelName="bacpypes",
        maxApduLengthAccepted=spec.get("max_apdu", 1024),
        segmentationSupported=spec.get("segmentation", "segmentedBoth"),
        maxSegmentsAccepted=64,
    )
    kind = TellingPlant if spec.get("cov", True) else Plant
    address = f"127.0.0.1/8:{spec['port']}" if spec.get("bbmd") else f"127.0.0.1:{spec['port']}"
    application = kind(device, address)
    if spec.get("bbmd"):
        become_bbmd(application, address)
    for point in points(spec.get("analog", 3)):
        application.add_object(point)
    sys.stdout.write("ready\n")
    sys.stdout.flush()

    def answer(line: str) -> None:
        sys.stdout.write(obey(application, line) + "\n")
        sys.stdout.flush()

    def listen() -> None:
        for line in sys.stdin:
            deferred(answer, line.strip())
        stop()

    threading.Thread(target=listen, daemon=True).start()
    run(spin=0.05, sigterm=None, sigusr1=None)


if __name__ == "__main__":
    main()
