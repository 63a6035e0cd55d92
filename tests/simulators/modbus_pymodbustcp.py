"""A Modbus TCP server made with pyModbusTCP, as a process: it knows no pymodbus and no profile.

``python modbus_pymodbustcp.py '{"holding": {"10": 5}}'`` prints its port when it listens and ends
with its standard input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyModbusTCP.server import DataBank, ModbusServer


def _bank(image: dict[str, dict[str, Any]]) -> DataBank:
    bank = DataBank()
    setters = {
        "holding": bank.set_holding_registers,
        "input": bank.set_input_registers,
        "coil": bank.set_coils,
        "discrete": bank.set_discrete_inputs,
    }
    for space, table in image.items():
        for address, value in table.items():
            setters[space](int(address), [value])
    return bank


def main() -> None:
    """Serve until standard input closes."""
    server = ModbusServer("127.0.0.1", 0, no_block=True, data_bank=_bank(json.loads(sys.argv[1])))
    server.start()
    # The library has no public way to the port that it was given.
    print(server._service.server_address[1], flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
