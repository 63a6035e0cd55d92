"""``plantroom-cloud publish``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from plantroom_cloud.config import load_settings

publish_app = typer.Typer(help="What is published to EnOS.", no_args_is_help=True)
Site = Annotated[str, typer.Argument(help="The site's slug.")]
Company = Annotated[str, typer.Option(help="The company's slug.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the running worker.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]


@publish_app.command("status")
def status(context: typer.Context, site: Site, company: Company = "default") -> None:
    """Print what of a site is published and what is still to be, as JSON."""
    from plantroom_cloud.publishing import by_hand  # noqa: PLC0415 - loads the database layer

    found = by_hand.status(load_settings(context.obj), company, site)
    newest = found.pop("plan")
    found["plan"] = newest and f"{newest['id']} ({newest['state']})"
    typer.echo(json.dumps(found, indent=2))


@publish_app.command("plan")
def plan(
    context: typer.Context,
    site: Site,
    company: Company = "default",
    wait: Wait = 60.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare what should be in EnOS with what is, and show the steps; nothing is changed."""
    from plantroom_cloud.publishing import by_hand  # noqa: PLC0415 - as above

    _show(by_hand.plan(load_settings(context.obj), company, site, wait), as_json=as_json)


@publish_app.command("apply")
def apply(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    site: Site,
    company: Company = "default",
    plan: Annotated[int | None, typer.Option(help="Its number; else the newest.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Id of a step not to do.")] = None,
    wait: Wait = 60.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Carry out a plan that was shown; doing it again does nothing twice."""
    from plantroom_cloud.publishing import by_hand  # noqa: PLC0415 - as above

    settings = load_settings(context.obj)
    row = by_hand.apply(settings, company, site, plan, leave_out or [], wait)
    _show(row, as_json=as_json)


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    typer.echo(f"plan {row['id']} ({row['state']})")
    for step in row["steps"]:
        who = " (by hand, in EnOS)" if step["by_hand"] else ""
        typer.echo(f"  {step['id']}{who}\n    {step['why']}")
    if row["made_at"] and not row["steps"]:
        typer.echo("  nothing to do: EnOS holds what it should")
    for name, became in sorted(row["result"].items()):
        typer.echo(f"  {became}: {name}")
    if row["note"]:
        typer.echo(f"  so far: {row['note']}")
    if row["state"] in {"wanted", "approved"}:
        typer.echo("  the worker has not done it yet; is `plantroom-cloud worker` running?")
