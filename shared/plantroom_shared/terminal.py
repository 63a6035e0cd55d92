"""Single key presses from a terminal, as names: ``a``, ``up``, ``enter`` ..."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Iterator
from typing import Final

_NAMED: Final[dict[bytes, str]] = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x03": "q",
    b"\x1b": "escape",
}
_LONGEST: Final = max(map(len, _NAMED))


def decode(data: bytes) -> Iterator[str]:
    """Yield the names of the keys in what a terminal has sent; what means nothing is left out."""
    while data:
        for size in range(min(_LONGEST, len(data)), 0, -1):
            if name := _NAMED.get(data[:size]):
                break
        else:
            size = 1 + (data[0] >= 0xC0) + (data[0] >= 0xE0) + (data[0] >= 0xF0)
            text = data[:size].decode(errors="ignore")
            name = text if text.isprintable() else ""
        if name == "escape" and data[1:2] in {b"[", b"O"}:  # a key that has no name here
            size, name = _sequence(data), ""
        if name:
            yield name
        data = data[size:]


def _sequence(data: bytes) -> int:
    """Return the length of an escape sequence: up to its first letter or tilde."""
    for at, byte in enumerate(data[2:], 2):
        if byte == 0x7E or chr(byte).isalpha():
            return at + 1
    return len(data)


@contextlib.contextmanager
def keys(descriptor: int) -> Iterator[asyncio.Queue[str]]:
    """Yield a queue of the keys pressed, as they are pressed; the terminal is put right afterwards.

    Args:
        descriptor: of the terminal.
    """
    pressed: asyncio.Queue[str] = asyncio.Queue()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(descriptor, 1024)
        except OSError:  # the terminal was closed
            data = b""
        if not data:
            loop.remove_reader(descriptor)
            pressed.put_nowait("q")
        for key in decode(data):
            pressed.put_nowait(key)

    tty.setcbreak(descriptor)
    mode = termios.tcgetattr(descriptor)
    mode[3] &= ~termios.ISIG  # Ctrl-C is a key: the screen is left in order
    termios.tcsetattr(descriptor, termios.TCSANOW, mode)
    loop.add_reader(descriptor, read)
    try:
        yield pressed
    finally:
        loop.remove_reader(descriptor)
        with contextlib.suppress(termios.error):  # there is no terminal any more
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
