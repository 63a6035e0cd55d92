"""``plantroom-cloud``: the service, its parts one by one, and what an operator does by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.alarms.cli import alarm_app
from plantroom_cloud.audit.cli import audit_app
from plantroom_cloud.commands.cli import command_app
from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.configuration.cli import config_app
from plantroom_cloud.conformance.commands import conformance_app
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways import cli_claim
from plantroom_cloud.gateways.cli import account_command
from plantroom_cloud.gateways.cli_ca import ca_app
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.provision import add_gateway, find_site
from plantroom_cloud.governance.cli import governance_app
from plantroom_cloud.identity.cli import user_app
from plantroom_cloud.identity.keys import NewKey
from plantroom_cloud.identity.setup import add_company, add_key, add_site, find_company
from plantroom_cloud.kit.blobs_cli import blobs_app
from plantroom_cloud.licensing.cli import feature_app, licence_app
from plantroom_cloud.mapping.cli import map_points_command
from plantroom_cloud.mapping.llm.cli import llm_app
from plantroom_cloud.migrations import migrate as bring_up_to_date
from plantroom_cloud.pipeline.cli import job_app
from plantroom_cloud.publishing.cli import publish_app
from plantroom_cloud.quarantine.cli import quarantine_app
from plantroom_cloud.replay.cli import replay_command
from plantroom_cloud.review.cli import review_command
from plantroom_cloud.store.cli import export_command, import_command, retention_app
from plantroom_cloud.streaming.cli import app as device_app
from plantroom_cloud.thingmodels.cli import models_app
from plantroom_shared import log
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, PlantroomError

T = TypeVar("T")

app = typer.Typer(
    help="The Plantroom cloud service. Settings come from PLANTROOM_* variables or --config.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
company_app = typer.Typer(help="Companies.", no_args_is_help=True)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
site_app = typer.Typer(help="Sites.", no_args_is_help=True)
gateway_app = typer.Typer(help="Gateways.", no_args_is_help=True)
for name, group in (
    ("company", company_app),
    ("key", key_app),
    ("user", user_app),
    ("site", site_app),
    ("gateway", gateway_app),
    ("quarantine", quarantine_app),
    ("conformance", conformance_app),
    ("device", device_app),
    ("command", command_app),
    ("config", config_app),
    ("models", models_app),
    ("publish", publish_app),
    ("llm", llm_app),
    ("job", job_app),
    ("ca", ca_app),
    ("alarm", alarm_app),
    ("audit", audit_app),
    ("licence", licence_app),
    ("feature", feature_app),
    ("governance", governance_app),
    ("blobs", blobs_app),
):
    app.add_typer(group, name=name)

ReadyFile = Annotated[
    Path | None, typer.Option(help="Write this file, with the addresses, once serving.")
]
Company = Annotated[str, typer.Option(help="The company's slug.")]


@app.callback()
def common(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    *,
    verbose: Annotated[bool, typer.Option(help="Log more.")] = False,
) -> None:
    """Keep what every command needs: the settings are read by the command itself."""
    log.configure(verbose=verbose)
    context.obj = config


def settings_of(context: typer.Context) -> CloudSettings:
    """Return the settings for this command."""
    return load_settings(context.obj)


# ---------------------------------------------------------------- processes


@app.command()
def serve(
    context: typer.Context,
    ready_file: ReadyFile = None,
    engine: Annotated[str, typer.Option(help="Of the broker: auto, mosquitto, embedded.")] = "auto",
    *,
    with_broker: Annotated[bool, typer.Option(help="Run the broker as a child.")] = False,
) -> None:
    """Run API, ingest and worker in one process."""
    command = ()
    if with_broker:
        config = ("--config", str(context.obj)) if context.obj else ()
        options = ("broker", "--engine", engine, "--parent", str(os.getpid()))
        command = (sys.executable, "-m", "plantroom_cloud", *config, *options)
    _serve(context, ("api", "ingest", "worker"), ready_file, command)


@app.command()
def api(context: typer.Context, ready_file: ReadyFile = None) -> None:
    """Run the REST API alone."""
    _serve(context, ("api",), ready_file)


@app.command()
def ingest(context: typer.Context, ready_file: ReadyFile = None) -> None:
    """Run the ingest alone: it stores what gateways send."""
    _serve(context, ("ingest",), ready_file)


@app.command()
def worker(context: typer.Context, ready_file: ReadyFile = None) -> None:
    """Run the worker alone: mapping and publishing."""
    _serve(context, ("worker",), ready_file)


def _serve(
    context: typer.Context,
    parts: tuple[str, ...],
    ready_file: Path | None,
    broker: tuple[str, ...] = (),
) -> None:
    from plantroom_cloud import serve as composition  # noqa: PLC0415 - the web stack only where it serves

    def show(key: NewKey) -> None:
        typer.echo(f"First API key of company 'default', shown only now: {key.plain}")

    plan = composition.Plan(parts, ready_file, broker, show)
    with asyncio.Runner(loop_factory=loop_of(parts)) as runner:
        runner.run(composition.serve(settings_of(context), plan))


def loop_of(parts: tuple[str, ...]) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of a process; None: asyncio itself.

    Where nothing but the API runs, libuv saves a fifth of its time. It is not there on Windows.
    """
    if parts == ("api",) and find_spec("uvloop") is not None:
        import uvloop  # noqa: PLC0415 - where it is there, and used

        return uvloop.new_event_loop
    return None


