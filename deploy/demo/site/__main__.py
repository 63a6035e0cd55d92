"""``python -m demo.site``: the office building as one process; see `--help`.

It prints ``ready`` when every server answers and the manifest is written, obeys ``fault on``,
``fault off`` and ``quit`` on standard input, and ends when that closes or on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from . import bacnet_server, modbus_server
from .catalogue import FLOOR_2, WEATHER, bacnet_entries, controllers
from .entry import Entry
from .ledger import Counter
from .ledger_site import INSTANCE, ledger_device, ledger_entries, write_profile
from .manifest import Manifest, site_manifest, write_manifest
from .modbus_devices import ModbusDevice, modbus_entries, site_devices
from .running import Site, ledger_source

HOST = "127.0.0.1"


class Servers:
    """The servers that run, and how to end them."""

    def __init__(self) -> None:
        self._ending = contextlib.AsyncExitStack()

    async def bacnet(
        self,
        facts: bacnet_server.DeviceFacts,
        entries: list[Entry],
        source_of: Any,
    ) -> dict[str, Any]:
        """Start a BACnet device; return its line of the manifest."""
        app, port = await bacnet_server.serve(facts, entries, source_of)
        self._ending.callback(app.close)
        return {"instance": facts.instance, "address": f"{HOST}:{port}", "name": facts.name}

    async def modbus(self, sims: list[Any]) -> int:
        """Start a Modbus TCP server; return its port."""
        server, port = await modbus_server.serve(HOST, sims)
        self._ending.push_async_callback(server.shutdown)
        return port

    async def close(self) -> None:
        """End all of them."""
        await self._ending.aclose()


async def start_site(site: Site, seed: int, servers: Servers) -> Manifest:
    """Start every server of the office building; return its manifest."""
    bacnet = bacnet_entries(seed)
    devices = site_devices()
    listed = []
    for one in controllers():
        mine = [entry for entry in bacnet if entry.device == f"bacnet:{one.instance}"]
        small = FLOOR_2 < one.instance < WEATHER
        facts = bacnet_server.DeviceFacts(one.instance, one.name, one.vendor, one.model, small)
        listed.append(await servers.bacnet(facts, mine, site.source))
    ports = []
    for _, group in modbus_server.by_host(devices):
        sims = [
            modbus_server.unit(one, modbus_server.Registers(one, site.reader(one.name)).fill)
            for one in group
        ]
        ports.append((await servers.modbus(sims), group))
    return site_manifest(bacnet + modbus_entries(devices, len(bacnet)), listed, ports)


async def start_ledger(points: int, folder: Path, servers: Servers) -> Manifest:
    """Start the two devices of a ledger run; return its manifest."""
    entries = ledger_entries(points)
    counter = Counter(len(entries))
    bacnet = [entry for entry in entries if entry.instance]
    device = ledger_device(points - len(bacnet))
    facts = bacnet_server.DeviceFacts(INSTANCE, "Ledger", "Plantroom", "ledger device")
    listed = [await servers.bacnet(facts, bacnet, lambda entry: ledger_source(entry, counter))]
    index = {one.key.rsplit(":", 1)[1]: one.index for one in entries if not one.instance}
    registers = modbus_server.LedgerRegisters(device, index, counter)
    port = await servers.modbus([modbus_server.unit(device, registers.fill)])
    ports: list[tuple[int, list[ModbusDevice]]] = [(port, [device])]
    write_profile(folder, points - len(bacnet))
    manifest = site_manifest(entries, listed, ports)
    for served in manifest["modbus"][0]["devices"]:
        served["profile_dir"] = str(folder)
    return manifest | {"ledger": {entry.key: entry.index for entry in entries}}


async def serve(options: argparse.Namespace) -> None:
    """Run until told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    servers = Servers()
    site = Site(options.seed, options.start, options.speed)
    try:
        path: Path = options.manifest
        if options.ledger:
            manifest = await start_ledger(options.ledger_points, path.parent.resolve(), servers)
            moving = None
        else:
            manifest = await start_site(site, options.seed, servers)
            moving = asyncio.create_task(site.run(), name="site")
            moving.add_done_callback(lambda _: ended.set())
        listening = asyncio.create_task(_obey(site, ended), name="commands")
        write_manifest(path, manifest)
        print("ready", flush=True)
        await ended.wait()
        for task in (listening, moving):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    finally:
        await servers.close()


async def _obey(site: Site, ended: asyncio.Event) -> None:
    async for line in _lines():
        match line.split():
            case ["fault", "on"]:
                site.fault = True
            case ["fault", "off"]:
                site.fault = False
            case ["quit"]:
                break
            case words:
                known = "fault on, fault off, quit"
                print(f"unknown command {' '.join(words)!r}; known: {known}", file=sys.stderr)
    ended.set()


async def _lines() -> AsyncIterator[str]:
    """Yield the lines of standard input until it closes."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not sys.stdin.isatty()):
        # asyncio cannot wait for a file or /dev/null; neither ever makes anybody wait.
        for line in sys.stdin:
            yield line
        return
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while raw := await reader.readline():
        yield raw.decode(errors="replace")


def _clock(text: str) -> float:
    hours, _, minutes = text.partition(":")
    try:
        seconds = int(hours) * 3600 + int(minutes or 0) * 60
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 86_400:
        msg = f"{text!r} is no time of day; write it like 09:00"
        raise argparse.ArgumentTypeError(msg)
    return float(seconds)


def _points(text: str) -> int:
    try:
        return len(ledger_entries(int(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= 3600:
        msg = f"{text} is no speed; choose one above 0 and up to 3600"
        raise argparse.ArgumentTypeError(msg)
    return speed


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.site", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="decides everything random")
    parser.add_argument("--speed", type=_speed, default=600.0, help="site time over clock time")
    parser.add_argument("--start", type=_clock, default=_clock("09:00"), help="site time, HH:MM")
    parser.add_argument("--manifest", type=Path, required=True, help="where to say what runs")
    parser.add_argument("--ledger", action="store_true", help="values that prove their origin")
    parser.add_argument(
        "--ledger-points", type=_points, default=150, help="points of a ledger site"
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command line."""
    # The protocol stacks log what a client does wrong; that is the client's business.
    for name in ("bacpypes3", "pymodbus"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asyncio.run(serve(parse()))


if __name__ == "__main__":
    main()
