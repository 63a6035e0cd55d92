"""BACnet/IP: a lean client of our own, made for polling many points cheaply.

::

    values, services, frames   octets ⇄ Python, pure
    plan                       which properties go into which request, pure
    client                     one UDP socket: invoke ids, timeouts, Who-Is
    session                    reading one device, whatever it can and cannot do
    scan                       what a device is and has
    driver                     the `Driver`: inventory and polls
"""

from __future__ import annotations

from plantroom_edge.drivers import DriverSpec, drivers
from plantroom_edge.drivers.bacnet.config import BacnetConfig
from plantroom_edge.drivers.bacnet.driver import BacnetDriver

drivers.register("bacnet")(DriverSpec(config=BacnetConfig, open=BacnetDriver))

__all__ = ["BacnetConfig", "BacnetDriver"]
