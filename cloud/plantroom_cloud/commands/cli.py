"""``plantroom-cloud command``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from plantroom_cloud.commands.signing import make_signer
from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError

command_app = typer.Typer(help="Commands to gateways.", no_args_is_help=True)
Company = Annotated[str, typer.Option(help="The company's slug.")]


@command_app.command("key")
def key(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Write the public half to this file.")] = None,
) -> None:
    """Show the key that signs commands, made where there is none: its name and public half."""
    signer = make_signer(load_settings(context.obj).data)
    if out is not None:
        try:
            out.write_text(signer.public_pem)
        except OSError as error:
            what = f"cannot be written: {error.strerror or error}"
            raise ConfigError(what, file=str(out), fix="choose another file") from error
    typer.echo(f"{signer.kid}\n{signer.public_pem}", nl=False)


@command_app.command("allow")
def allow(
    context: typer.Context,
    gateway: str,
    company: Company = "default",
    *,
    off: Annotated[bool, typer.Option("--off", help="Let none be given any more.")] = False,
) -> None:
    """Let commands be given to a gateway; whether it heeds them is for its own configuration."""
    from plantroom_cloud.commands import by_hand  # noqa: PLC0415 - loads the database layer

    by_hand.allow(load_settings(context.obj), company, gateway, writes=not off)
    typer.echo(f"gateway {gateway}: commands are {'not ' if off else ''}let through")


@command_app.command("send")
def send(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    point: Annotated[int, typer.Argument(help="Id of the point, as the API has it.")],
    value: Annotated[str, typer.Argument(help="In the point's unit: 21.5, true, or a text.")],
    company: Company = "default",
    priority: Annotated[int | None, typer.Option(help="BACnet priority.")] = None,
    lease: Annotated[float | None, typer.Option(help="Seconds until it is taken back.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, write nothing.")] = False,
) -> None:
    """Give a command and print its id; the running ingest signs and sends it."""
    from plantroom_cloud.commands import by_hand  # noqa: PLC0415 - as above
    from plantroom_cloud.commands.schemas import CommandIn  # noqa: PLC0415 - as above

    asked = CommandIn(
        kind="dry_run" if dry_run else "write",
        value=by_hand.value_of(value),
        priority=priority,
        lease_s=lease,
    )
    typer.echo(by_hand.send(load_settings(context.obj), company, point, asked))


@command_app.command("show")
def show(context: typer.Context, command: str, company: Company = "default") -> None:
    """Print a command and what became of it, as JSON."""
    from plantroom_cloud.commands import by_hand  # noqa: PLC0415 - as above

    typer.echo(json.dumps(by_hand.show(load_settings(context.obj), company, command), indent=2))
