"""``plantroom-cloud licence`` and ``plantroom-cloud feature``: by whoever runs the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.licensing import by_hand
from plantroom_cloud.migrations import migrate

T = TypeVar("T")

licence_app = typer.Typer(help="Licences: what companies may have.", no_args_is_help=True)
feature_app = typer.Typer(help="Features, switched per company.", no_args_is_help=True)
Company = Annotated[str, typer.Argument(help="The company's slug.")]
Name = Annotated[str, typer.Argument(help="The feature; 'feature list' shows all.")]


@licence_app.command("set")
def set_licence(
    context: typer.Context,
    company: Company,
    *,
    plan: Annotated[str, typer.Option(help="What it is called.")],
    status: Annotated[str, typer.Option(help="trial, active, past_due, suspended, ended.")] = (
        "active"
    ),
    limit: Annotated[
        list[str] | None,
        typer.Option(help="NAME=MOST, NAME=MOST:WARN or NAME=:WARN; may be repeated."),
    ] = None,
    begins: Annotated[str, typer.Option("--from", help="2026-01-31; today by default.")] = "",
    ends: Annotated[str, typer.Option("--until", help="The first day that it is over.")] = "",
) -> None:
    """Give a company a licence in place of the one it has."""
    given = by_hand.read(plan, status, limit or [], begins, ends)
    _run(context, lambda session: by_hand.give(session, company, given))
    typer.echo(f"company {company}: plan {plan}, {status}")


@licence_app.command("status")
def set_status(context: typer.Context, company: Company, status: str) -> None:
    """Change nothing but how a licence stands: suspended, active ..."""
    _run(context, lambda session: by_hand.set_status(session, company, status))
    typer.echo(f"company {company}: {status}")


@licence_app.command("remove")
def remove(context: typer.Context, company: Company) -> None:
    """Take a licence away: nothing is limited then."""
    _run(context, lambda session: by_hand.give(session, company, None))
    typer.echo(f"company {company}: no licence, nothing is limited")


@licence_app.command("show")
def show(context: typer.Context, company: Company) -> None:
    """Show a licence, and how its limits stand."""
    for line in _run(context, lambda session: by_hand.show(session, company)):
        typer.echo(line)


@licence_app.command("usage")
def usage(
    context: typer.Context,
    company: Company,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many, today included.")] = 31,
) -> None:
    """Show what a company used, day by day (UTC)."""
    for line in _run(context, lambda session: by_hand.usage(session, company, days)):
        typer.echo(line)


@feature_app.command("list")
def list_features(context: typer.Context, company: Company) -> None:
    """Show all features, and how they are for a company."""
    for line in _run(context, lambda session: by_hand.features(session, company)):
        typer.echo(line)


@feature_app.command("on")
def switch_on(context: typer.Context, company: Company, name: Name) -> None:
    """Switch a feature on."""
    _switch(context, company, name, enabled=True)


@feature_app.command("off")
def switch_off(context: typer.Context, company: Company, name: Name) -> None:
    """Switch a feature off."""
    _switch(context, company, name, enabled=False)


@feature_app.command("reset")
def reset(context: typer.Context, company: Company, name: Name) -> None:
    """Leave a feature to its default."""
    _switch(context, company, name, enabled=None)


def _switch(context: typer.Context, company: str, name: str, *, enabled: bool | None) -> None:
    _run(context, lambda session: by_hand.switch(session, company, name, enabled=enabled))
    told = {True: "on", False: "off", None: "as it is by default"}[enabled]
    typer.echo(f"company {company}: {name} {told}")


def _run(context: typer.Context, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Do `work` in one transaction of the migrated database."""

    async def run() -> T:
        database = open_database(load_settings(context.obj))
        try:
            await migrate(database)
            async with database.write(None) as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())
