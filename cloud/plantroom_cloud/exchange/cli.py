"""What ``plantroom-cloud export --format …`` and ``plantroom-cloud import`` do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plantroom_cloud.audit import cli_user, display_name
from plantroom_cloud.db import Database
from plantroom_cloud.exchange.formats import FORMATS, format_of_name
from plantroom_cloud.exchange.plan import Change, ImportPlan
from plantroom_cloud.exchange.record import MAX_FILE, Content, Format
from plantroom_cloud.exchange.repository import Decided
from plantroom_cloud.exchange.service import ExchangeService
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.kit.blobs_cli import Made
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from plantroom_shared.mapping.names import clean

_SHOWN = 10


async def export_meaning(
    database: Database, site: str, company: str, kind: str, *, accepted: bool, out: Path
) -> Made:
    """Write what a site's points mean; the file appears under its name when it is whole.

    Raises:
        ConfigError: there is no such site or format.
        Unavailable: the file cannot be written.
    """
    format_ = _format(kind, Path())
    path = _path(out, f"{site}{format_.suffix}")
    part = path.with_name(path.name + ".part")
    async with database.read(None) as session:
        scope, site_id = await find_site(session, site, company)
        service = ExchangeService(session, scope)
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                async for piece in service.export(site_id, format_, accepted=accepted):
                    await asyncio.to_thread(file.write, piece)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            msg = f"the export cannot be written: {error}"
            raise Unavailable(msg) from error
    return Made(f"{format_.about} of {site}", path, scope.company_id)


async def import_meaning(
    database: Database,
    site: str,
    company: str,
    kind: str,
    *,
    file: Path,
    overwrite: bool,
    yes: bool,
) -> None:
    """Show what taking a file in would change, and do it when it is agreed to.

    Raises:
        ConfigError: there is no such site, file or format, or the file is none of its kind.
        Unavailable: somebody else changed the mapping between plan and agreement.
    """
    format_ = _format(kind, file)
    content = await asyncio.to_thread(_read, format_, file)
    async with database.read(None) as session:
        scope, site_id = await find_site(session, site, company)
        plan = await ExchangeService(session, scope).plan(site_id, content, overwrite=overwrite)
    _show(plan)
    if not plan.changes:
        typer.echo("nothing to do")
        return
    if not yes and not typer.confirm(f"Take in {len(plan.changes)} changes?"):
        typer.echo("nothing was changed")
        return
    who = cli_user()
    try:
        async with database.write(scope) as session:
            about = f"taken in from {format_.name}"
            await ExchangeService(session, scope).apply(
                site_id,
                content,
                overwrite=overwrite,
                digest=plan.digest,
                about=Decided(about, display_name(who), SystemClock().now_us()),
                who=who,
            )
    except ApiError as error:
        raise Unavailable(error.detail) from error
    typer.echo(f"{len(plan.changes)} points of {site} decided")


def _path(out: Path, name: str) -> Path:
    return out / name if out.is_dir() else out


def _format(kind: str, file: Path) -> Format:
    found = FORMATS.get(kind) if kind else format_of_name(file.name)
    if found is None:
        what = f"{kind[:64]!r} is no format" if kind else f"{file.name!r} does not tell its format"
        raise ConfigError(what, key="--format", fix=f"choose one of: {', '.join(FORMATS)}")
    return found


def _read(format_: Format, file: Path) -> Content:
    try:
        if file.stat().st_size > MAX_FILE:
            what = f"larger than {MAX_FILE // 1024 // 1024} MB"
            raise ConfigError(what, file=str(file), fix="split it by equipment")
        data = file.read_bytes()
    except OSError as error:
        what = error.strerror or "cannot be read"
        raise ConfigError(what, file=str(file), fix="name a file that can be read") from error
    try:
        return format_.read(data)
    except Rejected as error:
        fix = f"check the file, or name its kind with --format: {', '.join(FORMATS)}"
        raise ConfigError(str(error), file=str(file), fix=fix) from error


def _show(plan: ImportPlan) -> None:
    """Show a plan: what changes, and what is left alone and why."""
    console = Console()
    table = Table("point", "was", "will be")
    for change in plan.changes[:_SHOWN]:
        table.add_row(*(Text(clean(cell)) for cell in _row(change)))
    if plan.changes:
        console.print(table)
    console.print(
        f"{len(plan.changes)} change, {plan.same} are so already, {plan.proposals} undecided in the "
        f"file, {plan.untouched} not in the file",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for what, why in (("kept", "kept"), ("unknown", "not found"), ("refused", "refused")):
        if plan.counts[what]:
            names = "; ".join(getattr(plan, what)[:_SHOWN])
            line = _printable(f"{plan.counts[what]} {why}: {names}")
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    for note in plan.notes[:_SHOWN]:
        console.print(_printable(f"note: {note}"), markup=False, highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Return a text without what would command the terminal: names are strangers' words."""
    return "".join(ch if ch.isprintable() else " " for ch in text)


def _row(change: Change) -> tuple[str, str, str]:
    before, after = change.before, change.after
    was = f"{before.equipment} {before.point_class or '-'} {before.model_point}"
    return before.name, was, f"{after.equipment} {after.point_class or '-'} {after.model_point}"
