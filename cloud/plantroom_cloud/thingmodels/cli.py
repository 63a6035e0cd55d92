"""``plantroom-cloud models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError
from plantroom_shared.mapping.targets import TARGETS

if TYPE_CHECKING:
    from plantroom_cloud.thingmodels.service import Imported

models_app = typer.Typer(help="Thing models, and what a site lacks of them.", no_args_is_help=True)
Company = Annotated[str, typer.Option(help="The company's slug.")]


@models_app.command("import")
def import_command(
    context: typer.Context,
    files: Annotated[list[Path] | None, typer.Argument(help="JSON files of models.")] = None,
    company: Company = "default",
    model: Annotated[
        list[str] | None, typer.Option(help="With --enos: only these, public ones as well.")
    ] = None,
    *,
    enos: Annotated[bool, typer.Option("--enos", help="Ask the company's EnOS for them.")] = False,
) -> None:
    """Import thing models from files or from EnOS; one that is wrong costs no other."""
    from plantroom_cloud.thingmodels import by_hand  # noqa: PLC0415 - loads the database layer

    if enos == bool(files):
        what = "give JSON files, or --enos"
        raise ConfigError(what, key="models import", fix="one of the two, not both")
    settings = load_settings(context.obj)
    done = (
        by_hand.import_enos(settings, company, model or ())
        if enos
        else by_hand.import_files(settings, company, files or ())
    )
    _tell(done)


def _tell(done: Imported) -> None:
    for problem in done.problems:
        typer.echo(str(problem), err=True)
    if done.untold:
        typer.echo(f"... and {done.untold} more problems", err=True)
    typer.echo(
        f"{len(done.new)} new, {len(done.changed)} changed, {len(done.same)} as they were, "
        f"{len(done.problems) + done.untold} problems"
    )
    if done.problems:
        raise typer.Exit(1)


@models_app.command("list")
def list_command(context: typer.Context, company: Company = "default") -> None:
    """List what points can be mapped to: the company's own models and the built-in ones."""
    from plantroom_cloud.thingmodels import by_hand  # noqa: PLC0415 - as above

    table = Table("model", "version", "points", "required", "origin")
    for item in by_hand.listed(load_settings(context.obj), company):
        version = "" if item["version"] is None else str(item["version"])
        counts = (str(item["points"]), str(item["required"]))
        table.add_row(item["model"], version, *counts, item["origin"])
    Console(soft_wrap=True).print(table)


@models_app.command("check")
def check_command(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site's slug.")],
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    target: Annotated[str, typer.Option(help="enos, brick or haystack.")] = "enos",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Say what of a site's mapping does not fit the models; ends with 1 where there are errors."""
    from plantroom_cloud.thingmodels import by_hand  # noqa: PLC0415 - as above

    known = next((name for name in TARGETS if name == target), None)
    if known is None:
        what = f"{target[:40]!r} is no target"
        raise ConfigError(what, key="--target", fix=f"choose one of: {', '.join(TARGETS)}")
    found = by_hand.check(load_settings(context.obj), company, site, known)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for item in found["findings"]:
            typer.echo(f"{item['severity']:7} {item['kind']:14} {item['text']}; {item['fix']}")
        typer.echo(
            f"{found['points']} points, {found['mapped']} mapped, {found['fitting']} fit; "
            f"{found['equipment']} pieces of equipment"
        )
    if any(item["severity"] == "error" for item in found["findings"]):
        raise typer.Exit(1)
