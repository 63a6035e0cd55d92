"""From the configuration of a bus to its connection."""

from __future__ import annotations

import ssl

from plantroom_edge.drivers.modbus.config import ModbusBus, ModbusTls
from plantroom_edge.drivers.modbus.connection import Connection
from plantroom_edge.drivers.modbus.serial_port import SerialSettings
from plantroom_edge.drivers.modbus.wires import SerialWire, TcpWire, Wire
from plantroom_edge.tls_files import identify, trust
from plantroom_shared.clock import Clock


def open_connection(bus: ModbusBus, clock: Clock) -> Connection:
    """Return the connection of a bus, not open yet.

    Raises:
        ConfigError: a certificate or a key is not what it should be.
    """
    return Connection(_wire(bus), bus.timeout, pause=bus.pause, clock=clock)


def _wire(bus: ModbusBus) -> Wire:
    if bus.transport == "rtu":
        return SerialWire(bus.serial, SerialSettings(bus.baud, bus.parity, bus.stop_bits))
    if bus.tls is None:
        return TcpWire(bus.host, bus.port, rtu=bus.transport == "rtu-over-tcp")
    return TcpWire(bus.host, bus.port, _context(bus.tls), bus.tls.server_name)


def _context(tls: ModbusTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.check_name
    fix = "give the PEM file of the authority that signed the device's certificate"
    trust(context, tls.ca, at="tls.ca", fix=fix)
    if tls.cert is not None:
        fix = "give PEM files, the key unencrypted"
        identify(context, tls.cert, tls.key, at="tls.cert", fix=fix)
    return context
