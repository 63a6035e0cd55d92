"""``plantroom-cloud export`` and ``plantroom-cloud retention``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.blobs_cli import Made, export_to
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import Site
from plantroom_shared.errors import ConfigError

T = TypeVar("T")

retention_app = typer.Typer(help="How long samples and roll-ups are kept.", no_args_is_help=True)

Company = Annotated[str, typer.Option(help="The company's slug.")]
OneSite = Annotated[str, typer.Option(help="The site's slug.")]


def export_command(
    context: typer.Context,
    *,
    site: OneSite,
    start: Annotated[str, typer.Option("--from", help="2026-01-31T12:00:00Z, or seconds.")] = "",
    end: Annotated[
        str, typer.Option("--to", help="The same; what is said at it is left out.")
    ] = "",
    out: Annotated[
        str, typer.Option(help="A file, a folder, or blobs: (blobs:exports/a/x.parquet).")
    ],
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="parquet: samples; brick, haystack, haystack-v3, enos, csv, spreadsheet: "
            "what points mean.",
        ),
    ] = "parquet",
    accepted: Annotated[
        bool, typer.Option("--accepted", help="Of meanings, only those accepted.")
    ] = False,
) -> None:
    """Write a site's samples to a Parquet file, or what its points mean to a file of another kind.

    Columns of Parquet: site, device, point, unit, ts, value, text, quality, reason.
    """
    if kind != "parquet":
        from plantroom_cloud.exchange.cli import export_meaning  # noqa: PLC0415 - loads the formats

        async def meaning(database: Database, out: Path) -> Made:
            return await export_meaning(database, site, company, kind, accepted=accepted, out=out)

        _export(context, out, meaning)
        return
    from plantroom_cloud.store.export import read_samples, write_parquet  # noqa: PLC0415 - loads the web stack's times

    start_us, end_us = _moment(start, "--from"), _moment(end, "--to")
    if start_us >= end_us:
        what = "lies not before --to"
        raise ConfigError(what, key="--from", fix="exchange them or widen")

    async def samples(database: Database, out: Path) -> Made:
        async with database.read(None) as session:
            scope, site_id = await find_site(session, site, company)
        in_folder = await asyncio.to_thread(out.is_dir)
        path = out / f"{site}-{start_us}-{end_us}.parquet" if in_folder else out
        chunks = read_samples(database, scope, site_id, start_us, end_us)
        rows = await write_parquet(chunks, path)
        return Made(f"{rows} samples", path, scope.company_id)

    _export(context, out, samples)


def _export(
    context: typer.Context, out: str, write: Callable[[Database, Path], Awaitable[Made]]
) -> None:
    async def run(database: Database) -> str:
        return await export_to(load_settings(context.obj), out, partial(write, database))

    typer.echo(_with_database(context, run))


def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Brick TTL, Haystack JSON, EnOS JSON or CSV.")],
    *,
    site: OneSite,
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    kind: Annotated[
        str, typer.Option("--format", help="Where the file's name does not tell.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="The file wins against what persons decided here.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Take in what a file says of a site's points: the plan is shown first.

    What is taken in counts as decided: the mapper leaves it alone.
    """
    from plantroom_cloud.exchange.cli import import_meaning  # noqa: PLC0415 - loads the formats

    _with_database(
        context,
        lambda database: import_meaning(
            database, site, company, kind, file=file, overwrite=overwrite, yes=yes
        ),
    )


@retention_app.command("set")
def retention_set(
    context: typer.Context,
    company: Company = "default",
    site: Annotated[str, typer.Option(help="Only this site; else the whole company.")] = "",
    raw_days: Annotated[int | None, typer.Option(help="Samples; 0 is for ever.")] = None,
    rollup_days: Annotated[int | None, typer.Option(help="Roll-ups; 0 is for ever.")] = None,
) -> None:
    """Say how long samples and roll-ups are kept; what is left out is as above: company, default."""
    from plantroom_cloud.store.retention import RetentionRepository  # noqa: PLC0415 - as in export

    async def change(database: Database) -> None:
        async with database.write(None) as session:
            scope, site_id = await _place(session, company, site)
            await RetentionRepository(session, scope).set(site_id, raw_days, rollup_days)
            kept = {"raw_days": raw_days, "rollup_days": rollup_days}
            subject = f"site/{site_id}" if site else "company"
            audit.record(
                session,
                scope,
                who=audit.cli_user(),
                action="retention.set",
                subject=subject,
                after={name: days for name, days in kept.items() if days is not None},
            )

    _with_database(context, change)
    retention_show(context, company)


@retention_app.command("show")
def retention_show(context: typer.Context, company: Company = "default") -> None:
    """Show how long the sites of a company keep what."""
    from plantroom_cloud.store.retention import RetentionRepository  # noqa: PLC0415 - as in export

    async def read(database: Database) -> Table:
        table = Table("site", "samples", "roll-ups")
        async with database.read(None) as session:
            scope = await find_company(session, company)
            slugs = select(Site.id, Site.slug).where(Site.company_id == scope.company_id)
            names = {row.id: row.slug for row in await session.execute(slugs)}
            for place in await RetentionRepository(session, scope).places():
                keep = place.keep
                table.add_row(names[place.site_id], _days(keep.raw_days), _days(keep.rollup_days))
        return table

    Console().print(_with_database(context, read))


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"


async def _place(session: AsyncSession, company: str, site: str) -> tuple[Scope, int]:
    if site:
        return await find_site(session, site, company)
    return await find_company(session, company), 0


def _moment(text: str, option: str) -> int:
    from plantroom_cloud.kit.problems import InvalidRequest  # noqa: PLC0415 - as in export
    from plantroom_cloud.kit.times import parse_time  # noqa: PLC0415 - as in export

    try:
        return parse_time(text, option)
    except InvalidRequest as error:
        what, fix = "is no time", "write it as 2026-01-31T12:00:00Z or as seconds since 1970"
        raise ConfigError(what, key=option, fix=fix) from error


def _with_database(context: typer.Context, action: Callable[[Database], Awaitable[T]]) -> T:
    """Run `action` on the migrated database and return its result."""

    async def run() -> T:
        database = open_database(load_settings(context.obj))
        try:
            await migrate(database)
            return await action(database)
        finally:
            await database.close()

    return asyncio.run(run())
