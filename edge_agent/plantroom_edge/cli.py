"""``plantroom-edge``: set a gateway up, run it, and look at what it holds.

Exit codes: 0 an orderly end, 1 a fault of the program or of the machine, 2 a wrong configuration.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from plantroom_edge import (
    cli_add,
    cli_apply,
    cli_buffer,
    cli_claim,
    cli_doctor,
    cli_preview,
    cli_profile,
    cli_scan,
    cli_show,
    cli_writes,
    running,
    status,
)
from plantroom_edge.cli_common import AsJson, Config, Verbose, hint, print_json, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.cli_starter import CLOUD, STARTER, cloud_section
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.drivers import BusConfig, Inventory, drivers
from plantroom_edge.sampling.engine import Sampling
from plantroom_shared import log
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, PlantroomError

app = typer.Typer(
    help=(
        "Set a gateway up, run it, and look at what it holds.\n\nThe way of a new gateway: init, scan,"
        " add, preview, run; later apply and doctor.\n\nExit codes: 0 an orderly end,"
        " 1 a fault of the program or of the machine, 2 a wrong configuration."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_buffer.app, name="buffer")
app.add_typer(cli_profile.app, name="profile")
app.add_typer(cli_writes.app, name="writes")
app.command("write")(cli_writes.write)


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="The file to write.")] = Path(
        "plantroom-edge.yaml"
    ),
    *,
    gateway: Annotated[str, typer.Option(help="This gateway's id.")] = "gw-site-0001",
    site: Annotated[str, typer.Option(help="The building or plant.")] = "my-site",
    cloud: Annotated[
        str, typer.Option(help="The cloud's broker, as in its certificate.", metavar="HOST[:PORT]")
    ] = "",
    certificates: Annotated[
        Path, typer.Option(help="Folder of ca.pem, gateway.pem and gateway.key.", metavar="DIR")
    ] = Path("certs"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented configuration to start from; it runs as it is, and reads nothing yet.

    \b
    Examples:
      plantroom-edge init                       plantroom-edge.yaml, here
      plantroom-edge init edge.yaml --gateway gw-tower-0001 --cloud broker.example.com
    """  # noqa: D301 -- typer reads \b
    if config.exists() and not force:
        what = "the file exists already"
        raise ConfigError(what, file=str(config), fix="choose another name, or use --force")
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        link = cloud_section(cloud, certificates.absolute()) if cloud else CLOUD
        text = STARTER.format(name=config.name, gateway=gateway, site=site, cloud=link)
        load(config, text)  # what was given on the command line may be wrong
        config.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(config)) from error
    typer.echo(f"wrote {config}")
    hint(f"plantroom-edge scan {config}")


@app.command()
def discover(
    config: Config,
    *,
    with_map: Annotated[
        bool, typer.Option("--map", help="Also say what equipment and class each point is.")
    ] = False,
    with_sampling: Annotated[
        bool, typer.Option("--sampling", help="Also say what of each point is stored, and why.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Open each configured bus once and list its devices and points; nothing is stored or sent.

    Point and device keys are the names by which the cloud will know them. `scan` looks for what is
    not configured yet, `preview` shows values.

    \b
    Examples:
      plantroom-edge discover edge.yaml
      plantroom-edge discover edge.yaml --map      with equipment and class of each point
      plantroom-edge discover edge.yaml --sampling    as stored: units, deadbands, counters
    """  # noqa: D301 -- typer reads \b
    log.configure(verbose=verbose)
    settings = load(config)
    found = asyncio.run(_discover(settings))
    sampled: dict[str, Any] = {}
    if with_sampling:
        found, sampled = _stored(settings, found)
    points = [point for inventory in found.values() for point in inventory.points]
    devices = [device for inventory in found.values() for device in inventory.devices]
    mapped: dict[str, Any] = {}
    if with_map:
        # Imported here: naming rules are only needed by those who ask for them.
        from plantroom_shared.mapping import map_points  # noqa: PLC0415

        mapped = {entry.point: entry for entry in map_points(points, devices)}
    if as_json:
        print_json(cli_show.discovery_document(found, mapped, sampled))
    else:
        cli_show.print_discovery(make_console(), found, mapped, sampled)


def _stored(
    config: AgentConfig, found: dict[str, Inventory]
) -> tuple[dict[str, Inventory], dict[str, Any]]:
    """Return what the buses have as it is stored, and how each point of a device is sampled."""
    sampling = Sampling(config.sampling, SystemClock())
    stored = {name: sampling.admit(inventory) for name, inventory in found.items()}
    keys = [point.key for inventory in found.values() for point in inventory.points]
    return stored, {key: sampling.explain(key) for key in keys}


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
    it. `plantroom-edge status CONFIG` shows how it is doing. Without devices it waits for `apply`;
    SIGHUP applies the file as it is then.

    \b
    Examples:
      plantroom-edge run edge.yaml
      plantroom-edge run edge.yaml -v              log every step
    """  # noqa: D301 -- typer reads \b
    running.run(config, verbose=verbose)


@app.command("status")
def show_status(config: Config, *, as_json: AsJson = False) -> None:
    """Show how the agent is doing and what its buffer holds, whether it runs or not.

    `accepted` counts every sample ever taken into the buffer, `on_edge` those not yet confirmed by
    the cloud; the difference is with the cloud or in its quarantine. `doctor` says what is wrong.

    \b
    Examples:
      plantroom-edge status edge.yaml
      plantroom-edge status edge.yaml --json | jq .on_edge
    """  # noqa: D301 -- typer reads \b
    report = status.report(load(config))
    if as_json:
        print_json(report)
    else:
        cli_show.print_status(make_console(), report)


app.command()(cli_claim.claim)
app.command()(cli_scan.scan)
app.command()(cli_add.add)
app.command()(cli_preview.preview)
app.command()(cli_apply.apply)
app.command("doctor")(cli_doctor.doctor_command)


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
    console = make_console(stderr=True)
    for line in str(error).splitlines():
        console.print(f"[bold red]error:[/] {safe(line)}", soft_wrap=True)
    return 2 if isinstance(error, ConfigError) else 1
