"""``plantroom-cloud gateway token|expect|expected|certificates|revoke|release``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_shared.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")

Site = Annotated[str, typer.Argument(help="The site's slug.")]
GatewayArgument = Annotated[str, typer.Argument(metavar="ID")]
OfSite = Annotated[str, typer.Option(help="Needed where several have such a site.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``plantroom-cloud gateway``."""
    for name, command in (
        ("token", token),
        ("expect", expect),
        ("expected", expected),
        ("certificates", certificates),
        ("revoke", revoke),
        ("release", release),
    ):
        app.command(name)(command)


def token(
    context: typer.Context,
    site: Site,
    company: OfSite = "",
    hours: Annotated[float, typer.Option(min=0.02, max=72.0, help="How long it is good.")] = 24.0,
    gateway: Annotated[str, typer.Option("--id", help="What the gateway is to be called.")] = "",
) -> None:
    """Print an enrolment token: with it one device becomes a gateway of the site, once.

    \b
    Example:
      plantroom-cloud gateway token tower > /media/usb/token
      plantroom-edge claim edge.yaml --cloud https://... --token-file /media/usb/token
    """  # noqa: D301 -- typer reads \b
    from plantroom_cloud.gateways.claim import by_hand  # noqa: PLC0415 - loads the database layer

    settings = load_settings(context.obj)
    asked = {"hours": hours, "gateway": gateway}
    plain, until = _run(
        settings, lambda session: by_hand.add_token(session, settings, site, company, asked)
    )
    typer.echo(plain)
    typer.echo(f"good once, until {until}; it is not shown again", err=True)


def expect(
    context: typer.Context,
    site: Site,
    file: Annotated[Path, typer.Argument(help="CSV: serial,fingerprint and gateway,name.")],
    company: OfSite = "",
) -> None:
    """Expect the devices of a list: they become gateways of the site when they begin."""
    from plantroom_cloud.gateways.claim import by_hand  # noqa: PLC0415 - as above

    settings = load_settings(context.obj)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"it cannot be read: {error}"
        raise ConfigError(what, file=str(file), fix="give a CSV file in UTF-8") from error
    added, known = _run(
        settings, lambda session: by_hand.expect(session, settings, site, company, text)
    )
    typer.echo(f"{added} devices are expected at {site}, {known} were already")


def expected(
    context: typer.Context,
    company: Annotated[str, typer.Option(help="The company's slug.")] = "default",
    *,
    as_json: AsJson = False,
) -> None:
    """Show the devices that are expected, and which have come."""
    from plantroom_cloud.gateways.claim import by_hand  # noqa: PLC0415 - as above

    rows = _run(load_settings(context.obj), lambda session: by_hand.expected(session, company))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        came = f"came {row['used']}" if row["used"] else "is awaited"
        named = " ".join(filter(None, (row["gateway"], row["name"])))
        typer.echo(f"{row['fingerprint']}\t{row['serial']}\t{came}\t{named}")


def certificates(
    context: typer.Context, gateway: GatewayArgument, *, as_json: AsJson = False
) -> None:
    """Show what was issued to a gateway: since when, until when, in use, superseded or revoked."""
    from plantroom_cloud.gateways.claim import by_hand  # noqa: PLC0415 - as above

    told = _run(load_settings(context.obj), lambda session: by_hand.certificates(session, gateway))
    if as_json:
        typer.echo(json.dumps(told))
        return
    if told["revoked"]:
        then = f", replaced by {told['replaced_by']}" if told["replaced_by"] else ""
        typer.echo(f"{gateway} is revoked since {told['revoked']}: {told['why']}{then}")
    for one in told["certificates"]:
        typer.echo(f"{one['serial']}\t{one['how']}\tuntil {one['until']}\t{_state(one)}")


def revoke(
    context: typer.Context,
    gateway: GatewayArgument,
    reason: Annotated[str, typer.Option(help="For the audit, and for whoever asks why.")],
    *,
    yes: Sure = False,
) -> None:
    """End a gateway's identity for good: within a minute no broker and no route takes it."""
    _end(context, gateway, reason, yes=yes)
    typer.echo(f"{gateway} is revoked")


def release(context: typer.Context, gateway: GatewayArgument, *, yes: Sure = False) -> None:
    """Let a device go to another site or company: it is revoked, and may be claimed once reset."""
    _end(context, gateway, "released", yes=yes)
    typer.echo(f"{gateway} is released: `plantroom-edge claim --reset` there makes it a stranger")


def _end(context: typer.Context, gateway: str, reason: str, *, yes: bool) -> None:
    from plantroom_cloud.gateways.claim import by_hand  # noqa: PLC0415 - as above

    if not reason.strip() or len(reason) > 200:
        what = "the reason is empty, or longer than 200 characters"
        raise ConfigError(what, key="--reason", fix="say in a few words why")
    if not yes:
        typer.confirm(f"End the identity of {gateway} for good?", abort=True)
    settings = load_settings(context.obj)
    _run(settings, lambda session: by_hand.revoke(session, settings, gateway, reason))


def _state(one: dict[str, Any]) -> str:
    if one["revoked"]:
        return f"revoked {one['revoked']}: {one['reason']}"
    if one["superseded"]:
        return "superseded"
    return "in use" if one["confirmed"] else "not used yet"


def _run(settings: CloudSettings, action: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run `action` in one transaction of the migrated database; it acts for nobody at first."""
    from plantroom_cloud.db import open_database  # noqa: PLC0415 - as above
    from plantroom_cloud.migrations import migrate  # noqa: PLC0415 - as above

    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.write(None) as session:
                return await action(session)
        finally:
            await database.close()

    return asyncio.run(run())
