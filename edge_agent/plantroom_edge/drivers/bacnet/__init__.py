"""BACnet/IP: a lean client of our own, made for polling many points cheaply.

::

    values, services, frames,  octets ⇄ Python, pure
    notices, bvlc
    segments, recall           answers in parts, and answers like the last one, pure
    plan                       which properties go into which request, pure
    link, foreign              UDP, and a BBMD that carries our broadcasts
    client, routes, traffic    invoke ids, timeouts, Who-Is; routers; what it was like
    session                    reading one device, whatever it can and cannot do
    cov, listening, news       subscriptions, and what devices tell by themselves
    writing, timesync          telling devices values and the time
    scan, facts                what a device is and has, and what that means; ede, table: files
    roster, discovery          who is on the network
    profile, grouping          device models; poll groups
    driver, rows, doubts,      the `Driver`: inventory and polls; why a value is doubtful
    figures
    survey, places, cards,     looking for devices that nobody has configured
    candidates
"""

from __future__ import annotations

from plantroom_edge.drivers import DriverSpec, drivers
from plantroom_edge.drivers.bacnet.config import BacnetConfig
from plantroom_edge.drivers.bacnet.driver import BacnetDriver
from plantroom_edge.drivers.bacnet.survey import look_around

drivers.register("bacnet")(DriverSpec(config=BacnetConfig, open=BacnetDriver, scan=look_around))

__all__ = ["BacnetConfig", "BacnetDriver"]
