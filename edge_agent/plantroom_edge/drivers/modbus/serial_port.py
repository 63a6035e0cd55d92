"""A serial port on the event loop, with what the kernel has for it: `termios`."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Parity = Literal["none", "even", "odd"]
Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400]

_BACKLOG: Final = 4096
"""Bytes that may wait to be sent; a request has 256 at most."""
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """How a port is set."""

    baud: Baud = 9600
    parity: Parity = "none"
    stop_bits: Literal[1, 2] = 1

    @property
    def char(self) -> float:
        """Seconds that one character takes: start bit, eight bits of data, parity, stop bits."""
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud


class Receiver(Protocol):
    """Who is told what comes in."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        ...

    def connection_lost(self, error: Exception | None, /) -> None:
        """Take note that the port is gone."""
        ...


class SerialPort:
    """An open port; it is this process's alone.

    Args:
        path: of the device file.
        settings: speed and form of a character.
        receiver: is told what comes in.

    Raises:
        OSError: there is no such port, it is no port, or somebody else has it.
    """

    def __init__(self, path: str, settings: SerialSettings, receiver: Receiver) -> None:
        self._receiver, self._loop = receiver, asyncio.get_running_loop()
        self._waiting = b""
        # Without O_NONBLOCK the call would wait for a modem to answer.
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _prepare(self._fd, settings)
        except OSError:
            os.close(self._fd)
            raise
        self._loop.add_reader(self._fd, self._guard, self._read)

    def write(self, data: bytes) -> None:
        """Send, without waiting; what a stuck port does not take is dropped."""
        if self._fd < 0:
            return
        if self._waiting:
            self._waiting += data if len(self._waiting) < _BACKLOG else b""
            return
        self._waiting = data
        self._guard(self._flush)

    def abort(self) -> None:
        """Close at once."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _read(self) -> None:
        data = os.read(self._fd, _CHUNK)
        if not data:
            msg = "the port was hung up"
            raise OSError(msg)
        self._receiver.data_received(data)

    def _flush(self) -> None:
        self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
        if not self._waiting:
            self._loop.remove_writer(self._fd)

    def _guard(self, act: Callable[[], None]) -> None:
        """Read or write; a port that is gone is told to the receiver."""
        try:
            act()
        except BlockingIOError:
            pass
        except OSError as error:
            self.abort()
            self._receiver.connection_lost(error)
            return
        if self._waiting and self._fd >= 0:
            self._loop.add_writer(self._fd, self._guard, self._flush)


def _prepare(fd: int, settings: SerialSettings) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another program or bus has the port") from error
    try:
        _set(fd, settings)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except termios.error as error:
        raise OSError(*error.args) from error


def _set(fd: int, settings: SerialSettings) -> None:
    """Set a port to raw bytes: no echo, no translation, no flow control."""
    speed = getattr(termios, f"B{settings.baud}")
    control = termios.CREAD | termios.CLOCAL | termios.CS8
    if settings.parity != "none":
        control |= termios.PARENB
    if settings.parity == "odd":
        control |= termios.PARODD
    if settings.stop_bits == 2:
        control |= termios.CSTOPB
    characters = termios.tcgetattr(fd)[6]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, [0, 0, control, 0, speed, speed, characters])
