"""``plantroom-edge scan``: looks for devices that nobody has configured."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from plantroom_edge import cli_add, proposal
from plantroom_edge.cli_common import AsJson, Verbose, hint, print_json, print_table, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.config import load
from plantroom_edge.drivers import Candidate, ScanRequest
from plantroom_edge.interfaces import card, check_serial
from plantroom_edge.scanning import Found, document, equipment_of, mapped, scanners, search
from plantroom_shared import log
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

_PLAIN_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


def scan(
    config: Annotated[
        Path | None, typer.Argument(help="The agent's YAML file, to add to.", metavar="[CONFIG]")
    ] = None,
    *,
    bacnet: Annotated[
        list[str] | None,
        typer.Option(help="Card or address to ask from: eth0, 192.168.1.10/24.", metavar="CARD"),
    ] = None,
    modbus: Annotated[
        list[str] | None,
        typer.Option(
            help="Host, network or serial port to try: 192.168.1.0/24, /dev/ttyUSB0.",
            metavar="HOST|NET|PORT",
        ),
    ] = None,
    driver: Annotated[
        list[str] | None, typer.Option(help="Only with this driver.", metavar="NAME")
    ] = None,
    units: Annotated[
        str, typer.Option(help="Modbus unit ids to try, such as 1-10,247.", metavar="LIST")
    ] = "",
    seconds: Annotated[float, typer.Option(help="End after this time.", min=1, max=3600)] = 60.0,
    rate: Annotated[
        float, typer.Option(help="Requests a second at most, for each kind of bus.", min=0.1)
    ] = 20.0,
    out: Annotated[
        Path | None, typer.Option(help="Write what was found here.", metavar="FILE")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add what was found to CONFIG at once.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Look for devices on the buses: who is there, what it is, and why we think so.

    Only reads, never faster than --rate, and ends after --seconds; Ctrl-C keeps what it has. It
    needs no root. What was found goes to a file that you can look through before you add it.

    \b
    Examples:
      plantroom-edge scan                        whoever can be found by asking
      plantroom-edge scan --bacnet eth0          BACnet on one network card
      plantroom-edge scan --modbus 192.168.1.0/24 --rate 5
      plantroom-edge scan --modbus /dev/ttyUSB0 --units 1-10
      plantroom-edge scan edge.yaml --add        straight into the file
    """  # noqa: D301 -- typer reads \b
    log.configure(verbose=verbose)
    if add and config is None:
        msg = "--add needs a file to add to"
        raise ConfigError(msg, fix="plantroom-edge scan CONFIG --add")
    if config is not None:
        load(config)  # what is wrong with it is better known now than after a minute
    how = ScanRequest(seconds=seconds, rate=rate, units=_numbers(units))
    wanted = _requests(bacnet or [], modbus or [], driver or [], how)
    console = make_console()
    notes = make_console(stderr=True)
    _announce(notes, wanted)
    found = asyncio.run(_search(wanted, notes))
    meanings = mapped(found.candidates)
    equipment = {one.device.key: equipment_of(one, meanings) for one in found.candidates}
    if as_json:
        print_json(document(found, meanings))
    else:
        _print(
            console,
            found,
            {one.device.key: equipment_of(one, meanings) for one in found.candidates},
        )
    for name, error in found.errors.items():
        notes.print(f"[bold red]error:[/] {safe(name)}: {safe(error)}", soft_wrap=True)
    if found.errors and not found.candidates:
        msg = "nothing was found, and not all could be asked"
        raise Unavailable(msg)
    _keep(found, equipment, config, out, add=add)


def _requests(
    bacnet: list[str], modbus: list[str], only: list[str], how: ScanRequest
) -> dict[str, ScanRequest]:
    """Return what each driver is to look for."""
    targets = {"bacnet": tuple(map(card, bacnet)), "modbus": tuple(modbus)}
    for target in modbus:
        if target.startswith("/"):
            check_serial(target)
    names = only or [name for name, given in targets.items() if given]
    there = scanners(tuple(names))
    if missing := sorted(set(names) - set(there)):
        what = f"the driver {missing[0]!r} cannot look for devices"
        raise ConfigError(what, fix="add its devices by hand: plantroom-edge add --help")
    return {name: replace(how, targets=targets.get(name, ())) for name in there}


