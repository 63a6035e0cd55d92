"""``plantroom-cloud conformance``: the kit at the command line."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plantroom_cloud.conformance import cloud_scenarios, scenarios
from plantroom_cloud.conformance.arrange import Setting, address, arranged, external
from plantroom_cloud.conformance.assertions import CLOUD, GATEWAY
from plantroom_cloud.conformance.kit import Kit, Patience
from plantroom_cloud.conformance.line import Address, MqttLine
from plantroom_cloud.conformance.played_gateway import PlayedGateway
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_cloud.gateways.pki import check_gateway_id
from plantroom_shared.errors import ConfigError

conformance_app = typer.Typer(
    help="Judge an implementation of sync v1 by docs/sync-v1.md.", no_args_is_help=True
)
_COLOURS = {"holds": "green", "fails": "bold red", "not exercised": "dim"}

Folder = Annotated[Path | None, typer.Option(help="For connection material and logs.")]
Broker = Annotated[str, typer.Option(help="HOST:PORT of a broker of yours, instead of our own.")]
Tls = Annotated[
    Path | None,
    typer.Option(help="With --broker: ca.pem, cloud.pem, cloud.key, client.pem, client.key."),
]
Mqtt = Annotated[str, typer.Option(help="With --broker: 5 or 3.1.1.")]
Name = Annotated[str, typer.Option("--gateway", help="The gateway id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@conformance_app.command("gateway")
def gateway_command(  # noqa: PLR0917 -- typer calls it by name, one parameter per option
    folder: Folder = None,
    command: Annotated[
        str,
        typer.Option("--exec", help="Start the client; {folder}, {host}, {port} are filled in."),
    ] = "",
    gateway: Name = "gw-conform-0001",
    engine: Annotated[str, typer.Option(help="Our broker: auto, mosquitto, embedded.")] = "auto",
    broker: Broker = "",
    tls: Tls = None,
    mqtt: Mqtt = "5",
    skip: Annotated[str, typer.Option(help="Scenarios to leave out, comma-separated.")] = "",
    wait: Annotated[float, typer.Option(help="Seconds for the client's first word.")] = 120.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Play the cloud to a client that delivers samples all the while, and judge it.

    Exit code 0 where no assertion fails, 1 where one does or no client came.
    """
    check_gateway_id(gateway)
    left_out = _left_out(skip)
    setting = Setting(_place(folder), gateway, engine, external(broker, tls, mqtt), command)
    verdicts = Verdicts(GATEWAY)
    patience = Patience(client=wait)
    ended = asyncio.run(judge_gateway(setting, verdicts, patience, left_out))
    show(verdicts, ended, as_json=as_json)
    raise typer.Exit(1 if ended or verdicts.named("fails") else 0)


@conformance_app.command("cloud")
def cloud_command(
    broker: Annotated[str, typer.Argument(help="HOST:PORT of the cloud's broker.")],
    tls: Annotated[Path, typer.Option(help="Folder with ca.pem, gateway.pem and gateway.key.")],
    gateway: Annotated[str, typer.Option(help="A gateway for tests that the cloud knows.")],
    mqtt: Mqtt = "5",
    *,
    as_json: AsJson = False,
) -> None:
    """Play a gateway to a cloud, and judge it; it leaves a few points and samples behind.

    Exit code 0 where no assertion fails, 1 where one does or the cloud does not answer.
    """
    check_gateway_id(gateway)
    verdicts = Verdicts(CLOUD)
    ended = asyncio.run(judge_cloud(address(broker, tls, "gateway", mqtt), gateway, verdicts))
    show(verdicts, ended, as_json=as_json)
    raise typer.Exit(1 if ended or verdicts.named("fails") else 0)


async def judge_cloud(
    where: Address, gateway: str, verdicts: Verdicts, patience: Patience | None = None
) -> str:
    """Put the cloud behind the broker at `where` through all scenarios; return why it ended early."""
    line = MqttLine(gateway, where, ours="up")
    kit = PlayedGateway(line, verdicts, patience or Patience())
    async with line.open(kit.receive):
        return await cloud_scenarios.run(kit)


async def judge_gateway(
    setting: Setting, verdicts: Verdicts, patience: Patience, skip: frozenset[str] = frozenset()
) -> str:
    """Put the client of `setting` through all scenarios; return why that ended early, if it did."""
    async with arranged(setting) as line:
        kit = Kit(line, verdicts, setting.gateway, patience)
        async with line.open(kit.receive):
            if line.client is not None:
                line.client.start()
            return await scenarios.run(kit, skip)


def _place(folder: Path | None) -> Path:
    place = folder or Path(tempfile.mkdtemp(prefix="plantroom-conformance-"))
    place.mkdir(parents=True, exist_ok=True)
    typer.echo(f"connection material: {place}", err=True)
    return place.resolve()


def _left_out(skip: str) -> frozenset[str]:
    names = frozenset(filter(None, (name.strip() for name in skip.split(","))))
    if unknown := sorted(names - scenarios.SCENARIOS.keys()):
        what = f"there is no scenario {unknown[0][:40]!r}"
        fix = f"choose of: {', '.join(scenarios.SCENARIOS)}"
        raise ConfigError(what, key="--skip", fix=fix)
    return names


def show(verdicts: Verdicts, ended: str, *, as_json: bool) -> None:
    """Print the report."""
    if as_json:
        typer.echo(json.dumps(verdicts.document() | {"ended": ended}))
        return
    table = Table("assertion", "outcome", "what", "evidence")
    for verdict in verdicts.all():
        outcome = Text(verdict.outcome, style=_COLOURS[verdict.outcome])
        table.add_row(verdict.assertion.id, outcome, verdict.assertion.text, verdict.words())
    Console().print(table)
    summary = verdicts.document()["summary"]
    typer.echo(", ".join(f"{count} {kind}" for kind, count in summary.items()))
    if ended:
        typer.echo(f"the run ended early: {ended}")


__all__ = ["conformance_app", "judge_cloud", "judge_gateway", "show"]
