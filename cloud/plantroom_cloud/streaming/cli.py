"""``plantroom-cloud device``: devices that stream by themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.migrations import migrate
from plantroom_cloud.streaming.provision import add_device
from plantroom_cloud.streaming.schema import json_schema
from plantroom_shared.clock import SystemClock

app = typer.Typer(help="Devices that stream by themselves.", no_args_is_help=True)


@app.command("add")
def device_add(
    context: typer.Context,
    site: str,
    device: Annotated[str, typer.Argument(metavar="ID")],
    out: Annotated[Path, typer.Option(help="Folder for certificate and key.")],
    *,
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    sparkplug_group: Annotated[
        str, typer.Option(help="Group of a Sparkplug B node, whose node id is ID; else plain JSON.")
    ] = "",
) -> None:
    """Make a device known, or renew it: writes ca.pem, gateway.pem and gateway.key."""
    settings = load_settings(context.obj)

    async def add(session: AsyncSession) -> str:
        scope, site_id = await find_site(session, site, company)
        return await add_device(
            session,
            SystemClock(),
            Authority(settings.data / "pki"),
            device,
            scope=scope,
            site_id=site_id,
            out=out,
            group=sparkplug_group,
        )

    serial = asyncio.run(_in_database(settings, add))
    topic = f"spBv1.0/{sparkplug_group}/…/{device}" if sparkplug_group else f"dev1/{device}/up/data"
    typer.echo(f"device {device} of site {site}: certificate {serial} in {out}; topic {topic}")


async def _in_database(
    settings: CloudSettings, action: Callable[[AsyncSession], Awaitable[str]]
) -> str:
    database = open_database(settings)
    try:
        await migrate(database)
        async with database.write(None) as session:
            return await action(session)
    finally:
        await database.close()


@app.command("schema")
def device_schema() -> None:
    """Print the JSON schema of what a plain device sends."""
    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False))
