"""``plantroom-edge``: set a gateway up, run it, and look at what it holds.

Exit codes: 0 an orderly end, 1 a fault of the program or of the machine, 2 a wrong configuration.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from plantroom_edge import cli_buffer, cli_profile, cli_show, running, status
from plantroom_edge.cli_starter import STARTER
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.drivers import BusConfig, Inventory, drivers
from plantroom_shared import log
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, PlantroomError

app = typer.Typer(
    help=(
        "Set a gateway up, run it, and look at what it holds.\n\nExit codes: 0 an orderly end,"
        " 1 a fault of the program or of the machine, 2 a wrong configuration."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_buffer.app, name="buffer")
app.add_typer(cli_profile.app, name="profile")

Config = Annotated[
    Path, typer.Argument(help="The agent's YAML file.", metavar="CONFIG", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")]


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="The file to write.")] = Path(
        "plantroom-edge.yaml"
    ),
    *,
    gateway: Annotated[str, typer.Option(help="This gateway's id.")] = "gw-site-0001",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented configuration to start from.

    Edit it, look at what is on the buses with `discover`, then `run` it.
    """
    if config.exists() and not force:
        what = "the file exists already"
        raise ConfigError(what, file=str(config), fix="choose another name, or use --force")
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(STARTER.format(name=config.name, gateway=gateway), encoding="utf-8")
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(config)) from error
    typer.echo(f"wrote {config}; next: edit it, then `plantroom-edge discover {config}`")


@app.command()
def discover(
    config: Config,
    *,
    with_map: Annotated[
        bool, typer.Option("--map", help="Also say what equipment and class each point is.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Open each bus once and list the devices and points on it; nothing is stored or sent.

    Point and device keys are the names by which the cloud will know them.
    """
    log.configure(verbose=verbose)
    settings = load(config)
    found = asyncio.run(_discover(settings))
    points = [point for inventory in found.values() for point in inventory.points]
    devices = [device for inventory in found.values() for device in inventory.devices]
    mapped: dict[str, Any] = {}
    if with_map:
        # Imported here: naming rules are only needed by those who ask for them.
        from plantroom_shared.mapping import map_points  # noqa: PLC0415

        mapped = {entry.point: entry for entry in map_points(points, devices)}
    if as_json:
        _print_json(cli_show.discovery_document(found, mapped))
    else:
        cli_show.print_discovery(Console(), found, mapped)


async def _discover(config: AgentConfig) -> dict[str, Inventory]:
    async def one(bus: BusConfig) -> Inventory:
        driver = drivers.get(bus.driver).open(bus, SystemClock())
        try:
            return await driver.discover()
        except PlantroomError as error:  # the other buses are worth seeing all the same
            return Inventory(missing=(str(error),))
        finally:
            await driver.close()

    found = await asyncio.gather(*(one(bus) for bus in config.buses))
    return {bus.name: inventory for bus, inventory in zip(config.buses, found, strict=True)}


@app.command()
def run(config: Config, *, verbose: Verbose = False) -> None:
    """Run the agent until SIGTERM or Ctrl-C: poll, buffer, watch, and sync with the cloud.

    Everything read is on the disk before it is sent, and stays there until the cloud has committed
    it. `plantroom-edge status CONFIG` shows how it is doing.
    """
    running.run(config, verbose=verbose)


@app.command("status")
def show_status(config: Config, *, as_json: AsJson = False) -> None:
    """Show how the agent is doing and what its buffer holds, whether it runs or not.

    `accepted` counts every sample ever taken into the buffer, `on_edge` those not yet confirmed by
    the cloud; the difference is with the cloud or in its quarantine.
    """
    report = status.report(load(config))
    if as_json:
        _print_json(report)
    else:
        cli_show.print_status(Console(), report)


def _print_json(document: Any) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())


def main() -> int:
    """Run the command line; return the exit code."""
    try:
        app()
    except SystemExit as end:  # how typer ends, also after a wrong option (2) or Ctrl-C (130)
        return end.code if isinstance(end.code, int) else 0
    except PlantroomError as error:
        return complain(error)
    return 0


def complain(error: PlantroomError) -> int:
    """Say what is wrong; return the exit code."""
    console = Console(stderr=True, highlight=False)
    for line in str(error).splitlines():
        console.print(f"[bold red]error:[/] {escape(line)}", soft_wrap=True)
    return 2 if isinstance(error, ConfigError) else 1
