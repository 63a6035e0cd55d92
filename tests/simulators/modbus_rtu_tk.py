"""A Modbus RTU server made with modbus-tk on a serial line that is two pseudo-terminals.

It reads one line from standard input, ``{"3": {"holding": {"10": 5}}}`` by unit id, prints the other
end of its line when it listens, and ends with standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import tty
from itertools import groupby
from typing import Any

import serial
from modbus_tk import defines, modbus_rtu

_TABLES = {
    "coil": defines.COILS,
    "discrete": defines.DISCRETE_INPUTS,
    "holding": defines.HOLDING_REGISTERS,
    "input": defines.ANALOG_INPUTS,
}
_BAUD = 2400
"""Slow, so that a busy machine does not tear a request apart: the server goes by the silence."""


def _line() -> tuple[str, str]:
    """Return both ends of a line."""
    masters, ends = zip(*(os.openpty() for _ in range(2)), strict=True)
    for end in ends:
        tty.setraw(end)
    for here, there in (masters, masters[::-1]):
        threading.Thread(target=_relay, args=(here, there), daemon=True).start()
    return os.ttyname(ends[0]), os.ttyname(ends[1])


def _relay(here: int, there: int) -> None:
    while data := os.read(here, 4096):
        os.write(there, data)


def _fill(slave: Any, image: dict[str, dict[str, int]]) -> None:
    """Add the tables as blocks without gaps; other addresses are refused."""
    for space, table in image.items():
        places = sorted((int(address), value) for address, value in table.items())
        runs = groupby(enumerate(places), key=lambda item: item[1][0] - item[0])
        for number, (_, run) in enumerate(runs):
            block = [place for _, place in run]
            name = f"{space}-{number}"
            slave.add_block(name, _TABLES[space], block[0][0], len(block))
            slave.set_values(name, block[0][0], [value for _, value in block])


def main() -> None:
    """Serve until standard input closes."""
    near, far = _line()
    server = modbus_rtu.RtuServer(serial.Serial(far, baudrate=_BAUD), error_on_missing_slave=False)
    for unit, image in json.loads(sys.stdin.readline()).items():
        _fill(server.add_slave(int(unit)), image)
    server.start()
    print(near, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads wait for bytes


if __name__ == "__main__":
    main()