@app.command()
def broker(
    context: typer.Context,
    engine: Annotated[str, typer.Option(help="auto, mosquitto or embedded.")] = "auto",
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "",
    port: Annotated[int, typer.Option(help="Port; 0 means that of the settings.")] = 0,
    ready_file: ReadyFile = None,
    *,
    parent: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run the MQTT broker: Mosquitto where it is installed, else an embedded one."""
    from plantroom_cloud.broker.run import run  # noqa: PLC0415 - the broker only where it runs

    run(
        settings_of(context),
        engine=engine,
        bind=bind,
        port=port,
        ready_file=ready_file,
        parent=parent,
    )


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to this version's schema."""
    _in_database(settings_of(context), _nothing)
    typer.echo("the database is up to date")


@app.command()
def doctor(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what the settings choose and whether it answers; exit code 1 if something does not."""
    from plantroom_cloud.doctor import examine  # noqa: PLC0415 - loads the database's tools

    found = asyncio.run(examine(settings_of(context)))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
    else:
        for one in found:
            mark = "ok     " if one.ok else "TROUBLE"
            typer.echo(f"{mark} {one.setting}: {one.value}: {one.told} ({one.milliseconds} ms)")
    raise typer.Exit(0 if all(one.ok for one in found) else 1)


# ---------------------------------------------------------------- by hand


@company_app.command("add")
def company_add(context: typer.Context, slug: str, name: str = "") -> None:
    """Add a company."""
    _in_database(
        settings_of(context), lambda session: add_company(session, SystemClock(), slug, name)
    )
    typer.echo(f"company {slug}")


@key_app.command("add")
def key_add(
    context: typer.Context,
    company: str,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "by hand",
    scope: Annotated[
        list[str] | None, typer.Option(help="A permission or a role; may be repeated.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it opens.")] = 365,
    *,
    write: Annotated[bool, typer.Option("--write", help="--scope engineer.")] = False,
) -> None:
    """Make an API key and print it, once."""
    scopes = [*(scope or ()), *(["engineer"] if write else [])] or ["viewer"]

    async def add(session: AsyncSession) -> NewKey:
        whose = await find_company(session, company)
        return await add_key(
            session, SystemClock(), whose, name, scopes=scopes, days=days, by="cli"
        )

    typer.echo(_in_database(settings_of(context), add).plain)


@site_app.command("add")
def site_add(
    context: typer.Context,
    slug: str,
    company: Company = "default",
    name: str = "",
    timezone: Annotated[str, typer.Option(help="IANA name, for example Europe/Berlin.")] = "UTC",
) -> None:
    """Add a site."""

    async def add(session: AsyncSession) -> int:
        scope = await find_company(session, company)
        return await add_site(session, SystemClock(), scope, slug, name=name, timezone=timezone)

    _in_database(settings_of(context), add)
    typer.echo(f"site {slug} of company {company}")


@gateway_app.command("add")
def gateway_add(
    context: typer.Context,
    site: str,
    gateway: Annotated[str, typer.Argument(metavar="ID")],
    out: Annotated[Path, typer.Option(help="Folder for certificate and key.")],
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
) -> None:
    """Make a gateway known, or renew it: writes ca.pem, gateway.pem and gateway.key."""
    settings = settings_of(context)

    async def add(session: AsyncSession) -> str:
        scope, site_id = await find_site(session, site, company)
        authority = Authority(settings.data / "pki")
        return await add_gateway(
            session, SystemClock(), authority, gateway, scope=scope, site_id=site_id, out=out
        )

    serial = _in_database(settings, add)
    typer.echo(f"gateway {gateway} of site {site}: certificate {serial} in {out}")


cli_claim.add_to(gateway_app)
app.command("account")(account_command)
app.command("map")(map_points_command)
app.command("review")(review_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.add_typer(retention_app, name="retention")
app.command("replay")(replay_command)


# ---------------------------------------------------------------- plumbing


def _in_database(settings: CloudSettings, action: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run `action` in one transaction of the migrated database and return its result."""

    async def run() -> T:
        database = open_database(settings)
        try:
            await bring_up_to_date(database)
            async with database.write(None) as session:
                return await action(session)
        finally:
            await database.close()

    return asyncio.run(run())


async def _nothing(_: AsyncSession) -> None:
    """Only the migration is wanted."""


def main() -> int:
    """Run the command line; return 2 for a wrong setting, 1 for any other trouble."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        typer.echo(f"plantroom-cloud: {error}", err=True)
        return 2
    except PlantroomError as error:
        typer.echo(f"plantroom-cloud: {error}", err=True)
        return 1
    return 0
