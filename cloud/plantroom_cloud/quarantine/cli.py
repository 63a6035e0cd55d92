"""``plantroom-cloud quarantine``: refused rows, for whoever runs the service."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["quarantine_app"]

quarantine_app = typer.Typer(help="Rows that were refused.", no_args_is_help=True)

GatewayName = Annotated[str, typer.Argument(metavar="GATEWAY")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="See 'quarantine list'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@quarantine_app.command("list")
def list_command(
    context: typer.Context,
    gateway: GatewayName,
    reason: Annotated[str, typer.Option(help="Only of this reason.")] = "",
    stream: Annotated[str, typer.Option(help="Only of this stream.")] = "",
    state: Annotated[str, typer.Option(help="held, released, discarded or all.")] = "held",
    *,
    as_json: AsJson = False,
) -> None:
    """List a gateway's refused rows, the newest 1,000."""
    from plantroom_cloud.quarantine.by_hand import list_rows  # noqa: PLC0415 - loads the web stack

    found = list_rows(context.obj, gateway, reason, stream, state=state)
    if as_json:
        typer.echo(json.dumps(found))
        return
    names = ("id", "stream", "seq", "rows", "reason", "received", "state", "note")
    table = Table(*names)
    for row in found:
        table.add_row(*(str(row[name]) for name in names))
    Console().print(table)


@quarantine_app.command("show")
def show_command(context: typer.Context, gateway: GatewayName, row: int) -> None:
    """Show one refused row with what it says, as JSON."""
    from plantroom_cloud.quarantine.by_hand import one_row  # noqa: PLC0415 - loads the web stack

    typer.echo(json.dumps(one_row(context.obj, gateway, row), indent=2, ensure_ascii=False))


@quarantine_app.command("release")
def release_command(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    gateway: GatewayName,
    rows: Ids,
    shift: Annotated[float, typer.Option(help="Seconds to add to every time.")] = 0.0,
    ts: Annotated[str, typer.Option(help="Another time for a single sample.")] = "",
    value: Annotated[str | None, typer.Option(help="Another value, as JSON.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Store refused rows after all, corrected where that is asked for; each once."""
    from plantroom_cloud.quarantine.by_hand import (  # noqa: PLC0415 - loads the web stack
        read_correction,
        release_row,
    )

    correction = read_correction(shift, ts, value)
    for row in rows:
        _tell(release_row(context.obj, gateway, row, correction), as_json=as_json)


@quarantine_app.command("discard")
def discard_command(
    context: typer.Context,
    gateway: GatewayName,
    rows: Ids,
    reason: Annotated[str, typer.Option(help="Why they will never be stored.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Give refused rows up; they stay to be seen and counted."""
    from plantroom_cloud.quarantine.by_hand import discard_row  # noqa: PLC0415 - loads the web stack

    for row in rows:
        _tell(discard_row(context.obj, gateway, row, reason), as_json=as_json)


def _tell(decision: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(decision))
        return
    again = f", {decision['refused']} refused again" if decision["refused"] else ""
    stored = f": {decision['stored']} stored{again}" if decision["state"] == "released" else ""
    typer.echo(f"row {decision['id']} {decision['state']}{stored}")
