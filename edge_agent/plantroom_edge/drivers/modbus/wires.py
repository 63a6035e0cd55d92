"""What a connection runs over: TCP, TLS, a serial line, or a serial line at the end of TCP."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol

from plantroom_edge.drivers.modbus.frames import Frames, TcpFrames
from plantroom_edge.drivers.modbus.link import Link
from plantroom_edge.drivers.modbus.rtu import RtuFrames
from plantroom_edge.drivers.modbus.serial_port import SerialPort, SerialSettings

_FASTEST_SILENCE = 0.00175
"""Seconds of silence between two frames above 19200 baud."""
_SILENT_CHARACTERS = 3.5


class Wire(Protocol):
    """A way to the far end, not open yet."""

    @property
    def address(self) -> str:
        """Where it goes, for a person."""
        ...

    @property
    def silence(self) -> float:
        """Seconds for which nothing may be heard before a request."""
        ...

    def frames(self) -> Frames:
        """Return frames for a new connection."""
        ...

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes are on the line."""
        ...

    async def open(self, link: Link) -> None:
        """Connect `link`; OSError says why that is not possible."""
        ...


@dataclass(frozen=True, slots=True)
class TcpWire:
    """A socket.

    With `rtu`, what answers there puts serial frames into the stream as they are.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """Whose certificate is expected; empty: that of `host`."""
    rtu: bool = False

    @property
    def address(self) -> str:
        """Where it goes."""
        return f"{self.host}:{self.port}"

    @property
    def silence(self) -> float:
        """No silence: whoever holds the serial line keeps it there."""
        return 0.0

    def frames(self) -> Frames:
        """Return frames for a new connection."""
        return RtuFrames() if self.rtu else TcpFrames()

    def seconds(self, size: int) -> float:  # noqa: ARG002 -- no matter how many
        """Return 0: what the network takes is part of the time-out."""
        return 0.0

    async def open(self, link: Link) -> None:
        """Connect `link`."""
        name = (self.server_name or self.host) if self.tls is not None else None
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: link, self.host, self.port, ssl=self.tls, server_hostname=name
            )
        except UnicodeError as error:  # a host name that is none
            msg = f"{self.host!r} is no host name"
            raise OSError(msg) from error


@dataclass(frozen=True, slots=True)
class SerialWire:
    """A serial port of this machine."""

    path: str
    settings: SerialSettings

    @property
    def address(self) -> str:
        """Where it goes."""
        return self.path

    @property
    def silence(self) -> float:
        """Three and a half characters; above 19200 baud a fixed time."""
        if self.settings.baud > 19200:
            return _FASTEST_SILENCE
        return _SILENT_CHARACTERS * self.settings.char

    def frames(self) -> Frames:
        """Return frames for a new connection."""
        return RtuFrames()

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes are on the line."""
        return size * self.settings.char

    async def open(self, link: Link) -> None:
        """Open the port for `link`."""
        link.attach(SerialPort(self.path, self.settings, link))
