"""``plantroom-cloud llm``: what the LLM mapper would cost, has cost, and asking by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import load_settings
from plantroom_cloud.config_llm import LlmSettings
from plantroom_cloud.db import Database, Scope, open_database
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.mapping.llm.asker import Asker
from plantroom_cloud.mapping.llm.batches import BatchDesk
from plantroom_cloud.mapping.llm.report import Plan, counters_of, plan_of, spending_of
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.service import map_site, store_site
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")

llm_app = typer.Typer(help="The LLM that refines mappings.", no_args_is_help=True)

Company = Annotated[str, typer.Option(help="The company's slug.")]
AnySite = Annotated[str, typer.Option(help="Only this site; else all of the company.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@llm_app.command("estimate")
def estimate_command(
    context: typer.Context,
    company: Company = "default",
    site: AnySite = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show what asking about the open templates would take; nothing is asked."""

    async def work(database: Database, settings: LlmSettings | None) -> Plan:
        scope, site_id = await _place(database, company, site)
        return await plan_of(database, scope, settings, SystemClock(), site_id)

    plan, settings = _with_database(context, work)
    if as_json:
        typer.echo(json.dumps({"configured": settings is not None, **plan.as_dict()}))
        return
    if settings is None:
        typer.echo("no LLM is configured: the offline mapping stands alone")
        return
    typer.echo(_told(plan))


@llm_app.command("usage")
def usage_command(
    context: typer.Context, company: Company = "default", *, as_json: AsJson = False
) -> None:
    """Show what the LLM mapper of a company has used and done."""

    async def work(database: Database, settings: LlmSettings | None) -> dict[str, Any]:
        scope, _ = await _place(database, company, "")
        spending = await spending_of(database, scope, settings, SystemClock().now_us())
        async with database.read(scope) as session:
            sources = await LlmRepository(session, scope).sources()
        counters = await counters_of(database, scope)
        return {"spending": spending.as_dict(), "counters": counters, "sources": sources}

    told, settings = _with_database(context, work)
    if as_json:
        typer.echo(json.dumps({"configured": settings is not None, **told}))
        return
    if settings is None:
        typer.echo("no LLM is configured: the offline mapping stands alone")
    for group in told.values():
        for name, value in group.items():
            typer.echo(f"{name:<16} {'no limit' if value is None else value}")


@llm_app.command("ask")
def ask_command(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site's slug.")],
    company: Company = "default",
    *,
    batch: Annotated[bool, typer.Option(help="Through the endpoint's batch interface.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to start.")] = False,
) -> None:
    """Show what it will take, then ask about the open templates of a site."""

    async def plan_it(database: Database, settings: LlmSettings | None) -> Plan:
        scope, site_id = await _place(database, company, site)
        return await plan_of(database, scope, settings, SystemClock(), site_id)

    plan, settings = _with_database(context, plan_it)
    if settings is None:
        what = "no LLM is configured"
        fix = "set PLANTROOM_LLM__BASE_URL and PLANTROOM_LLM__MODEL, or llm: in the file"
        raise ConfigError(what, key="llm", fix=fix)
    typer.echo(_told(plan))
    if not plan.estimate.templates:
        return
    if not yes:
        typer.confirm("start?", abort=True)

    async def work(database: Database, _: LlmSettings | None) -> str:
        scope, site_id = await _place(database, company, site)
        mode = "batch" if batch else settings.mode
        asker = Asker(database, settings.model_copy(update={"mode": mode}), SystemClock())
        try:
            return await _ask(database, scope, site_id or 0, asker)
        finally:
            await asker.close()

    typer.echo(_with_database(context, work)[0])


async def _ask(database: Database, scope: Scope, site_id: int, asker: Asker) -> str:
    """Ask about a site and store the result; return what became of it."""
    clock = SystemClock()
    model, cache = asker.model, asker.cache
    done = await map_site(database, scope, site_id, clock=clock, llm_model=model, cache=cache)
    if done.site is None or not done.open_questions:
        return "nothing is open"
    if asker.settings.mode == "batch":
        desk = BatchDesk(database, asker, clock)
        problem = await desk.hand_in(scope, site_id, done.open_questions)
        return problem or "left with the endpoint; the worker collects the answers"
    outcome = await asker.ask(scope, done.open_questions)
    after = await store_site(
        database, scope, done.site, model=model, cache=cache, failed=outcome.problem
    )
    told = f"{len(outcome.answers)} templates answered, {after.changed} points changed"
    if outcome.problem:
        told += f"; {len(after.open_questions)} stay with the offline mapping: {outcome.problem}"
    return told


def _told(plan: Plan) -> str:
    asked = plan.estimate
    if not asked.templates:
        return f"{plan.points} points: nothing to ask ({plan.known} templates are known)"
    if asked.money is None:
        money = "no price is configured"
    else:
        money = f"{asked.money:.4f} {asked.currency} at the price of {asked.price_since}"
    room = "" if plan.spending.room_for(asked) else "; MORE THAN THE BUDGET HAS LEFT"
    return (
        f"{plan.points} points: {asked.templates} templates ({asked.points} points) to ask, "
        f"{plan.known} known; est. {asked.calls} calls, {asked.tokens_in} tokens in and "
        f"{asked.tokens_out} out, {money}{room}"
    )


async def _place(database: Database, company: str, site: str) -> tuple[Scope, int | None]:
    async with database.read(None) as session:
        reader: AsyncSession = session
        if site:
            return await find_site(reader, site, company)
        return await find_company(reader, company), None


def _with_database(
    context: typer.Context,
    action: Callable[[Database, LlmSettings | None], Awaitable[T]],
) -> tuple[T, LlmSettings | None]:
    settings = load_settings(context.obj)

    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            return await action(database, settings.llm)
        finally:
            await database.close()

    return asyncio.run(run()), settings.llm
