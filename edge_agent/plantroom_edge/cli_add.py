"""``plantroom-edge add``: puts devices into the configuration, and leaves everything else alone."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from plantroom_edge import files, proposal
from plantroom_edge.adding import Wish
from plantroom_edge.adding import add as add_to
from plantroom_edge.cli_common import Config, hint, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.config import in_force, load
from plantroom_edge.config_yaml import read
from plantroom_edge.interfaces import card
from plantroom_shared.errors import ConfigError


def add(
    config: Config,
    found: Annotated[
        Path | None,
        typer.Argument(help="What `scan` has written.", metavar="[FOUND]", show_default=False),
    ] = None,
    *,
    modbus: Annotated[
        str, typer.Option(help="Where the device is: host, host:port.", metavar="HOST[:PORT]")
    ] = "",
    unit: Annotated[int, typer.Option(help="Its Modbus unit id.", min=0, max=255)] = 1,
    profile: Annotated[
        str, typer.Option(help="What it is: meter/schneider-pm5560.", metavar="PROFILE")
    ] = "",
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    bacnet: Annotated[
        str, typer.Option(help="Card to see the BACnet network from.", metavar="CARD")
    ] = "",
    who_is: Annotated[
        list[str] | None, typer.Option(help="Who to ask, instead of all.", metavar="ADDRESS")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; write nothing.")
    ] = False,
) -> None:
    """Add devices to the configuration; comments, order and everything else in it stay.

    The change is shown and checked before it is written, the file as it was is kept beside it
    (.bak). A device that is there already is not added again.

    \b
    Examples:
      plantroom-edge add edge.yaml found.yaml
      plantroom-edge add edge.yaml --modbus 10.0.0.20 --profile meter/eastron-sdm630
      plantroom-edge add edge.yaml --bacnet 192.168.1.10/24
      plantroom-edge add edge.yaml --bacnet eth0 --who-is 192.168.1.30
    """  # noqa: D301 -- typer reads \b
    wishes, skipped = proposal.wishes(found) if found else ([], 0)
    if modbus:
        wishes.append(_modbus(modbus, unit, profile, name))
    if bacnet:
        bus: dict[str, Any] = {"driver": "bacnet", "bind": card(bacnet)}
        wishes.append(Wish({**bus, "who_is": list(who_is)} if who_is else bus, None, "BACnet"))
    if not wishes and not skipped:
        fix = "name a file of `scan`, --modbus with --profile, or --bacnet"
        msg = "there is nothing to add"
        raise ConfigError(msg, fix=fix)
    put(config, wishes, skipped=skipped, dry_run=dry_run)


def _modbus(where: str, unit: int, profile: str, name: str) -> Wish:
    if not profile:
        fix = "add --profile, or let `plantroom-edge scan` find out what it is"
        msg = "a Modbus device needs a profile"
        raise ConfigError(msg, key="--profile", fix=fix)
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        host, port = where, ""
    bus: dict[str, Any] = {"driver": "modbus", "host": host}
    entry = {"name": name or profile.rsplit("/", 1)[-1], "unit": unit, "profile": profile}
    return Wish({**bus, "port": int(port)} if port else bus, entry, name)


def put(config: Path, wishes: list[Wish], *, skipped: int = 0, dry_run: bool = False) -> None:
    """Add to the file what it does not have yet, and show it.

    Raises:
        ConfigError: the result would not be right, or cannot be written; nothing has changed.
    """
    console = make_console()
    load(config)
    if standing := in_force(read(config)):
        console.print(
            f"[yellow]the cloud configures this gateway[/] (version {standing.version}): once it is"
            " applied, what stands in the file counts in its place",
            soft_wrap=True,
        )
    text = config.read_bytes().decode()
    result = add_to(text, wishes)
    for line in result.there:
        console.print(f"[dim]there already:[/] {safe(line)}", soft_wrap=True)
    if skipped:
        console.print(
            f"[yellow]{skipped} not added:[/] nobody knows surely enough what they are;"
            " take `skip: true` away where you do",
            soft_wrap=True,
        )
    if result.text == text:
        console.print("nothing to add: the file stays as it is")
        return
    load(config, result.text)
    print_diff(console, text, result.text, config.name)
    if dry_run:
        return
    backup = files.replace(config, result.text)
    console.print(
        f"added {len(result.added)} to {safe(str(config))} (as it was: {safe(backup.name)})",
        soft_wrap=True,
    )
    hint(f"plantroom-edge preview {config}, then plantroom-edge run or apply {config}")


def print_diff(console: Console, old: str, new: str, name: str) -> None:
    """Print what differs between two texts, a line each, coloured on a terminal."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, n=2, lineterm="")
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        style = "bold" if line.startswith(("+++", "---")) else styles.get(line[:1], "dim")
        console.print(safe(line), style=style, soft_wrap=True)