def _numbers(text: str) -> tuple[int, ...]:
    """Return the unit ids that ``1-3,7`` means."""
    found: list[int] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) > 255:
            what = f"{part!r} is no unit id or range of them"
            raise ConfigError(what, key="--units", fix="write it like 1-10,247; 0 to 255")
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def _announce(notes: Console, wanted: dict[str, ScanRequest]) -> None:
    """Say what will be done to the buses, before it is done."""
    for name, request in wanted.items():
        where = ", ".join(request.targets) or "whoever answers"
        notes.print(
            f"{name}: asks {safe(where)}; only reads, at most {request.rate:g} requests a second"
            f" for {request.seconds:g} s, {request.rate * request.seconds:,.0f} in all",
            soft_wrap=True,
        )
    if wanted:
        notes.print("[dim]Ctrl-C ends it and keeps what was found[/]")


async def _search(wanted: dict[str, ScanRequest], notes: Console) -> Found:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with _progress(notes) as show:
            return await search(wanted, SystemClock(), show=show, stop=stop)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _progress(notes: Console) -> Iterator[Callable[[Found], None]]:
    if notes.is_terminal:
        with Live(console=notes, refresh_per_second=8, transient=True) as live:
            yield lambda found: live.update(_bars(found))
        return
    last = time.monotonic()

    def line(found: Found) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_EVERY:
            last = time.monotonic()
            parts = [f"{name} {one.done}/{one.of}" for name, one in found.progress.items()]
            notes.print(f"{', '.join(parts)}: {len(found.candidates)} found", soft_wrap=True)

    yield line


def _bars(found: Found) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, one in found.progress.items():
        full = round(24 * min(one.done, one.of) / max(one.of, 1))
        bar = f"[green]{'━' * full}[/][dim]{'━' * (24 - full)}[/]"
        table.add_row(
            f"[bold]{safe(name)}[/]",
            bar,
            f"{one.done}/{one.of}",
            f"[dim]{safe(one.now[:60])}[/]",
        )
    for candidate in found.candidates[-6:]:
        table.add_row(
            "[green]+[/]", safe(candidate.device.name[:40]), "", safe(_what(candidate)[:60])
        )
    table.add_row("", f"[bold]{len(found.candidates)}[/] found so far")
    return table


def _what(candidate: Candidate) -> str:
    return f"{candidate.device.vendor} {candidate.device.model}".strip()


def _print(console: Console, found: Found, equipment: dict[str, list[str]]) -> None:
    headings = (
        "device",
        "address",
        "vendor",
        "model",
        "profile",
        "sure",
        "points",
        "equipment",
        "evidence",
    )
    rows = []
    for one in sorted(found.candidates, key=lambda one: (one.device.protocol, one.device.address)):
        device = one.device
        shown = equipment.get(device.key, [])
        more = f" and {len(shown) - 2} more" if len(shown) > 2 else ""
        cells = (device.name, device.address, device.vendor, device.model, one.profile or "-")
        last = (str(len(one.points)), safe("; ".join(shown[:2]) + more))
        why = "\n".join(map(safe, one.evidence[:3]))
        colour = "yellow" if proposal.unsure(one) else "green"
        sure = f"[{colour}]{one.confidence:.0%}[/]"
        rows.append((*map(safe, cells), sure, *last, why))
    print_table(console, headings, rows, title=f"{len(rows)} devices")
    cut = {"time": "the time was over", "stopped": "it was stopped"}.get(found.cut)
    if cut:
        make_console(stderr=True).print(f"[yellow]{cut}[/] before all was asked")


def _keep(
    found: Found,
    equipment: dict[str, list[str]],
    config: Path | None,
    out: Path | None,
    *,
    add: bool,
) -> None:
    """Write the proposal, or add what was found."""
    if not found.candidates:
        hint("check cable, address and --units, or add a device by hand: plantroom-edge add --help")
        return
    if out is not None or not add:
        file = out or Path("found.yaml")
        proposal.write(file, found.candidates, equipment)
        notes = make_console(stderr=True)
        notes.print(f"wrote {safe(str(file))}", soft_wrap=True)
        if not add:
            hint(f"look through {file}, then: plantroom-edge add {config or 'CONFIG'} {file}")
    if add and config is not None:
        sure = [proposal.wish(one) for one in found.candidates if not proposal.unsure(one)]
        cli_add.put(config, sure, skipped=len(found.candidates) - len(sure))
