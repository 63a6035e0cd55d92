"""``plantroom-cloud job``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError

__all__ = ["job_app"]

job_app = typer.Typer(
    help="Jobs: points → equipment, classes, thing-model points.", no_args_is_help=True
)

Company = Annotated[str, typer.Option(help="The company's slug.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="See 'job list'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LOOK = 0.5
_ID = 34
"""Characters of a job's id: it must never be cut."""


@job_app.command("start")
def start(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="CSV point list; only `point_name` is required.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="A site's slug; all sites where there is no file.")
    ] = None,
    *,
    edge: Annotated[
        list[str] | None, typer.Option(help="Asset id of an EnOS Edge that finds the points.")
    ] = None,
    net: Annotated[
        list[str] | None, typer.Option(help="A network that the Edge searches; all of them else.")
    ] = None,
    company: Company = "default",
    key: Annotated[str | None, typer.Option(help="Idempotency key: again is the same job.")] = None,
    llm: Annotated[bool, typer.Option(help="Ask the LLM, where one is configured.")] = True,
    publish: Annotated[bool, typer.Option(help="Enter it into the sites' mappings.")] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Start a job over a point list, sites or Edges, and print its id; the running worker does it."""
    if sum((file is not None, bool(site), bool(edge))) > 1:
        what = "a list, sites and Edges are jobs of their own"
        raise ConfigError(what, key="site" if site else "edge", fix="name one of them")
    if net and not edge:
        what = "a network of which Edge?"
        raise ConfigError(what, key="net", fix="name the Edge with --edge")
    plain = file is not None or edge
    options = {"llm": llm} if plain else {"llm": llm, "publish": publish}
    jobs = _jobs(context, company)
    job = jobs.start(file, site or (), key, options, _edges(edge, net))
    typer.echo(job)
    if watch:
        _follow(jobs, job)


@job_app.command("list")
def list_command(context: typer.Context, company: Company = "default") -> None:
    """List the newest jobs."""
    table = Table()
    table.add_column("job", min_width=_ID)
    for name in ("source", "state", "points", "progress", "created", "ended"):
        table.add_column(name)
    for row in _jobs(context, company).listed():
        share = f"{row['progress']:.0%}"
        cells = (row["id"], row["source"], row["state"], str(row["points"]), share)
        table.add_row(*cells, row["created"][:19], (row["ended"] or "")[:19])
    Console(soft_wrap=True).print(table)


@job_app.command("status")
def status(
    context: typer.Context, job: JobName, company: Company = "default", *, as_json: AsJson = False
) -> None:
    """Show how far a job has come."""
    shown = _jobs(context, company).status(job)
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    _print(shown)


@job_app.command("watch")
def watch_command(context: typer.Context, job: JobName, company: Company = "default") -> None:
    """Follow a job to its end; exit code 1 where it does not end well."""
    _follow(_jobs(context, company), job)


@job_app.command("cancel")
def cancel(context: typer.Context, job: JobName, company: Company = "default") -> None:
    """End a job; what it has found stays."""
    _jobs(context, company).cancel(job)
    typer.echo(f"job {job}: cancelled")


@job_app.command("resume")
def resume(context: typer.Context, job: JobName, company: Company = "default") -> None:
    """Go on with a job that was cancelled or has failed, from where it was."""
    _jobs(context, company).resume(job)
    typer.echo(f"job {job}: goes on")


@job_app.command("result")
def result(
    context: typer.Context,
    job: JobName,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file to write.")],
    company: Company = "default",
) -> None:
    """Write what a job has found so far as CSV."""
    count = _jobs(context, company).result(job, out)
    typer.echo(f"{count} points → {out}")


@job_app.command("worker")
def worker(
    context: typer.Context,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Chunks at once.")] = 1,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write this file once it takes work.")
    ] = None,
) -> None:
    """Run a Celery worker, where the settings say jobs: celery; any number, on any machine."""
    from plantroom_cloud.pipeline.celery_worker import work  # noqa: PLC0415 - needs the extra

    work(load_settings(context.obj), processes, ready_file)


def _edges(edge: list[str] | None, net: list[str] | None) -> Any:
    if not edge:
        return None
    from plantroom_cloud.pipeline.edges import edges_of  # noqa: PLC0415 - loads the web stack

    return edges_of(edge, net or ())


def _jobs(context: typer.Context, company: str) -> Any:
    from plantroom_cloud.pipeline.by_hand import Jobs  # noqa: PLC0415 - loads the web stack

    return Jobs(load_settings(context.obj), company)


def _print(shown: dict[str, Any]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    about = f"{shown['points']} points of {shown['buildings']} buildings"
    why = f" ({shown['reason']})" if shown["reason"] else ""
    console.print(f"{shown['id']}: {shown['state']}{why}, {about}", markup=False)
    table = Table("stage", "state", "points", "chunks")
    for one in shown["stages"]:
        points = f"{one['done']} / {one['points']}"
        table.add_row(one["stage"], one["state"], points, f"{one['chunks_done']} / {one['chunks']}")
    console.print(table)
    if figures := shown["figures"]:
        console.print(
            f"{figures['classed']} with a class, {figures['accepted']} accepted, "
            f"{figures['modelled']} with a thing-model point, {figures['equipment']} equipment; "
            f"{figures['coverage']:.0%} of the points at {figures['precision']:.0%} precision",
            markup=False,
        )
    for trouble in shown["troubles"]:
        where = f"building {trouble['building']}, {trouble['stage']}"
        console.print(
            f"{where}: {trouble['state']}, try {trouble['tries']}: {trouble['reason']}",
            markup=False,
        )


def _follow(jobs: Any, job: str) -> None:
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        lines: dict[str, TaskID] = {}
        while True:
            shown = jobs.status(job)
            for one in shown["stages"]:
                if one["state"] == "skipped":
                    continue
                if one["stage"] not in lines:
                    lines[one["stage"]] = bars.add_task(one["stage"])
                bars.update(lines[one["stage"]], total=one["points"], completed=one["done"])
            if shown["ended"] is not None:
                break
            time.sleep(_LOOK)
    _print(shown)
    if shown["state"] != "done":
        raise typer.Exit(1)
